//! Agents: admission, links, pings, and the end of an agent.
//!
//!     recovered -> Connected <-> Disconnected -> Leaving -> unreachable | removed
//! Whatever outlives this master is in the registry before anyone is told: an agent is admitted, and
//! given up, only when the write is durable. Frames of another epoch or incarnation are dropped.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use model::{
    AgentId, Blob, ExecutorId, FrameworkId, Instant, OfferId, Reason, Resources, TaskId, TaskState,
};

use crate::Master;
use crate::allocator::Allocator;
use crate::event::{
    AgentFacts, AgentMessage, Change, Effect, FrameworkEvent, LinkId, MasterMessage, Note,
    RegistryChange, WallTime,
};
use crate::maintenance::DOWN;
use crate::registry::{Follow, RemovalCause};
use crate::task_ends::Loss;
use crate::timers::Timer;

/// One registered agent.
#[derive(Debug)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What its messages tell of it.
    pub facts: Arc<AgentFacts>,
    /// What it has, and what of that may be given out twice.
    pub total: Arc<Resources>,
    /// Whether it can be reached.
    pub state: AgentState,
    /// When this master first admitted it.
    pub registered_time: WallTime,
    /// When it last registered again.
    pub reregistered_time: Option<WallTime>,
    /// The tasks there.
    pub tasks: BTreeSet<(FrameworkId, TaskId)>,
    /// The executors there, other than those of command tasks.
    pub executors: BTreeSet<(FrameworkId, ExecutorId)>,
    /// The offers of its resources.
    pub offers: BTreeSet<OfferId>,
    /// Kills to be sent again when it comes back, each with its KillPolicy.
    pub(crate) kills: BTreeMap<(FrameworkId, TaskId), Option<Blob>>,
    pub(crate) resource_version: Blob,
    pub(crate) incarnation: u64,
    pub(crate) ping: Ping,
    pub(crate) acquaintance: Acquaintance,
}

/// Whether an agent knows which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    /// Its first id was sent to it; until it answers, it may never have arrived. Nothing is started
    /// there, since an agent that does not know this id comes back under another.
    Named,
    /// It has shown that it knows its id.
    Known,
}

/// Whether an agent can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// It has a link.
    Connected {
        /// The link.
        link: LinkId,
    },
    /// Its link ended; it may come back.
    Disconnected,
    /// That it is unreachable, or gone, is on its way to the registry.
    Leaving {
        /// Its link, if it still has one.
        link: Option<LinkId>,
    },
}

/// The ping that is out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ping {
    pub(crate) sequence: u64,
    pub(crate) answered: bool,
    /// How many in a row were not answered.
    pub(crate) missed: u32,
    /// When the answer is overdue.
    pub(crate) until: Instant,
}

/// An agent of the registry that has not come back yet.
#[derive(Debug)]
pub struct RecoveredAgent {
    /// Its AgentInfo.
    pub info: Blob,
    pub(crate) until: Instant,
}

/// What an agent can do (`AgentInfo.Capability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentCapability {
    /// Runs tasks of several roles.
    MultiRole = 1,
    /// Knows roles beneath roles.
    HierarchicalRole = 2,
    /// Knows stacks of reservations.
    ReservationRefinement = 3,
    /// Carries operations out one by one, and answers for each.
    ResourceProvider = 4,
    /// Grows and shrinks volumes.
    ResizeVolume = 5,
    /// Answers for operations on its own resources.
    AgentOperationFeedback = 6,
    /// Drains itself.
    AgentDraining = 7,
    /// Knows limits beside requests.
    TaskResourceLimits = 8,
}

impl fmt::Display for Agent {
    /// As in Mesos' messages: the id, the process and the host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AgentFacts {
            address, hostname, ..
        } = &*self.facts;
        write!(f, "{} at slave(1)@{address} ({hostname})", self.id)
    }
}

