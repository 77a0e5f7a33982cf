//! Recovery: the state from the checkpoint's facts, and the facts from the state.
//!
//! Facts are applied by the same function whether they come from the checkpoint or are made now. What
//! is still there of what the checkpoint expects goes on as if nothing had been: a launch is told of
//! that nobody was told of, a kill under way has what is left of its grace, checks begin again. What is
//! not ends in TASK_FAILED, or in TASK_LOST or TASK_DROPPED where it never ran, with
//! REASON_AGENT_RESTARTED.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use model::sandbox::Lacks;
use model::{ContainerId, Instant, Reason, TaskState};

use crate::agent::{Agent, Entry, FrameworkStanding, Owner, Phase, Step};
use crate::effect::{Deadline, Effect, Fact, Signal, Status};
use crate::event::{ExecutorKind, Exit, ExitStatus, Framework, Restarts};
use crate::executor::{self, Doom, Ending, Life, Task};
use crate::executors::{Executor, ExecutorKey, ExecutorLife, Window};
use crate::status_updates::TaskKey;
use crate::supervise::{by_executor, dropped};

impl Agent {
    /// The containers that may be there by what was recovered. All others are to be ended before the
    /// recovery is, and so are those of frameworks that do not want theirs to outlive a restart.
    pub fn expected(&self) -> impl Iterator<Item = &ContainerId> {
        let framework = |owner: &Owner| match owner {
            Owner::Task((framework, _)) | Owner::Executor((framework, _)) => {
                self.frameworks.get(framework)
            }
            Owner::Check(_) => None,
        };
        let outlives = move |owner| {
            framework(owner).is_some_and(|entry| entry.framework.restarts == Restarts::Outlived)
        };
        let all = self.containers.iter();
        all.filter(move |(_, owner)| outlives(owner))
            .map(|(container, _)| container)
    }

