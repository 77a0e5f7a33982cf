//! Supervision: the life of each task, from its launch to the last word about it.
//!
//! Everything that makes a status update is here, so that a task ends once and every update is
//! stored before it is sent.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use model::task::PartitionAwareness;
use model::{ContainerId, FrameworkId, Instant, Reason, Source, TaskId, TaskState};

use crate::agent::{Agent, COMPLETED_MAX, Step, TASKS_MAX};
use crate::checks::Check;
use crate::effect::{Effect, Fact, Signal, Status, ToMaster};
use crate::event::{Exit, KillingState};
use crate::executor::{Doom, Ending, Life, Task, ending, killed_during_launch};
use crate::status_updates::{Forward, Pushed, TaskKey};

impl Agent {
    pub(crate) fn launched(&mut self, step: &mut Step, container: &ContainerId, pid: u32) {
        let Some(key) = self.containers.get(container).cloned() else {
            return step.ignore(format!("launch of container {container}, unknown here"));
        };
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
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
                self.update(step, &key, by_executor(TaskState::Starting));
                self.update(step, &key, by_executor(TaskState::Running));
                self.begin_checks(step.now, &key);
            }
            Life::Running { .. } | Life::Killing { .. } | Life::Ended => {
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
        let Some(key) = self.containers.get(container).cloned() else {
            return step.ignore(format!("launch of container {container}, unknown here"));
        };
        let doom = self.tasks.get(&key).and_then(|task| match task.life {
            Life::Launching { doomed } => doomed,
            Life::Running { .. } | Life::Killing { .. } | Life::Ended => None,
        });
        let ending = match doom {
            Some(_) => killed_during_launch(),
            None => Ending::by_agent(TaskState::Failed, Reason::ContainerLaunchFailed, message),
        };
        self.end_task(step, &key, ending);
    }

    pub(crate) fn exited(&mut self, step: &mut Step, container: &ContainerId, exit: &Exit) {
        let Some(key) = self.containers.get(container).cloned() else {
            return step.ignore(format!("end of container {container}, unknown here"));
        };
        let doom = self.tasks.get(&key).and_then(|task| match task.life {
            Life::Killing { doom, .. } => Some(doom),
            Life::Launching { doomed } => doomed,
            Life::Running { .. } | Life::Ended => None,
        });
        self.end_task(step, &key, ending(doom, exit));
    }

    /// Kills a task: SIGTERM, and SIGKILL after `grace`. A later kill can only bring SIGKILL
    /// nearer; after SIGKILL it is sent again.
    pub(crate) fn kill(&mut self, step: &mut Step, key: &TaskKey, doom: Doom, grace: Duration) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let Some(container) = task.container.clone() else {
            return;
        };
        // Nobody asks how a task is that is told to end.
        for probe in self.checkers.stop(&container) {
            step.out.push(Effect::EndProbe { probe });
        }
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
            Life::Ended => {}
        }
    }

    /// The task has ended: its container is gone, its terminal update is made.
    pub(crate) fn end_task(&mut self, step: &mut Step, key: &TaskKey, ending: Ending) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        if task.life == Life::Ended {
            return step.ignore(format!("second end of task {}", key.1));
        }
        let pid = task.pid();
        task.life = Life::Ended;
        if let Some(container) = task.container.clone() {
            self.containers.remove(&container);
            for probe in self.checkers.stop(&container) {
                step.out.push(Effect::EndProbe { probe });
            }
        }
        if !self.is_told(&key.0) {
            step.out.push(Effect::Store(Fact::Forgotten {
                framework_id: key.0.clone(),
                task_id: key.1.clone(),
            }));
            return self.forget_task(key);
        }
        self.update_of(step, key, ending, pid);
    }

    pub(crate) fn update(&mut self, step: &mut Step, key: &TaskKey, ending: Ending) {
        let pid = self.tasks.get(key).and_then(Task::pid);
        self.update_of(step, key, ending, pid);
    }

    pub(crate) fn update_of(
        &mut self,
        step: &mut Step,
        key: &TaskKey,
        ending: Ending,
        pid: Option<u32>,
    ) {
        if !self.is_told(&key.0) {
            return;
        }
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        let ending = match self.state_while_draining(key, ending.state) {
            Some(state) => Ending {
                state,
                reason: Some(Reason::AgentDraining),
                ..ending
            },
            None => ending,
        };
        let check = ending.check.or_else(|| match ending.source {
            // As in Mesos, what its executor says of a task that is checked has a result, if an
            // empty one.
            Source::Executor => task.spec.checks.check.as_ref().map(Check::no_result),
            Source::Agent | Source::Master => None,
        });
        let executor_id = task
            .container
            .is_some()
            .then(|| task.spec.executor_id.clone());
        let status = Status {
            executor_id,
            container: task.container.clone(),
            pid,
            check,
            ..self.status(step, &key.1, ending)
        };
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
            memory_limit_bytes: ending.memory_limit_bytes,
            healthy: ending.healthy,
            check: None,
        }
    }

    /// Answers for a task that this agent does not hold. The answer is neither stored nor sent
    /// again: should it be lost with its link, the next registration brings the question back.
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
        let latest = status.state;
        self.send(
            step,
            ToMaster::Update {
                framework_id: key.0.clone(),
                status,
                latest,
            },
        );
    }

    pub(crate) fn forget_task(&mut self, key: &TaskKey) {
        self.updates.forget(key);
        let Some(task) = self.tasks.remove(key) else {
            return;
        };
        if let Some(container) = &task.container {
            self.containers.remove(container);
        }
        if self.completed.len() >= COMPLETED_MAX {
            self.completed.pop_front();
        }
        self.completed.push_back((key.0.clone(), task));
        let last = self.tasks.keys().all(|other| other.0 != key.0);
        if last {
            self.frameworks.remove(&key.0);
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
                Life::Launching { .. } | Life::Ended => {}
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
        memory_limit_bytes: None,
        healthy: None,
        check: None,
    }
}
