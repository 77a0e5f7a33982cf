//! Networks: those that containers have instead of the node's.
//!
//! ```text
//! attach: lease an address -> take a space -> connect it -> launch      an Attachment is dropped:
//!         bridge and tables are made for the first one                  a thread takes it all back
//! ```
//!
//! One lock is held for a change in the kernel, which has one lock for all of them itself. What is
//! taken back goes to a thread beside the main loop, since the kernel lets one wait for it; an address
//! is another's only after that. Names of devices and tables hold a number made of the work directory,
//! so that agents of one host, in tests above all, keep out of each other's way.

mod addresses;
mod pool;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use agent_core::sandbox::{AddressBook, Connection, NamedNetwork, PortRanges, check_mappings};
use agent_kernel::netlink::Netlink;
use agent_kernel::network::{self, ConnectError, Space, SpaceError, Tables};
use model::ContainerId;
use model::sandbox::{Bridge, Endpoint, Firewall, PortMapping, Rates};
use tracing::{debug, info, warn};

use crate::config::networks::{Named, Networks as Settings};
use crate::init::chain;

pub use addresses::Addresses;
pub use pool::Pool;

/// After so many devices their numbers begin again: a device's name has 15 bytes.
const DEVICES_MAX: u32 = 10_000_000;

/// What is made when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// With the agent: the machine is its own, and the first container does not wait.
    AtStart,
    /// With the first container that wants it.
    OnDemand,
}

/// The networks of this agent.
#[derive(Debug)]
pub struct Networks {
    pool: Pool,
    inner: Arc<Inner>,
    releases: mpsc::Sender<Release>,
    rates: Rates,
    addresses: Addresses,
}

#[derive(Debug)]
struct Inner {
    firewall: Firewall,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    networks: BTreeMap<String, Network>,
    kernel: Option<Kernel>,
    /// The ends of containers that an earlier process of this agent connected, each with its device's
    /// number, until bridges and tables are looked at.
    adopted: Vec<(Endpoint, u32)>,
    next_device: u32,
}

#[derive(Debug)]
struct Network {
    bridge: Bridge,
    settings: Named,
    book: AddressBook,
}

/// What speaks to the kernel, once bridges and tables are there.
#[derive(Debug)]
struct Kernel {
    netlink: Netlink,
    tables: Tables,
}

/// Something to take back.
#[derive(Debug)]
struct Release {
    network: String,
    endpoint: Endpoint,
    connection: network::Connection,
}

/// A container's end; dropped, it is taken back.
#[derive(Debug)]
pub struct Attachment {
    /// What its plan says of it.
    pub connection: Connection,
    release: Option<Release>,
    releases: mpsc::Sender<Release>,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            // There are as many as containers. Where the thread is gone the agent is, too, and its
            // next start clears all.
            let _ = self.releases.send(release);
        }
    }
}

/// Why a container is not connected.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no network of this name.
    #[error("Unknown network '{name}': this agent has {known} (--networks)")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is no address in it.
    #[error("connect with network '{name}'")]
    Address {
        /// The network.
        name: String,
        /// Why.
        source: agent_core::sandbox::AddressError,
    },
    /// Ports that it may not have.
    #[error(transparent)]
    Mapping(#[from] agent_core::sandbox::MappingError),
    /// The kernel gives no namespace.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The kernel does not connect it.
    #[error("connect with network '{name}'")]
    Connect {
        /// The network.
        name: String,
        /// Why.
        source: ConnectError,
    },
}

/// A container that an earlier process of this agent connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Which.
    pub container: ContainerId,
    /// The name of its network.
    pub network: String,
    /// Its end.
    pub endpoint: Endpoint,
    /// The name that goes with its address.
    pub hostname: String,
    /// The number of its device on the node.
    pub device: u32,
}

impl Attachment {
    /// What is to be known of it when this program starts again; `None` where it is taken back.
    #[must_use]
    pub fn connected(&self, container: &ContainerId) -> Option<Connected> {
        let release = self.release.as_ref()?;
        Some(Connected {
            container: container.clone(),
            network: release.network.clone(),
            endpoint: release.endpoint.clone(),
            hostname: self.connection.hostname.clone(),
            device: release.connection.device,
        })
    }
}

/// What a container asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose it is.
    pub container: &'a ContainerId,
    /// The network, and its ports.
    pub network: &'a NamedNetwork,
    /// The name that goes with its address; its id where there is none.
    pub hostname: Option<&'a str>,
    /// The ports of the node that it has.
    pub ports: &'a PortRanges,
}

fn tables(tag: &str) -> String {
    format!("tepui-{tag}")
}

/// How many elements the tables of the agent with this work directory have: some for each container that
/// is connected. None where there are no tables.
pub fn elements(work_dir: &Path) -> usize {
    let opened = Tables::open(&tables(&tag(work_dir)));
    let counted = opened.and_then(|mut tables| tables.elements());
    counted.unwrap_or(0)
}

