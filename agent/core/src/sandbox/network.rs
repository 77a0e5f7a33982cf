//! Network: whose a container's is, the addresses of those that are connected, and their ports.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use model::sandbox::{
    Capabilities, Capability, Endpoint, Ipv4Net, Namespace, Network, PortMapping, Transport,
};

use super::{Class, Policy, TaskSpec, Wishes};

/// What gives rights over a network, by the kernel's numbers: `NET_BROADCAST`, `NET_ADMIN`, `NET_RAW`
/// and `SYS_ADMIN`.
const RIGHTS: [Capability; 4] = [
    Capability(11),
    Capability(12),
    Capability(13),
    Capability(21),
];

/// The most containers of one network: as many ports as a bridge of Linux has, less the node's own.
const CONTAINERS_MAX: usize = 1022;

/// A network of a name that a container asks to be connected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedNetwork {
    /// Its name.
    pub name: String,
    /// The address that it wants there; any where it names none.
    pub address: Option<Ipv4Addr>,
    /// Ports of the node that are to lead to it.
    pub mappings: Vec<PortMapping>,
}

/// How a container, or the one that it is nested in, is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its end.
    pub endpoint: Endpoint,
    /// The name that goes with its address.
    pub hostname: String,
}

/// Whose network it is. One that was made ahead costs a launch the least, and no capability counts in
/// it; whoever asks for one that would gets a network of its own, unless others are connected with it.
pub(super) fn of(
    own: &[Namespace],
    wishes: &Wishes,
    kept: &Capabilities,
    connection: Option<&Connection>,
) -> Network {
    if !own.contains(&Namespace::Network) {
        return Network::Shared;
    }
    let endpoint = connection.map(|connection| connection.endpoint.clone());
    let asks = wishes.privileged || wishes.effective.is_some() || wishes.bounding.is_some();
    let has_rights = kept.bounding.iter().any(|one| RIGHTS.contains(one));
    match endpoint.is_none() && asks && has_rights {
        true => Network::Own,
        false => Network::Ready { endpoint },
    }
}

/// Why a container has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none of the network's, or the node's own.
    #[error("address {address} is none that a container can have in {net}")]
    Foreign {
        /// What was asked for.
        address: Ipv4Addr,
        /// The network, by the node's address in it.
        net: Ipv4Net,
    },
    /// Another container has it.
    #[error("address {0} is taken")]
    Taken(Ipv4Addr),
    /// There is no more.
    #[error("the network has no more addresses: {0} containers are connected")]
    Full(usize),
}

/// The addresses of one network: who has one has it alone. Of those that are free, that which has been
/// free for long is given first, since others may still speak to who had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressBook {
    gateway: Ipv4Net,
    /// Where the search goes on, as a number within the network.
    next: u32,
    taken: BTreeSet<u32>,
}

impl AddressBook {
    /// An empty one, of a network with this address of the node.
    #[must_use]
    pub const fn new(gateway: Ipv4Net) -> Self {
        Self {
            gateway,
            next: 0,
            taken: BTreeSet::new(),
        }
    }

    /// The network's first address, which is its own name, and its last, which is everyone's.
    const fn bounds(&self) -> (u32, u32) {
        let hosts = match u32::MAX.checked_shr(self.gateway.prefix as u32) {
            Some(hosts) => hosts,
            None => 0,
        };
        let first = self.gateway.address.to_bits() & !hosts;
        (first, first | hosts)
    }

    /// An address for a container: the one that it wants, or any.
    ///
    /// # Errors
    /// There is none.
    pub fn lease(&mut self, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr, AddressError> {
        if self.taken.len() >= CONTAINERS_MAX {
            return Err(AddressError::Full(self.taken.len()));
        }
        let address = match wanted {
            Some(address) if !self.is_usable(address.to_bits()) => {
                return Err(AddressError::Foreign {
                    address,
                    net: self.gateway,
                });
            }
            Some(address) if self.taken.contains(&address.to_bits()) => {
                return Err(AddressError::Taken(address));
            }
            Some(address) => address.to_bits(),
            None => {
                let free = self.free().ok_or(AddressError::Full(self.taken.len()))?;
                self.next = free + 1;
                free
            }
        };
        self.taken.insert(address);
        Ok(Ipv4Addr::from_bits(address))
    }

    /// Gives an address back.
    pub fn release(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address.to_bits());
    }

