//! Networks: whose a container's is, and what connects it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// The node's, or that of the container that it is nested in.
    #[default]
    Shared,
    /// New with the container: its capabilities count in it. A loopback device is all there is.
    Own,
    /// Made before the container, by the node: no capability of the container counts in it, and nothing
    /// in it can be changed from inside.
    Ready {
        /// What connects it; there is nothing but a loopback device without.
        endpoint: Option<Endpoint>,
    },
}

/// An address and the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Net {
    /// The address.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A bridge of the node, which the containers of one network are connected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its device.
    pub device: String,
    /// The node's own address on it, which is the containers' gateway.
    pub gateway: Ipv4Net,
}

/// The end of a container on a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The bridge.
    pub bridge: Bridge,
    /// Its device on the node.
    pub device: String,
    /// Its address, on the device `eth0` inside. It can send from no other.
    pub address: Ipv4Addr,
    /// Whether it is kept from its neighbours on the bridge.
    pub neighbours: Neighbours,
    /// Ports of the node that lead to it.
    pub mappings: Vec<PortMapping>,
    /// How much it may send and receive.
    pub rates: Rates,
}

impl Endpoint {
    /// The hardware address of its device: of the range that everyone may use, and as unique as the
    /// address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        mac(self.address)
    }
}

/// The hardware address that goes with an address.
#[must_use]
pub const fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Whether containers of one network reach each other by their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Neighbours {
    /// Only by ports of the node that lead to them.
    #[default]
    Apart,
    /// Freely.
    Open,
}

/// A port of the node that leads to one of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMapping {
    /// Of which protocol.
    pub protocol: Transport,
    /// The node's port.
    pub host_port: u16,
    /// The container's.
    pub container_port: u16,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// The protocol's number, as in an IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The name that Mesos writes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What a container may send and receive in a second, in bytes; unset is all that the node can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// What it sends.
    pub egress: Option<u64>,
    /// What it receives.
    pub ingress: Option<u64>,
}

/// What the node lets pass between the networks of containers and everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Names the tables.
    pub name: String,
    /// What the names of all bridges begin with.
    pub bridges: String,
    /// What the names of all containers' devices begin with.
    pub devices: String,
    /// The gateways of all networks.
    pub gateways: Vec<Ipv4Net>,
    /// The node's own port that containers reach, of TCP: the agent's.
    pub agent_port: u16,
    /// The ports of the node that tasks may have, first and last, which containers reach as others do.
    pub task_ports: Vec<(u16, u16)>,
}
