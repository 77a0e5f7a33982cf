//! Networks: those that containers may have instead of the node's.

use std::net::Ipv4Addr;

use model::sandbox::{Ipv4Net, Neighbours, Rates};

use super::settings::Why;
use super::{fetching, values};

/// The most network namespaces that wait for containers.
const POOL_SIZE_MAX: usize = 256;
/// The longest and the shortest prefix of a network: one has room for some containers, and its
/// addresses are no whole part of the Internet.
const PREFIXES: std::ops::RangeInclusive<u8> = 8..=29;
/// The slowest that a container can be made, in bytes a second: below, its packets hardly pass.
const RATE_MIN: u64 = 1024;

/// What the operator says of networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// How many network namespaces wait for containers.
    pub pool_size: usize,
    /// The networks that containers may be connected with.
    pub named: Vec<Named>,
    /// What each container may send and receive.
    pub rates: Rates,
}

/// A network that containers may be connected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name that containers ask for.
    pub name: String,
    /// The node's address in it, and so its addresses.
    pub gateway: Ipv4Net,
    /// Whether its containers reach each other.
    pub neighbours: Neighbours,
}

impl Default for Networks {
    fn default() -> Self {
        Self {
            // As many launches are under way at a time.
            pool_size: 4,
            named: vec![Named {
                // Docker's own, by name and addresses.
                name: "bridge".to_string(),
                gateway: Ipv4Net {
                    address: Ipv4Addr::new(172, 17, 0, 1),
                    prefix: 16,
                },
                neighbours: Neighbours::Apart,
            }],
            rates: Rates::default(),
        }
    }
}

/// A number of namespaces.
pub(super) fn pool_size(text: &str) -> Result<usize, Why> {
    match values::plain(text)? {
        size if size > POOL_SIZE_MAX => Err(format!(", {POOL_SIZE_MAX} at most")),
        size => Ok(size),
    }
}

/// Networks as `name=address/prefix[:open]`, with commas between them; none where there is no text.
pub(super) fn named(text: &str) -> Result<Vec<Named>, Why> {
    let mut all: Vec<Named> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let bad = |why: &str| format!("; {part:?} {why}");
        let (name, rest) = part.split_once('=').ok_or_else(|| bad("is bad"))?;
        let name = values::hostname(name).map_err(|_| bad("has no name"))?;
        let (net, neighbours) = match rest.split_once(':') {
            None => (rest, Neighbours::Apart),
            Some((net, "open")) => (net, Neighbours::Open),
            Some(_) => return Err(bad("may end with :open and nothing else")),
        };
        let net = values::net(net).map_err(|_| bad("has no address/prefix"))?;
        if !PREFIXES.contains(&net.prefix) {
            return Err(bad("has a prefix that is not from 8 to 29"));
        }
        let gateway = gateway(net.address, net.prefix);
        if all.iter().any(|other| other.name == name) {
            return Err(bad("has the name of another"));
        }
        if let Some(other) = all.iter().find(|other| overlap(other.gateway, gateway)) {
            return Err(bad(&format!("has addresses of {:?}", other.name)));
        }
        all.push(Named {
            name,
            gateway,
            neighbours,
        });
    }
    Ok(all)
}

/// The node's address in a network: the one that was named, or the first where the network was.
fn gateway(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let bits = address.to_bits();
    let is_network = bits & hosts == 0;
    Ipv4Net {
        address: Ipv4Addr::from_bits(if is_network { bits + 1 } else { bits }),
        prefix,
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    let hosts = u32::MAX.checked_shr(a.prefix.min(b.prefix).into());
    let mask = !hosts.unwrap_or(0);
    a.address.to_bits() & mask == b.address.to_bits() & mask
}

/// A number of bytes a second.
pub(super) fn rate(text: &str) -> Result<u64, Why> {
    match fetching::size(text)? {
        rate if rate < RATE_MIN => Err(format!(", {RATE_MIN}B at least")),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_and_the_node_has_an_address_in_each() {
        let read = |text: &str| {
            let all = named(text)?.into_iter();
            let words = all.map(|one| format!("{} {} {:?}", one.name, one.gateway, one.neighbours));
            Ok::<_, Why>(words.collect::<Vec<_>>().join("; "))
        };
        for (text, expected) in [
            ("", Ok("")),
            (
                "bridge=172.17.0.0/16,lan=10.5.0.254/24:open",
                Ok("bridge 172.17.0.1/16 Apart; lan 10.5.0.254/24 Open"),
            ),
            ("lan", Err("; \"lan\" is bad")),
            ("=10.0.0.0/24", Err("; \"=10.0.0.0/24\" has no name")),
            (
                "lan=10.0.0.0",
                Err("; \"lan=10.0.0.0\" has no address/prefix"),
            ),
            (
                "lan=10.0.0.0/30",
                Err("; \"lan=10.0.0.0/30\" has a prefix that is not from 8 to 29"),
            ),
            (
                "lan=10.0.0.0/24:shut",
                Err("; \"lan=10.0.0.0/24:shut\" may end with :open and nothing else"),
            ),
            (
                "a=10.0.0.0/8,b=10.5.0.0/16",
                Err("; \"b=10.5.0.0/16\" has addresses of \"a\""),
            ),
            (
                "a=10.0.0.0/24,a=10.5.0.0/24",
                Err("; \"a=10.5.0.0/24\" has the name of another"),
            ),
        ] {
            let expected = expected.map(str::to_string).map_err(str::to_string);
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_size_that_something_gets_through() {
        assert_eq!(rate("10MB"), Ok(10 << 20));
        for text in ["", "10", "1B"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