    const fn is_usable(&self, address: u32) -> bool {
        let (first, last) = self.bounds();
        first < address && address < last && address != self.gateway.address.to_bits()
    }

    /// The first free one from where the search goes on, and around.
    fn free(&self) -> Option<u32> {
        let (first, last) = self.bounds();
        let start = self.next.clamp(first, last);
        let is_free = |address: &u32| self.is_usable(*address) && !self.taken.contains(address);
        (start..last).chain(first..start).find(is_free)
    }
}

/// Ports of the node, first and last of each range.
pub type PortRanges = [(u16, u16)];

/// Why the ports of a container cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// It has no ports of the node at all.
    #[error("Port mappings require port resources")]
    NoPorts,
    /// The port is not the container's.
    #[error("Port [{0}] not included in resources")]
    NotOwned(u16),
    /// It leads to two ports.
    #[error("Port [{host_port}/{}] is mapped twice", protocol.name())]
    Twice {
        /// The node's port.
        host_port: u16,
        /// Its protocol.
        protocol: Transport,
    },
}

/// Whether a container may have its mappings: the node's ports are resources like others.
///
/// # Errors
/// The first that it may not have.
pub fn check_mappings(mappings: &[PortMapping], ports: &PortRanges) -> Result<(), MappingError> {
    if !mappings.is_empty() && ports.is_empty() {
        return Err(MappingError::NoPorts);
    }
    let mut seen = BTreeSet::new();
    for mapping in mappings {
        let PortMapping {
            host_port,
            protocol,
            ..
        } = *mapping;
        let owns = |(first, last): &(u16, u16)| (*first..=*last).contains(&host_port);
        if !ports.iter().any(owns) {
            return Err(MappingError::NotOwned(host_port));
        }
        if !seen.insert((protocol, host_port)) {
            return Err(MappingError::Twice {
                host_port,
                protocol,
            });
        }
    }
    Ok(())
}

/// The ports that a container may bind by number; all where nothing bounds it. An executor gets tasks
/// later, whose ports are not known when its container is made, and is not bounded.
pub(super) fn bound_ports(task: &TaskSpec<'_>, policy: &Policy) -> Option<Vec<(u16, u16)>> {
    let is_shared = task.wishes.network == super::Network::Shared;
    // What is nested is bound with what it is in.
    let is_outermost = matches!(task.class, Class::Task | Class::Executor | Class::Pod);
    (policy.enforce_ports && is_outermost && is_shared).then(|| task.ports.to_vec())
}

