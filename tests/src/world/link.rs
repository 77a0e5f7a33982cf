//! The link between node and master: connections, and frames from one core's notation to the other's.
//!
//! Frames of one link arrive in order or not at all. While a node is cut off nothing crosses, and what
//! was sent meanwhile arrives when the cut is over, as TCP has it.

use std::time::Duration;

use agent_core::event::{Drain, ExecutorKind, Expected, Fate, Standing, Verdict};
use agent_core::{FromMaster, ToMaster};
use master_core::Event;
use master_core::event::{
    AgentMessage, AgentUpdate, LinkId, MasterMessage, OperationUpdate, Registration,
    RunningExecutor, RunningTask, Text,
};
use model::resources::Resource;
use model::{Blob, Resources};

use super::groups::executor_resources;
use super::{Happening, World, operations};
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

/// The same of a task that gives its cpus back when others need them.
pub(super) fn revocable_task_resources() -> Resources {
    let all = task_resources();
    let all = all.iter().cloned().map(|one| Resource {
        revocable: &*one.name == "cpus",
        ..one
    });
    all.collect()
}

impl World {
    pub(super) fn connect(&mut self, id: u64) {
        let Some(wire) = self.wires.get(&id) else {
            return;
        };
        let (node, master) = (wire.node, wire.master);
        if self.masters[master].core.is_none() || !self.may_lead(master) {
            return self.cut_wire(id);
        }
        let life = self.masters[master].life;
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.master_life = life;
        }
        let at = self.crossing(node);
        self.queue.at(at, Happening::WireOpensAtNode { wire: id });
    }

    pub(super) fn frame_up(&mut self, id: u64, epoch: u64, incarnation: u64, frame: &ToMaster) {
        let link = LinkId(id);
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let (node, master) = (wire.node, wire.master);
        if let ToMaster::Register(register) = frame {
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
            return self.master_step(master, event);
        }
        let Some(message) = self.for_master(node, frame) else {
            return;
        };
        let event = Event::AgentFrame {
            link,
            epoch,
            incarnation,
            message,
        };
        self.master_step(master, event);
        self.planted_acknowledgement(link, epoch, incarnation, frame);
    }

    /// A frame of a registered agent as the master's core takes it; none for a registration.
    pub(super) fn for_master(&self, node: usize, frame: &ToMaster) -> Option<AgentMessage> {
        Some(match frame {
            ToMaster::Register(_) => return None,
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
            ToMaster::Oversubscribed { revocable } => {
                AgentMessage::Oversubscribed(revocable.clone())
            }
            ToMaster::Unregister => AgentMessage::Unregister,
        })
    }

    fn agent_id_of(&self, node: usize) -> String {
        let core = self.nodes[node].core.as_ref();
        let id = core.and_then(|core| core.registration().agent_id.as_ref());
        id.map_or_else(String::new, ToString::to_string)
    }

    pub(super) fn send_down(
        &mut self,
        link: LinkId,
        epoch: u64,
        incarnation: u64,
        message: MasterMessage,
    ) {
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
        let Some(wire) = self.wires.get(&link.0) else {
            return;
        };
        let node = wire.node;
        self.past.keep_down(node, epoch, incarnation, &frame);
        let arrives = self.crossing(node);
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
}

fn resources_of(task: &Blob) -> Resources {
    match notation::is_revocable(task) {
        true => revocable_task_resources(),
        false => task_resources(),
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
            resources: resources_of(&running.task)
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
        oversubscribed: register.oversubscribed.clone(),
        resource_version: Blob::new(&[1; 16]),
        attributes: std::sync::Arc::default(),
        info: Blob::default(),
        in_offers: Blob::default(),
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
            executor_expected,
            ..
        } => FromMaster::RunTask {
            framework: notation::framework_for_agent(&framework_id, &framework)?,
            task: notation::task_for_agent(&task)?,
            resource_version: resource_version.as_bytes().to_vec(),
            expected: expected(executor_expected),
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
            executor_expected,
            ..
        } => FromMaster::RunTaskGroup {
            framework: notation::framework_for_agent(&framework_id, &framework)?,
            tasks: notation::group_for_agent(&executor, &tasks)?,
            resource_version: resource_version.as_bytes().to_vec(),
            expected: expected(executor_expected),
        },
        // Nothing in this world sends messages.
        MasterMessage::FrameworkMessage { .. } => return None,
    })
}

const fn expected(executor_expected: bool) -> Expected {
    match executor_expected {
        true => Expected::Running,
        false => Expected::New,
    }
}
