//! Where the leading master is found: one address, several, or ZooKeeper.

use std::fmt;

use detector::{ZkSource, ZkUrl};

use super::HostPort;
use super::settings::Why;
use super::values::host_port;

pub(super) const MASTERS: &str = "HOST:PORT, HOST:PORT,HOST:PORT or zk://HOST:PORT,HOST:PORT/PATH";

/// Where the leading master is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masters {
    /// It is one of these, and there is one at least.
    Listed(Vec<HostPort>),
    /// Its znode tells.
    ZooKeeper(ZkSource),
}

impl Masters {
    /// An address in the direction of the masters, as far as one is known without asking anybody.
    #[must_use]
    pub fn towards(&self) -> Option<HostPort> {
        match self {
            Self::Listed(all) => all.first().cloned(),
            Self::ZooKeeper(source) => {
                let ZkUrl { servers, .. } = source.read().ok()?;
                host_port(servers.first()?, None).ok()
            }
        }
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZooKeeper(source) => source.fmt(f),
            Self::Listed(all) => {
                for (number, one) in all.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{one}")?;
                }
                Ok(())
            }
        }
    }
}

pub(super) fn read(text: &str) -> Result<Masters, Why> {
    if ZkSource::is_meant(text) {
        let source = text.parse().map_err(|error| format!("; {error}"))?;
        return Ok(Masters::ZooKeeper(source));
    }
    let all: Result<Vec<_>, _> = text.split(',').map(|one| host_port(one, None)).collect();
    all.map(Masters::Listed)
}
