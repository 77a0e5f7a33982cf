//! Frames: what the master says, once the link's fence let it pass.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use model::{ContainerId, ExecutorId, FrameworkId, Reason, StatusUuid, TaskState};

use crate::agent::{Agent, Phase, Step, TASKS_MAX};
use crate::effect::{Effect, End, Fact, LinkId, Start, ToMaster};
use crate::event::{ExecutorKind, Framework, FromMaster, Standing, Stop, TaskSpec, Verdict};
use crate::executor::{Doom, Ending, Task};
use crate::status_updates::{Acknowledged, TaskKey};
use crate::supervise::dropped;

impl Agent {
    pub(crate) fn frame(&mut self, step: &mut Step, link: LinkId, epoch: u64, frame: FromMaster) {
        let admission = matches!(
            frame,
            FromMaster::Registered { .. }
                | FromMaster::Refused { .. }
                | FromMaster::Shutdown { .. }
        );
        if !admission && self.registration.registered().is_none() {
            step.ignore("frame before the registration was answered".to_string());
            return;
        }
        match frame {
            FromMaster::Registered {
                agent_id,
                total_ping_timeout,
            } => {
                if let Some(ours) = &self.registration.agent_id
                    && *ours != agent_id
                {
                    step.ignore(format!("registration of {agent_id}, this is {ours}"));
                    self.drop_link(step, link);
                    return;
                }
                if self.registration.agent_id.is_none() {
                    self.registration.agent_id = Some(agent_id.clone());
                    step.out.push(Effect::Store(Fact::Admitted {
                        agent_id: agent_id.clone(),
                    }));
                }
                self.registration
                    .admitted(step.now, link, epoch, total_ping_timeout);
                step.out.push(Effect::Registered { agent_id });
                for told in self.operations.resume(step.now) {
                    self.tell_of_operation(step, told);
                }
                for head in self.updates.resume(step.now) {
                    self.forward(step, head);
                }
            }
            FromMaster::Refused { reason, verdict } => match verdict {
                Verdict::Later => {
                    step.ignore(format!("registration refused for now: {reason}"));
                    self.drop_link(step, link);
                }
                Verdict::Never => self.end_work(step, End::Refused(reason), Stop::Keep),
            },
            FromMaster::Shutdown { reason } => {
                self.end_work(step, End::Refused(reason), Stop::Keep);
            }
            FromMaster::Ping { sequence, standing } => match standing {
                Standing::Connected => self.send(step, ToMaster::Pong { sequence }),
                Standing::Disconnected => self.drop_link(step, link),
            },
            FromMaster::RunTask {
                framework,
                task,
                resource_version,
            } => self.run_tasks(step, &framework, Vec::from([task]), &resource_version),
            FromMaster::RunTaskGroup {
                framework,
                tasks,
                resource_version,
            } => self.run_tasks(step, &framework, tasks, &resource_version),
            FromMaster::KillTask {
                framework_id,
                task_id,
                grace,
            } => self.kill_task(step, (framework_id, task_id), grace),
            FromMaster::AcknowledgeUpdate {
                framework_id,
                task_id,
                uuid,
            } => self.acknowledge(step, &(framework_id, task_id), uuid),
            FromMaster::ShutdownFramework { framework_id } => {
                self.shutdown_framework(step, &framework_id);
            }
            FromMaster::ShutdownExecutor {
                framework_id,
                executor_id,
            } => self.shutdown_executor(step, &framework_id, &executor_id),
            FromMaster::ReconcileTasks { tasks } => {
                for key in tasks {
                    if !self.tasks.contains_key(&key) {
                        self.answer_unknown(step, &key, Reason::Reconciliation);
                    }
                }
            }
            FromMaster::FrameworkSubscribed { framework_id } => {
                for told in self.operations.hasten(step.now, &framework_id) {
                    self.tell_of_operation(step, told);
                }
                for head in self.updates.hasten(step.now, &framework_id) {
                    self.forward(step, head);
                }
            }
            FromMaster::ApplyOperation {
                operation,
                change,
                resource_version,
            } => self.apply_operation(step, operation, change, &resource_version),
            FromMaster::AcknowledgeOperation { operation, status } => {
                self.acknowledge_operation(step, operation, status);
            }
            FromMaster::ReconcileOperations { operations } => {
                self.reconcile_operations(step, operations);
            }
            FromMaster::FrameworkMessage {
                framework_id,
                executor_id,
                data,
            } => self.framework_message(step, (framework_id, executor_id), data),
            FromMaster::FrameworkUpdated { framework } => self.update_framework(step, framework),
            FromMaster::DrainAgent(drain) => self.begin_drain(step, drain),
        }
    }

