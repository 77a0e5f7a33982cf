//! Addresses: what statuses and reads say of a container's network.
//!
//! They are remembered past the container's end, since its last statuses are sent until they are
//! acknowledged; of those that have ended the oldest are forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::v1::{self, network_info};
use model::ContainerId;
use model::sandbox::Endpoint;

/// How many are remembered. A bridge has fewer ports, so that none that runs is forgotten soon.
const REMEMBERED_MAX: usize = 4096;

/// The networks of containers, by the outermost one.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    by_container: BTreeMap<ContainerId, v1::NetworkInfo>,
    /// In the order of their launches.
    order: VecDeque<ContainerId>,
}

impl Addresses {
    /// Remembers where a container is.
    pub fn insert(&self, container: &ContainerId, network: &str, endpoint: &Endpoint) {
        let mappings = endpoint.mappings.iter();
        let mappings = mappings.map(|mapping| network_info::PortMapping {
            host_port: mapping.host_port.into(),
            container_port: mapping.container_port.into(),
            protocol: Some(mapping.protocol.name().to_string()),
        });
        let info = v1::NetworkInfo {
            name: Some(network.to_string()),
            ip_addresses: vec![network_info::IpAddress {
                protocol: Some(network_info::Protocol::IPv4.into()),
                ip_address: Some(endpoint.address.to_string()),
            }],
            port_mappings: mappings.collect(),
            ..v1::NetworkInfo::default()
        };
        let mut known = self.lock();
        if known.by_container.insert(container.root(), info).is_none() {
            known.order.push_back(container.root());
        }
        if known.order.len() > REMEMBERED_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.by_container.remove(&oldest);
        }
    }

    /// Where a container is, or the one that it is nested in; `None` where it has the node's network.
    #[must_use]
    pub fn of(&self, container: &ContainerId) -> Option<v1::NetworkInfo> {
        self.lock().by_container.get(&container.root()).cloned()
    }

    /// Its address.
    #[must_use]
    pub fn address_of(&self, container: &ContainerId) -> Option<String> {
        let info = self.of(container)?;
        info.ip_addresses.into_iter().next()?.ip_address
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
