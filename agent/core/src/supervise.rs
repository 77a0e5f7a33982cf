//! Supervision: the life of each task, from its launch to the last word about it.
//!
//! Everything that makes a status update is here, so that a task ends once and every update is
//! stored before it is sent.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::task::PartitionAwareness;
use model::{ContainerId, ExecutorId, FrameworkId, Instant, Reason, Source, TaskId, TaskState};

use crate::agent::{Agent, COMPLETED_MAX, Owner, Step, TASKS_MAX};
use crate::checking;
use crate::checks::{Check, Outcome};
use crate::effect::{Deadline, Effect, Fact, Signal, Status};
use crate::event::{ExecutorKind, Exit, KillingState};
use crate::executor::{
    Doom, Ending, Life, Task, command_ended, ending, killed_during_launch, limitation,
};
use crate::status_updates::{Forward, Pushed, TaskKey};

impl Agent {
    pub(crate) fn launched(
        &mut self,
        step: &mut Step,
        container: &ContainerId,
        pid: u32,
        degraded: Option<String>,
    ) {
        let key = match self.containers.get(container).cloned() {
            Some(Owner::Task(key)) => key,
            Some(Owner::Executor(key)) => return self.executor_launched(step, &key, pid, degraded),
            Some(Owner::Check(_)) => return,
            None => return step.ignore(format!("launch of container {container}, unknown here")),
        };
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        // What is missing for a pod is missing for its tasks.
        let executor = (key.0.clone(), task.spec.executor.id.clone());
        let above = self.executors.get(&executor);
        let above = above.and_then(|executor| executor.degraded.clone());
        let all: Vec<String> = above.into_iter().chain(degraded).collect();
        let degraded = (!all.is_empty()).then(|| all.join("; "));
        match task.life {
            Life::Launching { doomed: Some(doom) } => {
                task.life = Life::Killing {
                    pid,
                    doom,
                    kill_at: None,
                };
                step.out.push(Effect::Kill {
                    container: container.clone(),
                    signal: Signal::Kill,
                });
            }
            Life::Launching { doomed: None } => {
                let complete_by = task.spec.max_completion_time.map(|time| step.now + time);
                task.life = Life::Running { pid, complete_by };
                self.timers.extend(complete_by.map(|at| (at, key.clone())));
                let is_told_of = task.state() == TaskState::Starting;
                if !is_told_of {
                    self.update(step, &key, by_executor(TaskState::Starting));
                }
                let running = Ending {
                    degraded,
                    ..by_executor(TaskState::Running)
                };
                self.update(step, &key, running);
                self.begin_checks(step.now, &key);
            }
            Life::Queued
            | Life::Delivered
            | Life::Running { .. }
            | Life::Killing { .. }
            | Life::Ended => {
                step.ignore(format!("second launch of container {container}"));
            }
        }
    }

    pub(crate) fn launch_failed(
        &mut self,
        step: &mut Step,
        container: &ContainerId,
        message: String,
    ) {
        let key = match self.containers.get(container).cloned() {
            Some(Owner::Task(key)) => key,
            Some(Owner::Executor(key)) => {
                return self.executor_launch_failed(step, &key, message);
            }
            Some(Owner::Check(probe)) => {
                let outcome = Outcome::Failed(message);
                return self.check_ended(step, container, &probe, &outcome);
            }
            None => return step.ignore(format!("launch of container {container}, unknown here")),
        };
        let doom = self.tasks.get(&key).and_then(|task| match task.life {
            Life::Launching { doomed } => doomed,
            Life::Queued
            | Life::Delivered
            | Life::Running { .. }
            | Life::Killing { .. }
            | Life::Ended => None,
        });
        let ending = match doom {
            Some(_) => killed_during_launch(),
            None => Ending {
                source: self.speaker_for(&key),
                ..Ending::by_agent(TaskState::Failed, Reason::ContainerLaunchFailed, message)
            },
        };
        self.end_task(step, &key, ending);
    }

    pub(crate) fn exited(&mut self, step: &mut Step, container: &ContainerId, exit: &Exit) {
        let key = match self.containers.get(container).cloned() {
            Some(Owner::Task(key)) => key,
            Some(Owner::Executor(key)) => return self.executor_ended(step, &key, exit),
            Some(Owner::Check(probe)) => {
                let outcome = checking::outcome(exit.status);
                return self.check_ended(step, container, &probe, &outcome);
            }
            None => return step.ignore(format!("end of container {container}, unknown here")),
        };
        let doom = self.tasks.get(&key).and_then(|task| match task.life {
            Life::Killing { doom, .. } => Some(doom),
            Life::Launching { doomed } => doomed,
            Life::Queued | Life::Delivered | Life::Running { .. } | Life::Ended => None,
        });
        let is_in_pod = self.speaker_for(&key) == Source::Executor;
        let ending = match (ending(doom, exit), limitation(exit)) {
            // Mesos' default executor speaks of limits itself, after what it saw.
            (limit, Some(_)) if is_in_pod => Ending {
                source: Source::Executor,
                message: format!("{}: {}", command_ended(exit.status), limit.message),
                ..limit
            },
            (ending, _) => ending,
        };
        let ending = match ending.state {
            TaskState::Gone => Ending {
                state: self.gone_for(&key.0),
                ..ending
            },
            _ => ending,
        };
        self.end_task(step, &key, ending);
    }

