//! The leading master, as its znode tells it.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

/// The leading master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The name that it tells to others.
    pub hostname: String,
    /// The address that it tells to others.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
}

/// Why a znode does not say who leads.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaderError {
    /// It holds no JSON.
    #[error("the leader's znode holds no JSON of a MasterInfo")]
    NoJson,
    /// It holds JSON without that.
    #[error("the leader's znode has no {0} in its MasterInfo")]
    Missing(&'static str),
}

impl Leader {
    /// Reads the JSON of a MasterInfo.
    ///
    /// # Errors
    /// It is none, or tells no address.
    pub fn read(data: &[u8]) -> Result<Self, LeaderError> {
        let info: Value = serde_json::from_slice(data).map_err(|_| LeaderError::NoJson)?;
        let address = info.get("address").filter(|address| address.is_object());
        let address = address.ok_or(LeaderError::Missing("address"))?;
        let text = |value: &Value, name| {
            let text = value.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let ip = text(address, "ip").and_then(|ip| ip.parse().ok());
        let ip: IpAddr = ip.ok_or(LeaderError::Missing("address.ip"))?;
        let port = address.get("port").and_then(Value::as_u64);
        let port = port.and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|port| *port != 0);
        // A hostname goes into headers and logs.
        let is_plain = |name: &String| name.chars().all(|c| c.is_ascii_graphic());
        let hostname = text(address, "hostname").or_else(|| text(&info, "hostname"));
        let hostname = hostname.filter(is_plain);
        Ok(Self {
            hostname: hostname.unwrap_or_else(|| ip.to_string()),
            ip,
            port: port.ok_or(LeaderError::Missing("address.port"))?,
        })
    }
}

/// The region of the master that tells this JSON of its MasterInfo, where it has a domain.
#[must_use]
pub fn region(data: &[u8]) -> Option<String> {
    let info: Value = serde_json::from_slice(data).ok()?;
    let region = info.pointer("/domain/fault_domain/region/name")?;
    region.as_str().map(str::to_owned)
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.hostname, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_read_from_what_mesos_writes() {
        let text = r#"{"address":{"hostname":"m1","ip":"10.0.0.7","port":5050},
            "capabilities":[{"type":"AGENT_UPDATE"}],"hostname":"m1","id":"i","ip":117440522,
            "pid":"master@10.0.0.7:5050","port":5050,"version":"1.11.0"}"#;
        let leader = Leader::read(text.as_bytes()).unwrap();
        assert_eq!(leader.to_string(), "m1:5050");
        assert_eq!(leader.ip.to_string(), "10.0.0.7");
        let nameless = Leader::read(br#"{"address":{"ip":"::1","port":1}}"#).unwrap();
        assert_eq!(nameless.hostname, "::1");
    }

    #[test]
    fn what_tells_no_address_is_refused() {
        for (text, fault) in [
            ("master@1.2.3.4:5050", LeaderError::NoJson),
            ("{}", LeaderError::Missing("address")),
            (
                r#"{"address":{"port":1}}"#,
                LeaderError::Missing("address.ip"),
            ),
            (
                r#"{"address":{"ip":"1.2.3.4","port":65536}}"#,
                LeaderError::Missing("address.port"),
            ),
        ] {
            assert_eq!(Leader::read(text.as_bytes()), Err(fault), "{text}");
        }
    }
}
