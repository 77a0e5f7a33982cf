//! A stand-in for an agent: a real link, and behind it tasks that are only said to run.
//!
//! A task's command tells how it goes: `exit N` and `true` end at once, a short `sleep N` at its
//! end after so many seconds, everything else runs until it is killed. Operations change what it
//! has. Of each task one update, and of each operation its status, waits for the acknowledgement
//! and is sent again after 10 s, then 20 s, and so on, as an agent of Mesos does.

mod channel;
mod node;
mod operations;
mod silent;
mod tasks;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::link::v1::Register;
use api::v1;
use node::Node;
pub use silent::SilentLink;
pub use tasks::Adopted;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Frames that may wait on their way to the master; the agent waits when there are more.
const FRAMES_MAX: usize = 256;
/// How long an update waits for its first acknowledgement; doubled each time.
const RESEND_AFTER: Duration = Duration::from_secs(10);

/// Why a fake agent is not there.
#[derive(Debug, thiserror::Error)]
pub enum FakeAgentError {
    /// The master cannot be reached.
    #[error("open a link to {address}")]
    Connect {
        /// Where it listens.
        address: SocketAddr,
        /// The cause.
        source: tonic::transport::Error,
    },
    /// What it is to have is no list of resources.
    #[error("read the resources {text:?}: {detail}")]
    Resources {
        /// What was given.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The link ended before the master admitted the agent.
    #[error("the master does not admit the agent: {0}")]
    Refused(String),
}

/// What a stand-in says of itself; the rest is as with an agent of Mesos 1.11.0.
#[derive(Debug, Clone)]
pub struct Description {
    /// Where its HTTP API would be.
    pub port: u16,
    /// Its name.
    pub hostname: String,
    /// What it is configured with, as in `--resources`.
    pub resources: String,
    /// As in `--attributes`; text only.
    pub attributes: Vec<(String, String)>,
    /// Where it stands, as in `--domain`.
    pub domain: Option<v1::DomainInfo>,
    /// The numbers of its capabilities.
    pub capabilities: Vec<i32>,
    /// The address from which it opens its link; any where there is none.
    pub source: Option<IpAddr>,
    /// How its tasks go.
    pub conduct: Conduct,
}

/// How tasks go, whatever their commands say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conduct {
    /// How long they run; none: as their commands tell.
    pub lasts: Option<Duration>,
    /// Of a hundred that end by themselves, so many fail.
    pub failing_percent: u8,
    /// Whether a task that runs says so again as soon as its framework has acknowledged that.
    pub repeats: bool,
}

impl Description {
    /// `cpus:4;mem:4096;disk:10240;ports:[31000-32000]`, and all that an agent of 1.11.0 can do.
    #[must_use]
    pub fn of_port(port: u16) -> Self {
        Self {
            port,
            hostname: "localhost".into(),
            resources: "cpus:4;mem:4096;disk:10240;ports:[31000-32000]".into(),
            attributes: Vec::new(),
            domain: None,
            // From MULTI_ROLE to TASK_RESOURCE_LIMITS.
            capabilities: (1..=8).collect(),
            source: None,
            conduct: Conduct::default(),
        }
    }
}

/// A running stand-in; it is gone without a word when it is dropped.
#[derive(Debug)]
pub struct FakeAgent {
    agent_id: String,
    life: Life,
}

/// Whether it has a link.
#[derive(Debug)]
enum Life {
    Linked {
        task: JoinHandle<Box<Node>>,
        orders: mpsc::Sender<Order>,
    },
    Alone(Box<Node>),
    /// Only while it changes from one to the other.
    Between,
}

/// What a stand-in does about its link.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Ends it.
    Cut,
    /// Says that it will not come back, and ends it.
    Unregister,
}

impl FakeAgent {
    /// Registers an agent of Mesos' usual sort and serves it.
    ///
    /// # Errors
    /// The master is not there, or does not admit it.
    pub async fn start(address: SocketAddr, port: u16) -> Result<Self, FakeAgentError> {
        Self::start_with(address, &Description::of_port(port)).await
    }

    /// Registers an agent that says this of itself, and serves it.
    ///
    /// # Errors
    /// The master is not there, or does not admit it.
    pub async fn start_with(
        address: SocketAddr,
        description: &Description,
    ) -> Result<Self, FakeAgentError> {
        let mut agent = Self::alone(description)?;
        agent.come_back(address).await?;
        Ok(agent)
    }

