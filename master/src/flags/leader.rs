//! The flag that names the leading master.

use std::fmt;

use super::Flag;

/// Which master leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Leader {
    /// This one.
    #[default]
    Own,
    /// Another one: requests that only a leader can answer are sent there.
    Elsewhere {
        /// Its name.
        hostname: String,
        /// Its port.
        port: u16,
    },
    /// None that is known.
    Unknown,
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("self"),
            Self::Elsewhere { hostname, port } => write!(f, "{hostname}:{port}"),
            Self::Unknown => f.write_str("none"),
        }
    }
}

pub(super) const FLAGS: &[Flag] = &[Flag {
    name: "leader",
    value: "HOST:PORT",
    help: "the master that leads: self, none, or another, to which this one redirects (self)",
    set: |config, text| {
        config.leader = match text {
            "self" => Leader::Own,
            "none" => Leader::Unknown,
            address => elsewhere(address).ok_or("expected self, none or HOST:PORT")?,
        };
        Ok(())
    },
    get: |config| Some(config.leader.to_string()),
}];

fn elsewhere(address: &str) -> Option<Leader> {
    let (hostname, port) = address.rsplit_once(':')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    let named = !hostname.is_empty() && hostname.chars().all(is_name);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    named.then(|| Leader::Elsewhere {
        hostname: hostname.to_owned(),
        port,
    })
}
