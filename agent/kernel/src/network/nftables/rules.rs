//! Rules: the two tables, as `nft list ruleset` shows them.
//!
//! ```text
//! table ip NAME {
//!   map mappings { type inet_proto . inet_service : ipv4_addr . inet_service }
//!   chain prerouting, output: fib daddr type local  dnat to meta l4proto . th dport map @mappings
//!   chain forward: established passes; new to a container passes if a mapping led it there
//!   chain input: of the node, a container reaches the agent, the tasks' ports, and echo
//!   chain postrouting: what leaves for elsewhere, or comes back to a bridge, has the node's address
//! }
//! table bridge NAME {
//!   set sources { type iface_index . ether_addr . ipv4_addr }
//!   chain prerouting: a frame passes if its device, hardware address and address are in @sources
//! }
//! ```

use std::net::Ipv4Addr;

use model::sandbox::{Endpoint, Firewall, Ipv4Net, Transport};

use super::batch::{Batch, Element, Family};
use crate::network::attributes::Attributes;

/// A chain that the kernel calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// `enum nf_inet_hooks`; those of bridges have the same numbers.
    pub(super) hook: u32,
    /// Lower ones are called before.
    pub(super) priority: i32,
}

const fn chain(name: &'static str, kind: &'static str, hook: u32, priority: i32) -> Chain {
    Chain {
        name,
        kind,
        hook,
        priority,
    }
}

// The priorities are those of linux/netfilter_ipv4.h (NAT_DST, FILTER, NAT_SRC) and of bridges' filters.
const PREROUTING: Chain = chain("prerouting", "nat", 0, -100);
const OUTPUT: Chain = chain("output", "nat", 3, -100);
const INPUT: Chain = chain("input", "filter", 1, 0);
const FORWARD: Chain = chain("forward", "filter", 2, 0);
const POSTROUTING: Chain = chain("postrouting", "nat", 4, 100);
const FRAMES: Chain = chain("prerouting", "filter", 0, -200);

/// A set or map: the types of its parts are for whoever lists them, six bits each (`nft`'s datatype.h).
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// Type and length in bytes.
    pub(super) key: (u32, u32),
    /// The same of a map's values.
    pub(super) data: Option<(u32, u32)>,
}

const ADDRESS: u32 = 7;
const HARDWARE: u32 = 9;
const PROTOCOL: u32 = 12;
const SERVICE: u32 = 13;
const DEVICE: u32 = 20;

/// Where ports of the node lead.
const MAPPINGS: Set = Set {
    name: "mappings",
    key: (PROTOCOL << 6 | SERVICE, 8),
    data: Some((ADDRESS << 6 | SERVICE, 8)),
};
/// Which device may send from which addresses.
const SOURCES: Set = Set {
    name: "sources",
    key: ((DEVICE << 6 | HARDWARE) << 6 | ADDRESS, 16),
    data: None,
};

/// Both, with the tables that they are of.
pub(super) const SETS: [(Family, &Set); 2] = [(Family::Ip, &MAPPINGS), (Family::Bridge, &SOURCES)];

/// A register: sixteen of four bytes, the numbers as `NFT_REG32_00` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register(u32);

const R0: Register = Register(8);
const R1: Register = Register(9);
const R3: Register = Register(11);
const R8: Register = Register(16);
const R9: Register = Register(17);

/// What a packet is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    IncomingIndex = 4,
    IncomingName = 6,
    OutgoingName = 7,
    Transport = 16,
}

/// Where in a packet something stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    Frame = 0,
    Packet = 1,
    Segment = 2,
}

/// How a register is compared, `enum nft_cmp_ops`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Is {
    Equal = 0,
    Not = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// A part of a rule: the rule goes on while each of them holds.
#[derive(Debug, Clone)]
pub(super) enum Expression<'a> {
    Meta(Meta, Register),
    /// From this base, offset and length in bytes.
    Payload(Base, u32, u32, Register),
    /// Against so many bytes of a register.
    Compare(Register, Is, Vec<u8>),
    /// The register keeps what it has in common with a mask.
    Mask(Register, [u8; 4]),
    /// The register is in a set; a map's value goes into the second.
    Lookup(&'a Set, Register, Option<Register>),
    /// What kind of address the packet's destination is, from the routes.
    DestinationKind(Register),
    /// `NFT_CT_STATE`, bits.
    State(Register),
    /// `NFT_CT_STATUS`, bits.
    Status(Register),
    /// The connection is marked with what is in a register.
    Mark(Register),
    /// The packet goes to the address and port of two registers.
    Redirect(Register, Register),
    Masquerade,
    Accept,
    Drop,
}

