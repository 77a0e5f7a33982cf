//! Frameworks: subscription, failover, heartbeats, and the end of a framework.
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
    AgentId, ExecutorId, FrameworkId, Instant, OfferId, Reason, Source, TaskId, TaskState,
};

use crate::allocator::{Allocator, Demand};
use crate::event::{
    Capability, Effect, FrameworkEvent, FrameworkInfo, MasterMessage, Note, StreamId, Subscription,
    Text, WallTime,
};
use crate::executors::Executor;
use crate::tasks::Task;
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
    fn holders(&self) -> BTreeSet<AgentId> {
        let tasks = self.tasks.values().map(|task| &task.agent_id);
        let executors = self.executors.keys().map(|(agent_id, _)| agent_id);
        tasks.chain(executors).cloned().collect()
    }

    /// When it is given up, while it is away.
    const fn remove_at(&self) -> Option<Instant> {
        match self.state {
            FrameworkState::Disconnected { remove_at }
            | FrameworkState::Recovered { remove_at } => Some(remove_at),
            FrameworkState::Connected { .. } | FrameworkState::Completed => None,
        }
    }

    fn demand(&self, suppressed: &[Text]) -> Demand {
        let role = |text: &Text| Role::new(text).ok();
        Demand {
            roles: self.roles(),
            suppressed: suppressed.iter().filter_map(role).collect(),
            capabilities: self.info.capabilities,
            min_allocatable: self
                .info
                .min_allocatable
                .iter()
                .filter_map(|(text, minimum)| Some((role(text)?, minimum.clone())))
                .collect(),
        }
    }
}

impl Master {
    pub(crate) fn subscribe(&mut self, stream: StreamId, subscription: &Subscription) {
        let info = &subscription.framework;
        let again = info.id.is_some();
        self.counters.count(if again {
            "messages_reregister_framework"
        } else {
            "messages_register_framework"
        });
        if let Err(message) = self.check_subscription(subscription) {
            let event = FrameworkEvent::Error { message };
            self.out.push(Effect::Send { stream, event });
            self.out.push(Effect::CloseStream { stream });
            return;
        }
        let id = match &info.id {
            Some(id) => id.clone(),
            None => match self.next_framework_id() {
                Some(id) => id,
                None => return,
            },
        };
        let change = if self.frameworks.contains_key(&id) {
            self.fail_over(&id, info);
            "subscribed again"
        } else {
            self.add_framework(&id, info, FrameworkState::Connected { stream });
            "subscribed"
        };
        self.connect(&id, stream, &subscription.suppressed_roles);
        self.tell_holders(&id);
        self.note_framework(&id, change);
    }

    /// Updates that came while the framework was away went nowhere: the agents send them again.
    fn tell_holders(&mut self, id: &FrameworkId) {
        let holders = self.frameworks.get(id).map(Framework::holders);
        for agent_id in holders.unwrap_or_default() {
            let framework_id = id.clone();
            self.send_to_agent(
                &agent_id,
                MasterMessage::FrameworkSubscribed { framework_id },
            );
        }
    }

    fn check_subscription(&self, subscription: &Subscription) -> Result<(), String> {
        subscription::check(subscription)?;
        let info = &subscription.framework;
        if info.id.as_ref().is_some_and(|id| self.is_completed(id)) {
            return Err("Framework has been removed".into());
        }
        self.check_registration(info)?;
        match info.id.as_ref().and_then(|id| self.frameworks.get(id)) {
            Some(old) => subscription::check_update(&old.info, info),
            None => Ok(()),
        }
    }

