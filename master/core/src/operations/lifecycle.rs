//! The life of an operation: sent, answered, acknowledged.
//!
//! Where a framework gave it an id, and is known, the framework acknowledges; else the master does.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use core::time::Duration;

use model::{
    AgentId, FrameworkId, OperationState, OperationUuid, Resources, StatusUuid, TaskState,
};

use super::Operation;
use crate::Master;
use crate::event::{
    FrameworkEvent, MasterMessage, OperationInfo, OperationStatus, OperationUpdate, Registration,
    Text,
};

/// How long after its agent's return an operation of an unknown framework waits for that framework
/// (Mesos' `MIN_WAIT_BEFORE_ORPHAN_OPERATION_ADOPTION`).
const ORPHAN_WAIT: Duration = Duration::from_secs(600);

/// Who acknowledges the status of an operation.
enum Acknowledger {
    Framework(FrameworkId),
    Master,
    /// Nobody yet: its framework may come back.
    Nobody,
}

impl Master {
    /// Sends a checked operation to its agent, and takes its success for granted.
    pub(crate) fn apply_operation(
        &mut self,
        agent_id: &AgentId,
        framework_id: Option<&FrameworkId>,
        info: Arc<OperationInfo>,
    ) {
        let uuid = OperationUuid(self.random.uuid());
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let sent = Arc::new(OperationInfo {
            id: info.id.clone(),
            change: info.change.clone().unallocate(),
        });
        let resource_version = agent.resource_version.clone();
        match sent.change.conversions() {
            Ok(conversions) => match agent.total.convert_all(&conversions) {
                Ok(total) => agent.total = Arc::new(total),
                Err(fault) => {
                    let why = format!("{fault}; on agent {agent_id}");
                    self.drop_message("operation", why);
                    return;
                }
            },
            Err(fault) => {
                let why = format!("{fault}; on agent {agent_id}");
                self.drop_message("operation", why);
                return;
            }
        }
        let kind = info.change.kind();
        self.counters.count_operation(kind, OperationState::Pending);
        let latest = OperationStatus {
            agent_id: Some(Text::from(agent_id.as_str())),
            ..OperationStatus::new(info.id.clone(), OperationState::Pending)
        };
        self.operations.insert(Operation {
            uuid,
            framework_id: framework_id.cloned(),
            agent_id: agent_id.clone(),
            info,
            latest,
            statuses: Vec::new(),
            sequence: 0,
        });
        let message = MasterMessage::ApplyOperation {
            framework_id: framework_id.cloned(),
            info: sent,
            uuid,
            resource_version,
        };
        self.send_to_agent(agent_id, message);
    }

    /// An agent's word on an operation.
    pub(crate) fn operation_update(&mut self, agent_id: &AgentId, update: OperationUpdate) {
        self.counters.count("messages_operation_status_update");
        let OperationUpdate {
            uuid,
            mut status,
            total,
        } = update;
        let known = self.operations.get_mut(&uuid);
        let Some(operation) = known.filter(|operation| operation.agent_id == *agent_id) else {
            // Its end was acknowledged, or it is nobody's: the agent may forget it.
            self.counters.count("invalid_operation_status_updates");
            self.acknowledge_to_agent(agent_id, uuid, status.uuid);
            return;
        };
        status.operation_id.clone_from(&operation.info.id);
        let agent = Text::from(agent_id.as_str());
        status.agent_id.get_or_insert(agent);
        let (from, to) = (operation.latest.state, status.state);
        operation.add_status(&status);
        let kind = operation.info.change.kind();
        self.counters.count("valid_operation_status_updates");
        if !from.is_terminal() && from != to {
            self.counters.uncount_operation(kind, from);
            self.counters.count_operation(kind, to);
        }
        if !from.is_terminal() && to.is_terminal() && to != OperationState::Finished {
            self.take_back(agent_id, total);
        }
        self.tell(&uuid, &status);
    }

    /// Forwards a status to who acknowledges it; one that nobody can is acknowledged here.
    fn tell(&mut self, uuid: &OperationUuid, status: &OperationStatus) {
        let Some(operation) = self.operations.get(uuid) else {
            return;
        };
        let agent_id = operation.agent_id.clone();
        let is_over = status.state.is_terminal();
        match self.acknowledger(operation) {
            Acknowledger::Framework(framework_id) => {
                let event = FrameworkEvent::OperationStatus(status.clone());
                self.send(&framework_id, event);
                if is_over && status.uuid.is_none() {
                    self.remove_operation(uuid);
                }
            }
            Acknowledger::Master => {
                self.acknowledge_to_agent(&agent_id, *uuid, status.uuid);
                if is_over {
                    self.remove_operation(uuid);
                }
            }
            Acknowledger::Nobody => {}
        }
        self.may_have_drained(&agent_id);
    }

    fn acknowledger(&self, operation: &Operation) -> Acknowledger {
        let (Some(framework_id), Some(_)) = (&operation.framework_id, &operation.info.id) else {
            return Acknowledger::Master;
        };
        if self.frameworks.contains_key(framework_id) {
            return Acknowledger::Framework(framework_id.clone());
        }
        if self.is_completed(framework_id) {
            return Acknowledger::Master;
        }
        let agent = self.agents.get(&operation.agent_id);
        let waits = agent
            .and_then(|agent| agent.reregistered_time)
            .is_some_and(|since| {
                let waited = self.wall_time().0.saturating_sub(since.0);
                u128::from(waited) < ORPHAN_WAIT.as_nanos()
            });
        if waits {
            Acknowledger::Nobody
        } else {
            Acknowledger::Master
        }
    }

