//! Cluster: a fresh master in this process with two agents, fake or real, or a master elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use master::Server;
use master::flags::{self, Command, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::fake_agent::{Description, FakeAgent};
use tokio::time::timeout;

use super::case::Case;
use super::http;
use super::node::{Node, Program};
use super::plan::{Layout, Step};

/// The port the agents name; nothing listens there.
const AGENT_PORT: u16 = 5051;

/// How long the master may take to tell its agents.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// What a scenario runs on.
pub(super) struct Cluster {
    pub(super) address: SocketAddr,
    master: Option<Server>,
    agents: Vec<FakeAgent>,
    /// Real agents, which stand for those of one recorded process.
    nodes: Vec<Node>,
    /// The number of the agent that is asked by its name.
    main: usize,
    /// Holds the files that flags name.
    _files: Option<TempDir>,
}

impl Cluster {
    /// A master that somebody else runs.
    pub(super) const fn elsewhere(address: SocketAddr) -> Self {
        Self {
            address,
            master: None,
            agents: Vec::new(),
            nodes: Vec::new(),
            main: 0,
            _files: None,
        }
    }

    /// A master and real agents, of which that of this number is asked most.
    pub(super) async fn start_with_nodes(
        layout: &Layout,
        program: &Program,
        main: usize,
    ) -> Result<Self> {
        let master_alone = Layout {
            agents: Vec::new(),
            ..layout.clone()
        };
        let mut cluster = Self::start(&master_alone).await?;
        cluster.main = main;
        let mut agents = layout.agents.clone();
        agents.resize_with(agents.len().max(main), Default::default);
        for agent in &agents {
            let node = Node::start(program, cluster.address, &agent.flags()).await?;
            cluster.nodes.push(node);
        }
        Ok(cluster)
    }

    /// A master and agents as the recordings had them.
    pub(super) async fn start(layout: &Layout) -> Result<Self> {
        let files = tempfile::tempdir().context("make a folder for files of flags")?;
        let config = config(layout, &files)?;
        let master = Server::start(&config).await.context("start a master")?;
        let address = master.address();
        let mut agents = Vec::new();
        for (port, agent) in (AGENT_PORT..).zip(&layout.agents) {
            let mut description = Description::of_port(port);
            description.attributes.extend(agent.attributes.clone());
            if let Some(resources) = &agent.resources {
                description.resources.clone_from(resources);
            }
            if let Some(hostname) = &agent.hostname {
                description.hostname.clone_from(hostname);
            }
            agents.push(
                FakeAgent::start_with(address, &description)
                    .await
                    .context("start an agent")?,
            );
        }
        Ok(Self {
            address,
            master: Some(master),
            agents,
            nodes: Vec::new(),
            main: 0,
            _files: Some(files),
        })
    }

    /// What happens to the agents; numbers of agents that are not there are passed over.
    pub(super) async fn steer(&mut self, step: &Step) -> Result<()> {
        for number in &step.cut {
            if let Some(agent) = self.agents.get_mut(number.wrapping_sub(1)) {
                agent.cut().await;
            }
        }
        for number in &step.unregister {
            if let Some(agent) = self.agents.get_mut(number.wrapping_sub(1)) {
                agent.unregister().await;
            }
        }
        for number in &step.back {
            if let Some(agent) = self.agents.get_mut(number.wrapping_sub(1)) {
                agent
                    .come_back(self.address)
                    .await
                    .context("bring an agent back")?;
            }
        }
        Ok(())
    }

    /// The agents are gone from one moment to the next.
    pub(super) fn kill_agents(&mut self) {
        self.agents.clear();
        self.nodes.clear();
    }

    /// Where a case is asked. Of agents that shared a process, one that is not named is the first,
    /// but for what is the process' own, such as files.
    pub(super) fn target(&self, case: &Case) -> SocketAddr {
        if !case.of_agent {
            return self.address;
        }
        let number = match case.request.slave() {
            Some((_, number)) => number,
            None if case.is_of_process() => self.main,
            None => 1,
        };
        self.node(number).map_or(self.address, |node| node.address)
    }

    /// The agent of this number, from 1.
    pub(super) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number.wrapping_sub(1))
    }

    /// How many agents the master has, whoever runs them; none where it does not say.
    pub(super) async fn count_agents(&self) -> usize {
        let request = b"GET /slaves HTTP/1.1\r\nHost: master\r\n\r\n";
        let asked = timeout(ANSWER_TIME_MAX, http::exchange(self.address, request)).await;
        let Ok(Ok((reply, _))) = asked else {
            return 0;
        };
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        body["slaves"].as_array().map_or(0, Vec::len)
    }

    /// The ids of the agents.
    pub(super) fn agents(&self) -> impl Iterator<Item = &str> {
        let fake = self.agents.iter().map(FakeAgent::agent_id);
        fake.chain(self.nodes.iter().map(|node| node.id.as_str()))
    }

    /// Ends the master, if it is this tool's.
    pub(super) async fn shutdown(self) -> Result<()> {
        drop(self.agents);
        drop(self.nodes);
        match self.master {
            Some(master) => master.shutdown().await.context("end the master"),
            None => Ok(()),
        }
    }
}

/// The master's settings: those of INDEX.md, and what the recordings ask for beyond them.
fn config(layout: &Layout, files: &TempDir) -> Result<Config> {
    let mut flags = layout.flags.clone();
    for (name, value) in [
        ("ip", "127.0.0.1"),
        ("port", "0"),
        ("hostname", "localhost"),
        ("registry", "in_memory"),
        ("allocation_interval", "1secs"),
    ] {
        flags.entry(name.into()).or_insert_with(|| value.into());
    }
    if !layout.credentials.is_empty() {
        let path = files.path().join("credentials.json");
        let list: Vec<_> = layout
            .credentials
            .iter()
            .map(|(principal, secret)| json!({"principal": principal, "secret": secret}))
            .collect();
        std::fs::write(&path, json!({ "credentials": list }).to_string())
            .context("write credentials")?;
        flags.insert("credentials".into(), path.display().to_string());
    }
    let words = flags
        .iter()
        .map(|(name, value)| format!("--{name}={value}"));
    match flags::parse(words, []).context("the recordings ask for flags that are no good here")? {
        Command::Run(config) => Ok(*config),
        Command::Help | Command::Version | Command::Registry(..) => {
            bail!("the recordings ask for no master to run")
        }
    }
}
