//! Frameworks: heartbeats, disconnection, and the end of a framework.
//!
//!     Recovered -> Connected <-> Disconnected -> Completed
//! A recovered framework is one of which only agents told so far. A framework that is away longer
//! than its failover timeout is removed and its tasks are killed.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Role;
use model::task::PartitionAwareness;
use model::{
    AgentId, Blob, ExecutorId, FrameworkId, Instant, OfferId, Reason, Source, TaskId, TaskState,
};

use crate::allocator::{Allocator, Demand};
use crate::constraints::Constraints;
use crate::event::{
    Capability, Change, Effect, FrameworkEvent, FrameworkInfo, MasterMessage, Note, StreamId, Text,
    WallTime,
};
use crate::executors::Executor;
use crate::statuses::MadeStatus;
use crate::tasks::{Task, TaskStatus};
use crate::timers::Timer;
use crate::{Connection, Master, subscription};

/// The time between two HEARTBEATs of a stream.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// One framework, live or completed.
#[derive(Debug)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// What it subscribed with last.
    pub info: FrameworkInfo,
    /// Of which agents it wants offers, an OfferConstraints, where it said so.
    pub offer_constraints: Option<Blob>,
    pub(crate) constraints: Arc<Constraints>,
    /// How it is connected.
    pub state: FrameworkState,
    /// When this master first heard of it.
    pub registered_time: WallTime,
    /// When it last subscribed again.
    pub reregistered_time: Option<WallTime>,
    /// When it was removed.
    pub unregistered_time: Option<WallTime>,
    /// Its tasks that have not ended, or whose end it has not acknowledged.
    pub tasks: BTreeMap<TaskId, Arc<Task>>,
    /// Its executors other than those of command tasks.
    pub executors: BTreeMap<(AgentId, ExecutorId), Executor>,
    /// What it is being offered.
    pub offers: BTreeSet<OfferId>,
    /// Tasks on agents that do not answer, the oldest first.
    pub unreachable_tasks: VecDeque<Arc<Task>>,
    /// Tasks that have ended, the oldest first.
    pub completed_tasks: VecDeque<Arc<Task>>,
}

/// How a framework is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameworkState {
    /// It has a stream.
    Connected {
        /// The stream.
        stream: StreamId,
    },
    /// Its stream ended.
    Disconnected {
        /// When it is given up.
        remove_at: Instant,
    },
    /// Only agents told of it.
    Recovered {
        /// When it is given up.
        remove_at: Instant,
    },
    /// It is over.
    Completed,
}

impl Framework {
    /// The roles it is subscribed to.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<Role> {
        subscription::roles(&self.info)
    }

    /// Its stream, while it has one.
    #[must_use]
    pub const fn stream(&self) -> Option<StreamId> {
        match self.state {
            FrameworkState::Connected { stream } => Some(stream),
            FrameworkState::Disconnected { .. }
            | FrameworkState::Recovered { .. }
            | FrameworkState::Completed => None,
        }
    }

    /// Whether it tells the states of partitioned tasks apart.
    #[must_use]
    pub const fn awareness(&self) -> PartitionAwareness {
        if self.info.capabilities.has(Capability::PartitionAware) {
            PartitionAwareness::Aware
        } else {
            PartitionAwareness::Unaware
        }
    }

    /// The agents that hold tasks or executors of it.
    pub(crate) fn holders(&self) -> BTreeSet<AgentId> {
        let tasks = self.tasks.values().map(|task| &task.agent_id);
        let executors = self.executors.keys().map(|(agent_id, _)| agent_id);
        tasks.chain(executors).cloned().collect()
    }

    /// The frame that tells an agent what the framework says of itself now.
    pub(crate) fn updated(&self) -> MasterMessage {
        MasterMessage::FrameworkUpdated {
            framework_id: self.id.clone(),
            framework: self.info.info.clone(),
        }
    }

    /// When it is given up, while it is away.
    pub(crate) const fn remove_at(&self) -> Option<Instant> {
        match self.state {
            FrameworkState::Disconnected { remove_at }
            | FrameworkState::Recovered { remove_at } => Some(remove_at),
            FrameworkState::Connected { .. } | FrameworkState::Completed => None,
        }
    }

    pub(crate) fn demand(&self, suppressed: &[Text]) -> Demand {
        let role = |text: &Text| Role::new(text).ok();
        Demand {
            roles: self.roles(),
            suppressed: suppressed.iter().filter_map(role).collect(),
            capabilities: self.info.capabilities,
            min_allocatable: self
                .info
                .min_allocatable
                .iter()
                .filter_map(|(text, minimum)| {
                    let minimum = minimum.iter().map(subscription::minimum).collect();
                    Some((role(text)?, minimum))
                })
                .collect(),
            constraints: self.constraints.clone(),
        }
    }
}