use Expression::{
    Accept, Compare, DestinationKind, Drop, Lookup, Mark, Mask, Masquerade, Payload, Redirect,
    State, Status,
};

/// `RTN_LOCAL` of linux/rtnetlink.h.
const LOCAL: u32 = 2;
/// Bits of `NFT_CT_STATE`: established and related.
const BEGUN: u32 = 2 | 4;
/// The bit of `NFT_CT_STATUS` of what a mapping has led elsewhere, `IPS_DST_NAT`.
const REDIRECTED: u32 = 1 << 5;

impl Expression<'_> {
    /// As an element of a rule's list.
    pub(super) fn write(&self, out: &mut Attributes) {
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        const VALUE: u16 = 1;
        const NF_DROP: u32 = 0;
        const NF_ACCEPT: u32 = 1;
        const IPV4: u32 = 2;
        let mut named = |name, fill: &mut dyn FnMut(&mut Attributes)| {
            out.text(NAME, name);
            out.nested(DATA, |data| fill(data));
        };
        match self {
            Self::Meta(key, into) => named("meta", &mut |data| {
                data.number(1, into.0);
                data.number(2, *key as u32);
            }),
            Payload(base, offset, length, into) => named("payload", &mut |data| {
                data.number(1, into.0);
                data.number(2, *base as u32);
                data.number(3, *offset);
                data.number(4, *length);
            }),
            Compare(from, is, value) => named("cmp", &mut |data| {
                data.number(1, from.0);
                data.number(2, *is as u32);
                data.nested(3, |inner| inner.bytes(VALUE, value));
            }),
            Mask(register, mask) => named("bitwise", &mut |data| {
                data.number(1, register.0);
                data.number(2, register.0);
                data.number(3, 4);
                data.nested(4, |inner| inner.bytes(VALUE, mask));
                data.nested(5, |inner| inner.bytes(VALUE, &[0; 4]));
            }),
            Lookup(set, from, into) => named("lookup", &mut |data| {
                data.text(1, set.name);
                data.number(2, from.0);
                if let Some(into) = into {
                    data.number(3, into.0);
                }
            }),
            DestinationKind(into) => named("fib", &mut |data| {
                const KIND: u32 = 3;
                const DESTINATION: u32 = 2;
                data.number(1, into.0);
                data.number(2, KIND);
                data.number(3, DESTINATION);
            }),
            State(into) => named("ct", &mut |data| {
                data.number(1, into.0);
                data.number(2, 0);
            }),
            Status(into) => named("ct", &mut |data| {
                data.number(1, into.0);
                data.number(2, 2);
            }),
            Mark(from) => named("ct", &mut |data| {
                data.number(2, 3);
                data.number(4, from.0);
            }),
            Redirect(address, port) => named("nat", &mut |data| {
                const TO_DESTINATION: u32 = 1;
                data.number(1, TO_DESTINATION);
                data.number(2, IPV4);
                data.number(3, address.0);
                data.number(5, port.0);
            }),
            Masquerade => named("masq", &mut |_| {}),
            Accept => named("immediate", &mut |data| verdict(data, NF_ACCEPT)),
            Drop => named("immediate", &mut |data| verdict(data, NF_DROP)),
        }
    }
}

fn verdict(data: &mut Attributes, code: u32) {
    const REGISTER: u16 = 1;
    const DATA: u16 = 2;
    const VERDICT: u16 = 2;
    const CODE: u16 = 1;
    data.number(REGISTER, 0);
    data.nested(DATA, |inner| {
        inner.nested(VERDICT, |all| all.number(CODE, code))
    });
}

/// A name that begins so; fewer bytes than a name has are compared.
fn named(meta: Meta, is: Is, prefix: &str) -> [Expression<'static>; 2] {
    [
        Expression::Meta(meta, R0),
        Compare(R0, is, prefix.as_bytes().to_vec()),
    ]
}

/// Bits of a register of which some are set.
fn any_of(load: Expression<'static>, bits: u32) -> [Expression<'static>; 3] {
    [
        load,
        Mask(R0, bits.to_ne_bytes()),
        Compare(R0, Is::Not, vec![0; 4]),
    ]
}

fn equal(load: Expression<'static>, value: &[u8]) -> [Expression<'static>; 2] {
    [load, Compare(R0, Is::Equal, value.to_vec())]
}

fn transport(protocol: u8) -> [Expression<'static>; 2] {
    equal(Expression::Meta(Meta::Transport, R0), &[protocol])
}

