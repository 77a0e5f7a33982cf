//! Master: which masters a cluster has, and which of them leads.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use detector::{DetectError, Place, ZkSource, ZkSourceError, ZkUrlError};
use hyper::StatusCode;
use hyper::header::LOCATION;

use super::address::{Address, AddressError};
use super::http::{Ask, Connection, HttpError};

/// How long ZooKeeper may take to answer.
const ZK_MAX: Duration = Duration::from_secs(10);

/// Where the leading master is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Master {
    /// It is this one, or this one knows it.
    One(Address),
    /// One of these knows it.
    Listed(Vec<Address>),
    /// Its znode tells.
    ZooKeeper(ZkSource),
}

/// Why a text names no masters.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MasterError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{text:?} is no place in ZooKeeper")]
    ZooKeeper { text: String, source: ZkUrlError },
}

/// Why nobody knows which master leads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaderError {
    #[error("none of the masters knows a leader: {0}")]
    Nobody(String),
    #[error("look for the leading master")]
    ZooKeeper(#[from] DetectError),
    #[error("look for the leading master")]
    Source(#[from] ZkSourceError),
}

impl Master {
    /// The leader's address; asks for it unless there is but one.
    pub(crate) async fn leader(&self) -> Result<Address, LeaderError> {
        match self {
            Self::One(address) => Ok(address.clone()),
            Self::Listed(all) => {
                let mut refusals = Vec::new();
                for address in all {
                    match ask(address).await {
                        Ok(leader) => return Ok(leader),
                        Err(refusal) => refusals.push(refusal),
                    }
                }
                Err(LeaderError::Nobody(refusals.join("; ")))
            }
            Self::ZooKeeper(source) => {
                let place = Place {
                    url: source.read()?,
                    session_timeout: ZK_MAX,
                };
                let leader = detector::find(&place).await?.leader;
                Ok(Address {
                    host: leader.ip.to_string(),
                    port: leader.port,
                })
            }
        }
    }
}

/// Asks one master who leads.
async fn ask(address: &Address) -> Result<Address, String> {
    let mut connection = Connection::new(address.clone());
    let ask = Ask::get("/master/redirect");
    let asked = Box::pin(connection.send_unled(&ask));
    let response = asked
        .await
        .map_err(|error: HttpError| crate::chain(&error))?;
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let leader = location.and_then(|text| text.split_once("//")?.1.parse().ok());
    match (response.status(), leader) {
        (StatusCode::TEMPORARY_REDIRECT, Some(leader)) => Ok(leader),
        (StatusCode::SERVICE_UNAVAILABLE, _) => Err(format!("{address} knows none")),
        (status, _) => Err(format!("{address} answered {} with {status}", ask.act())),
    }
}

impl FromStr for Master {
    type Err = MasterError;

    fn from_str(text: &str) -> Result<Self, MasterError> {
        if ZkSource::is_meant(text) {
            let source = text.parse().map_err(|source| MasterError::ZooKeeper {
                text: text.to_owned(),
                source,
            });
            return source.map(Self::ZooKeeper);
        }
        let all: Result<Vec<Address>, AddressError> = text.split(',').map(str::parse).collect();
        let mut all = all?;
        Ok(match all.len() {
            1 => Self::One(all.remove(0)),
            _ => Self::Listed(all),
        })
    }
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => address.fmt(f),
            Self::Listed(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(","))
            }
            Self::ZooKeeper(source) => source.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_are_one_several_or_a_place_in_zookeeper() {
        for (text, written) in [
            ("master", Ok("master:5050")),
            ("a:1,b", Ok("a:1,b:5050")),
            ("zk://me:secret@z/mesos", Ok("zk://me:***@z:2181/mesos")),
            ("file:///etc/zk", Ok("file:///etc/zk")),
            ("a:1,", Err(())),
            ("zk://z", Err(())),
            ("file://zk", Err(())),
        ] {
            let read = text.parse::<Master>().map(|master| master.to_string());
            assert_eq!(read.as_deref().map_err(|_| ()), written, "{text:?}");
        }
    }
}
