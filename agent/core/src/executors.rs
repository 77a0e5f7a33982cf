//! Executors: the life of each one that has a container of its own, from its first task to its end.
//!
//! ```text
//! Registering -> Running -> Terminating -> Terminated      (any may be skipped but the last)
//! ```
//!
//! Custom executors run when they have subscribed, pods when their container is there. What a
//! custom executor says and is told is `executor_calls`'s, what becomes of a pod's tasks is
//! `pods`'s. The executor of a command task is in none of these: it exists in messages only.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::{ContainerId, ExecutorId, FrameworkId, Instant, TaskId};

use crate::agent::{Agent, Step};
use crate::containers::RequestId;
use crate::effect::{Deadline, Effect, Signal, Start};
use crate::event::{ExecutorKind, ExecutorSpec, TaskSpec};
use crate::executor::{Ending, Life};
use crate::executor_api::ToExecutor;
use crate::status_updates::TaskKey;

/// What names an executor on an agent.
pub type ExecutorKey = (FrameworkId, ExecutorId);

/// An executor with a container of its own, until the last end of its tasks is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executor {
    /// What it is.
    pub spec: ExecutorSpec,
    /// Its container.
    pub container: ContainerId,
    /// Its container's init; unset before and after.
    pub pid: Option<u32>,
    /// What the node does not give of its container's plan and why; unset after a restart of the agent,
    /// whose statuses have told it.
    pub degraded: Option<String>,
    /// Where it stands.
    pub life: ExecutorLife,
    /// What the checkpoint has of its end, once it was told to end.
    pub(crate) ending: Option<Deadline>,
    /// What its end is to say of its tasks, where the agent brings it about.
    pub(crate) pending: Option<Ending>,
    /// Whether it was ever given a task.
    pub(crate) was_fed: bool,
    /// Whether the health check of one of its tasks had that killed, for a pod.
    pub(crate) is_unhealthy: bool,
    /// Kills that it has yet to hear of, since it has no stream.
    pub(crate) kills: BTreeMap<TaskId, Option<Duration>>,
}

/// Where an executor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutorLife {
    /// It has yet to subscribe, or its container is being made.
    Registering {
        /// When that must be over.
        by: Instant,
        /// What it is waited for after.
        window: Window,
    },
    /// It takes tasks.
    Running {
        /// Its stream of events; unset while it has none, and for a pod.
        stream: Option<RequestId>,
    },
    /// It is to end.
    Terminating {
        /// When SIGKILL follows; unset once it did.
        kill_at: Option<Instant>,
        /// Its stream of events, on which its last updates are acknowledged.
        stream: Option<RequestId>,
    },
    /// Its container is gone.
    Terminated,
}

/// What an executor is waited for after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Its launch.
    Launch,
    /// A restart of the agent.
    Restart,
}

impl Executor {
    pub(crate) fn new(spec: ExecutorSpec, container: ContainerId) -> Self {
        Self {
            spec,
            container,
            pid: None,
            // Whoever makes it says when the time is up.
            life: ExecutorLife::Registering {
                by: Instant::from_nanos(u64::MAX),
                window: Window::Launch,
            },
            ending: None,
            pending: None,
            was_fed: false,
            degraded: None,
            is_unhealthy: false,
            kills: BTreeMap::new(),
        }
    }

    /// When this executor wants to be looked at, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.life {
            ExecutorLife::Registering { by, .. } => Some(by),
            ExecutorLife::Terminating { kill_at, .. } => kill_at,
            ExecutorLife::Running { .. } | ExecutorLife::Terminated => None,
        }
    }

    /// Its stream of events.
    #[must_use]
    pub fn stream(&self) -> Option<RequestId> {
        match self.life {
            ExecutorLife::Running { stream } | ExecutorLife::Terminating { stream, .. } => stream,
            ExecutorLife::Registering { .. } | ExecutorLife::Terminated => None,
        }
    }

    /// Whether its container is there, or being made.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.life != ExecutorLife::Terminated
    }
}

impl Agent {
    /// The executors with containers of their own, each with its framework.
    pub fn executors(&self) -> impl Iterator<Item = (&FrameworkId, &Executor)> {
        self.executors.iter().map(|(key, one)| (&key.0, one))
    }

    /// The tasks of an executor that have not ended.
    pub(crate) fn live_tasks(&self, key: &ExecutorKey) -> Vec<TaskKey> {
        self.keys(|task_key, task| {
            task_key.0 == key.0 && task.spec.executor.id == key.1 && task.life != Life::Ended
        })
    }

    fn live_specs(&self, key: &ExecutorKey) -> Vec<TaskSpec> {
        let keys = self.live_tasks(key).into_iter();
        keys.filter_map(|task| self.tasks.get(&task).map(|task| task.spec.clone()))
            .collect()
    }

    pub(crate) fn executor_changed(
        &self,
        step: &mut Step,
        key: &ExecutorKey,
        change: &'static str,
    ) {
        if let Some(executor) = self.executors.get(key) {
            step.out.push(Effect::ExecutorChanged {
                framework_id: key.0.clone(),
                executor_id: key.1.clone(),
                container: executor.container.clone(),
                change,
            });
        }
    }

