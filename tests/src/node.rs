//! A simulated node: an agent core, its disk, and containers that are only names.
//!
//! Two things may crash: the machine, with which containers end and what was stored stays; and the
//! agent's program, which containers outlive.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::event::ExitStatus;
use agent_core::holdings::VolumeName;
use agent_core::oversubscription::qos::Limits;
use agent_core::oversubscription::{self, EstimateBy};
use agent_core::{Agent, Fact, Settings};
use model::resources::{Resource, Scalar};
use model::{ContainerId, FrameworkId, Instant, Resources, StatusUuid};

use crate::checkers::promises::Kept;
use crate::executor::SimulatedExecutor;

/// The cpus of every simulated node, in thousandths.
pub const NODE_CPUS: i64 = 4000;

/// The most cpus that a simulated node lets be given out twice, in thousandths.
pub const REVOCABLE_CPUS_MAX: i64 = 3000;

/// What every simulated node is configured with.
pub fn resources() -> Resources {
    let cpus = NODE_CPUS / 1000;
    model::resources::parse(&format!("cpus:{cpus};mem:4096;disk:1000")).unwrap_or_default()
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Counts the starts of its agent; happenings of an earlier life are void.
    pub life: u64,
    /// Counts the runs of its machine; what happens to containers of an earlier one is void.
    pub run: u64,
    /// The agent; none while the node is down.
    pub core: Option<Agent>,
    /// What its disk keeps.
    pub disk: Vec<Fact>,
    /// The reservations and volumes that its disk keeps.
    pub kept: Resources,
    /// The volumes on its disk.
    pub volumes: BTreeSet<VolumeName>,
    /// What runs, with its framework.
    pub containers: BTreeMap<ContainerId, Container>,
    /// The executors that frameworks brought.
    pub executors: BTreeMap<ContainerId, SimulatedExecutor>,
    /// The containers that ended while there was no agent.
    pub unseen: Vec<(ContainerId, ExitStatus)>,
    /// The instant of the earliest wake-up in the queue.
    pub wake_at: Option<Instant>,
    /// When this life began: its clock counts from then.
    pub born: Instant,
    /// While its agent is stopped: when it goes on.
    pub asleep_until: Option<Instant>,
    /// Nothing crosses to the masters or back until then.
    pub cut_until: Instant,
    /// The master that it believes to lead.
    pub leader: Option<usize>,
    /// What its disk is promised to hold.
    pub promised: Kept,
    /// The updates that it sent, where they are sent only once.
    pub sent: BTreeSet<StatusUuid>,
    /// When a link of it was registered last.
    pub heard_at: Instant,
}

/// A container of the simulation.
#[derive(Debug, Clone)]
pub struct Container {
    /// Whose.
    pub framework_id: FrameworkId,
    /// The cpus that it holds, in thousandths.
    pub cpus: i64,
    /// Whether it gives them back when others need them.
    pub is_revocable: bool,
    /// Whether it holds others and runs nothing itself.
    pub is_pod: bool,
    /// Whether its process runs.
    pub is_running: bool,
    /// Set when a signal is on its way, so that it ends once.
    pub is_dying: bool,
}

impl Node {
    /// A node that was never started.
    pub fn new() -> Self {
        Self {
            life: 0,
            run: 0,
            core: None,
            disk: Vec::new(),
            kept: Resources::new(),
            volumes: BTreeSet::new(),
            containers: BTreeMap::new(),
            executors: BTreeMap::new(),
            unseen: Vec::new(),
            wake_at: None,
            born: Instant::ZERO,
            asleep_until: None,
            cut_until: Instant::ZERO,
            leader: None,
            promised: Kept::default(),
            sent: BTreeSet::new(),
            heard_at: Instant::ZERO,
        }
    }

    /// What its clock says.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Instant {
        Instant::ZERO + now.since(self.born)
    }

    /// When its clock says that.
    #[must_use]
    pub fn when(&self, clock: Instant) -> Instant {
        self.born + clock.since(Instant::ZERO)
    }

    /// Begins a new life with what the disk holds; the world steps the core through recovery.
    pub fn boot(&mut self, now: Instant, seed: u64) -> Vec<Fact> {
        self.life += 1;
        self.born = now;
        self.wake_at = None;
        self.core = Some(Agent::new(Settings {
            resources: resources(),
            resource_version: vec![1; 16],
            shutdown_grace: std::time::Duration::from_secs(5),
            executor_registration_timeout: std::time::Duration::from_secs(60),
            executor_reregistration_timeout: std::time::Duration::from_secs(2),
            oversubscription: oversubscribed(seed.wrapping_add(self.life)),
            seed: [seed, self.life],
        }));
        self.disk.clone()
    }

    /// The power fails.
    pub fn crash(&mut self) {
        self.end_agent();
        self.run += 1;
        self.containers.clear();
        self.executors.clear();
        self.unseen.clear();
    }

    /// The agent's program ends; the machine runs on.
    pub fn end_agent(&mut self) {
        self.core = None;
        self.wake_at = None;
        self.asleep_until = None;
    }

    /// Cpus that containers hold here for good, in thousandths.
    pub fn cpus_used(&self) -> i64 {
        let own = self.containers.values().filter(|one| !one.is_revocable);
        let own = own.map(|one| one.cpus);
        let executors = self.executors.values().map(SimulatedExecutor::cpus);
        own.chain(executors).sum()
    }

    /// Cpus that containers hold here until others need them, in thousandths.
    pub fn revocable_cpus_used(&self) -> i64 {
        let own = self.containers.values().filter(|one| one.is_revocable);
        own.map(|one| one.cpus).sum()
    }
}

/// How much is given out twice is another thing with each start.
fn oversubscribed(number: u64) -> oversubscription::Settings {
    let steps = i64::try_from(number % 4).unwrap_or(0);
    let cpus = Resource {
        revocable: true,
        ..Resource::scalar("cpus", Scalar(steps * REVOCABLE_CPUS_MAX / 3))
    };
    oversubscription::Settings {
        estimate: EstimateBy::Fixed([cpus].into_iter().collect()),
        limits: Some(Limits {
            cpu: 5_000,
            memory: 5_000,
            io: 5_000,
        }),
        ..oversubscription::Settings::default()
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}