impl Networks {
    /// Clears what an earlier process left, beside the main loop, but for the ends of containers that
    /// still run, which it gives back; and fills the pool.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub fn open(
        settings: &Settings,
        work_dir: &Path,
        node: Node<'_>,
        addresses: Addresses,
        connected: Vec<Connected>,
    ) -> io::Result<(Self, BTreeMap<ContainerId, Attachment>)> {
        let tag = tag(work_dir);
        let bridges = format!("tb{tag}-");
        let numbered = settings.named.iter().enumerate();
        let networks: BTreeMap<_, _> = numbered
            .map(|(index, named)| {
                let bridge = Bridge {
                    device: format!("{}{index}", &bridges),
                    gateway: named.gateway,
                };
                let network = Network {
                    bridge,
                    settings: named.clone(),
                    book: AddressBook::new(named.gateway),
                };
                (named.name.clone(), network)
            })
            .collect();
        let inner = Arc::new(Inner {
            firewall: Firewall {
                name: tables(&tag),
                bridges,
                devices: format!("tv{tag}-"),
                gateways: settings.named.iter().map(|named| named.gateway).collect(),
                agent_port: node.agent_port,
                task_ports: node.task_ports.to_vec(),
            },
            state: Mutex::new(State {
                networks,
                kernel: None,
                adopted: Vec::new(),
                next_device: 0,
            }),
        });
        let (releases, released) = mpsc::channel();
        let mut attachments = BTreeMap::new();
        for one in connected {
            let (container, name) = (one.container.clone(), one.network.clone());
            match inner.lock().adopt(&inner.firewall.devices, one) {
                Ok((connection, release)) => {
                    addresses.insert(&container, &name, &connection.endpoint);
                    let attachment = Attachment {
                        connection,
                        release: Some(release),
                        releases: releases.clone(),
                    };
                    attachments.insert(container, attachment);
                }
                Err(why) => warn!(%container, network = name, why, "container is disconnected"),
            }
        }
        let served = Arc::clone(&inner);
        let made = node.made;
        let thread = thread::Builder::new().name("networks".into());
        thread.spawn(move || served.serve(made, &released))?;
        let networks = Self {
            pool: Pool::open(settings.pool_size)?,
            inner,
            releases,
            rates: settings.rates,
            addresses,
        };
        Ok((networks, attachments))
    }

    /// A network of a container's own, with nothing but a loopback device.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn alone(&self) -> Result<Space, SpaceError> {
        self.pool.take()
    }

    /// A network of a container's own, connected as it asks.
    ///
    /// # Errors
    /// It cannot be; nothing is left then.
    pub fn attach(&self, wanted: Wanted<'_>) -> Result<(Space, Attachment), AttachError> {
        let NamedNetwork {
            name,
            address,
            mappings,
        } = wanted.network;
        check_mappings(mappings, wanted.ports)?;
        let mut space = self.pool.take()?;
        let mut state = self.inner.lock();
        let endpoint = state.lease(
            &self.inner.firewall.devices,
            name,
            *address,
            mappings,
            self.rates,
        )?;
        let connected = state.connect(&self.inner.firewall, &mut space, &endpoint);
        let connection = match connected {
            Ok(connection) => connection,
            Err(source) => {
                state.release(name, &endpoint);
                return Err(AttachError::Connect {
                    name: name.clone(),
                    source,
                });
            }
        };
        drop(state);
        let hostname = wanted
            .hostname
            .unwrap_or(wanted.container.name())
            .to_string();
        self.addresses.insert(wanted.container, name, &endpoint);
        let attachment = Attachment {
            connection: Connection {
                endpoint: endpoint.clone(),
                hostname,
            },
            release: Some(Release {
                network: name.clone(),
                endpoint,
                connection,
            }),
            releases: self.releases.clone(),
        };
        Ok((space, attachment))
    }
}

/// What networks need to know of their node.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The agent's port, which containers reach.
    pub agent_port: u16,
    /// The ports that tasks may have, which containers reach.
    pub task_ports: &'a PortRanges,
    /// When bridges and tables are made.
    pub made: Made,
}

