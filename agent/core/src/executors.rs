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
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::{ContainerId, ExecutorId, FrameworkId, Instant, Reason, TaskId, TaskState};

use crate::agent::{Agent, FrameworkStanding, Step};
use crate::containers::RequestId;
use crate::effect::{Effect, Fact, Signal, Start, ToMaster};
use crate::event::{ExecutorKind, ExecutorSpec, Exit, ExitStatus, TaskSpec};
use crate::executor::{Ending, Life, Task, limitation};
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
    /// Where it stands.
    pub life: ExecutorLife,
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
            pending: None,
            was_fed: false,
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

    pub(crate) fn executor_launched(&mut self, step: &mut Step, key: &ExecutorKey, pid: u32) {
        let Some(executor) = self.executors.get_mut(key) else {
            return;
        };
        executor.pid = Some(pid);
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

    /// Asks an executor to end, and kills it when its grace period is over.
    pub(crate) fn shut_down(&mut self, step: &mut Step, key: &ExecutorKey) {
        let grace = self.settings.shutdown_grace;
        let Some(executor) = self.executors.get_mut(key) else {
            return;
        };
        let stream = match executor.life {
            ExecutorLife::Registering { .. } => None,
            ExecutorLife::Running { stream } => stream,
            ExecutorLife::Terminating { .. } | ExecutorLife::Terminated => return,
        };
        let kill_at = step.now + executor.spec.shutdown_grace.unwrap_or(grace);
        executor.life = ExecutorLife::Terminating {
            kill_at: Some(kill_at),
            stream,
        };
        let kind = executor.spec.kind;
        self.executor_timers.insert((kill_at, key.clone()));
        self.executor_changed(step, key, "shuts down");
        if let Some(stream) = stream {
            step.out.push(Effect::ToExecutor {
                stream,
                event: ToExecutor::Shutdown,
            });
        }
        if kind == ExecutorKind::Default {
            self.shut_pod_down(step, key);
        }
    }

    /// Kills an executor at once; its tasks end as `pending` says.
    pub(crate) fn destroy(&mut self, step: &mut Step, key: &ExecutorKey, pending: Option<Ending>) {
        if let Some(executor) = self.executors.get_mut(key) {
            executor.life = ExecutorLife::Terminating {
                kill_at: None,
                stream: executor.stream(),
            };
            executor.pending = executor.pending.take().or(pending);
            let container = executor.container.clone();
            step.out.push(Effect::Kill {
                container,
                signal: Signal::Kill,
            });
        }
    }

    pub(crate) fn run_executor_timers(&mut self, step: &mut Step) {
        while let Some((at, key)) = self.executor_timers.first().cloned() {
            if at > step.now {
                break;
            }
            self.executor_timers.remove(&(at, key.clone()));
            let Some(executor) = self.executors.get(&key) else {
                continue;
            };
            if executor.deadline().is_none_or(|by| by > step.now) {
                continue;
            }
            let pending = match executor.life {
                ExecutorLife::Registering { window, .. } => Some(self.too_late(&key, window)),
                ExecutorLife::Terminating { .. } => None,
                ExecutorLife::Running { .. } | ExecutorLife::Terminated => continue,
            };
            self.executor_changed(step, &key, "is killed, its time is up");
            self.destroy(step, &key, pending);
        }
    }

    fn too_late(&self, key: &ExecutorKey, window: Window) -> Ending {
        let partition = self.frameworks.get(&key.0).map(|e| e.framework.partition);
        let settings = &self.settings;
        match window {
            Window::Launch => Ending::by_agent(
                TaskState::Failed,
                Reason::ExecutorRegistrationTimeout,
                format!(
                    "Executor did not register within {}",
                    model::duration::format(settings.executor_registration_timeout)
                ),
            ),
            Window::Restart => Ending::by_agent(
                partition.map_or(TaskState::Gone, |partition| {
                    TaskState::Gone.for_framework(partition)
                }),
                Reason::ExecutorReregistrationTimeout,
                format!(
                    "Executor did not reregister within {}",
                    model::duration::format(settings.executor_reregistration_timeout)
                ),
            ),
        }
    }

    /// An executor's container is gone: so are its tasks.
    pub(crate) fn executor_ended(&mut self, step: &mut Step, key: &ExecutorKey, exit: &Exit) {
        let executor = self.executors.get(key);
        let is_pod = executor.is_some_and(|one| one.spec.kind == ExecutorKind::Default);
        let wait_status = match exit.status {
            // Mesos' executor ends by itself, with success, when it has nothing left to do.
            _ if is_pod && self.live_tasks(key).is_empty() => 0,
            ExitStatus::Code(code) => i32::from(code) << 8,
            ExitStatus::Signal(signal) => i32::from(signal),
            ExitStatus::Unknown => -1,
        };
        let limit = limitation(exit);
        self.executor_gone(step, key, wait_status, limit);
    }

    pub(crate) fn executor_launch_failed(
        &mut self,
        step: &mut Step,
        key: &ExecutorKey,
        message: String,
    ) {
        let ending = Ending::by_agent(TaskState::Failed, Reason::ContainerLaunchFailed, message);
        self.executor_gone(step, key, -1, Some(ending));
    }

    /// `why` is what the container's end says by itself; what the agent meant by it comes first.
    pub(crate) fn executor_gone(
        &mut self,
        step: &mut Step,
        key: &ExecutorKey,
        wait_status: i32,
        why: Option<Ending>,
    ) {
        let Some(executor) = self.executors.get(key).filter(|one| one.is_alive()) else {
            return;
        };
        let ending = match (executor.pending.clone(), why) {
            (Some(pending), Some(why)) => Ending {
                message: format!("{}; {}", pending.message, why.message),
                ..why
            },
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Ending::by_agent(
                TaskState::Failed,
                Reason::ExecutorTerminated,
                "Executor terminated",
            ),
        };
        if let Some(stream) = executor.stream() {
            step.out.push(Effect::CloseExecutor { stream });
        }
        self.executor_changed(step, key, "is gone");
        let tasks = self.live_tasks(key);
        let fact = Fact::ExecutorEnded {
            framework_id: key.0.clone(),
            executor_id: key.1.clone(),
        };
        // Its tasks end before it does, so that it is forgotten with the last of them.
        if let Some(executor) = self.executors.get_mut(key) {
            executor.life = ExecutorLife::Terminating {
                kill_at: None,
                stream: None,
            };
        }
        for task in tasks {
            self.end_with_executor(step, &task, &ending);
        }
        if self.is_told(&key.0) {
            self.send(
                step,
                ToMaster::ExecutorExited {
                    framework_id: key.0.clone(),
                    executor_id: key.1.clone(),
                    wait_status,
                },
            );
        }
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
    }

    /// Forgets an executor that is gone once nobody waits for what it did, and its framework with
    /// the last of them.
    pub(crate) fn forget_executor(&mut self, key: &ExecutorKey) {
        let gone = self.executors.get(key).is_some_and(|one| !one.is_alive());
        let is_its =
            |(of, task): (&TaskKey, &Task)| of.0 == key.0 && task.spec.executor.id == key.1;
        if gone && !self.tasks.iter().any(is_its) {
            self.executors.remove(key);
        }
        let has_tasks = self.tasks.keys().any(|other| other.0 == key.0);
        let has_executors = self.executors.keys().any(|other| other.0 == key.0);
        if !has_tasks && !has_executors {
            if let Some(entry) = self.frameworks.remove(&key.0) {
                self.past.insert(key.0.clone(), entry.framework);
            }
            let completed = &self.completed;
            let is_told = |id: &FrameworkId| completed.iter().any(|(of, _)| of == id);
            self.past.retain(|id, _| is_told(id));
        }
    }

    /// What keeps an executor from taking tasks; `None` for one that does, or is yet to be made.
    pub(crate) fn is_over(&self, key: &ExecutorKey) -> Option<&'static str> {
        match self.executors.get(key)?.life {
            ExecutorLife::Terminating { .. } => Some("Executor terminating"),
            ExecutorLife::Terminated => Some("Executor terminated"),
            ExecutorLife::Registering { .. } | ExecutorLife::Running { .. } => None,
        }
    }

    /// Shuts every executor down that is wanted so.
    pub(crate) fn shut_down_all(
        &mut self,
        step: &mut Step,
        wanted: impl Fn(&ExecutorKey) -> bool,
    ) -> usize {
        let keys = self.executors.keys().filter(|key| wanted(key));
        let keys: Vec<ExecutorKey> = keys.cloned().collect();
        for key in &keys {
            self.shut_down(step, key);
        }
        keys.len()
    }

    /// Whether its tasks' framework was shut down.
    pub(crate) fn is_gone(&self, framework_id: &FrameworkId) -> bool {
        let entry = self.frameworks.get(framework_id);
        entry.is_some_and(|entry| entry.standing == FrameworkStanding::Gone)
    }

    /// Ends a task that was not given to its executor yet, with its whole group.
    pub(crate) fn kill_waiting(&mut self, step: &mut Step, key: &TaskKey) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        let executor = (key.0.clone(), task.spec.executor.id.clone());
        let (ids, message) = match task.spec.group.is_empty() {
            true => (
                Vec::from([key.1.clone()]),
                "Killed before delivery to the executor",
            ),
            false => (
                task.spec.group.clone(),
                "A task within the task group was killed before delivery to the executor",
            ),
        };
        for id in ids {
            let ending = Ending::by_agent(
                TaskState::Killed,
                Reason::TaskKilledDuringLaunch,
                message.to_string(),
            );
            self.end_task(step, &(key.0.clone(), id), ending);
        }
        let never_fed = self
            .executors
            .get(&executor)
            .is_some_and(|one| !one.was_fed && matches!(one.life, ExecutorLife::Running { .. }));
        if never_fed && self.live_tasks(&executor).is_empty() {
            self.shut_down(step, &executor);
        }
    }
}
