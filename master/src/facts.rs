//! What does not change while a master runs: who it is, where it is, how it was started; and where
//! it is kept what does, which master leads.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use api::domain;
use api::flat::{self, list};
use api::v1;
use api::v1::master_info::Capability;
use master_core::WallTime;
use model::MasterId;
use serde_json::{Value, json};

use crate::access::Access;
use crate::election::Standing;
use crate::files::Files;
use crate::flags::{Config, Leader};

/// The version of the interfaces that this master speaks. Clients parse it: dotted numbers only.
pub(crate) const VERSION: &str = "1.11.0";
/// The program's own version.
pub(crate) const BUILD: &str = env!("CARGO_PKG_VERSION");

/// The facts.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// This master's id.
    pub(crate) master_id: MasterId,
    /// As frameworks and agents are told it.
    pub(crate) master_info: v1::MasterInfo,
    /// `master@ip:port`.
    pub(crate) pid: String,
    /// The name told to others.
    pub(crate) hostname: String,
    /// The address told to others.
    pub(crate) address: SocketAddr,
    /// The cluster's name.
    pub(crate) cluster: Option<String>,
    /// The flags in force.
    pub(crate) flags: BTreeMap<String, String>,
    /// The files it shows.
    pub(crate) files: Files,
    /// When this master started.
    pub(crate) started: WallTime,
    /// Which master leads.
    pub(crate) standing: Arc<Standing>,
    /// Who may come in, and what they may do.
    pub(crate) access: Access,
}

impl Facts {
    /// The facts of a master that listens on `bound`.
    pub(crate) fn new(
        config: &Config,
        bound: SocketAddr,
        master_id: MasterId,
        standing: Standing,
        started: WallTime,
        access: Access,
    ) -> Self {
        let ip = config.advertise_ip.unwrap_or_else(|| match bound.ip() {
            ip if ip.is_unspecified() => outward_address(),
            ip => ip,
        });
        let address = SocketAddr::new(ip, config.advertise_port.unwrap_or(bound.port()));
        let hostname = config.hostname.clone().unwrap_or_else(|| host_name(ip));
        let pid = format!("master@{address}");
        Self {
            master_info: v1::MasterInfo {
                id: master_id.to_string(),
                ip: network_order(ip),
                port: address.port().into(),
                pid: Some(pid.clone()),
                hostname: Some(hostname.clone()),
                version: Some(VERSION.into()),
                address: Some(v1::Address {
                    hostname: Some(hostname.clone()),
                    ip: Some(ip.to_string()),
                    port: address.port().into(),
                }),
                domain: None,
                capabilities: capabilities(),
            },
            master_id,
            pid,
            hostname,
            address,
            cluster: config.cluster.clone(),
            flags: config.listing(),
            files: Files::new(config.external_log_file.clone()),
            started,
            standing: Arc::new(standing),
            access,
        }
    }

    /// Whether the leader that it is told of is this master, by its own name or address.
    pub(crate) fn follows_itself(&self) -> bool {
        let Leader::Elsewhere { hostname, port } = self.standing.leader() else {
            return false;
        };
        let ip = self.address.ip().to_string();
        port == self.address.port() && (hostname == self.hostname || hostname == ip)
    }

    /// The region of this master's domain.
    pub(crate) fn region(&self) -> Option<&str> {
        self.master_info.domain.as_ref().and_then(domain::region)
    }

    /// The leading master's name and port; `None` where none is known.
    pub(crate) fn leading(&self) -> Option<(String, u16)> {
        match self.standing.leader() {
            Leader::Own => Some((self.hostname.clone(), self.address.port())),
            Leader::Elsewhere { hostname, port } => Some((hostname, port)),
            Leader::Unknown => None,
        }
    }

    /// The MasterInfo as JSON of the messages of before v1, which have a name for every capability:
    /// so it stands in the registry's document and in the leader's znode.
    pub(crate) fn master_json(&self) -> Value {
        let mut info = flat::message(&self.master_info);
        info["capabilities"] = list(CAPABILITIES, |(name, _)| json!({ "type": name }));
        info
    }

    /// What stands in this master's znode: Mesos orders the names of an object.
    pub(crate) fn znode(&self) -> Vec<u8> {
        let mut info = self.master_json();
        info.sort_all_objects();
        info.to_string().into_bytes()
    }
}

/// What a master of this version of the interfaces can do, with the numbers on the wire. The last
/// has no name in v1 messages: in their JSON it is `{}`, as in Mesos.
pub(crate) const CAPABILITIES: [(&str, i32); 3] =
    [("AGENT_UPDATE", 1), ("AGENT_DRAINING", 2), ("QUOTA_V2", 3)];

fn capabilities() -> Vec<Capability> {
    CAPABILITIES
        .iter()
        .map(|(_, number)| Capability {
            r#type: Some(*number),
        })
        .collect()
}

/// The bytes of the address in network order, read as a little-endian number, as Mesos does.
fn network_order(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    }
}

/// The address by which this machine reaches others; no packet is sent for it.
fn outward_address() -> IpAddr {
    // 192.0.2.0/24 is set aside for documentation (RFC 5737): only the route is looked up.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    probe.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn host_name(ip: IpAddr) -> String {
    if ip.is_loopback() {
        return "localhost".into();
    }
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| ip.to_string())
}

/// Nanoseconds since the Unix epoch, now.
pub(crate) fn wall_clock() -> WallTime {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    WallTime(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_mesos_writes_it() {
        assert_eq!(network_order(IpAddr::V4(Ipv4Addr::LOCALHOST)), 16_777_343);
    }

    #[test]
    fn the_version_is_dotted_numbers() {
        assert!(VERSION.split('.').all(|part| part.parse::<u32>().is_ok()));
    }
}
