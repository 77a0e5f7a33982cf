//! Links: bridges of the node, and the pairs of devices that connect containers with them.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use model::sandbox::{Bridge, Endpoint, Neighbours, mac};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use nix::errno::Errno;

use crate::netlink::{Link, Netlink, NetlinkError};

/// What the container's device is called inside.
const INSIDE: &str = "eth0";

/// The first device of a network.
const LOOPBACK: u32 = 1;

impl Netlink {
    /// Makes a bridge with the node's address on it, and brings it up.
    ///
    /// # Errors
    /// EEXIST: there is a device of this name.
    pub fn add_bridge(&mut self, bridge: &Bridge) -> Result<(), NetlinkError> {
        let name = &bridge.device;
        let hardware = mac(bridge.gateway.address);
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.clone()),
            // Its own: a bridge without takes one of its ports', and changes it with them.
            LinkAttribute::Address(hardware.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        up(&mut message);
        let message = RouteNetlinkMessage::NewLink(message);
        self.ask("add a bridge", NLM_F_CREATE | NLM_F_EXCL, message)?;
        without_ipv6(name);
        let link = Link {
            name: name.clone(),
            index: self.index(name)?,
            mac: hardware,
        };
        self.add_address(&link, bridge.gateway.address, bridge.gateway.prefix)?;
        self.add_keeper(&link)
    }

    /// A port that is always there, with nobody behind it. A bridge whose first port comes is ready only
    /// after up to a second, and what is sent until then is lost.
    fn add_keeper(&mut self, bridge: &Link) -> Result<(), NetlinkError> {
        let behind = format!("{}k", bridge.name);
        let mut peer = LinkMessage::default();
        peer.attributes = vec![LinkAttribute::IfName(behind.clone())];
        let port = format!("{}p", bridge.name);
        let attributes = [
            LinkAttribute::IfName(port.clone()),
            LinkAttribute::Controller(bridge.index),
        ];
        self.add_veth(attributes, peer)?;
        without_ipv6(&behind);
        without_ipv6(&port);
        // Or it would answer for the node's addresses, with its own hardware address.
        let flags = LinkFlags::Up | LinkFlags::Noarp;
        let mut quiet = LinkMessage::default();
        quiet.header.index = self.index(&behind)?;
        quiet.header.flags = flags;
        quiet.header.change_mask = flags;
        let quiet = RouteNetlinkMessage::SetLink(quiet);
        self.ask("bring a device up", 0, quiet)?;
        let index = self.index(&port)?;
        self.set_port(index, Neighbours::Apart)
    }

    fn add_veth<const N: usize>(
        &mut self,
        attributes: [LinkAttribute; N],
        peer: LinkMessage,
    ) -> Result<(), NetlinkError> {
        let peer = InfoData::Veth(InfoVeth::Peer(peer));
        let kind = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)];
        let mut message = LinkMessage::default();
        message.attributes = attributes.into();
        message.attributes.push(LinkAttribute::LinkInfo(kind));
        up(&mut message);
        let message = RouteNetlinkMessage::NewLink(message);
        self.ask("add a pair of devices", NLM_F_CREATE | NLM_F_EXCL, message)
    }

    /// Connects a network with a bridge, by two devices of which one is in it; gives the number of the
    /// other. The one inside is down and has no address as yet.
    ///
    /// # Errors
    /// EEXIST: there is a device of this name; ENODEV: there is no such bridge.
    pub fn add_pair(&mut self, endpoint: &Endpoint, space: impl AsFd) -> Result<u32, NetlinkError> {
        let bridge = self.index(&endpoint.bridge.device)?;
        let mut inner = LinkMessage::default();
        inner.attributes = vec![
            LinkAttribute::IfName(INSIDE.to_owned()),
            LinkAttribute::Address(endpoint.mac().to_vec()),
            LinkAttribute::NetNsFd(space.as_fd().as_raw_fd()),
        ];
        let attributes = [
            LinkAttribute::IfName(endpoint.device.clone()),
            LinkAttribute::Controller(bridge),
        ];
        self.add_veth(attributes, inner)?;
        without_ipv6(&endpoint.device);
        let index = self.index(&endpoint.device)?;
        self.set_port(index, endpoint.neighbours)?;
        Ok(index)
    }

    /// What a port of a bridge may do.
    fn set_port(&mut self, index: u32, neighbours: Neighbours) -> Result<(), NetlinkError> {
        let port = vec![
            // Nothing of a container decides how bridges are connected.
            InfoBridgePort::Guard(true),
            InfoBridgePort::Isolated(neighbours == Neighbours::Apart),
        ];
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(port)),
        ])];
        self.ask(
            "set a bridge's port",
            0,
            RouteNetlinkMessage::NewLink(message),
        )
    }

    /// Removes a device; one of a pair takes the other with it. What is gone already is no error.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove_link(&mut self, name: &str) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let removed = self.ask("remove a device", 0, RouteNetlinkMessage::DelLink(message));
        match removed {
            Err(error) if error.errno() == Errno::ENODEV => Ok(()),
            result => result,
        }
    }

    /// Brings up the loopback device of the socket's network.
    pub(crate) fn loopback_up(&mut self) -> Result<(), NetlinkError> {
        self.set_up(&Link {
            name: "lo".into(),
            index: LOOPBACK,
            mac: [0; 6],
        })
    }

    /// Gives the device inside its address and its way out; the socket is one of that network. Its
    /// number.
    pub(super) fn configure_inside(
        &mut self,
        endpoint: &Endpoint,
        gateway: Ipv4Addr,
    ) -> Result<u32, NetlinkError> {
        let link = Link {
            name: INSIDE.into(),
            index: self.index(INSIDE)?,
            mac: endpoint.mac(),
        };
        self.set_up(&link)?;
        self.add_address(&link, endpoint.address, endpoint.bridge.gateway.prefix)?;
        self.set_default_route(&link, gateway)?;
        Ok(link.index)
    }
}

/// Removes all devices whose names begin so; how many there were.
///
/// # Errors
/// The kernel refuses; the others are tried before.
pub fn remove_all(prefix: &str) -> Result<usize, NetlinkError> {
    remove_others(prefix, |_| false)
}

/// The same, but for those that are kept.
///
/// # Errors
/// As [`remove_all`].
pub fn remove_others(prefix: &str, kept: impl Fn(&str) -> bool) -> Result<usize, NetlinkError> {
    let mut netlink = Netlink::open()?;
    let names = netlink.names()?.into_iter();
    let names = names.filter(|name| name.starts_with(prefix) && !kept(name));
    let names: Vec<String> = names.collect();
    let mut last = Ok(());
    for name in &names {
        last = netlink.remove_link(name).and(last);
    }
    last.map(|()| names.len())
}

fn up(message: &mut LinkMessage) {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
}

/// The networks of containers are IPv4 alone, and a device that is up has an address of IPv6 by itself.
fn without_ipv6(device: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
    // There is none to take away from a kernel without IPv6.
    let _ = fs::write(path, "1");
}
