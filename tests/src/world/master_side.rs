//! The leader's side: the master core's effects, and frames from the link's notation to the core's.

use std::time::Duration;

use agent_core::event::{Drain, ExecutorKind, Fate, Standing, Verdict};
use agent_core::{FromMaster, ToMaster};
use master_core::event::{
    AgentMessage, AgentUpdate, LinkId, MasterMessage, Note, OperationUpdate, Registration,
    RegistryChange, RunningExecutor, RunningTask, StoreId, Text,
};
use master_core::{Effect, Event, StreamId};
use model::{Blob, Resources};

use super::groups::executor_resources;
use super::{Happening, World, operations};
use crate::checkers::counted;
use crate::notation;

pub(super) fn parse(text: &str) -> Resources {
    model::resources::parse(text).unwrap_or_default()
}

pub(super) fn thousandths(amount: i64) -> String {
    format!("{}.{:03}", amount / 1000, amount % 1000)
}

/// The resources of every simulated task.
pub(super) fn task_resources() -> Resources {
    parse(&format!("cpus:{};mem:64", thousandths(notation::TASK_CPUS)))
}

impl World {
    pub(super) fn leader_start(&mut self) {
        if self.leader.core.is_some() {
            return;
        }
        let Ok(registry) = self.leader.start(self.scenario.seed) else {
            return;
        };
        self.note(&format!("the master starts, epoch {}", self.leader.life));
        self.leader_step(Event::Recovered(registry));
    }

    pub(super) fn leader_wake(&mut self, life: u64) {
        if self.leader.life == life && self.leader.core.is_some() {
            self.leader.wake_at = None;
            self.leader_step(Event::Tick);
        }
    }

    pub(super) fn stored(&mut self, life: u64, store: StoreId, change: RegistryChange) {
        if self.leader.life != life || self.leader.core.is_none() {
            // The process died between the write and its answer: either may have come first.
            if self.leader.life == life && self.chance(2) {
                self.leader.apply(change);
            }
            return;
        }
        self.leader.apply(change);
        self.leader_step(Event::RegistryStored { store });
    }

    pub(super) fn leader_step(&mut self, event: Event) {
        let now = self.queue.now();
        let Some(core) = &mut self.leader.core else {
            return;
        };
        let effects = core.step(now, event);
        let exceeded = counted::exceeded(core);
        exceeded.into_iter().for_each(|line| self.violation(line));
        for effect in effects {
            self.leader_effect(effect);
            if self.faults_go_on() && self.chance(8000) {
                self.faults += 1;
                self.crash_leader();
            }
            if self.leader.core.is_none() {
                return;
            }
        }
        self.leader_sets_alarm();
    }

    fn leader_sets_alarm(&mut self) {
        let deadline = self
            .leader
            .core
            .as_ref()
            .and_then(master_core::Master::deadline);
        let Some(deadline) = deadline else {
            return;
        };
        if self.leader.wake_at.is_none_or(|at| deadline < at) {
            self.leader.wake_at = Some(deadline);
            let life = self.leader.life;
            self.queue.at(deadline, Happening::LeaderWake { life });
        }
    }

    fn leader_effect(&mut self, effect: Effect) {
        let life = self.leader.life;
        match effect {
            Effect::Send { stream, event } => self.send_event(stream, event),
            Effect::CloseStream { stream } => self.cut_stream(stream),
            Effect::ToAgent {
                link,
                epoch,
                incarnation,
                message,
            } => {
                self.send_down(link, epoch, incarnation, message);
            }
            Effect::CloseLink { link } => self.cut_wire(link.0),
            Effect::Store { store, change } => {
                let delay = Duration::from_millis(1) + self.random.below(Duration::from_millis(30));
                self.queue.after(
                    delay,
                    Happening::Stored {
                        life,
                        store,
                        change,
                    },
                );
            }
            Effect::Answer { answer, .. } => self.note(&format!("master answers {answer:?}")),
            Effect::Publish(_) => {}
            Effect::Note(note) => self.note_of_leader(&note),
        }
    }

    fn note_of_leader(&mut self, note: &Note) {
        let line = match note {
            Note::Framework {
                framework_id,
                change,
            } => format!("{framework_id} {change}"),
            Note::Agent { agent_id, change } => format!("{agent_id} {change}"),
            Note::Task {
                task_id,
                from,
                to,
                reason,
                ..
            } => {
                format!("{task_id} {from} -> {to} {reason:?}")
            }
            Note::Role { role, change } => format!("{role} has {change}"),
            Note::Dropped { what, why } => format!("drops {what}: {why}"),
        };
        self.note(&format!("master {line}"));
    }