/// The `hosts` of a container: itself and nobody else.
pub(super) fn hosts(connection: &Connection) -> String {
    let Connection { endpoint, hostname } = connection;
    [
        "127.0.0.1\tlocalhost\n",
        &endpoint.address.to_string(),
        "\t",
        hostname,
        "\n",
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use model::sandbox::{Bridge, Neighbours, Rates};

    fn net(address: [u8; 4], prefix: u8) -> Ipv4Net {
        Ipv4Net {
            address: Ipv4Addr::from(address),
            prefix,
        }
    }

    fn connection() -> Connection {
        Connection {
            endpoint: Endpoint {
                bridge: Bridge {
                    device: "b".into(),
                    gateway: net([10, 0, 0, 1], 24),
                },
                device: "d".into(),
                address: Ipv4Addr::new(10, 0, 0, 2),
                neighbours: Neighbours::Apart,
                mappings: vec![],
                rates: Rates::default(),
            },
            hostname: "web".into(),
        }
    }

    #[test]
    fn a_network_is_made_ahead_unless_rights_over_it_are_asked_for() {
        let own = [Namespace::Pid, Namespace::Network];
        let kept = |number| Capabilities {
            effective: vec![],
            bounding: vec![Capability(number)],
        };
        let usual = Wishes::default();
        let asking = Wishes {
            effective: Some(vec![]),
            ..Wishes::default()
        };
        let privileged = Wishes {
            privileged: true,
            ..Wishes::default()
        };
        for (own, wishes, number, expected) in [
            (&own[..1], &asking, 12, Network::Shared),
            (&own[..], &usual, 12, Network::Ready { endpoint: None }),
            (&own[..], &asking, 10, Network::Ready { endpoint: None }),
            (&own[..], &asking, 12, Network::Own),
            (&own[..], &asking, 13, Network::Own),
            (&own[..], &privileged, 21, Network::Own),
        ] {
            let network = of(own, wishes, &kept(number), None);
            assert_eq!(network, expected, "{number} {wishes:?}");
        }
        let connected = connection();
        let network = of(&own, &privileged, &kept(12), Some(&connected));
        let endpoint = Some(connected.endpoint);
        assert_eq!(network, Network::Ready { endpoint });
    }

    #[test]
    fn addresses_go_around_and_none_is_given_twice() {
        let mut book = AddressBook::new(net([10, 0, 0, 1], 29));
        let mut lease = |wanted: Option<u8>| {
            let wanted = wanted.map(|last| Ipv4Addr::new(10, 0, 0, last));
            book.lease(wanted).map(|address| address.octets()[3])
        };
        assert_eq!(lease(Some(4)), Ok(4));
        let taken: Vec<_> = (0..4).map(|_| lease(None)).collect();
        assert_eq!(taken, [Ok(2), Ok(3), Ok(5), Ok(6)]);
        assert_eq!(lease(None), Err(AddressError::Full(5)));
        assert_eq!(
            lease(Some(5)),
            Err(AddressError::Taken(Ipv4Addr::new(10, 0, 0, 5)))
        );
        for foreign in [0, 1, 7, 9] {
            let refused = matches!(lease(Some(foreign)), Err(AddressError::Foreign { .. }));
            assert!(refused, "{foreign}");
        }
        for last in [2, 5] {
            book.release(Ipv4Addr::new(10, 0, 0, last));
        }
        let mut lease = || book.lease(None).map(|address| address.octets()[3]);
        assert_eq!([lease(), lease()], [Ok(2), Ok(5)]);
        assert!(lease().is_err());
    }

    #[test]
    fn an_address_just_given_back_is_not_given_out_next() {
        let mut book = AddressBook::new(net([10, 1, 0, 1], 16));
        let first = book.lease(None).expect("an address");
        book.release(first);
        let second = book.lease(None).expect("an address");
        assert_ne!(first, second);
        for _ in 1..CONTAINERS_MAX {
            book.lease(None).expect("an address");
        }
        assert_eq!(book.lease(None), Err(AddressError::Full(CONTAINERS_MAX)));
    }

    #[test]
    fn only_ports_of_ones_own_are_mapped_and_each_once() {
        let map = |protocol, host_port| PortMapping {
            protocol,
            host_port,
            container_port: 80,
        };
        let (tcp, udp) = (map(Transport::Tcp, 31005), map(Transport::Udp, 31005));
        let ports = [(31000, 31001), (31005, 31005)];
        for (mappings, ports, expected) in [
            (vec![], &[][..], Ok(())),
            (vec![tcp], &[][..], Err(MappingError::NoPorts)),
            (vec![tcp, udp], &ports[..], Ok(())),
            (vec![tcp], &ports[..1], Err(MappingError::NotOwned(31005))),
            (
                vec![udp, tcp, udp],
                &ports[..],
                Err(MappingError::Twice {
                    host_port: 31005,
                    protocol: Transport::Udp,
                }),
            ),
        ] {
            assert_eq!(check_mappings(&mappings, ports), expected);
        }
    }

    #[test]
    fn a_container_knows_itself_by_name() {
        assert_eq!(
            hosts(&connection()),
            "127.0.0.1\tlocalhost\n10.0.0.2\tweb\n"
        );
    }
}