    /// Takes a task, or all tasks of a group: each of them is launched, or none.
    fn run_tasks(
        &mut self,
        step: &mut Step,
        framework: &Framework,
        mut tasks: Vec<TaskSpec>,
        resource_version: &[u8],
    ) {
        let of = |task: &TaskSpec| (framework.id.clone(), task.id.clone());
        if self.phase != Phase::Active {
            let ids = tasks.iter().map(|task| task.id.as_str());
            let ids: Vec<_> = ids.collect();
            return step.ignore(format!("task {} for an agent that ends", ids.join(", ")));
        }
        tasks.retain(|task| {
            let is_known = self.tasks.contains_key(&of(task));
            if is_known {
                step.ignore(format!("task {} is here already", task.id));
            }
            !is_known
        });
        let Some(first) = tasks.first() else {
            return;
        };
        if !self.is_told(&framework.id) {
            return step.ignore(format!(
                "task {} of a framework that was shut down",
                first.id
            ));
        }
        if self.tasks.len() + tasks.len() > TASKS_MAX || self.executors.len() >= TASKS_MAX {
            for task in &tasks {
                self.answer_unknown(step, &of(task), Reason::ContainerLaunchFailed);
            }
            return;
        }
        let mut refusals = tasks.iter();
        let refusal = refusals.find_map(|task| self.refusal(framework, task, resource_version));
        match refusal {
            Some(refusal) => {
                for task in tasks {
                    let key = of(&task);
                    self.store_task(step, framework, task, None);
                    self.end_task(step, &key, refusal.clone());
                }
            }
            None => match first.executor.kind {
                ExecutorKind::Command => self.launch_commands(step, framework, tasks),
                ExecutorKind::Custom | ExecutorKind::Default => {
                    self.give_to_executor(step, framework, tasks)
                }
            },
        }
    }

    fn store_task(
        &mut self,
        step: &mut Step,
        framework: &Framework,
        task: TaskSpec,
        container: Option<ContainerId>,
    ) {
        let fact = Fact::Task {
            framework: framework.clone(),
            task,
            container,
        };
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
    }

    fn launch_commands(&mut self, step: &mut Step, framework: &Framework, tasks: Vec<TaskSpec>) {
        for task in tasks {
            let Some(container) = self.random.container() else {
                continue;
            };
            self.store_task(step, framework, task.clone(), Some(container.clone()));
            step.out.push(Effect::Launch {
                container,
                framework: framework.clone(),
                start: Start::Command { task },
            });
        }
    }

    fn give_to_executor(&mut self, step: &mut Step, framework: &Framework, tasks: Vec<TaskSpec>) {
        let Some(first) = tasks.first() else {
            return;
        };
        let key = (framework.id.clone(), first.executor.id.clone());
        let is_new = !self.executors.contains_key(&key);
        if is_new {
            let Some(container) = self.random.container() else {
                return;
            };
            let fact = Fact::Executor {
                framework: framework.clone(),
                executor: first.executor.clone(),
                container,
            };
            self.recover(&fact);
            step.out.push(Effect::Store(fact));
        }
        let Some(container) = self.executors.get(&key).map(|one| one.container.clone()) else {
            return;
        };
        for task in tasks {
            let own = match task.executor.kind {
                ExecutorKind::Default => self.random.child_of(&container),
                ExecutorKind::Command | ExecutorKind::Custom => Some(container.clone()),
            };
            self.store_task(step, framework, task, own);
        }
        match is_new {
            true => self.start_executor(step, &key),
            false => self.feed(step, &key),
        }
    }