    /// An agent that says this of itself and has no link yet: [`Self::come_back`] opens one.
    ///
    /// # Errors
    /// What it is to have is no list of resources.
    pub fn alone(description: &Description) -> Result<Self, FakeAgentError> {
        let resources = model::resources::parse(&description.resources);
        let resources = resources.map_err(|error| FakeAgentError::Resources {
            text: description.resources.clone(),
            detail: error.to_string(),
        })?;
        let mut node = Node::new(register(description, &resources), resources);
        node.source = description.source;
        node.conduct = description.conduct;
        Ok(Self {
            agent_id: String::new(),
            life: Life::Alone(Box::new(node)),
        })
    }

    /// Before its first link: it has these tasks already, as after the failover of a master.
    pub fn adopt(&mut self, adopted: &Adopted) {
        if let Life::Alone(node) = &mut self.life {
            node.adopt(adopted);
        }
    }

    /// Waits until the master, or what is between, ends the link; at once where there is none.
    pub async fn link_ended(&mut self) {
        // It stays what it is where this is not waited for to its end.
        if let Life::Linked { task, .. } = &mut self.life
            && let Ok(node) = task.await
        {
            self.life = Life::Alone(node);
        }
    }

    /// The link ends without a word; tasks and reservations stay.
    pub async fn cut(&mut self) {
        self.order(Order::Cut).await;
    }

    /// The agent says that it will not come back, and its link ends.
    pub async fn unregister(&mut self) {
        self.order(Order::Unregister).await;
    }

    async fn order(&mut self, order: Order) {
        match std::mem::replace(&mut self.life, Life::Between) {
            Life::Linked { task, orders } => {
                // Where the master ended the link before, nobody takes the order.
                let _ = orders.send(order).await;
                if let Ok(node) = task.await {
                    self.life = Life::Alone(node);
                }
            }
            other => self.life = other,
        }
    }

    /// Registers again with all that it has; under its id, where it has one.
    ///
    /// # Errors
    /// The master is not there, or does not admit it.
    pub async fn come_back(&mut self, address: SocketAddr) -> Result<(), FakeAgentError> {
        self.cut().await;
        let Life::Alone(mut node) = std::mem::replace(&mut self.life, Life::Between) else {
            return Err(FakeAgentError::Refused("the stand-in has ended".into()));
        };
        let incoming = match node.connect(address).await {
            Ok(incoming) => incoming,
            Err(error) => {
                self.life = Life::Alone(node);
                return Err(error);
            }
        };
        self.agent_id.clone_from(&node.agent_id.value);
        let (orders, taken) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            node.serve(incoming, taken).await;
            node
        });
        self.life = Life::Linked { task, orders };
        Ok(())
    }

    /// The id that the master gave it.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        if let Life::Linked { task, .. } = &self.life {
            task.abort();
        }
    }
}

/// What the agent says of itself.
fn register(description: &Description, resources: &model::Resources) -> Register {
    let attribute = |(name, value): &(String, String)| v1::Attribute {
        name: name.clone(),
        r#type: v1::value::Type::Text.into(),
        text: Some(v1::value::Text {
            value: value.clone(),
        }),
        ..Default::default()
    };
    let capability = |number: &i32| v1::agent_info::Capability {
        r#type: Some(*number),
    };
    Register {
        agent_info: Some(v1::AgentInfo {
            hostname: description.hostname.clone(),
            port: Some(description.port.into()),
            resources: api::convert::to_refined(resources),
            attributes: description.attributes.iter().map(attribute).collect(),
            domain: description.domain.clone(),
            ..Default::default()
        }),
        version: "1.11.0".into(),
        capabilities: description.capabilities.iter().map(capability).collect(),
        resource_version: vec![7; 16],
        advertise_ip: "127.0.0.1".into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use master::Server;
    use master::flags::{Config, RegistryKind};

    #[tokio::test]
    async fn a_stand_in_that_was_cut_off_comes_back_under_its_id() {
        let config = Config {
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 0,
            registry: RegistryKind::InMemory,
            ..Config::default()
        };
        let master = Server::start(&config).await.unwrap();
        let mut agent = FakeAgent::start(master.address(), 5051).await.unwrap();
        let id = agent.agent_id().to_owned();
        agent.cut().await;
        agent.come_back(master.address()).await.unwrap();
        assert_eq!(agent.agent_id(), id);
        agent.unregister().await;
        master.shutdown().await.unwrap();
    }
}