impl Agent {
    /// Whether it has this capability.
    #[must_use]
    pub fn has(&self, capability: AgentCapability) -> bool {
        self.facts.capabilities.contains(&(capability as i32))
    }

    /// Whether it has missed as many pings as it may.
    pub(crate) const fn is_silent(&self, max: u32) -> bool {
        self.ping.missed >= max && !self.is_leaving()
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        matches!(self.state, AgentState::Leaving { .. })
    }

    pub(crate) const fn link(&self) -> Option<LinkId> {
        match self.state {
            AgentState::Connected { link } => Some(link),
            AgentState::Disconnected => None,
            AgentState::Leaving { link } => link,
        }
    }
}

impl Master {
    pub(crate) fn agent_frame(
        &mut self,
        link: LinkId,
        epoch: u64,
        incarnation: u64,
        message: AgentMessage,
    ) {
        let current = self.links.get(&link).filter(|agent_id| {
            self.agents.get(*agent_id).is_some_and(|agent| {
                agent.state == AgentState::Connected { link }
                    && agent.incarnation == incarnation
                    && self.config.epoch == epoch
            })
        });
        let Some(agent_id) = current.cloned() else {
            let why = format!("{link:?}, epoch {epoch}, incarnation {incarnation} is not current");
            self.drop_message("agent frame", why);
            return;
        };
        match message {
            AgentMessage::Pong { sequence } => self.pong(&agent_id, sequence),
            AgentMessage::Update(update) => self.update(&agent_id, &update),
            AgentMessage::OperationUpdate(update) => self.operation_update(&agent_id, update),
            AgentMessage::ExecutorExited {
                framework_id,
                executor_id,
                wait_status,
            } => self.executor_exited(&agent_id, &framework_id, &executor_id, wait_status),
            AgentMessage::ExecutorMessage {
                framework_id,
                executor_id,
                data,
            } => self.executor_message(&agent_id, &framework_id, executor_id, data),
            AgentMessage::Oversubscribed(resources) => self.oversubscribed(&agent_id, &resources),
            AgentMessage::Unregister => {
                self.counters.count("messages_unregister_slave");
                if !self.registrar.is_busy(&agent_id) {
                    self.remove_when_stored(&agent_id, RemovalCause::Unregistered);
                }
            }
        }
    }

    /// Sends a ping and waits for its answer.
    pub(crate) fn ping(&mut self, agent_id: &AgentId) {
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let until = self.now + self.config.agent_ping_timeout;
        agent.ping.until = until;
        agent.ping.sequence = agent.ping.sequence.saturating_add(1);
        agent.ping.answered = false;
        let message = MasterMessage::Ping {
            sequence: agent.ping.sequence,
            connected: true,
        };
        self.timers.set(until, Timer::Ping(agent_id.clone()));
        self.send_to_agent(agent_id, message);
    }

    pub(crate) fn pong(&mut self, agent_id: &AgentId, sequence: u64) {
        let agent = self.agents.get_mut(agent_id);
        let Some(agent) = agent.filter(|agent| agent.ping.sequence == sequence) else {
            return;
        };
        agent.ping.answered = true;
        agent.ping.missed = 0;
        let was_named = agent.acquaintance == Acquaintance::Named;
        agent.acquaintance = Acquaintance::Known;
        if was_named {
            self.activate_agent(agent_id);
        }
        self.spare(agent_id);
    }

    pub(crate) fn ping_timeout(&mut self, agent_id: &AgentId, at: Instant) {
        let max = self.config.max_agent_ping_timeouts;
        let is_busy = self.registrar.is_busy(agent_id);
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        if agent.ping.until != at || matches!(agent.state, AgentState::Leaving { .. }) {
            return;
        }
        if !agent.ping.answered {
            agent.ping.missed = agent.ping.missed.saturating_add(1);
        }
        if agent.is_silent(max) && !is_busy {
            self.give_up_in_turn(agent_id);
        }
        // While it waits for its turn to be given up it is asked on.
        if self
            .agents
            .get(agent_id)
            .is_some_and(|agent| !agent.is_leaving())
        {
            self.ping(agent_id);
        }
    }

