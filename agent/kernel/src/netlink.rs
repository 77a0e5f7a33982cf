//! Netlink: links brought up, addresses and routes set, one request at a time.
//!
//! The messages are netlink-packet-route's. Links are found in `/sys/class/net`, which says in a word
//! each what a dump says in a hundred.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK` of `linux/if_arp.h`.
const ETHERNET: u32 = 1;
const LOOPBACK: u32 = 772;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, as in `eth0`.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// A request that netlink did not carry out.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// There is no socket.
    #[error("open netlink")]
    Open(#[source] io::Error),
    /// The request was not sent, or its answer not received.
    #[error("{act}: ask netlink")]
    Ask {
        /// What was asked for.
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("{act}")]
    Refused {
        /// What was asked for.
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The answer is none.
    #[error("{act}: netlink's answer cannot be read")]
    Answer {
        /// What was asked for.
        act: &'static str,
    },
}

impl NetlinkError {
    /// What the kernel said; EPROTO where it said nothing that can be read.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Open(source) | Self::Ask { source, .. } | Self::Refused { source, .. } => {
                crate::files::errno(source)
            }
            Self::Answer { .. } => Errno::EPROTO,
        }
    }
}

/// The ethernet devices, in the order in which the kernel found them.
#[must_use]
pub fn ethernet_links() -> Vec<Link> {
    links(ETHERNET)
}

/// Brings the loopback device of this process's network up. In a new one it is the first.
///
/// # Errors
/// EPERM: the network is not the caller's.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    let up = Netlink::open().and_then(|mut netlink| netlink.loopback_up());
    up.map_err(|error| error.errno())
}

/// The loopback device.
#[must_use]
pub fn loopback_link() -> Option<Link> {
    links(LOOPBACK).into_iter().next()
}

fn links(kind: u32) -> Vec<Link> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else {
        return Vec::new();
    };
    let mut links: Vec<Link> = entries
        .flatten()
        .filter_map(|entry| {
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).ok();
            let number = |file: &str| read(file)?.trim().parse::<u32>().ok();
            if number("type")? != kind {
                return None;
            }
            Some(Link {
                name: entry.file_name().into_string().ok()?,
                index: number("ifindex")?,
                mac: mac(read("address")?.trim())?,
            })
        })
        .collect();
    links.sort_by_key(|link| link.index);
    links
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// Whether a device that is up has a cable, or what stands for one.
#[must_use]
pub fn has_carrier(link: &Link) -> bool {
    fs::read_to_string(format!("/sys/class/net/{}/carrier", link.name))
        .is_ok_and(|carrier| carrier.trim() == "1")
}

/// A socket to the kernel's network configuration.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        socket.bind_auto().map_err(NetlinkError::Open)?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .map_err(NetlinkError::Open)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Brings a device up.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_up(&mut self, link: &Link) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(
            "bring a device up",
            0,
            RouteNetlinkMessage::SetLink(message),
        )
    }

    /// Gives a device an address; one that it has already is no error.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_address(
        &mut self,
        link: &Link,
        address: Ipv4Addr,
        prefix: u8,
    ) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewAddress(address_message(link, address, prefix));
        self.ask("add an address", NLM_F_CREATE | NLM_F_REPLACE, message)
    }

    /// Takes an address from a device.
    ///
    /// # Errors
    /// The device does not have it.
    pub fn remove_address(
        &mut self,
        link: &Link,
        address: Ipv4Addr,
        prefix: u8,
    ) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelAddress(address_message(link, address, prefix));
        self.ask("remove an address", 0, message)
    }

    /// Sends everything that has no nearer route to a gateway.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_default_route(
        &mut self,
        link: &Link,
        gateway: Ipv4Addr,
    ) -> Result<(), NetlinkError> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Boot,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            // Clouds lease an address alone, with a prefix of 32, and a gateway outside of it.
            flags: RouteFlags::Onlink,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)),
            RouteAttribute::Oif(link.index),
        ];
        let message = RouteNetlinkMessage::NewRoute(message);
        self.ask(
            "set the default route",
            NLM_F_CREATE | NLM_F_REPLACE,
            message,
        )
    }

    /// Sends a request and waits until it was carried out.
    pub(crate) fn ask(
        &mut self,
        act: &'static str,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(), NetlinkError> {
        match self.exchange(act, NLM_F_ACK | flags, message)? {
            NetlinkPayload::Error(error) => match error.code {
                None => Ok(()),
                Some(_) => Err(NetlinkError::Refused {
                    act,
                    source: error.to_io(),
                }),
            },
            _ => Err(NetlinkError::Answer { act }),
        }
    }

    /// The number of a device of this socket's network.
    ///
    /// # Errors
    /// ENODEV: there is none of this name.
    pub fn index(&mut self, name: &str) -> Result<u32, NetlinkError> {
        let act = "look for a device";
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        match self.exchange(act, 0, RouteNetlinkMessage::GetLink(message))? {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                Ok(link.header.index)
            }
            NetlinkPayload::Error(error) => Err(NetlinkError::Refused {
                act,
                source: error.to_io(),
            }),
            _ => Err(NetlinkError::Answer { act }),
        }
    }

    /// The names of all devices of this socket's network.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn names(&mut self) -> Result<Vec<String>, NetlinkError> {
        let act = "list the devices";
        let asked = |source| NetlinkError::Ask { act, source };
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.send(act, NLM_F_DUMP, all)?;
        let mut names = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full().map_err(asked)?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|_| NetlinkError::Answer { act })?;
                let length = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(4)..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(names),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                        names.extend(link.attributes.into_iter().find_map(|attribute| {
                            match attribute {
                                LinkAttribute::IfName(name) => Some(name),
                                _ => None,
                            }
                        }));
                    }
                    _ => return Err(NetlinkError::Answer { act }),
                }
            }
        }
    }

    fn exchange(
        &mut self,
        act: &'static str,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<NetlinkPayload<RouteNetlinkMessage>, NetlinkError> {
        self.send(act, flags, message)?;
        let asked = |source| NetlinkError::Ask { act, source };
        loop {
            let (bytes, _) = self.socket.recv_from_full().map_err(asked)?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes)
                .map_err(|_| NetlinkError::Answer { act })?;
            if answer.header.sequence_number == self.sequence {
                return Ok(answer.payload);
            }
        }
    }

    fn send(
        &mut self,
        act: &'static str,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(), NetlinkError> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let sent = self.socket.send(&bytes, 0);
        sent.map(drop)
            .map_err(|source| NetlinkError::Ask { act, source })
    }
}

fn address_message(link: &Link, address: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = link.index;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    // Point-to-point prefixes have no broadcast address.
    if prefix < 31 {
        let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        let broadcast = Ipv4Addr::from_bits(address.to_bits() | host);
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_six_bytes() {
        assert_eq!(
            mac("52:54:00:12:34:56"),
            Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])
        );
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "zz:54:00:12:34:56",
        ] {
            assert_eq!(mac(text), None, "{text}");
        }
    }

    #[test]
    fn the_broadcast_address_has_every_host_bit() {
        let link = Link {
            name: "eth0".to_owned(),
            index: 2,
            mac: [0; 6],
        };
        let broadcast = |prefix| {
            let attributes = address_message(&link, Ipv4Addr::new(10, 0, 2, 15), prefix).attributes;
            attributes
                .into_iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Broadcast(address) => Some(address),
                    _ => None,
                })
        };
        assert_eq!(broadcast(24), Some(Ipv4Addr::new(10, 0, 2, 255)));
        assert_eq!(broadcast(32), None);
    }
}
