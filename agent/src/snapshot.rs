//! Snapshot: what readers see of the agent, published by the main loop and never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core::effect::OperationStatus;
use agent_core::event::{Drain, Operation};
use agent_core::executor::{Life, Task};
use agent_core::executors::Executor;
use agent_core::{Agent, Status};
use model::{AgentId, Blob, ContainerId, FrameworkId, Resources, TaskState};

use crate::containers::Held;
use crate::fetch;
use crate::housekeeping::Figures;

/// The agent at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Its id, once it has one.
    pub agent_id: Option<AgentId>,
    /// Whether a master counts it as registered.
    pub is_registered: bool,
    /// What it has, as operations left it.
    pub total: Resources,
    /// What of that may be given out twice, as the master was told.
    pub oversubscribed: Resources,
    /// Set while it drains.
    pub drain: Option<Drain>,
    /// The frameworks with tasks here.
    pub frameworks: Vec<(FrameworkId, Blob)>,
    /// The frameworks of which nothing but completed tasks is left.
    pub past_frameworks: Vec<(FrameworkId, Blob)>,
    /// Their executors that have containers of their own.
    pub executors: Vec<(FrameworkId, Executor)>,
    /// Their tasks, until their end is acknowledged.
    pub tasks: Vec<(FrameworkId, Task)>,
    /// Ended and acknowledged tasks, the oldest first.
    pub completed: Vec<(FrameworkId, Task)>,
    /// Operations whose end is not acknowledged.
    pub operations: Vec<(Operation, OperationStatus)>,
    /// All containers that have not ended.
    pub containers: BTreeMap<ContainerId, Container>,
    /// What was counted since the start.
    pub counters: Counters,
}

/// A container that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its first process, once that runs.
    pub pid: Option<u32>,
    /// The whole `agent.Call.LaunchContainer`, where a call launched it.
    pub launch: Option<Blob>,
}

impl Snapshot {
    /// Takes the agent as it stands.
    #[must_use]
    pub fn of(agent: &Agent, counters: &Counters) -> Arc<Self> {
        let owned = |(id, task): (&FrameworkId, &Task)| (id.clone(), task.clone());
        Arc::new(Self {
            agent_id: agent.registration().agent_id.clone(),
            is_registered: agent.registration().registered().is_some(),
            total: agent.holdings().total().clone(),
            oversubscribed: agent.oversubscribed().clone(),
            drain: agent.drain(),
            frameworks: agent
                .frameworks()
                .map(|entry| (entry.framework.id.clone(), entry.framework.info.clone()))
                .collect(),
            past_frameworks: agent
                .past_frameworks()
                .map(|framework| (framework.id.clone(), framework.info.clone()))
                .collect(),
            executors: agent
                .executors()
                .map(|(id, executor)| (id.clone(), executor.clone()))
                .collect(),
            tasks: agent.tasks().map(owned).collect(),
            completed: agent.completed().map(owned).collect(),
            operations: agent.operations().iter().cloned().collect(),
            containers: agent
                .tree()
                .alive()
                .map(|(id, pid, launch)| {
                    let launch = launch.cloned();
                    (id.clone(), Container { pid, launch })
                })
                .collect(),
            counters: counters.clone(),
        })
    }

    /// The tasks that have or will have a process.
    pub fn alive(&self) -> impl Iterator<Item = &(FrameworkId, Task)> {
        self.tasks
            .iter()
            .filter(|(_, task)| task.life != Life::Ended)
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// TASK_FINISHED.
    pub finished: u64,
    /// TASK_FAILED.
    pub failed: u64,
    /// TASK_KILLED.
    pub killed: u64,
    /// TASK_LOST and its kin.
    pub lost: u64,
    /// TASK_GONE.
    pub gone: u64,
    /// Launches that failed.
    pub launch_errors: u64,
    /// Updates made.
    pub updates: u64,
    /// What was collected.
    pub collected: Figures,
    /// What containers hold.
    pub held: Held,
    /// What was fetched.
    pub fetched: fetch::Figures,
    /// Executors whose containers are gone, those of command tasks among them.
    pub executors_terminated: u64,
    /// Executors that were ended for others, those of command tasks among them.
    pub executors_preempted: u64,
    /// Messages that frameworks sent to executors, and that were handed on.
    pub framework_messages: u64,
    /// How long the checkpoint took to read.
    pub recovery: Duration,
}

impl Counters {
    /// Counts an update.
    pub fn count(&mut self, status: &Status) {
        self.updates += 1;
        // The executor that a command task has in messages goes with it.
        let of_command = status
            .executor_id
            .as_ref()
            .is_some_and(|id| id.as_str() == status.task_id.as_str());
        if of_command && status.state.is_terminal() && status.container.is_some() {
            self.executors_terminated += 1;
        }
        match status.state {
            TaskState::Finished => self.finished += 1,
            TaskState::Failed | TaskState::Error => self.failed += 1,
            TaskState::Killed => self.killed += 1,
            TaskState::Lost | TaskState::Dropped => self.lost += 1,
            TaskState::Gone | TaskState::GoneByOperator => self.gone += 1,
            TaskState::Starting
            | TaskState::Running
            | TaskState::Staging
            | TaskState::Killing
            | TaskState::Unreachable
            | TaskState::Unknown => {}
        }
    }
}
