//! Kept: the network as it was brought up, for a process of this program that is executed again.
//!
//! The kernel has the addresses and routes; what is kept is what was said with them, and until when they
//! may be used. It is in memory, as they are.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use agent_kernel::clock;
use agent_kernel::netlink::{self, Link};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::dhcp::{Client, Lease, Times};
use super::network::{Facts, Network};
use crate::config::Config;

/// Where it is kept.
const FILE: &str = "/run/tepui/network";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    address: Ipv4Addr,
    link: Option<String>,
    dns: Vec<Ipv4Addr>,
    domain: Option<String>,
    hostname: Option<String>,
    ntp: Option<Ipv4Addr>,
    lease: Option<KeptLease>,
}

/// What of a lease is nowhere else, in seconds since the machine's start.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct KeptLease {
    prefix: u8,
    server: Ipv4Addr,
    gateway: Option<Ipv4Addr>,
    /// Renewal, rebinding and end; none where it is for ever.
    until: Option<[u64; 3]>,
}

/// Keeps a network.
pub(super) fn put(network: &Network) {
    write(&Kept {
        address: network.address,
        link: network.link.as_ref().map(|link| link.name.clone()),
        dns: network.facts.dns.clone(),
        domain: network.facts.domain.clone(),
        hostname: network.facts.hostname.clone(),
        ntp: network.facts.ntp,
        lease: network.held.as_ref().map(|(_, lease)| kept_lease(lease)),
    });
}

/// Keeps a lease that came after the one that was kept.
pub(super) fn put_lease(link: &Link, lease: &Lease) {
    write(&Kept {
        address: lease.address,
        link: Some(link.name.clone()),
        dns: lease.dns.clone(),
        domain: lease.domain.clone(),
        hostname: lease.hostname.clone(),
        ntp: lease.ntp,
        lease: Some(kept_lease(lease)),
    });
}

fn kept_lease(lease: &Lease) -> KeptLease {
    let now = clock::since_boot();
    let at = |after: Duration| (now + after).as_secs();
    KeptLease {
        prefix: lease.prefix,
        server: lease.server,
        gateway: lease.gateway,
        until: lease
            .times
            .map(|times| [at(times.renew), at(times.rebind), at(times.end)]),
    }
}

fn write(kept: &Kept) {
    let text = serde_json::to_vec(kept).unwrap_or_default();
    let folder = Path::new(FILE).parent().map_or(Ok(()), fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| fs::write(FILE, text)) {
        warn!(%error, "an address is asked for again where this program is executed again");
    }
}

/// What an earlier process kept; none in the first one, and where it is not whole.
pub(super) fn take(is_first: bool, config: &Config) -> Option<Network> {
    if is_first {
        return None;
    }
    let kept: Kept = serde_json::from_slice(&fs::read(FILE).ok()?).ok()?;
    let link = match &kept.link {
        Some(name) => {
            let mut links = netlink::ethernet_links().into_iter();
            Some(links.find(|link| link.name == *name)?)
        }
        None => None,
    };
    let held = match (&kept.lease, &link) {
        (Some(lease), Some(link)) => {
            let client = Client::open(link.clone(), config.hostname.clone()).ok()?;
            Some((client, lease_again(&kept, lease)))
        }
        (None, _) | (_, None) => None,
    };
    Some(Network {
        address: kept.address,
        facts: Facts {
            dns: kept.dns,
            domain: kept.domain,
            hostname: kept.hostname,
            ntp: kept.ntp,
        },
        link,
        held,
    })
}

fn lease_again(kept: &Kept, lease: &KeptLease) -> Lease {
    let now = clock::since_boot();
    let left = |at: u64| Duration::from_secs(at).saturating_sub(now);
    Lease {
        address: kept.address,
        prefix: lease.prefix,
        server: lease.server,
        gateway: lease.gateway,
        dns: kept.dns.clone(),
        ntp: kept.ntp,
        hostname: kept.hostname.clone(),
        domain: kept.domain.clone(),
        times: lease.until.map(|[renew, rebind, end]| Times {
            renew: left(renew),
            rebind: left(rebind),
            end: left(end),
        }),
    }
}
