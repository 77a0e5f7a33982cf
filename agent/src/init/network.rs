//! The network: loopback, the first ethernet device with an address of its own or by DHCP, and the
//! second one as the LAN between nodes.

use std::io;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use agent_kernel::netlink::{self, Link, Netlink, NetlinkError};
use model::sandbox::Ipv4Net;
use tracing::{error, info, warn};

use super::dhcp::{Client, Lease, Renewal, Times};
use super::{InitError, Machine, kept, names};
use crate::config::Config;

/// How long a machine's devices may take to appear, and a cable to be noticed.
const DEVICE: Duration = Duration::from_secs(5);
const CARRIER: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);
/// The pause before a server that offered nonsense is asked again.
const USELESS: Duration = Duration::from_secs(2);

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused an address, a route or a device.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// There is no socket to ask for an address with.
    #[error("open a DHCP socket on {link}")]
    Dhcp {
        /// The device.
        link: String,
        /// Why.
        source: io::Error,
    },
    /// The LAN was asked for and has no device.
    #[error("there is no second network device for tepui.lan")]
    NoLan,
}

/// The network as the node found it.
pub(super) struct Network {
    pub(super) address: Ipv4Addr,
    pub(super) facts: Facts,
    /// The first ethernet device; none where there is only loopback.
    pub(super) link: Option<Link>,
    pub(super) held: Option<(Client, Lease)>,
}

/// What a network tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) dns: Vec<Ipv4Addr>,
    pub(super) domain: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) ntp: Option<Ipv4Addr>,
}

impl From<&Lease> for Facts {
    fn from(lease: &Lease) -> Self {
        Self {
            dns: lease.dns.clone(),
            domain: lease.domain.clone(),
            hostname: lease.hostname.clone(),
            ntp: lease.ntp,
        }
    }
}

/// Brings the network up.
pub(super) fn bring_up(config: &Config, machine: Machine) -> Result<Network, NetworkError> {
    let boot = &config.boot;
    let mut netlink = Netlink::open()?;
    if let Some(loopback) = netlink::loopback_link() {
        // Its address comes by itself.
        netlink.set_up(&loopback)?;
    }
    let patience = if machine == Machine::Whole {
        DEVICE
    } else {
        Duration::ZERO
    };
    let Some(link) = ethernet(0, patience) else {
        warn!("there is no ethernet device: this node reaches only itself");
        return Ok(Network {
            address: Ipv4Addr::LOCALHOST,
            facts: Facts::default(),
            link: None,
            held: None,
        });
    };
    netlink.set_up(&link)?;
    if let Some(lan) = boot.lan {
        let second = ethernet(1, patience).ok_or(NetworkError::NoLan)?;
        netlink.set_up(&second)?;
        netlink.add_address(&second, lan.address, lan.prefix)?;
        info!(link = second.name, address = %lan, "LAN has its address");
    }
    wait_for_carrier(&link);
    let network = match &boot.address {
        Some(given) => {
            give(&mut netlink, &link, given.net, given.gateway)?;
            Network {
                address: given.net.address,
                facts: Facts {
                    dns: given.dns.clone(),
                    ..Facts::default()
                },
                link: Some(link),
                held: None,
            }
        }
        None => {
            let mut client =
                Client::open(link.clone(), config.hostname.clone()).map_err(|source| {
                    NetworkError::Dhcp {
                        link: link.name.clone(),
                        source,
                    }
                })?;
            let lease = usable_lease(&mut netlink, &link, &mut client);
            Network {
                address: lease.address,
                facts: Facts::from(&lease),
                link: Some(link),
                held: Some((client, lease)),
            }
        }
    };
    Ok(network)
}

/// A lease whose address and route the kernel takes, and has. A server that offers nonsense is asked
/// again like one that does not answer: it must not end the machine.
fn usable_lease(netlink: &mut Netlink, link: &Link, client: &mut Client) -> Lease {
    loop {
        let lease = client.acquire();
        match give(netlink, link, net(&lease), lease.gateway) {
            Ok(()) => return lease,
            Err(error) => {
                warn!(
                    address = %lease.address,
                    error = super::chain(&error),
                    "lease is of no use; asking for another"
                );
                // The address may have been taken where its route was not.
                let _gone = netlink.remove_address(link, lease.address, lease.prefix);
                thread::sleep(USELESS);
            }
        }
    }
}