    /// Applies one fact. One that does not fit what came before is passed over: the log is ours,
    /// and a fact of a task that is gone can only be late.
    pub(crate) fn recover(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { incarnation } => self.registration.incarnation = *incarnation,
            Fact::Admitted { agent_id } => self.registration.agent_id = Some(agent_id.clone()),
            Fact::Expelled => {
                self.registration.agent_id = None;
                for key in self.tasks.keys().cloned().collect::<Vec<_>>() {
                    self.forget_task(&key);
                }
                for executor in core::mem::take(&mut self.executors).into_values() {
                    self.containers.remove(&executor.container);
                }
                self.frameworks.clear();
                // Reservations and volumes are the node's, whatever its id.
                self.operations.clear();
                self.drain = None;
            }
            Fact::Executor {
                framework,
                executor,
                container,
            } => {
                let key = (framework.id.clone(), executor.id.clone());
                self.note_framework(framework);
                self.containers
                    .insert(container.clone(), Owner::Executor(key.clone()));
                let executor = Executor::new(executor.clone(), container.clone());
                self.executors.insert(key, executor);
            }
            Fact::ExecutorEnded {
                framework_id,
                executor_id,
            } => {
                let key = (framework_id.clone(), executor_id.clone());
                if let Some(executor) = self.executors.get_mut(&key) {
                    executor.life = ExecutorLife::Terminated;
                    executor.pid = None;
                    self.containers.remove(&executor.container);
                }
                self.forget_executor(&key);
            }
            Fact::Task {
                framework,
                task,
                container,
            } => {
                let key = (framework.id.clone(), task.id.clone());
                self.note_framework(framework);
                let life = match task.executor.kind {
                    ExecutorKind::Command => Life::Launching { doomed: None },
                    ExecutorKind::Custom | ExecutorKind::Default => Life::Queued,
                };
                // The container of a custom executor's task is the executor's.
                let own = container
                    .clone()
                    .filter(|_| task.executor.kind != ExecutorKind::Custom);
                if let Some(container) = own {
                    self.containers.insert(container, Owner::Task(key.clone()));
                }
                let task = Task {
                    spec: task.clone(),
                    container: container.clone(),
                    life,
                    doomed: None,
                    statuses: Vec::new(),
                };
                self.tasks.insert(key, task);
            }
            Fact::Killing {
                framework_id,
                task_id,
                doom,
                deadline,
            } => {
                if let Some(task) = self.tasks.get_mut(&(framework_id.clone(), task_id.clone())) {
                    task.doomed = Some((*doom, *deadline));
                }
            }
            Fact::ExecutorEnding {
                framework_id,
                executor_id,
                deadline,
            } => {
                let key = (framework_id.clone(), executor_id.clone());
                if let Some(executor) = self.executors.get_mut(&key) {
                    executor.ending = Some(*deadline);
                }
            }
            Fact::Update {
                framework_id,
                status,
            } => {
                let key = (framework_id.clone(), status.task_id.clone());
                self.keep_update(Instant::ZERO, &key, status);
                if status.state.is_terminal()
                    && let Some(task) = self.tasks.get_mut(&key)
                {
                    task.life = Life::Ended;
                    self.release_container(&key);
                }
            }
            Fact::Acknowledged {
                framework_id,
                task_id,
                uuid,
            } => {
                let key = (framework_id.clone(), task_id.clone());
                let ended = crate::status_updates::Acknowledged::Ended;
                if self.updates.acknowledge(Instant::ZERO, &key, *uuid) == ended {
                    self.forget_task(&key);
                }
            }
            Fact::Forgotten {
                framework_id,
                task_id,
            } => self.forget_task(&(framework_id.clone(), task_id.clone())),
            Fact::FrameworkGone { framework_id } => {
                if let Some(entry) = self.frameworks.get_mut(framework_id) {
                    entry.standing = FrameworkStanding::Gone;
                }
                let all = self.tasks.iter().filter(|(key, _)| key.0 == *framework_id);
                let (ended, alive): (Vec<_>, Vec<_>) = all
                    .map(|(key, task)| (key.clone(), task.life == Life::Ended))
                    .partition(|(_, ended)| *ended);
                for (key, _) in &alive {
                    self.updates.forget(key);
                }
                for (key, _) in &ended {
                    self.forget_task(key);
                }
            }
            Fact::FrameworkUpdated { framework } => {
                if let Some(entry) = self.frameworks.get_mut(&framework.id) {
                    entry.framework = framework.clone();
                }
            }
            Fact::Operation {
                operation,
                status,
                kept,
            } => {
                if let Some(kept) = kept {
                    self.holdings.keep(kept.clone());
                }
                self.operations.push(operation.clone(), status.clone());
            }
            Fact::OperationAcknowledged { operation } => self.operations.forget(*operation),
            Fact::Kept { kept, doomed } => {
                self.holdings.keep(kept.clone());
                for volume in doomed {
                    self.holdings.doom(volume.clone());
                }
            }
            Fact::VolumeDestroyed { volume } => self.holdings.destroyed(volume),
            Fact::Draining(drain) => self.drain = *drain,
        }
    }

    fn note_framework(&mut self, framework: &Framework) {
        let entry = self.frameworks.entry(framework.id.clone());
        let new = || Entry {
            framework: framework.clone(),
            standing: FrameworkStanding::Active,
        };
        entry.or_insert_with(new).framework = framework.clone();
    }

    /// The checkpoint is read: counts this start, takes up what is alive, ends what is not, and
    /// looks for a master.
    pub(crate) fn end_recovery(&mut self, step: &mut Step, alive: &BTreeMap<ContainerId, u32>) {
        if self.phase != Phase::Recovering {
            return;
        }
        self.phase = Phase::Active;
        self.registration.incarnation += 1;
        step.out.push(Effect::Store(Fact::Started {
            incarnation: self.registration.incarnation,
        }));
        for key in self.executors.keys().cloned().collect::<Vec<_>>() {
            self.take_up_executor(step, &key, alive);
        }
        for key in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.take_up(step, &key, alive);
        }
        self.end_lost_executors(step, alive);
        for key in self.executors.keys().cloned().collect::<Vec<_>>() {
            // Its tasks may be others than those that it was launched for.
            self.resize(step, &key);
            // The last task of a pod may have ended just before the pod was to.
            self.end_empty_pod(step, &key);
        }
        self.drain_tasks(step);
        // A crash may have come between the end of a volume and that of its data.
        let doomed = self.holdings.doomed().cloned();
        step.out
            .extend(doomed.map(|volume| Effect::DestroyVolume { volume }));
        self.registration.start(step.now);
    }

    /// An executor that is alive has to subscribe again; a pod runs as it did. One that was told to end
    /// has what is left of its time.
    fn take_up_executor(
        &mut self,
        step: &mut Step,
        key: &ExecutorKey,
        alive: &BTreeMap<ContainerId, u32>,
    ) {
        let told = self.is_told(&key.0);
        let by = step.now + self.settings.executor_reregistration_timeout;
        let Some(executor) = self.executors.get_mut(key).filter(|one| one.is_alive()) else {
            return;
        };
        executor.pid = alive.get(&executor.container).copied();
        executor.was_fed = true;
        if executor.pid.is_none() {
            return;
        }
        executor.life = match (executor.ending, executor.spec.kind) {
            (Some(deadline), _) => ExecutorLife::Terminating {
                kill_at: Some(step.now + deadline.left(step.wall)),
                stream: None,
            },
            (None, ExecutorKind::Default) => ExecutorLife::Running { stream: None },
            (None, ExecutorKind::Custom | ExecutorKind::Command) => ExecutorLife::Registering {
                by,
                window: Window::Restart,
            },
        };
        let at = executor.deadline();
        self.executor_timers.extend(at.map(|at| (at, key.clone())));
        if !told {
            self.destroy(step, key, None);
        }
    }

    fn end_lost_executors(&mut self, step: &mut Step, alive: &BTreeMap<ContainerId, u32>) {
        let lost = self.executors.iter().filter(|(_, executor)| {
            executor.is_alive() && !alive.contains_key(&executor.container)
        });
        let lost: Vec<ExecutorKey> = lost.map(|(key, _)| key.clone()).collect();
        for (framework_id, executor_id) in lost {
            let fact = Fact::ExecutorEnded {
                framework_id,
                executor_id,
            };
            self.recover(&fact);
            step.out.push(Effect::Store(fact));
        }
    }

    fn take_up(&mut self, step: &mut Step, key: &TaskKey, alive: &BTreeMap<ContainerId, u32>) {
        let told = self.is_told(&key.0);
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        if task.life == Life::Ended {
            return;
        }
        let container = task.container.clone();
        let pid = container.as_ref().and_then(|id| alive.get(id)).copied();
        if pid.is_some() && task.spec.executor.kind == ExecutorKind::Custom {
            // What it was not given it does not list, either.
            task.life = Life::Delivered;
            return;
        }
        if let (Some(container), Some(pid)) = (container.clone(), pid) {
            // A framework that is gone will not ask, so its task is killed at once.
            let doomed = match told {
                true => task.doomed,
                false => Some((Doom::Requested, Deadline::after(step.wall, Duration::ZERO))),
            };
            return match doomed {
                Some((doom, deadline)) => {
                    self.go_on_killing(step, key, (container, pid), doom, deadline);
                }
                None => self.go_on_running(step, key, pid),
            };
        }
        if let Some((doom, _)) = task.doomed {
            let exit = Exit {
                status: ExitStatus::Unknown,
                limit: None,
                lacks: Lacks::NONE,
            };
            return self.end_task(step, key, executor::ending(Some(doom), &exit));
        }
        let partition = self.frameworks.get(&key.0).map(|e| e.framework.partition);
        let ran = task.state() != TaskState::Staging;
        let ending = match (ran, partition) {
            (true, _) | (false, None) => Ending::by_agent(
                TaskState::Failed,
                Reason::AgentRestarted,
                "The agent restarted and the task did not outlive it",
            ),
            (false, Some(partition)) => Ending::by_agent(
                dropped(partition),
                Reason::AgentRestarted,
                "The agent restarted during the task's launch",
            ),
        };
        self.end_task(step, key, ending);
    }

    /// A task that runs goes on; where its launch was not told of yet, it is now.
    fn go_on_running(&mut self, step: &mut Step, key: &TaskKey, pid: u32) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let since = task.statuses.iter();
        let mut since = since.filter(|status| status.state == TaskState::Running);
        let complete_by = task.spec.max_completion_time.map(|time| {
            let since = since.next().map_or(step.wall, |status| status.timestamp);
            step.now + Deadline::after(since, time).left(step.wall)
        });
        let state = task.state();
        task.life = Life::Running { pid, complete_by };
        self.set_timer(key);
        if state == TaskState::Staging {
            self.update(step, key, by_executor(TaskState::Starting));
        }
        if matches!(state, TaskState::Staging | TaskState::Starting) {
            self.update(step, key, by_executor(TaskState::Running));
        }
        self.begin_checks(step.now, key);
    }

    /// A task that is to end does. It may not have got its signal yet, and gets it, again or not.
    fn go_on_killing(
        &mut self,
        step: &mut Step,
        key: &TaskKey,
        (container, pid): (ContainerId, u32),
        doom: Doom,
        deadline: Deadline,
    ) {
        let left = deadline.left(step.wall);
        let kill_at = (!left.is_zero()).then(|| step.now + left);
        if let Some(task) = self.tasks.get_mut(key) {
            task.life = Life::Killing { pid, doom, kill_at };
        }
        self.set_timer(key);
        step.out.push(Effect::Kill {
            container,
            signal: match kill_at {
                Some(_) => Signal::Terminate,
                None => Signal::Kill,
            },
        });
    }

    /// Facts that give this state back, for a checkpoint that is written anew.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        facts.push(Fact::Started {
            incarnation: self.registration.incarnation,
        });
        if let Some(agent_id) = &self.registration.agent_id {
            facts.push(Fact::Admitted {
                agent_id: agent_id.clone(),
            });
        }
        facts.push(Fact::Kept {
            kept: self.holdings.kept().clone(),
            doomed: self.holdings.doomed().cloned().collect(),
        });
        for (operation, status) in self.operations.iter() {
            facts.push(Fact::Operation {
                operation: operation.clone(),
                status: status.clone(),
                kept: None,
            });
        }
        if self.drain.is_some() {
            facts.push(Fact::Draining(self.drain));
        }
        for (key, executor) in &self.executors {
            if let Some(entry) = self.frameworks.get(&key.0) {
                facts.push(Fact::Executor {
                    framework: entry.framework.clone(),
                    executor: executor.spec.clone(),
                    container: executor.container.clone(),
                });
            }
            if let Some(deadline) = executor.ending {
                facts.push(Fact::ExecutorEnding {
                    framework_id: key.0.clone(),
                    executor_id: key.1.clone(),
                    deadline,
                });
            }
        }
        for (key, task) in &self.tasks {
            if let Some(entry) = self.frameworks.get(&key.0) {
                facts.push(Fact::Task {
                    framework: entry.framework.clone(),
                    task: task.spec.clone(),
                    container: task.container.clone(),
                });
                if let Some((doom, deadline)) = task.doomed {
                    facts.push(Fact::Killing {
                        framework_id: key.0.clone(),
                        task_id: key.1.clone(),
                        doom,
                        deadline,
                    });
                }
                self.facts_of_updates(&mut facts, key, task);
            }
        }
        let ended = self.executors.iter().filter(|(_, one)| !one.is_alive());
        facts.extend(ended.map(|(key, _)| Fact::ExecutorEnded {
            framework_id: key.0.clone(),
            executor_id: key.1.clone(),
        }));
        for (framework_id, entry) in &self.frameworks {
            if entry.standing == FrameworkStanding::Gone {
                facts.push(Fact::FrameworkGone {
                    framework_id: framework_id.clone(),
                });
            }
        }
        facts
    }

    fn facts_of_updates(&self, facts: &mut Vec<Fact>, key: &TaskKey, task: &Task) {
        let waiting = |status: &Status| self.updates.waiting(key).any(|s| s.uuid == status.uuid);
        for status in &task.statuses {
            facts.push(Fact::Update {
                framework_id: key.0.clone(),
                status: status.clone(),
            });
            if !waiting(status) && self.is_told(&key.0) {
                facts.push(Fact::Acknowledged {
                    framework_id: key.0.clone(),
                    task_id: key.1.clone(),
                    uuid: status.uuid,
                });
            }
        }
    }
}
