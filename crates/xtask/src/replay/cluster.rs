//! Cluster: a fresh master in this process with two fake agents, or a master that runs elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use master::Server;
use master::flags::{Config, RegistryKind};
use tests::fake_agent::FakeAgent;

use super::plan::Flags;

/// The port the agents name; nothing listens there.
const AGENT_PORT: u16 = 5051;

/// What a scenario runs on.
pub(super) struct Cluster {
    pub(super) address: SocketAddr,
    master: Option<Server>,
    agents: Vec<FakeAgent>,
}

impl Cluster {
    /// A master that somebody else runs.
    pub(super) const fn elsewhere(address: SocketAddr) -> Self {
        Self {
            address,
            master: None,
            agents: Vec::new(),
        }
    }

    /// A master as the recordings had it: nothing on disk, an allocation each second, two agents.
    pub(super) async fn start(flags: Flags) -> Result<Self> {
        let mut config = Config {
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            hostname: Some("localhost".into()),
            registry: RegistryKind::InMemory,
            allocation_interval: Duration::from_secs(1),
            ..Config::default()
        };
        if let Some(ms) = flags.agent_ping_timeout_ms {
            config.agent_ping_timeout = Duration::from_millis(ms);
        }
        if let Some(times) = flags.max_agent_ping_timeouts {
            config.max_agent_ping_timeouts = times;
        }
        let master = Server::start(&config).await.context("start a master")?;
        let address = master.address();
        let mut agents = Vec::new();
        for port in [AGENT_PORT, AGENT_PORT + 1] {
            agents.push(
                FakeAgent::start(address, port)
                    .await
                    .context("start an agent")?,
            );
        }
        Ok(Self {
            address,
            master: Some(master),
            agents,
        })
    }

    /// The agents are gone from one moment to the next.
    pub(super) fn kill_agents(&mut self) {
        self.agents.clear();
    }

    /// The ids of the agents.
    pub(super) fn agents(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().map(FakeAgent::agent_id)
    }

    /// Ends the master, if it is this tool's.
    pub(super) async fn shutdown(self) -> Result<()> {
        drop(self.agents);
        match self.master {
            Some(master) => master.shutdown().await.context("end the master"),
            None => Ok(()),
        }
    }
}
