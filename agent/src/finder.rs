//! Finder: where the leading master is to be reached, as far as anybody knows at the moment.
//!
//! Of a list each address is tried until one of the masters takes the agent. With ZooKeeper it is the
//! address that the leader's znode tells, and the main loop is told when that is another's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use agent_core::event::Event;
use detector::{Detector, Leader, Place, Term, ZkSourceError};
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::config::{Config, HostPort, Masters};
use crate::handover::{self, Handover};
use crate::node::Input;

/// Where the leading master is to be reached.
#[derive(Debug)]
pub struct Finder {
    way: Way,
    loopback: Option<IpAddr>,
    /// The name or address of the master that took the agent last.
    reached: watch::Sender<String>,
}

#[derive(Debug)]
enum Way {
    Listed(Vec<HostPort>),
    ZooKeeper { zk: String, detector: Detector },
}

impl Finder {
    /// Begins to look, where that is needed; changes are told in `inputs`.
    ///
    /// # Errors
    /// The file that says where ZooKeeper is cannot be read.
    pub fn start(
        config: &Config,
        inputs: &mpsc::Sender<Input>,
        handover: &Handover,
    ) -> Result<Arc<Self>, ZkSourceError> {
        let (way, first) = match &config.master {
            Masters::Listed(all) => {
                let first = all.first().map(|one| one.host.clone());
                (Way::Listed(all.clone()), first)
            }
            Masters::ZooKeeper(source) => {
                let url = source.read()?;
                let zk = url.to_string();
                let session_timeout = config.zk_session_timeout;
                let place = Place {
                    url,
                    session_timeout,
                };
                // The link need not wait for a new session with ZooKeeper.
                let before = handover.state().leader.map(term);
                let detector = Detector::start(place, before);
                tokio::spawn(tell(detector.seen(), inputs.clone(), handover.clone()));
                (Way::ZooKeeper { zk, detector }, None)
            }
        };
        Ok(Arc::new(Self {
            way,
            loopback: config.loopback_master_ip,
            reached: watch::channel(first.unwrap_or_default()).0,
        }))
    }

    /// Whether there is but one address, of which nobody else can tell more than it does itself.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(&self.way, Way::Listed(all) if all.len() == 1)
    }

    /// The addresses to be tried; waits until there is one.
    pub async fn addresses(&self) -> Vec<HostPort> {
        match &self.way {
            Way::Listed(all) => all.clone(),
            Way::ZooKeeper { detector, .. } => {
                let mut seen = detector.seen();
                let term = seen.wait_for(Option::is_some).await;
                let leader = term.ok().and_then(|term| term.clone());
                leader
                    .map(|term| self.address(&term.leader))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Why there is no address.
    #[must_use]
    pub fn nobody(&self) -> String {
        match &self.way {
            Way::Listed(_) => "no master is named".to_owned(),
            Way::ZooKeeper { zk, .. } => format!("no master is seen to lead in {zk}"),
        }
    }

    /// Where another master says that the leader is, as seen from here.
    #[must_use]
    pub fn told(&self, location: &str) -> Option<HostPort> {
        let (host, port) = location.strip_prefix("//")?.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback =
            host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let host = match self.loopback {
            Some(ip) if is_loopback => ip.to_string(),
            Some(_) | None => host.to_owned(),
        };
        let port = port.parse().ok()?;
        Some(HostPort { host, port })
    }

    /// A master took the agent.
    pub fn reached(&self, master: &HostPort) {
        self.reached.send_replace(master.host.clone());
    }

    /// The name or address of the master that took the agent last; before that, of the first named.
    #[must_use]
    pub fn last(&self) -> watch::Receiver<String> {
        self.reached.subscribe()
    }

    /// Ends what others would have to notice the end of: the process is about to.
    #[must_use]
    pub fn leave(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        match &self.way {
            Way::Listed(_) => None,
            Way::ZooKeeper { detector, .. } => Some(detector.leave()),
        }
    }

    fn address(&self, leader: &Leader) -> HostPort {
        let ip = match self.loopback {
            Some(ip) if leader.ip.is_loopback() => ip,
            Some(_) | None => leader.ip,
        };
        let address = SocketAddr::new(ip, leader.port);
        HostPort {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

fn term(leader: handover::Leader) -> Term {
    Term {
        epoch: leader.epoch,
        leader: Leader {
            hostname: leader.hostname,
            ip: leader.ip,
            port: leader.port,
        },
    }
}

/// Tells the main loop of every leader after the first, and the next program of the last.
async fn tell(
    mut seen: watch::Receiver<Option<Term>>,
    inputs: mpsc::Sender<Input>,
    handover: Handover,
) {
    let mut last = None;
    loop {
        let now = seen.borrow_and_update().clone();
        let leader = now.as_ref().map(|term| handover::Leader {
            epoch: term.epoch,
            hostname: term.leader.hostname.clone(),
            ip: term.leader.ip,
            port: term.leader.port,
        });
        handover.change(|state| state.leader = leader);
        if let Some(now) = now
            && last.as_ref() != Some(&now)
        {
            info!(leader = %now.leader, epoch = now.epoch, "a master leads");
            let is_another = last.replace(now).is_some();
            let changed = Input::Told(Event::LeaderChanged);
            if is_another && inputs.send(changed).await.is_err() {
                return;
            }
        }
        if seen.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder(loopback: Option<&str>) -> Finder {
        Finder {
            way: Way::Listed(Vec::new()),
            loopback: loopback.map(|ip| ip.parse().unwrap()),
            reached: watch::channel(String::new()).0,
        }
    }

    fn leader(ip: &str) -> Leader {
        Leader {
            hostname: "m".to_owned(),
            ip: ip.parse().unwrap(),
            port: 5050,
        }
    }

    #[test]
    fn a_master_on_the_loopback_of_the_host_is_reached_where_guests_reach_it() {
        let guest = finder(Some("10.0.2.2"));
        let address = |ip| guest.address(&leader(ip)).to_string();
        assert_eq!(address("127.0.0.1"), "10.0.2.2:5050");
        assert_eq!(address("10.0.0.7"), "10.0.0.7:5050");
        let told = |location| guest.told(location).map(|found| found.to_string());
        assert_eq!(told("//localhost:5051").as_deref(), Some("10.0.2.2:5051"));
        assert_eq!(told("//127.0.0.9:1").as_deref(), Some("10.0.2.2:1"));
        assert_eq!(told("//m1:5050").as_deref(), Some("m1:5050"));
        assert_eq!(told("m1:5050"), None);
        assert_eq!(told("//m1"), None);
        let host = finder(None);
        assert_eq!(
            host.address(&leader("127.0.0.1")).to_string(),
            "127.0.0.1:5050"
        );
        assert_eq!(host.told("//[::1]:1").unwrap().to_string(), "[::1]:1");
    }
}