impl Drop for Networks {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if state.kernel.take().is_some()
            && let Err(error) = self.inner.clear()
        {
            warn!(error = chain(&error), "networks were not removed");
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is held is whole between any two of its changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: clears what was left, and takes back what is given back, until all are gone.
    fn serve(&self, made: Made, released: &mpsc::Receiver<Release>) {
        {
            let mut state = self.lock();
            let begun = match (&state.kernel, made) {
                (Some(_), _) => Ok(()),
                (None, Made::AtStart) => state.begin(&self.firewall),
                (None, Made::OnDemand) if !state.adopted.is_empty() => state.begin(&self.firewall),
                (None, Made::OnDemand) => self.clear(),
            };
            if let Err(error) = begun {
                // The next container that wants one hears of it.
                info!(error = chain(&error), "no networks for containers");
            }
        }
        for release in released {
            let Release {
                network,
                endpoint,
                connection,
            } = release;
            let mut state = self.lock();
            if let Some(Kernel { netlink, tables }) = &mut state.kernel
                && let Err(error) = connection.end(netlink, tables, &endpoint)
            {
                warn!(
                    device = endpoint.device,
                    error = chain(&error),
                    "container was not disconnected in order"
                );
            }
            state.release(&network, &endpoint);
        }
    }

    /// Removes all that has this agent's names.
    fn clear(&self) -> Result<(), ConnectError> {
        let Firewall {
            name,
            bridges,
            devices,
            ..
        } = &self.firewall;
        let removed = network::remove_all(devices)? + network::remove_all(bridges)?;
        let tables = Tables::open(name).and_then(|mut tables| tables.remove());
        if let Err(error) = tables {
            debug!(error = chain(&error), "no tables were removed");
        }
        if removed > 0 {
            info!(removed, "devices of networks were removed");
        }
        Ok(())
    }
}

impl State {
    /// Makes bridges and tables, in place of any of an earlier process. A bridge that a container is
    /// still connected with stays.
    fn begin(&mut self, firewall: &Firewall) -> Result<(), ConnectError> {
        let adopted = &self.adopted;
        let is_adopted = |name: &str| adopted.iter().any(|(endpoint, _)| endpoint.device == name);
        network::remove_others(&firewall.devices, is_adopted)?;
        let mut netlink = Netlink::open()?;
        let mut tables = Tables::open(&firewall.name)?;
        // Nothing passes that has not been decided on.
        tables.install_with(firewall, adopted)?;
        for network in self.networks.values() {
            let is_used = |(endpoint, _): &(Endpoint, u32)| endpoint.bridge == network.bridge;
            let mut is_there = || network::has_bridge(&mut netlink, &network.bridge);
            if !adopted.iter().any(is_used) || !is_there() {
                network::make_bridge(&mut netlink, &network.bridge)?;
            }
        }
        self.adopted.clear();
        self.kernel = Some(Kernel { netlink, tables });
        Ok(())
    }

    /// Takes the end of a container that is connected; else says why it cannot stay.
    fn adopt(
        &mut self,
        devices: &str,
        connected: Connected,
    ) -> Result<(Connection, Release), String> {
        let Connected {
            network: name,
            endpoint,
            hostname,
            device,
            ..
        } = connected;
        let network = self.networks.get_mut(&name);
        let network = network.ok_or("this agent has no such network any more (--networks)")?;
        if network.bridge != endpoint.bridge {
            return Err("the network has another address now (--networks)".to_string());
        }
        let leased = network.book.lease(Some(endpoint.address));
        leased.map_err(|error| error.to_string())?;
        let number = endpoint.device.strip_prefix(devices);
        let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        self.next_device = self.next_device.max(number);
        self.adopted.push((endpoint.clone(), device));
        let connection = Connection {
            endpoint: endpoint.clone(),
            hostname,
        };
        let release = Release {
            network: name,
            endpoint,
            connection: network::Connection { device },
        };
        Ok((connection, release))
    }

    fn connect(
        &mut self,
        firewall: &Firewall,
        space: &mut Space,
        endpoint: &Endpoint,
    ) -> Result<network::Connection, ConnectError> {
        if self.kernel.is_none() {
            self.begin(firewall)?;
        }
        let Some(Kernel { netlink, tables }) = &mut self.kernel else {
            unreachable!("it has just been made");
        };
        network::connect(netlink, tables, space, endpoint)
    }

    fn lease(
        &mut self,
        devices: &str,
        name: &str,
        address: Option<std::net::Ipv4Addr>,
        mappings: &[PortMapping],
        rates: Rates,
    ) -> Result<Endpoint, AttachError> {
        let known = self.networks.keys().cloned().collect::<Vec<_>>().join(", ");
        let network = self.networks.get_mut(name);
        let network = network.ok_or_else(|| AttachError::Unknown {
            name: name.to_string(),
            known: match known.as_str() {
                "" => "none".to_string(),
                _ => known,
            },
        })?;
        let address = network.book.lease(address);
        let address = address.map_err(|source| AttachError::Address {
            name: name.to_string(),
            source,
        })?;
        self.next_device = (self.next_device + 1) % DEVICES_MAX;
        Ok(Endpoint {
            bridge: network.bridge.clone(),
            device: format!("{devices}{}", self.next_device),
            address,
            neighbours: network.settings.neighbours,
            mappings: mappings.to_vec(),
            rates,
        })
    }

    fn release(&mut self, network: &str, endpoint: &Endpoint) {
        if let Some(network) = self.networks.get_mut(network) {
            network.book.release(endpoint.address);
        }
    }
}

/// Four digits made of a path, by FNV-1a, folded.
fn tag(work_dir: &Path) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in work_dir.as_os_str().as_encoded_bytes() {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    format!("{:04x}", (hash >> 16) ^ (hash & 0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_one_host_have_names_of_their_own() {
        let node = tag(Path::new("/var/lib/mesos"));
        assert_eq!(node.len(), 4);
        assert_ne!(node, tag(Path::new("/var/lib/mesos2")));
        // The longest device, and the longest of a bridge's own.
        assert!(format!("tv{node}-{}", DEVICES_MAX - 1).len() <= 15);
        assert!(format!("tb{node}-999999k").len() <= 15);
    }
}