    /// Begins to start an executor, whose first tasks are here already.
    pub(crate) fn start_executor(&mut self, step: &mut Step, key: &ExecutorKey) {
        let tasks = self.live_specs(key);
        let by = step.now + self.settings.executor_registration_timeout;
        let framework = self.frameworks.get(&key.0).map(|e| e.framework.clone());
        let (Some(executor), Some(framework)) = (self.executors.get_mut(key), framework) else {
            return;
        };
        executor.life = ExecutorLife::Registering {
            by,
            window: Window::Launch,
        };
        self.executor_timers.insert((by, key.clone()));
        let (container, spec) = (executor.container.clone(), executor.spec.clone());
        step.out.push(Effect::Launch {
            container,
            framework,
            start: match spec.kind {
                ExecutorKind::Default => Start::Pod {
                    executor: spec,
                    tasks,
                },
                ExecutorKind::Custom | ExecutorKind::Command => Start::Executor {
                    executor: spec,
                    tasks,
                },
            },
        });
    }

    pub(crate) fn executor_launched(
        &mut self,
        step: &mut Step,
        key: &ExecutorKey,
        pid: u32,
        degraded: Option<String>,
    ) {
        let Some(executor) = self.executors.get_mut(key) else {
            return;
        };
        executor.pid = Some(pid);
        executor.degraded = degraded;
        match (&executor.life, executor.spec.kind) {
            // The signal came before the process did.
            (ExecutorLife::Terminating { kill_at: None, .. }, _) => {
                let container = executor.container.clone();
                step.out.push(Effect::Kill {
                    container,
                    signal: Signal::Kill,
                });
            }
            (ExecutorLife::Registering { .. }, ExecutorKind::Default) => {
                executor.life = ExecutorLife::Running { stream: None };
                self.executor_changed(step, key, "runs");
                self.feed(step, key);
                // What it was made for may have been killed meanwhile.
                self.end_empty_pod(step, key);
            }
            (ExecutorLife::Registering { .. }, ExecutorKind::Custom | ExecutorKind::Command) => {
                self.executor_changed(step, key, "launched");
            }
            (
                ExecutorLife::Running { .. }
                | ExecutorLife::Terminating { .. }
                | ExecutorLife::Terminated,
                _,
            ) => {}
        }
    }

    /// Gives an executor that runs the tasks that wait for it.
    pub(crate) fn feed(&mut self, step: &mut Step, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key) else {
            return;
        };
        let kind = executor.spec.kind;
        let ExecutorLife::Running { stream } = executor.life else {
            return;
        };
        let waiting: Vec<TaskKey> = self.live_tasks(key);
        let is_queued = |key: &TaskKey| {
            let task = self.tasks.get(key);
            task.is_some_and(|task| task.life == Life::Queued)
        };
        let waiting: Vec<TaskKey> = waiting.into_iter().filter(is_queued).collect();
        if waiting.is_empty() {
            return;
        }
        match (kind, stream) {
            (ExecutorKind::Default, _) => self.start_in_pod(step, key, &waiting),
            (ExecutorKind::Custom | ExecutorKind::Command, Some(stream)) => {
                self.deliver(step, key, stream, &waiting);
            }
            // It hears of them when it subscribes again.
            (ExecutorKind::Custom | ExecutorKind::Command, None) => {}
        }
    }

    fn deliver(
        &mut self,
        step: &mut Step,
        key: &ExecutorKey,
        stream: RequestId,
        waiting: &[TaskKey],
    ) {
        self.resize(step, key);
        for task_key in waiting {
            let Some(task) = self.tasks.get(task_key) else {
                continue;
            };
            if task.life != Life::Queued {
                continue;
            }
            let event = match task.spec.group.is_empty() {
                true => ToExecutor::Launch {
                    task: task.spec.info.clone(),
                },
                false => {
                    let group = task.spec.group.iter();
                    let group = group.filter_map(|id| self.tasks.get(&(key.0.clone(), id.clone())));
                    ToExecutor::LaunchGroup {
                        tasks: group.map(|task| task.spec.info.clone()).collect(),
                    }
                }
            };
            let mut together = task.spec.group.clone();
            together.push(task_key.1.clone());
            for id in together {
                if let Some(task) = self.tasks.get_mut(&(key.0.clone(), id)) {
                    task.life = Life::Delivered;
                }
            }
            step.out.push(Effect::ToExecutor { stream, event });
        }
        if let Some(executor) = self.executors.get_mut(key) {
            executor.was_fed = true;
        }
    }

    /// Fits the limits of an executor's container to the tasks that it has now.
    pub(crate) fn resize(&self, step: &mut Step, key: &ExecutorKey) {
        let executor = self.executors.get(key).filter(|one| one.is_alive());
        if let Some(executor) = executor.filter(|one| one.pid.is_some()) {
            step.out.push(Effect::Resize {
                container: executor.container.clone(),
                executor: executor.spec.clone(),
                tasks: self.live_specs(key),
            });
        }
    }
}
