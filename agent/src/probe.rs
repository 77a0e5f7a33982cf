//! Probes: what checks and health checks do, within the containers of their tasks.
//!
//! When a probe begins and when it has taken too long is agent-core's matter. At most
//! [`PROBES_MAX`] are under way at a time, the others wait in order; agent-core has two of them for
//! each task at most, and ends those whose time is over.

mod http;
mod network;
mod tls;
mod url;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use agent_core::checks::{Loopback, Outcome, ProbeId, Request};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::init::chain;
use crate::node::Input;

use network::DialError;

pub use network::Network;
pub use url::Url;

/// Probes under way at a time; each may hold a connection.
const PROBES_MAX: usize = 256;

/// The probes that are under way.
#[derive(Debug)]
pub struct Probes {
    inputs: mpsc::Sender<Input>,
    places: Arc<Semaphore>,
    under_way: BTreeMap<ProbeId, AbortHandle>,
}

impl Probes {
    /// None yet.
    #[must_use]
    pub fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self {
            inputs,
            places: Arc::new(Semaphore::new(PROBES_MAX)),
            under_way: BTreeMap::new(),
        }
    }

    /// Probes within a network, in its turn; `Input::Probed` answers.
    pub fn begin(&mut self, probe: ProbeId, how: Request, network: Network) {
        let (inputs, places) = (self.inputs.clone(), Arc::clone(&self.places));
        let named = probe.clone();
        let task = tokio::spawn(async move {
            let _place = places.acquire_owned().await;
            let outcome = carry_out(&how, &network).await;
            // The main loop is gone where nobody listens.
            let _ = inputs.send(Input::Probed(named, outcome)).await;
        });
        self.under_way.insert(probe, task.abort_handle());
    }

    /// Ends a probe, or takes note that it has answered.
    pub fn end(&mut self, probe: &ProbeId) {
        if let Some(task) = self.under_way.remove(probe) {
            task.abort();
        }
    }
}

async fn carry_out(request: &Request, network: &Network) -> Outcome {
    match request {
        Request::Tcp { loopback, port } => {
            match network.connect((address(*loopback), *port).into()).await {
                Ok(_) => Outcome::Connected(true),
                Err(DialError::Connect { .. }) => Outcome::Connected(false),
                Err(error) => Outcome::Unavailable(chain(&error)),
            }
        }
        Request::Http {
            scheme,
            loopback,
            port,
            path,
        } => {
            let url = Url {
                scheme: *scheme,
                host: match loopback {
                    Loopback::V4 => Ipv4Addr::LOCALHOST.to_string(),
                    Loopback::V6 => format!("[{}]", Ipv6Addr::LOCALHOST),
                },
                port: *port,
                path: match path.as_str() {
                    "" => "/".to_string(),
                    path => path.to_string(),
                },
            };
            match http::get(network, url).await {
                Ok(code) => Outcome::Answered(code),
                Err(error) if error.is_ours() => Outcome::Unavailable(chain(&error)),
                Err(error) => Outcome::Failed(chain(&error)),
            }
        }
    }
}

fn address(loopback: Loopback) -> IpAddr {
    match loopback {
        Loopback::V4 => Ipv4Addr::LOCALHOST.into(),
        Loopback::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}