    /// Why a task never gets a container.
    fn refusal(
        &self,
        framework: &Framework,
        task: &TaskSpec,
        resource_version: &[u8],
    ) -> Option<Ending> {
        let dropped = |reason, message: &str| {
            Some(Ending::by_agent(
                dropped(framework.partition),
                reason,
                message,
            ))
        };
        if self.drain.is_some() {
            let message = "Task was received while agent was already draining";
            return dropped(Reason::AgentDraining, message);
        }
        if self.is_other_version(resource_version) {
            let message = "Task was launched for resources that this agent no longer has";
            return dropped(Reason::InvalidOffers, message);
        }
        if !self.holdings.holds_each(&task.held) {
            let message = "The checkpointed resources being used by the task or task group are \
                           unknown to the agent";
            return dropped(Reason::ResourcesUnknown, message);
        }
        let executor = (framework.id.clone(), task.executor.id.clone());
        if task.executor.kind != ExecutorKind::Command
            && let Some(message) = self.is_over(&executor)
        {
            return dropped(Reason::ExecutorTerminated, message);
        }
        let what = task.unsupported.as_ref()?;
        Some(Ending::by_agent(
            TaskState::Failed,
            Reason::ContainerLaunchFailed,
            what.as_str(),
        ))
    }

    /// Whether the master meant other resources; it may leave open which it means.
    pub(crate) fn is_other_version(&self, resource_version: &[u8]) -> bool {
        !resource_version.is_empty() && resource_version != self.settings.resource_version
    }

    fn update_framework(&mut self, step: &mut Step, framework: Framework) {
        if !self.frameworks.contains_key(&framework.id) {
            return step.ignore(format!(
                "new info of framework {}, unknown here",
                framework.id
            ));
        }
        let fact = Fact::FrameworkUpdated { framework };
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
    }

    fn kill_task(&mut self, step: &mut Step, key: TaskKey, grace: Option<Duration>) {
        if !self.tasks.contains_key(&key) {
            return self.answer_unknown(step, &key, Reason::Reconciliation);
        }
        self.kill_as_asked(step, &key, grace);
    }

    fn acknowledge(&mut self, step: &mut Step, key: &TaskKey, uuid: StatusUuid) {
        let acknowledged = self.updates.acknowledge(step.now, key, uuid);
        if acknowledged == Acknowledged::Ignored {
            return step.ignore(format!("acknowledgement {uuid} for task {}", key.1));
        }
        step.out.push(Effect::Store(Fact::Acknowledged {
            framework_id: key.0.clone(),
            task_id: key.1.clone(),
            uuid,
        }));
        match acknowledged {
            Acknowledged::Next(Some(head)) => self.forward(step, head),
            Acknowledged::Ended => self.forget_task(key),
            Acknowledged::Next(None) | Acknowledged::Ignored => {}
        }
    }

    fn shutdown_framework(&mut self, step: &mut Step, framework_id: &FrameworkId) {
        if !self.frameworks.contains_key(framework_id) {
            return step.ignore(format!(
                "shutdown of framework {framework_id}, unknown here"
            ));
        }
        let fact = Fact::FrameworkGone {
            framework_id: framework_id.clone(),
        };
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
        let grace = self.shutdown_grace();
        let is_command = |task: &Task| task.spec.executor.kind == ExecutorKind::Command;
        for key in self.keys(|key, task| key.0 == *framework_id && is_command(task)) {
            self.kill(step, &key, Doom::Requested, grace);
        }
        self.shut_down_all(step, |key| key.0 == *framework_id);
        let gone = self.executors.keys().filter(|key| key.0 == *framework_id);
        for key in gone.cloned().collect::<Vec<_>>() {
            self.forget_executor(&key);
        }
    }

    fn shutdown_executor(
        &mut self,
        step: &mut Step,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) {
        let grace = self.shutdown_grace();
        let own = (framework_id.clone(), executor_id.clone());
        if self.executors.contains_key(&own) {
            return self.shut_down(step, &own);
        }
        let tasks =
            self.keys(|key, task| key.0 == *framework_id && task.spec.executor.id == *executor_id);
        if tasks.is_empty() {
            step.ignore(format!("shutdown of executor {executor_id}, unknown here"));
        }
        for key in tasks {
            self.kill(step, &key, Doom::Requested, grace);
        }
    }
}