const fn source(into: Register) -> Expression<'static> {
    Payload(Base::Packet, 12, 4, into)
}

const fn destination(into: Register) -> Expression<'static> {
    Payload(Base::Packet, 16, 4, into)
}

const fn destination_port(into: Register) -> Expression<'static> {
    Payload(Base::Segment, 2, 2, into)
}

/// The table of packets.
pub(super) fn packets(batch: &mut Batch, firewall: &Firewall) {
    let family = Family::Ip;
    batch.set(family, &MAPPINGS);
    for chain in [PREROUTING, OUTPUT, INPUT, FORWARD, POSTROUTING] {
        batch.chain(family, &chain);
    }
    let is_local = equal(DestinationKind(R0), &LOCAL.to_ne_bytes());
    let lead = [
        Expression::Meta(Meta::Transport, R0),
        destination_port(R1),
        Lookup(&MAPPINGS, R0, Some(R8)),
        Redirect(R8, R9),
    ];
    let rule = [is_local.as_slice(), &lead].concat();
    batch.rule(family, &PREROUTING, "add the rule of mapped ports", &rule);
    // What the node sends itself by 127.0.0.1 could not come back from elsewhere.
    let not_loopback = [
        destination(R0),
        Mask(R0, [0xff, 0, 0, 0]),
        Compare(R0, Is::Not, vec![127, 0, 0, 0]),
    ];
    let rule = [not_loopback.as_slice(), &is_local, &lead].concat();
    batch.rule(family, &OUTPUT, "add the rule of mapped ports", &rule);
    forward(batch, firewall);
    input(batch, firewall);
    for gateway in &firewall.gateways {
        masquerade(batch, firewall, *gateway);
    }
}