    pub(super) fn connect(&mut self, id: u64) {
        let life = self.leader.life;
        let is_up = self.leader.core.is_some();
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if !is_up {
            return self.cut_wire(id);
        }
        wire.leader_life = life;
        let delay = self.delay();
        self.queue
            .after(delay, Happening::WireOpensAtNode { wire: id });
    }

    pub(super) fn frame_up(&mut self, id: u64, epoch: u64, incarnation: u64, frame: &ToMaster) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let node = wire.node;
        let link = LinkId(id);
        let message = match frame {
            ToMaster::Register(register) => {
                if wire.is_registered {
                    return self.violation(format!("node{node} registers twice on one link"));
                }
                wire.is_registered = true;
                let registration = Registration {
                    operations: self.reported(register),
                    ..registration(node, register)
                };
                let event = Event::Register {
                    link,
                    incarnation,
                    registration,
                };
                return self.leader_step(event);
            }
            ToMaster::Pong { sequence } => AgentMessage::Pong {
                sequence: *sequence,
            },
            ToMaster::Update {
                framework_id,
                status,
                latest,
            } => AgentMessage::Update(AgentUpdate {
                framework_id: framework_id.clone(),
                task_id: status.task_id.clone(),
                state: status.state,
                latest_state: *latest,
                uuid: Some(status.uuid),
                source: status.source,
                reason: status.reason,
                status: notation::status(status, &self.agent_id_of(node)),
                kept: notation::status(status, &self.agent_id_of(node)),
            }),
            ToMaster::OperationUpdate {
                operation,
                status,
                total,
            } => AgentMessage::OperationUpdate(OperationUpdate {
                uuid: operation.uuid,
                status: operations::status(operation, status, &self.agent_id_of(node)),
                total: total.clone(),
            }),
            ToMaster::ExecutorExited {
                framework_id,
                executor_id,
                wait_status,
            } => AgentMessage::ExecutorExited {
                framework_id: framework_id.clone(),
                executor_id: executor_id.clone(),
                wait_status: *wait_status,
            },
            ToMaster::ExecutorMessage {
                framework_id,
                executor_id,
                data,
            } => AgentMessage::ExecutorMessage {
                framework_id: framework_id.clone(),
                executor_id: executor_id.clone(),
                data: data.clone(),
            },
            ToMaster::Unregister => AgentMessage::Unregister,
        };
        self.leader_step(Event::AgentFrame {
            link,
            epoch,
            incarnation,
            message,
        });
    }

    fn agent_id_of(&self, node: usize) -> String {
        let core = self.nodes[node].core.as_ref();
        let id = core.and_then(|core| core.registration().agent_id.as_ref());
        id.map_or_else(String::new, ToString::to_string)
    }

    fn send_down(&mut self, link: LinkId, epoch: u64, incarnation: u64, message: MasterMessage) {
        let frame = match message {
            MasterMessage::ApplyOperation {
                framework_id,
                info,
                uuid,
                ..
            } => Some(self.operation_for_agent(framework_id, uuid, info)),
            other => for_agent(other),
        };
        let Some(frame) = frame else {
            return self.violation("a frame for an agent cannot be read".to_string());
        };
        let delay = self.delay();
        let arrives = self.queue.now() + delay;
        let Some(wire) = self.wires.get_mut(&link.0) else {
            return;
        };
        wire.down_last = wire.down_last.max(arrives);
        let at = wire.down_last;
        let wire = link.0;
        self.queue.at(
            at,
            Happening::Down {
                wire,
                epoch,
                incarnation,
                frame,
            },
        );
    }

    pub(super) fn wire_ends_at_leader(&mut self, wire: u64, life: u64) {
        if self.leader.life == life && self.leader.core.is_some() {
            self.leader_step(Event::LinkClosed { link: LinkId(wire) });
        }
    }

    pub(super) fn stream_ends_at_leader(&mut self, stream: StreamId, life: u64) {
        if self.leader.life == life && self.leader.core.is_some() {
            self.leader_step(Event::StreamClosed { stream });
        }
    }
}