    fn acknowledge_to_agent(
        &mut self,
        agent_id: &AgentId,
        uuid: OperationUuid,
        status_uuid: Option<StatusUuid>,
    ) {
        if let Some(status_uuid) = status_uuid {
            let message = MasterMessage::AcknowledgeOperation { uuid, status_uuid };
            self.send_to_agent(agent_id, message);
        }
    }

    /// Takes back what was taken for granted: the agent has what it tells, and what operations make
    /// of that which are still on their way.
    fn take_back(&mut self, agent_id: &AgentId, total: Option<Resources>) {
        let Some(mut total) = total else {
            return;
        };
        let mut pending: Vec<&Operation> = self
            .operations
            .of_agent(agent_id)
            .filter(|operation| !operation.latest.state.is_terminal())
            .collect();
        pending.sort_by_key(|operation| operation.sequence);
        for operation in pending {
            let change = operation.info.change.clone().unallocate();
            if let Ok(conversions) = change.conversions()
                && let Ok(after) = total.convert_all(&conversions)
            {
                total = after;
            }
        }
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        // Of what may be given out twice it tells apart.
        total.add_all(&agent.total.filter(|resource| resource.revocable));
        if *agent.total == total {
            return;
        }
        self.rescind_offers_of(agent_id);
        self.set_total(agent_id, total);
    }

    /// ACKNOWLEDGE_OPERATION_STATUS.
    pub(crate) fn acknowledge_operation(
        &mut self,
        framework_id: &FrameworkId,
        agent: &Text,
        operation_id: &Text,
        status_uuid: StatusUuid,
    ) {
        self.counters
            .count("messages_operation_status_update_acknowledgement");
        let found = self
            .operations
            .named(framework_id, operation_id)
            .and_then(|operation| {
                let mut statuses = operation.statuses.iter();
                let status = statuses.find(|status| status.uuid == Some(status_uuid))?;
                Some((operation, status.state))
            })
            .filter(|(operation, _)| {
                *operation.agent_id.as_str() == **agent && self.is_connected(&operation.agent_id)
            });
        let Some((operation, state)) = found else {
            self.counters
                .count("invalid_operation_status_update_acknowledgements");
            let why = format!(
                "agent {agent} is not connected, or there is no such status of operation \
                 {operation_id}"
            );
            self.drop_message("acknowledgement of an operation", why);
            return;
        };
        let (uuid, agent_id) = (operation.uuid, operation.agent_id.clone());
        self.counters
            .count("valid_operation_status_update_acknowledgements");
        if state.is_terminal() {
            self.remove_operation(&uuid);
        }
        self.acknowledge_to_agent(&agent_id, uuid, Some(status_uuid));
        self.may_have_drained(&agent_id);
    }

    fn remove_operation(&mut self, uuid: &OperationUuid) {
        let Some(operation) = self.operations.remove(uuid) else {
            return;
        };
        self.may_have_drained(&operation.agent_id);
        if !operation.latest.state.is_terminal() {
            let kind = operation.info.change.kind();
            self.counters
                .uncount_operation(kind, operation.latest.state);
        }
    }

    /// Forgets the operations of an agent that is no more, and whose tasks ended in this state;
    /// whoever asked to be told, is.
    pub(crate) fn lose_operations(&mut self, agent_id: &AgentId, end: TaskState) {
        let end = if end == TaskState::Unreachable {
            let message = "Agent was marked unreachable";
            Some((OperationState::Unreachable, message))
        } else if end == TaskState::GoneByOperator {
            Some((OperationState::GoneByOperator, "Agent has been marked gone"))
        } else {
            None
        };
        let lost: Vec<Operation> = self.operations.of_agent(agent_id).cloned().collect();
        for operation in lost {
            if let (Some((state, message)), Some(framework_id), Some(id)) =
                (end, &operation.framework_id, &operation.info.id)
            {
                let status = OperationStatus {
                    message: Some(message.into()),
                    agent_id: Some(Text::from(agent_id.as_str())),
                    ..OperationStatus::new(Some(id.clone()), state)
                };
                self.send(framework_id, FrameworkEvent::OperationStatus(status));
            }
            self.remove_operation(&operation.uuid);
        }
    }

    /// Learns the operations that an agent tells of at its registration, and asks after those that
    /// it does not.
    pub(crate) fn learn_operations(&mut self, agent_id: &AgentId, registration: &Registration) {
        for told in &registration.operations {
            if self.operations.get(&told.uuid).is_some() {
                continue;
            }
            let kind = told.info.change.kind();
            self.counters.count_operation(kind, told.latest.state);
            self.operations.insert(Operation {
                uuid: told.uuid,
                framework_id: told.framework_id.clone(),
                agent_id: agent_id.clone(),
                info: told.info.clone(),
                latest: told.latest.clone(),
                statuses: told.statuses.clone(),
                sequence: 0,
            });
        }
        let told: BTreeSet<OperationUuid> =
            registration.operations.iter().map(|o| o.uuid).collect();
        let missing: Vec<_> = self
            .operations
            .of_agent(agent_id)
            .filter(|operation| !told.contains(&operation.uuid))
            .map(|operation| {
                let Operation {
                    uuid, framework_id, ..
                } = operation;
                (*uuid, framework_id.clone(), operation.info.id.clone())
            })
            .collect();
        if !missing.is_empty() {
            let message = MasterMessage::ReconcileOperations {
                operations: missing,
            };
            self.send_to_agent(agent_id, message);
        }
    }
}
