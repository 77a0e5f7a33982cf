//! How executors end: asked to, killed when their time is up, or by themselves.
//!
//! What the agent means by an end is noted before the container is killed; its tasks end as that
//! says once the container is gone, each with one update.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::{FrameworkId, Reason, TaskState};

use crate::agent::{Agent, FrameworkStanding, Step};
use crate::effect::{Deadline, Effect, Fact, Signal};
use crate::event::{ExecutorKind, Exit, ExitStatus, Expected};
use crate::executor::{Ending, Task, limitation};
use crate::executor_api::ToExecutor;
use crate::executors::{ExecutorKey, ExecutorLife, Window};
use crate::status_updates::TaskKey;

impl Agent {
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
        let grace = executor.spec.shutdown_grace.unwrap_or(grace);
        let kill_at = step.now + grace;
        let deadline = Deadline::after(step.wall, grace);
        executor.ending = Some(deadline);
        step.out.push(Effect::Store(Fact::ExecutorEnding {
            framework_id: key.0.clone(),
            executor_id: key.1.clone(),
            deadline,
        }));
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
                self.gone_for(&key.0),
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
            self.tell_exited(step, key, wait_status);
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
    pub(crate) fn is_over(&self, key: &ExecutorKey, expected: Expected) -> Option<&'static str> {
        let Some(executor) = self.executors.get(key) else {
            return match expected {
                Expected::New => None,
                Expected::Running => {
                    Some("No executor is expected to launch and there is no executor running")
                }
            };
        };
        match executor.life {
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