    /// The next id that nobody has, not even someone who made it up.
    fn next_framework_id(&mut self) -> Option<FrameworkId> {
        loop {
            let number = self.next_framework;
            self.next_framework = number.saturating_add(1);
            let id = FrameworkId::new(&format!("{}-{number:04}", self.config.master_id)).ok()?;
            if !self.frameworks.contains_key(&id) && !self.is_completed(&id) {
                return Some(id);
            }
        }
    }

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
        self.note_framework(id, "recovered");
    }

    /// Takes a framework from its old stream, if it has one.
    fn fail_over(&mut self, id: &FrameworkId, info: &FrameworkInfo) {
        let now = self.wall_time();
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        framework.info = info.clone();
        framework.reregistered_time = Some(now);
        let old_stream = framework.stream();
        if let Some(remove_at) = framework.remove_at() {
            self.timers.cancel(remove_at, Timer::Failover(id.clone()));
        }
        if let Some(stream) = old_stream {
            let message = "Framework failed over".into();
            let event = FrameworkEvent::Error { message };
            self.out.push(Effect::Send { stream, event });
            self.out.push(Effect::CloseStream { stream });
            self.streams.remove(&stream);
        }
        self.allocator.deactivate_framework(id);
        self.recover_offers_of(id);
    }

    /// Gives a framework its stream and lets it have offers.
    fn connect(&mut self, id: &FrameworkId, stream: StreamId, suppressed: &[Text]) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        framework.state = FrameworkState::Connected { stream };
        let demand = framework.demand(suppressed);
        self.streams.insert(stream, id.clone());
        let event = FrameworkEvent::Subscribed {
            framework_id: id.clone(),
            heartbeat: HEARTBEAT_INTERVAL,
        };
        self.out.push(Effect::Send { stream, event });
        self.heartbeat(stream);
        self.allocator.set_framework(self.now, id, demand);
        self.allocator.activate_framework(self.now, id);
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
        let Some(mut framework) = self.frameworks.remove(id) else {
            return;
        };
        let holders = framework.holders();
        for task in core::mem::take(&mut framework.tasks).into_values() {
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
        if !task.state.is_terminal() {
            self.allocator
                .recover(self.now, id, &task.agent_id, &task.resources, None);
            let reason = Some(Reason::FrameworkRemoved);
            self.note_task(id, &task, TaskState::Killed, reason);
            self.counters
                .count_task(TaskState::Killed, Source::Master, reason);
            Arc::make_mut(&mut task).state = TaskState::Killed;
        }
        task
    }

    /// Whether a framework may change what it subscribed with into this; the error is for the 400 of
    /// UPDATE_FRAMEWORK.
    ///
    /// # Errors
    /// Why not, in Mesos' words.
    pub fn check_update(&self, id: &FrameworkId, update: &Subscription) -> Result<(), String> {
        subscription::check(update)
            .map_err(|fault| format!("Supplied FrameworkInfo is not valid: {fault}"))?;
        self.frameworks.get(id).map_or(Ok(()), |framework| {
            subscription::check_update(&framework.info, &update.framework)
                .map_err(|fault| format!("FrameworkInfo update is not valid: {fault}"))
        })
    }

    pub(crate) fn update_framework(&mut self, id: &FrameworkId, update: Subscription) {
        if let Err(fault) = self.check_update(id, &update) {
            self.drop_message("call", fault);
            return;
        }
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        framework.info = update.framework;
        let roles = framework.roles();
        let demand = framework.demand(&update.suppressed_roles);
        let left: Vec<OfferId> = framework
            .offers
            .iter()
            .filter(|id| {
                self.offers
                    .get(*id)
                    .is_some_and(|o| !roles.contains(&o.role))
            })
            .cloned()
            .collect();
        self.allocator.set_framework(self.now, id, demand);
        for offer_id in left {
            self.rescind(&offer_id);
        }
        self.note_framework(id, "updated");
    }

    pub(crate) fn suppress(&mut self, id: &FrameworkId, roles: &[Text]) {
        self.counters.count("messages_suppress_offers");
        if let Some(roles) = self.named_roles(id, roles) {
            self.allocator.suppress(id, &roles);
        }
    }

    pub(crate) fn revive(&mut self, id: &FrameworkId, roles: &[Text]) {
        self.counters.count("messages_revive_offers");
        if let Some(roles) = self.named_roles(id, roles) {
            self.allocator.revive(self.now, id, &roles);
        }
    }

    /// The roles that a call names and the framework has; all of them, which is none named, where it
    /// names none. `None` where it names only others.
    fn named_roles(&mut self, id: &FrameworkId, texts: &[Text]) -> Option<Vec<Role>> {
        let own = self.frameworks.get(id)?.roles();
        let named: Vec<Role> = texts
            .iter()
            .filter_map(|text| Role::new(text).ok())
            .filter(|role| own.contains(role))
            .collect();
        if named.is_empty() && !texts.is_empty() {
            self.drop_message(
                "call",
                format!("framework {id} has none of the roles {texts:?}"),
            );
            return None;
        }
        Some(named)
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