/// What goes through the node from one device to another.
fn forward(batch: &mut Batch, firewall: &Firewall) {
    let from = named(Meta::IncomingName, Is::Equal, &firewall.bridges);
    let to = named(Meta::OutgoingName, Is::Equal, &firewall.bridges);
    let mut rule = |what, parts: &[&[Expression<'static>]]| {
        batch.rule(Family::Ip, &FORWARD, what, &parts.concat());
    };
    let begun = any_of(State(R0), BEGUN);
    let redirected = any_of(Status(R0), REDIRECTED);
    rule(
        "add the rule of connections that are made",
        &[&begun, &[Accept]],
    );
    let mark = [source(R0), Mark(R0)];
    rule("add the rule that marks connections", &[&from, &mark]);
    let mark = [destination(R0), Mark(R0), Accept];
    rule(
        "add the rule of connections by mapped ports",
        &[&to, &redirected, &mark],
    );
    rule("add the rule that keeps containers apart", &[&to, &[Drop]]);
}

/// What of the node itself containers reach.
fn input(batch: &mut Batch, firewall: &Firewall) {
    const ICMP: u8 = 1;
    const ECHO: u8 = 8;
    let from = named(Meta::IncomingName, Is::Equal, &firewall.bridges);
    let mut rule = |what, parts: &[&[Expression<'static>]]| {
        let parts = [[from.as_slice()].as_slice(), parts].concat().concat();
        batch.rule(Family::Ip, &INPUT, what, &parts);
    };
    let begun = any_of(State(R0), BEGUN);
    rule(
        "add the rule of connections that are made",
        &[&begun, &[Accept]],
    );
    let echo = equal(Payload(Base::Segment, 0, 1, R0), &[ECHO]);
    rule(
        "add the rule of echo",
        &[&transport(ICMP), &echo, &[Accept]],
    );
    let agent = equal(destination_port(R0), &firewall.agent_port.to_be_bytes());
    let tcp = transport(Transport::Tcp.number());
    rule(
        "add the rule of the agent's port",
        &[&tcp, &agent, &[Accept]],
    );
    for (first, last) in &firewall.task_ports {
        for protocol in [Transport::Tcp, Transport::Udp] {
            let between = [
                destination_port(R0),
                Compare(R0, Is::AtLeast, first.to_be_bytes().to_vec()),
                Compare(R0, Is::AtMost, last.to_be_bytes().to_vec()),
                Accept,
            ];
            let parts: [&[Expression<'static>]; 2] = [&transport(protocol.number()), &between];
            rule("add the rule of the tasks' ports", &parts);
        }
    }
    rule("add the rule that guards the node", &[&[Drop]]);
}

/// What of a network goes on under an address of the node.
fn masquerade(batch: &mut Batch, firewall: &Firewall, gateway: Ipv4Net) {
    let mask = mask(gateway.prefix);
    let network = Ipv4Addr::from_bits(gateway.address.to_bits() & mask);
    let ours = [
        source(R0),
        Mask(R0, mask.to_be_bytes()),
        Compare(R0, Is::Equal, network.octets().to_vec()),
    ];
    let elsewhere = named(Meta::OutgoingName, Is::Not, &firewall.bridges);
    let rule = [ours.as_slice(), &elsewhere, &[Masquerade]].concat();
    batch.rule(Family::Ip, &POSTROUTING, "add the rule of addresses", &rule);
    // A neighbour would answer past the node, and nobody would know the answer.
    let bridges = named(Meta::OutgoingName, Is::Equal, &firewall.bridges);
    let redirected = any_of(Status(R0), REDIRECTED);
    let rule = [ours.as_slice(), &bridges, &redirected, &[Masquerade]].concat();
    batch.rule(Family::Ip, &POSTROUTING, "add the rule of addresses", &rule);
}

const fn mask(prefix: u8) -> u32 {
    match u32::MAX.checked_shl(32 - prefix as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

/// The table of frames.
pub(super) fn frames(batch: &mut Batch, firewall: &Firewall) {
    const IP: [u8; 2] = [0x08, 0x00];
    const ARP: [u8; 2] = [0x08, 0x06];
    let family = Family::Bridge;
    batch.set(family, &SOURCES);
    batch.chain(family, &FRAMES);
    let mut rule = |what, parts: &[&[Expression<'static>]]| {
        batch.rule(family, &FRAMES, what, &parts.concat());
    };
    let others = named(Meta::IncomingName, Is::Not, &firewall.devices);
    rule("add the rule of others' bridges", &[&others, &[Accept]]);
    let kind = |kind: [u8; 2]| equal(Payload(Base::Frame, 12, 2, R0), &kind);
    let known = |hardware, address| {
        [
            Expression::Meta(Meta::IncomingIndex, R0),
            hardware,
            address,
            Lookup(&SOURCES, R0, None),
        ]
    };
    let sender = Payload(Base::Frame, 6, 6, R1);
    let packet = known(sender.clone(), source(R3));
    rule(
        "add the rule of addresses",
        &[&kind(IP), &packet, &[Accept]],
    );
    // What ARP says of the sender stands in its body once more.
    let said_address = Payload(Base::Packet, 14, 4, R3);
    let said_hardware = Payload(Base::Packet, 8, 6, R1);
    rule(
        "add the rule of ARP",
        &[
            &kind(ARP),
            &known(sender, said_address.clone()),
            &known(said_hardware, said_address),
            &[Accept],
        ],
    );
    rule("add the rule against false senders", &[&[Drop]]);
}

/// What a container adds.
pub(super) fn admit(batch: &mut Batch, endpoint: &Endpoint, device: u32) {
    let element = source_of(endpoint, device);
    batch.add(
        Family::Bridge,
        &SOURCES,
        "add the container's address",
        &element,
    );
    for element in mappings(endpoint) {
        batch.add(Family::Ip, &MAPPINGS, "map a port of the node", &element);
    }
}

/// The same taken back.
pub(super) fn withdraw(batch: &mut Batch, endpoint: &Endpoint, device: u32) {
    batch.delete(Family::Bridge, &SOURCES, &source_of(endpoint, device));
    for element in mappings(endpoint) {
        batch.delete(Family::Ip, &MAPPINGS, &element);
    }
}

fn source_of(endpoint: &Endpoint, device: u32) -> Element {
    let (device, mac) = (device.to_ne_bytes(), endpoint.mac());
    let parts = [device.as_slice(), &mac, &[0; 2], &endpoint.address.octets()];
    Element {
        key: parts.concat(),
        data: None,
    }
}

fn mappings(endpoint: &Endpoint) -> impl Iterator<Item = Element> {
    endpoint.mappings.iter().map(|mapping| {
        let [host, container] = [mapping.host_port, mapping.container_port].map(u16::to_be_bytes);
        let protocol = [mapping.protocol.number(), 0, 0, 0];
        let address = endpoint.address.octets();
        Element {
            key: [protocol.as_slice(), &host, &[0; 2]].concat(),
            data: Some([address.as_slice(), &container, &[0; 2]].concat()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_as_many_bits_as_the_prefix_says() {
        for (prefix, bits) in [(0, 0), (8, 0xff00_0000), (30, 0xffff_fffc), (32, u32::MAX)] {
            assert_eq!(mask(prefix), bits, "{prefix}");
        }
    }
}