/// Keeps the lease for as long as the machine runs, where there is one that ends.
pub(super) fn keep(network: Network, hostname: String) -> Result<(), InitError> {
    kept::put(&network);
    let (Some(link), Some((client, lease))) = (network.link, network.held) else {
        return Ok(());
    };
    if lease.times.is_none() {
        return Ok(());
    }
    thread::Builder::new()
        .name("dhcp".to_owned())
        .spawn(move || {
            if let Err(error) = keep_lease(&link, client, lease, &hostname) {
                error!(error = super::chain(&error), "lease is not kept any more");
            }
        })
        .map(drop)
        .map_err(InitError::Thread)
}

fn keep_lease(
    link: &Link,
    mut client: Client,
    mut lease: Lease,
    hostname: &str,
) -> Result<(), InitError> {
    let mut netlink = Netlink::open().map_err(NetworkError::from)?;
    while let Some(times) = lease.times {
        let next = next_lease(&mut netlink, link, &mut client, &lease, times)?;
        if net(&next) != net(&lease) {
            // Whoever knew the old address does not reach this node until it registers again.
            warn!(from = %lease.address, to = %next.address, "address of this node changed");
            netlink
                .remove_address(link, lease.address, lease.prefix)
                .or_else(already_gone)
                .map_err(NetworkError::from)?;
        }
        give(&mut netlink, link, net(&next), next.gateway)?;
        if Facts::from(&next) != Facts::from(&lease) || next.address != lease.address {
            names::write(hostname, next.address, &Facts::from(&next))?;
        }
        lease = next;
        kept::put_lease(link, &lease);
    }
    Ok(())
}

/// The lease after this one; a lost one has its address taken away at once.
fn next_lease(
    netlink: &mut Netlink,
    link: &Link,
    client: &mut Client,
    lease: &Lease,
    times: Times,
) -> Result<Lease, NetworkError> {
    match client.renew(lease, times) {
        Renewal::Kept(next) => Ok(next),
        Renewal::Lost => {
            warn!(address = %lease.address, "lease was lost; asking for another");
            netlink.remove_address(link, lease.address, lease.prefix)?;
            Ok(usable_lease(netlink, link, client))
        }
    }
}

/// A lost lease's address was taken away before.
fn already_gone(error: NetlinkError) -> Result<(), NetlinkError> {
    match &error {
        NetlinkError::Refused { source, .. }
            if source.kind() == io::ErrorKind::AddrNotAvailable =>
        {
            Ok(())
        }
        NetlinkError::Refused { .. }
        | NetlinkError::Open(_)
        | NetlinkError::Ask { .. }
        | NetlinkError::Answer { .. } => Err(error),
    }
}

fn give(
    netlink: &mut Netlink,
    link: &Link,
    net: Ipv4Net,
    gateway: Option<Ipv4Addr>,
) -> Result<(), NetworkError> {
    netlink.add_address(link, net.address, net.prefix)?;
    if let Some(gateway) = gateway {
        netlink.set_default_route(link, gateway)?;
    }
    info!(link = link.name, address = %net, ?gateway, "network has its address");
    Ok(())
}

fn net(lease: &Lease) -> Ipv4Net {
    Ipv4Net {
        address: lease.address,
        prefix: lease.prefix,
    }
}

/// The ethernet device at a place in the order of their finding.
fn ethernet(place: usize, patience: Duration) -> Option<Link> {
    let start = Instant::now();
    loop {
        let found = netlink::ethernet_links().into_iter().nth(place);
        if found.is_some() || start.elapsed() >= patience {
            return found;
        }
        thread::sleep(POLL);
    }
}

/// A question sent before there is a cable is lost, and asked again only later.
fn wait_for_carrier(link: &Link) {
    let start = Instant::now();
    while !netlink::has_carrier(link) {
        if start.elapsed() > CARRIER {
            warn!(link = link.name, "network device has no carrier");
            return;
        }
        thread::sleep(POLL);
    }
}
