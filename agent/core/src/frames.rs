//! Frames: what the master says, once the link's fence let it pass.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use model::{ExecutorId, FrameworkId, Reason, StatusUuid};

use crate::agent::{Agent, Step};
use crate::effect::{Effect, End, Fact, LinkId, ToMaster};
use crate::event::{ExecutorKind, Framework, FromMaster, Standing, Stop, Verdict};
use crate::executor::{Doom, Task};
use crate::status_updates::{Acknowledged, TaskKey};

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
                self.tell_again(step);
                self.tell_all_exited(step);
                for told in self.operations.resume(step.now) {
                    self.tell_of_operation(step, told);
                }
                self.answers.resume(step.now);
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
                expected,
            } => {
                let tasks = Vec::from([task]);
                self.run_tasks(step, &framework, tasks, &resource_version, expected);
            }
            FromMaster::RunTaskGroup {
                framework,
                tasks,
                resource_version,
                expected,
            } => self.run_tasks(step, &framework, tasks, &resource_version, expected),
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
                let mut heads = self.updates.hasten(step.now, &framework_id);
                heads.extend(self.answers.hasten(step.now, &framework_id));
                for head in heads {
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
        if self.answers.acknowledge(step.now, key, uuid) == Acknowledged::Ended {
            return;
        }
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
        self.answers.forget_all(framework_id);
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