    pub(crate) fn recovered_timeout(&mut self, agent_id: &AgentId, at: Instant) {
        let waits = |agent: &RecoveredAgent| agent.until == at;
        if self.recovered_agents.get(agent_id).is_some_and(waits) {
            if self.registrar.is_busy(agent_id) {
                return;
            }
            self.give_up_in_turn(agent_id);
        }
    }

    pub(crate) fn mark_unreachable(&mut self, agent_id: &AgentId) {
        let since = self.wall_time();
        let change = RegistryChange::MarkUnreachable {
            agent_id: agent_id.clone(),
            since,
        };
        self.store(change, Follow::Unreachable(since));
    }

    pub(crate) fn remove_when_stored(&mut self, agent_id: &AgentId, cause: RemovalCause) {
        self.leave(agent_id);
        let change = RegistryChange::Remove {
            agent_id: agent_id.clone(),
        };
        self.store(change, Follow::Remove(cause));
    }

    /// Nothing more is started on an agent.
    pub(crate) fn leave(&mut self, agent_id: &AgentId) {
        self.allocator.deactivate_agent(agent_id);
        self.rescind_offers_of(agent_id);
        self.rescind_inverse_offers_of(agent_id);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            let link = agent.link();
            agent.state = AgentState::Leaving { link };
        }
    }

    pub(crate) fn marked_unreachable(&mut self, agent_id: &AgentId, since: WallTime) {
        if self.recovered_agents.remove(agent_id).is_some() {
            self.counters.count("recovery_slave_removals");
        }
        self.counters.count("slave_unreachable_completed");
        self.counters.count("slave_removals");
        self.counters.count("slave_removals/reason_unhealthy");
        self.remove_agent(agent_id, |_| Loss {
            state: TaskState::Unreachable,
            reason: Reason::AgentRemoved,
            message: "health check timed out".into(),
            unreachable_time: Some(since),
        });
        self.note_agent(agent_id, "unreachable");
        self.unreachable_agents.insert(agent_id.clone(), since);
        while let Some(agent_id) = self
            .unreachable_agents
            .outdated(self.wall_time(), |id| self.registrar.is_busy(id))
        {
            self.deactivations.forget(&agent_id);
            let change = RegistryChange::Remove { agent_id };
            self.store(change, Follow::Nothing);
        }
    }

    pub(crate) fn removed(&mut self, agent_id: &AgentId, cause: RemovalCause) {
        self.counters.count("slave_removals");
        let why = match cause {
            RemovalCause::Replaced => {
                self.counters.count("slave_removals/reason_registered");
                "a new agent registered at the same address"
            }
            RemovalCause::Unregistered => {
                self.counters.count("slave_removals/reason_unregistered");
                "the agent unregistered"
            }
            RemovalCause::MachineDown => DOWN,
        };
        self.deactivations.forget(agent_id);
        self.remove_agent(agent_id, |hostname| Loss {
            state: TaskState::Lost,
            reason: Reason::AgentRemoved,
            message: format!("Agent {hostname} removed: {why}"),
            unreachable_time: None,
        });
        let removed = agent_id.clone();
        self.publish(Change::AgentRemoved { agent_id: removed });
        self.note_agent(agent_id, "removed");
    }

    /// Takes an agent out with all that is on it, and tells every framework.
    pub(crate) fn remove_agent(&mut self, agent_id: &AgentId, loss: impl FnOnce(&str) -> Loss) {
        self.rescind_offers_of(agent_id);
        self.rescind_inverse_offers_of(agent_id);
        self.inverse_offers.forget_agent(agent_id);
        if let Some(agent) = self.agents.get(agent_id) {
            let loss = loss(&agent.facts.hostname);
            let (tasks, executors) = (agent.tasks.clone(), agent.executors.clone());
            for (framework_id, task_id) in &tasks {
                self.lose_task(framework_id, task_id, &loss);
            }
            for (framework_id, executor_id) in &executors {
                self.remove_executor(agent_id, framework_id, executor_id);
            }
            self.lose_operations(agent_id, loss.state);
        }
        if let Some(agent) = self.agents.remove(agent_id) {
            if self.addresses.get(&agent.facts.address) == Some(agent_id) {
                self.addresses.remove(&agent.facts.address);
            }
            if let Some(link) = agent.link() {
                self.close_link(link);
            }
        }
        self.allocator.remove_agent(agent_id);
        let everyone: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
        for framework_id in everyone {
            let event = FrameworkEvent::Failure {
                agent_id: agent_id.clone(),
                executor: None,
            };
            self.send(&framework_id, event);
        }
    }

    pub(crate) fn link_closed(&mut self, link: LinkId) {
        let Some(agent_id) = self.links.remove(&link) else {
            return;
        };
        let Some(agent) = self.agents.get_mut(&agent_id) else {
            return;
        };
        if agent.link() != Some(link) {
            return;
        }
        if let AgentState::Leaving { link } = &mut agent.state {
            *link = None;
            return;
        }
        agent.state = AgentState::Disconnected;
        agent.ping.answered = false;
        let acquaintance = agent.acquaintance;
        if acquaintance == Acquaintance::Named && !self.registrar.is_busy(&agent_id) {
            self.remove_when_stored(&agent_id, RemovalCause::Unregistered);
            return;
        }
        self.allocator.deactivate_agent(&agent_id);
        self.rescind_offers_of(&agent_id);
        self.rescind_inverse_offers_of(&agent_id);
        self.lose_unprotected_tasks(&agent_id);
        self.note_agent(&agent_id, "disconnected");
    }

    /// Tasks of frameworks that do not checkpoint do not outlive the link of their agent.
    pub(crate) fn lose_unprotected_tasks(&mut self, agent_id: &AgentId) {
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let loss = Loss {
            // TASK_LOST even where the framework knows better states: as recorded from Mesos.
            state: TaskState::Lost,
            reason: Reason::AgentDisconnected,
            message: format!("Agent {} disconnected", agent.facts.hostname),
            unreachable_time: None,
        };
        let (tasks, executors) = (agent.tasks.clone(), agent.executors.clone());
        for (framework_id, task_id) in tasks {
            if self.is_unprotected(&framework_id) {
                self.lose_task(&framework_id, &task_id, &loss);
            }
        }
        for (framework_id, executor_id) in executors {
            if self.is_unprotected(&framework_id) {
                self.remove_executor(agent_id, &framework_id, &executor_id);
            }
        }
    }

    pub(crate) fn is_unprotected(&self, framework_id: &FrameworkId) -> bool {
        let framework = self.frameworks.get(framework_id);
        framework.is_some_and(|framework| !framework.info.checkpoint)
    }

    /// Whether an agent is registered and has a link.
    pub(crate) fn is_connected(&self, agent_id: &AgentId) -> bool {
        let agent = self.agents.get(agent_id);
        agent.is_some_and(|agent| matches!(agent.state, AgentState::Connected { .. }))
    }

    /// Sends a frame to an agent, if it is connected.
    pub(crate) fn send_to_agent(&mut self, agent_id: &AgentId, message: MasterMessage) {
        if let Some(agent) = self.agents.get(agent_id)
            && let AgentState::Connected { link } = agent.state
        {
            self.out.push(Effect::ToAgent {
                link,
                epoch: self.config.epoch,
                incarnation: agent.incarnation,
                message,
            });
        }
    }

    pub(crate) fn close_link(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.out.push(Effect::CloseLink { link });
    }

    pub(crate) fn note_agent(&mut self, agent_id: &AgentId, change: &'static str) {
        let agent_id = agent_id.clone();
        self.out
            .push(Effect::Note(Note::Agent { agent_id, change }));
    }
}