fn registration(node: usize, register: &agent_core::effect::Register) -> Registration {
    let tasks = register.tasks.iter().filter_map(|running| {
        let number = notation::number_of_task(&running.task)?;
        Some(RunningTask {
            framework_id: running.framework_id.clone(),
            task_id: notation::task_id_of_blob(&running.task)?,
            name: Text::from("task"),
            executor_id: running.executor_id.clone(),
            is_command: running.kind == ExecutorKind::Command,
            resources: task_resources()
                .plus(
                    &notation::volume_of_task(&running.task)
                        .into_iter()
                        .collect(),
                )
                .allocate(&notation::role(number)),
            state: running.state,
            status: running
                .status
                .as_ref()
                .map(|status| notation::status(status, register_id(register))),
            share_cgroups: true,
            info: running.task.clone(),
        })
    });
    let own = register.executors.iter();
    let own = own.filter(|running| running.executor.kind != ExecutorKind::Command);
    let executors = own.filter_map(|running| {
        let number = notation::number_of_task(&running.executor.info)?;
        Some(RunningExecutor {
            framework_id: running.framework_id.clone(),
            executor_id: running.executor.id.clone(),
            resources: executor_resources().allocate(&notation::role(number)),
            info: running.executor.info.clone(),
            identity: running.executor.info.clone(),
        })
    });
    Registration {
        agent_id: register.agent_id.clone(),
        hostname: Text::from(format!("node{node}")),
        address: Text::from(format!("127.0.1.{node}:5051")),
        version: Text::from("1.11.0"),
        // From MULTI_ROLE to AGENT_DRAINING.
        capabilities: (1..=7).collect(),
        resources: register.total.clone(),
        resource_version: Blob::new(&[1; 16]),
        attributes: std::sync::Arc::default(),
        info: Blob::default(),
        frameworks: register
            .frameworks
            .iter()
            .filter_map(notation::framework_of_blob)
            .collect(),
        executors: executors.collect(),
        tasks: tasks.collect(),
        operations: Vec::new(),
    }
}

fn register_id(register: &agent_core::effect::Register) -> &str {
    register
        .agent_id
        .as_ref()
        .map_or("", model::AgentId::as_str)
}

fn for_agent(message: MasterMessage) -> Option<FromMaster> {
    Some(match message {
        MasterMessage::Registered {
            agent_id,
            total_ping_timeout,
        } => FromMaster::Registered {
            agent_id,
            total_ping_timeout,
        },
        MasterMessage::Refused { reason, is_final } => FromMaster::Refused {
            reason,
            verdict: if is_final {
                Verdict::Never
            } else {
                Verdict::Later
            },
        },
        MasterMessage::Ping {
            sequence,
            connected,
        } => FromMaster::Ping {
            sequence,
            standing: if connected {
                Standing::Connected
            } else {
                Standing::Disconnected
            },
        },
        MasterMessage::RunTask {
            framework_id,
            framework,
            task,
            resource_version,
            ..
        } => FromMaster::RunTask {
            framework: notation::framework_for_agent(&framework_id, &framework)?,
            task: notation::task_for_agent(&task)?,
            resource_version: resource_version.as_bytes().to_vec(),
        },
        MasterMessage::KillTask {
            framework_id,
            task_id,
            ..
        } => FromMaster::KillTask {
            framework_id,
            task_id,
            grace: None,
        },
        MasterMessage::AcknowledgeUpdate {
            framework_id,
            task_id,
            uuid,
        } => FromMaster::AcknowledgeUpdate {
            framework_id,
            task_id,
            uuid,
        },
        MasterMessage::ShutdownFramework { framework_id } => {
            FromMaster::ShutdownFramework { framework_id }
        }
        MasterMessage::ShutdownExecutor {
            framework_id,
            executor_id,
        } => FromMaster::ShutdownExecutor {
            framework_id,
            executor_id,
        },
        MasterMessage::ReconcileTasks { tasks } => FromMaster::ReconcileTasks { tasks },
        MasterMessage::Shutdown { reason } => FromMaster::Shutdown { reason },
        MasterMessage::DrainAgent { config } => {
            let max_grace = config.max_grace_ns.and_then(|ns| u64::try_from(ns).ok());
            FromMaster::DrainAgent(Drain {
                max_grace: max_grace.map(Duration::from_nanos),
                fate: match config.mark_gone {
                    true => Fate::Gone,
                    false => Fate::Stays,
                },
            })
        }
        MasterMessage::AcknowledgeOperation { uuid, status_uuid } => {
            FromMaster::AcknowledgeOperation {
                operation: uuid,
                status: status_uuid,
            }
        }
        MasterMessage::ReconcileOperations { operations } => FromMaster::ReconcileOperations {
            operations: operations::asked(operations),
        },
        // It is put into the notation before, which needs a place to keep what it does.
        MasterMessage::ApplyOperation { .. } => return None,
        MasterMessage::FrameworkSubscribed { framework_id } => {
            FromMaster::FrameworkSubscribed { framework_id }
        }
        MasterMessage::FrameworkUpdated {
            framework_id,
            framework,
        } => FromMaster::FrameworkUpdated {
            framework: notation::framework_for_agent(&framework_id, &framework)?,
        },
        MasterMessage::RunTaskGroup {
            framework_id,
            framework,
            executor,
            tasks,
            resource_version,
            ..
        } => FromMaster::RunTaskGroup {
            framework: notation::framework_for_agent(&framework_id, &framework)?,
            tasks: notation::group_for_agent(&executor, &tasks)?,
            resource_version: resource_version.as_bytes().to_vec(),
        },
        // Nothing in this world sends messages.
        MasterMessage::FrameworkMessage { .. } => return None,
    })
}