impl Master {
    /// Adds a framework, inactive.
    pub(crate) fn add_framework(
        &mut self,
        id: &FrameworkId,
        info: &FrameworkInfo,
        state: FrameworkState,
    ) {
        let framework = Framework {
            id: id.clone(),
            info: info.clone(),
            offer_constraints: None,
            constraints: Arc::default(),
            state,
            registered_time: self.wall_time(),
            reregistered_time: None,
            unregistered_time: None,
            tasks: BTreeMap::new(),
            executors: BTreeMap::new(),
            offers: BTreeSet::new(),
            unreachable_tasks: VecDeque::new(),
            completed_tasks: VecDeque::new(),
        };
        let demand = framework.demand(&[]);
        self.frameworks.insert(id.clone(), framework);
        self.allocator.set_framework(self.now, id, demand);
    }

    /// A framework that only agents told of: it gets as long to come back as agents do, or its
    /// failover timeout where that is longer.
    pub(crate) fn recover_framework(&mut self, id: &FrameworkId, info: &FrameworkInfo) {
        let timeout = subscription::failover_timeout(info).unwrap_or_default();
        let remove_at = self.now + timeout.max(self.config.agent_reregister_timeout);
        self.add_framework(id, info, FrameworkState::Recovered { remove_at });
        self.timers.set(remove_at, Timer::Failover(id.clone()));
        let framework_id = id.clone();
        self.publish(Change::FrameworkAdded { framework_id });
        self.note_framework(id, "recovered");
    }