    /// Who speaks of what the agent finds out about a task: in a pod its executor, which sees to its
    /// containers itself.
    fn speaker_for(&self, key: &TaskKey) -> Source {
        let task = self.tasks.get(key);
        match task.map(|task| task.spec.executor.kind) {
            Some(ExecutorKind::Default) => Source::Executor,
            Some(ExecutorKind::Command | ExecutorKind::Custom) | None => Source::Agent,
        }
    }

    /// Kills a task as someone asked for it, in the way of whoever runs it.
    pub(crate) fn kill_as_asked(
        &mut self,
        step: &mut Step,
        key: &TaskKey,
        grace: Option<Duration>,
    ) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        match task.life {
            Life::Queued => self.kill_waiting(step, key),
            Life::Delivered => self.kill_delivered(step, key, grace),
            Life::Launching { .. } | Life::Running { .. } | Life::Killing { .. } => {
                let grace = task.grace(grace);
                self.kill(step, key, Doom::Requested, grace);
            }
            Life::Ended => {}
        }
    }

    /// Kills what the agent runs itself: SIGTERM, and SIGKILL after `grace`. A later kill can only
    /// bring SIGKILL nearer; after SIGKILL it is sent again.
    pub(crate) fn kill(&mut self, step: &mut Step, key: &TaskKey, doom: Doom, grace: Duration) {
        let container = self.tasks.get(key).and_then(|task| task.container.clone());
        let Some(container) = container else {
            return;
        };
        // Nobody asks how a task is that is told to end.
        self.stop_checks(step, &container);
        self.store_doom(step, key, doom, grace);
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let at = step.now + grace;
        match &mut task.life {
            Life::Launching { doomed } => {
                *doomed = Some(Doom::DuringLaunch);
                // What is still being brought to this node for it need not come.
                step.out.push(Effect::Kill {
                    container,
                    signal: Signal::Kill,
                });
            }
            Life::Running { pid, .. } => {
                let pid = *pid;
                if grace.is_zero() {
                    task.life = Life::Killing {
                        pid,
                        doom,
                        kill_at: None,
                    };
                    step.out.push(Effect::Kill {
                        container,
                        signal: Signal::Kill,
                    });
                } else {
                    task.life = Life::Killing {
                        pid,
                        doom,
                        kill_at: Some(at),
                    };
                    self.timers.insert((at, key.clone()));
                    step.out.push(Effect::Kill {
                        container,
                        signal: Signal::Terminate,
                    });
                }
                if matches!(doom, Doom::Requested | Doom::Unhealthy) && self.hears_of_kills(&key.0)
                {
                    self.update(step, key, by_executor(TaskState::Killing));
                }
            }
            Life::Killing { kill_at, .. } => match kill_at {
                Some(before) if at < *before => {
                    *before = at;
                    self.timers.insert((at, key.clone()));
                }
                Some(_) => {}
                None => step.out.push(Effect::Kill {
                    container,
                    signal: Signal::Kill,
                }),
            },
            Life::Queued | Life::Delivered | Life::Ended => {}
        }
    }

    /// Keeps what is wanted of a task's end, so that it comes whatever becomes of this process.
    fn store_doom(&mut self, step: &mut Step, key: &TaskKey, doom: Doom, grace: Duration) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let (doom, grace) = match task.life {
            Life::Launching { .. } => (Doom::DuringLaunch, Duration::ZERO),
            Life::Running { .. } => (doom, grace),
            // Only a nearer end is news.
            Life::Killing {
                doom,
                kill_at: Some(before),
                ..
            } if step.now + grace < before => (doom, grace),
            Life::Killing { .. } | Life::Queued | Life::Delivered | Life::Ended => return,
        };
        let deadline = Deadline::after(step.wall, grace);
        task.doomed = Some((doom, deadline));
        step.out.push(Effect::Store(Fact::Killing {
            framework_id: key.0.clone(),
            task_id: key.1.clone(),
            doom,
            deadline,
        }));
    }

    /// The task has ended: its container is gone, its terminal update is made.
    pub(crate) fn end_task(&mut self, step: &mut Step, key: &TaskKey, ending: Ending) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        if task.life == Life::Ended {
            return step.ignore(format!("second end of task {}", key.1));
        }
        let place = self.place_of(key);
        if let Some(task) = self.tasks.get_mut(key) {
            task.life = Life::Ended;
        }
        if let Some(container) = &place.container {
            self.stop_checks(step, container);
        }
        self.release_container(key);
        let state = ending.state;
        let status = self.status_at(step, key, ending, place);
        let spec = self.tasks.get(key).map(|task| task.spec.clone());
        self.tell(step, key, status);
        if let Some(spec) = spec.filter(|spec| spec.executor.kind == ExecutorKind::Default) {
            self.ended_in_pod(step, key, &spec, state);
        }
    }

    pub(crate) fn update(&mut self, step: &mut Step, key: &TaskKey, ending: Ending) {
        let place = self.place_of(key);
        let status = self.status_at(step, key, ending, place);
        self.tell(step, key, status);
    }

    fn status_at(&mut self, step: &Step, key: &TaskKey, ending: Ending, place: Place) -> Status {
        let checked = self.tasks.get(key);
        let checked = checked.and_then(|task| task.spec.checks.check.as_ref());
        let check = ending.check.or_else(|| match ending.source {
            // As in Mesos, what its executor says of a task that is checked has a result, if an
            // empty one.
            Source::Executor => checked.map(Check::no_result),
            Source::Agent | Source::Master => None,
        });
        let says_unhealthy = ending.state.is_terminal()
            && ending.source == Source::Executor
            && self.is_unhealthy(key);
        let healthy = ending.healthy.or(says_unhealthy.then_some(false));
        Status {
            executor_id: place.executor_id,
            container: place.container,
            pid: place.pid,
            check,
            healthy,
            ..self.status(step, &key.1, ending)
        }
    }

    /// Where a task is, for its statuses. One that waits for its executor is nowhere.
    fn place_of(&self, key: &TaskKey) -> Place {
        let Some(task) = self.tasks.get(key) else {
            return Place::default();
        };
        let executor_id = &task.spec.executor.id;
        let is_placed = task.container.is_some();
        let executor = (key.0.clone(), executor_id.clone());
        Place {
            executor_id: is_placed.then(|| executor_id.clone()),
            container: match task.life {
                Life::Queued => None,
                Life::Delivered
                | Life::Launching { .. }
                | Life::Running { .. }
                | Life::Killing { .. }
                | Life::Ended => task.container.clone(),
            },
            pid: match task.life {
                Life::Delivered => self.executors.get(&executor).and_then(|one| one.pid),
                Life::Queued
                | Life::Launching { .. }
                | Life::Running { .. }
                | Life::Killing { .. }
                | Life::Ended => task.pid(),
            },
        }
    }

    /// Stores an update and sends it, or drops it where nobody is told; then a task that has ended
    /// is forgotten.
    pub(crate) fn tell(&mut self, step: &mut Step, key: &TaskKey, mut status: Status) {
        if !self.is_told(&key.0) {
            if self
                .tasks
                .get(key)
                .is_some_and(|task| task.life == Life::Ended)
            {
                step.out.push(Effect::Store(Fact::Forgotten {
                    framework_id: key.0.clone(),
                    task_id: key.1.clone(),
                }));
                self.forget_task(key);
            }
            return;
        }
        if let Some(state) = self.state_while_draining(key, status.state) {
            status.state = state;
            status.reason = Some(Reason::AgentDraining);
        }
        let fact = Fact::Update {
            framework_id: key.0.clone(),
            status: status.clone(),
        };
        let Some(forward) = self.keep_update(step.now, key, &status) else {
            return step.ignore(format!("update past the bound of task {}", key.1));
        };
        step.out.push(Effect::Store(fact));
        step.out.push(Effect::TaskChanged {
            framework_id: key.0.clone(),
            status,
        });
        if let Some(head) = forward {
            self.forward(step, head);
        }
    }

    /// Puts an update where it belongs; `None` where there is no place for it.
    pub(crate) fn keep_update(
        &mut self,
        now: Instant,
        key: &TaskKey,
        status: &Status,
    ) -> Option<Option<Forward>> {
        let task = self.tasks.get_mut(key)?;
        match self.updates.push(now, key, status.clone()) {
            Pushed::Queued(forward) => {
                task.statuses.push(status.clone());
                Some(forward)
            }
            Pushed::Refused => None,
        }
    }

    fn status(&mut self, step: &Step, task_id: &TaskId, ending: Ending) -> Status {
        Status {
            task_id: task_id.clone(),
            executor_id: None,
            state: ending.state,
            source: ending.source,
            reason: ending.reason,
            message: (!ending.message.is_empty()).then_some(ending.message),
            uuid: self.random.uuid(),
            timestamp: step.wall,
            container: None,
            pid: None,
            limitation: ending.limitation,
            healthy: ending.healthy,
            check: None,
            degraded: ending.degraded,
            given: None,
        }
    }

    /// Answers for a task that this agent does not hold, and again until that is acknowledged: its
    /// framework may be away. The answer is not stored: should it be lost with its link, the next
    /// registration brings the question back. So it does past [`TASKS_MAX`] answers, which are sent once.
    pub(crate) fn answer_unknown(&mut self, step: &mut Step, key: &TaskKey, reason: Reason) {
        let known = self.frameworks.get(&key.0);
        let partition = known.map_or(PartitionAwareness::Aware, |e| e.framework.partition);
        let message = match reason {
            Reason::ContainerLaunchFailed => {
                format!("This agent already holds {TASKS_MAX} tasks, its bound")
            }
            _ => "Reconciliation: task unknown to the agent".to_string(),
        };
        let status = self.status(
            step,
            &key.1,
            Ending::by_agent(dropped(partition), reason, message),
        );
        step.out.push(Effect::TaskChanged {
            framework_id: key.0.clone(),
            status: status.clone(),
        });
        let once = Forward {
            framework_id: key.0.clone(),
            latest: status.state,
            status: status.clone(),
        };
        let heads = match self.answers.tasks() < TASKS_MAX {
            true => match self.answers.push(step.now, key, status) {
                Pushed::Queued(head) => head.into_iter().collect(),
                // An answer waits already.
                Pushed::Refused => self.answers.hasten(step.now, &key.0),
            },
            false => alloc::vec![once],
        };
        for head in heads {
            self.forward(step, head);
        }
    }

    pub(crate) fn forget_task(&mut self, key: &TaskKey) {
        self.updates.forget(key);
        self.release_container(key);
        let Some(task) = self.tasks.remove(key) else {
            return;
        };
        let executor = (key.0.clone(), task.spec.executor.id.clone());
        if self.completed.len() >= COMPLETED_MAX {
            self.completed.pop_front();
        }
        self.completed.push_back((key.0.clone(), task));
        self.forget_executor(&executor);
    }

    /// The container of a task that has ended names it no longer; an executor's stays.
    pub(crate) fn release_container(&mut self, key: &TaskKey) {
        let container = self.tasks.get(key).and_then(|task| task.container.clone());
        let own = container
            .filter(|container| self.containers.get(container) == Some(&Owner::Task(key.clone())));
        if let Some(container) = own {
            self.containers.remove(&container);
        }
    }

    pub(crate) fn run_task_timers(&mut self, step: &mut Step) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > step.now {
                break;
            }
            self.timers.remove(&(at, key.clone()));
            let Some(task) = self.tasks.get_mut(&key) else {
                continue;
            };
            if task.deadline().is_none_or(|deadline| deadline > step.now) {
                continue;
            }
            match &mut task.life {
                Life::Running { .. } => self.kill(step, &key, Doom::OutOfTime, Duration::ZERO),
                Life::Killing { kill_at, .. } => {
                    *kill_at = None;
                    if let Some(container) = task.container.clone() {
                        step.out.push(Effect::Kill {
                            container,
                            signal: Signal::Kill,
                        });
                    }
                }
                Life::Queued | Life::Delivered | Life::Launching { .. } | Life::Ended => {}
            }
        }
    }

    pub(crate) fn set_timer(&mut self, key: &TaskKey) {
        let at = self.tasks.get(key).and_then(Task::deadline);
        self.timers.extend(at.map(|at| (at, key.clone())));
    }

    fn hears_of_kills(&self, framework_id: &FrameworkId) -> bool {
        self.frameworks
            .get(framework_id)
            .is_some_and(|entry| entry.framework.killing == KillingState::Told)
    }
}

/// Where a task is.
#[derive(Debug, Default)]
struct Place {
    executor_id: Option<ExecutorId>,
    container: Option<ContainerId>,
    pid: Option<u32>,
}

/// The state of a task that never was launched.
pub(crate) fn dropped(partition: PartitionAwareness) -> TaskState {
    TaskState::Dropped.for_framework(partition)
}

/// A state that goes on, in the executor's name.
pub(crate) fn by_executor(state: TaskState) -> Ending {
    Ending {
        state,
        source: Source::Executor,
        reason: None,
        message: String::new(),
        limitation: None,
        healthy: None,
        check: None,
        degraded: None,
    }
}