    pub(crate) fn heartbeat(&mut self, stream: StreamId) {
        if self.streams.contains_key(&stream) {
            let event = FrameworkEvent::Heartbeat;
            self.out.push(Effect::Send { stream, event });
            let next = self.now + HEARTBEAT_INTERVAL;
            self.timers.set(next, Timer::Heartbeat(stream));
        }
    }

    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        let Some(id) = self.streams.remove(&stream) else {
            return;
        };
        let Some(framework) = self.frameworks.get_mut(&id) else {
            return;
        };
        let timeout = subscription::failover_timeout(&framework.info).unwrap_or_default();
        let remove_at = self.now + timeout;
        framework.state = FrameworkState::Disconnected { remove_at };
        self.allocator.deactivate_framework(&id);
        self.recover_offers_of(&id);
        self.recover_inverse_offers_of(&id);
        self.timers.set(remove_at, Timer::Failover(id.clone()));
        self.note_framework(&id, "disconnected");
    }

    pub(crate) fn failover_timeout(&mut self, id: &FrameworkId, at: Instant) {
        let waits = |framework: &Framework| framework.remove_at() == Some(at);
        if self.frameworks.get(id).is_some_and(waits) {
            self.remove_framework(id, "removed after its failover timeout");
        }
    }

    pub(crate) fn teardown(&mut self, id: &FrameworkId) {
        self.counters.count("messages_unregister_framework");
        self.remove_framework(id, "torn down");
    }

    /// Ends a framework: its tasks count as killed from now on, whenever their agents get to it.
    pub(crate) fn remove_framework(&mut self, id: &FrameworkId, change: &'static str) {
        self.allocator.deactivate_framework(id);
        self.recover_offers_of(id);
        self.recover_inverse_offers_of(id);
        let Some(mut framework) = self.frameworks.remove(id) else {
            return;
        };
        let holders = framework.holders();
        for task in core::mem::take(&mut framework.tasks).into_values() {
            let task = self.kill_with_framework(id, task);
            let limit = self.config.completed_tasks_per_framework_max;
            remember(&mut framework.completed_tasks, task, limit);
        }
        for task in core::mem::take(&mut framework.unreachable_tasks) {
            let task = self.kill_with_framework(id, task);
            let limit = self.config.completed_tasks_per_framework_max;
            remember(&mut framework.completed_tasks, task, limit);
        }
        for ((agent_id, executor_id), executor) in core::mem::take(&mut framework.executors) {
            self.allocator
                .recover(self.now, id, &agent_id, &executor.resources, None);
            if let Some(agent) = self.agents.get_mut(&agent_id) {
                agent.executors.remove(&(id.clone(), executor_id));
            }
        }
        for agent_id in &holders {
            let framework_id = id.clone();
            self.send_to_agent(agent_id, MasterMessage::ShutdownFramework { framework_id });
        }
        if let Some(stream) = framework.stream() {
            self.streams.remove(&stream);
            self.out.push(Effect::CloseStream { stream });
        }
        framework.state = FrameworkState::Completed;
        framework.unregistered_time = Some(self.wall_time());
        self.allocator.remove_framework(id);
        self.inverse_offers.forget_responses(id);
        self.publish(Change::FrameworkRemoved {
            framework_id: id.clone(),
            info: framework.info.info.clone(),
        });
        let limit = self.config.completed_frameworks_max;
        remember(&mut self.completed_frameworks, framework, limit);
        self.note_framework(id, change);
    }

    fn kill_with_framework(&mut self, id: &FrameworkId, mut task: Arc<Task>) -> Arc<Task> {
        if let Some(agent) = self.agents.get_mut(&task.agent_id) {
            let key = (id.clone(), task.id.clone());
            agent.tasks.remove(&key);
            agent.kills.remove(&key);
        }
        self.may_have_drained(&task.agent_id);
        if !task.state.is_terminal() {
            self.allocator
                .recover(self.now, id, &task.agent_id, &task.resources, None);
            let reason = Some(Reason::FrameworkRemoved);
            self.note_task(id, &task, TaskState::Killed, reason);
            self.counters
                .count_task(TaskState::Killed, Source::Master, reason);
            let message = format!("Framework {id} removed");
            let status =
                MadeStatus::of(&task, TaskState::Killed, Reason::FrameworkRemoved, message);
            let status = TaskStatus::Made(self.made_status(status));
            self.publish_status(id, task.info.clone(), status.clone(), TaskState::Killed);
            let killed = Arc::make_mut(&mut task);
            killed.state = TaskState::Killed;
            killed.add_status(TaskState::Killed, status);
        }
        task
    }

    pub(crate) fn suppress(&mut self, id: &FrameworkId, roles: &[Text]) {
        self.counters.count("messages_suppress_offers");
        if let Some(roles) = self.named_roles("suppress", id, roles) {
            self.allocator.suppress(id, &roles);
        }
    }

    pub(crate) fn revive(&mut self, id: &FrameworkId, roles: &[Text]) {
        self.counters.count("messages_revive_offers");
        if let Some(roles) = self.named_roles("revive", id, roles) {
            self.allocator.revive(self.now, id, &roles);
            self.ask_again(id);
        }
    }

    /// The roles that a call names; none named stand for all. `None` where one of them is not the
    /// framework's: then the call does nothing.
    fn named_roles(
        &mut self,
        what: &'static str,
        id: &FrameworkId,
        texts: &[Text],
    ) -> Option<Vec<Role>> {
        let own = self.frameworks.get(id)?.roles();
        let role = |text: &Text| {
            let role = Role::new(text).map_err(|fault| format!("role '{text}': {fault}"))?;
            let foreign = || format!("framework {id} is not subscribed to role '{text}'");
            own.contains(&role).then_some(role).ok_or_else(foreign)
        };
        match texts.iter().map(role).collect() {
            Ok(roles) => Some(roles),
            Err(why) => {
                let why: String = why;
                self.drop_message(what, why);
                None
            }
        }
    }

    /// Whether a framework was removed and is remembered.
    pub(crate) fn is_completed(&self, id: &FrameworkId) -> bool {
        self.completed_frameworks.iter().any(|f| f.id == *id)
    }

    /// How a framework is connected, for the checks of HTTP.
    #[must_use]
    pub fn connection(&self, framework_id: &FrameworkId) -> Connection {
        match self.frameworks.get(framework_id) {
            None => Connection::Unknown,
            Some(framework) => framework
                .stream()
                .map_or(Connection::Disconnected, Connection::Connected),
        }
    }

    /// Sends an event to a framework, if it is connected.
    pub(crate) fn send(&mut self, id: &FrameworkId, event: FrameworkEvent) {
        if let Some(stream) = self.frameworks.get(id).and_then(Framework::stream) {
            self.out.push(Effect::Send { stream, event });
        }
    }

    pub(crate) fn note_framework(&mut self, id: &FrameworkId, change: &'static str) {
        let framework_id = id.clone();
        self.out.push(Effect::Note(Note::Framework {
            framework_id,
            change,
        }));
    }
}

/// Appends to a history of bounded length.
pub(crate) fn remember<T>(history: &mut VecDeque<T>, item: T, limit: usize) {
    history.push_back(item);
    while history.len() > limit {
        history.pop_front();
    }
}
