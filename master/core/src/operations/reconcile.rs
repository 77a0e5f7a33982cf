//! Reconciliation of operations: what became of them, as far as the master knows.
//!
//! The answers are those of reference, section 4.7; nobody acknowledges them.

use alloc::vec::Vec;

use model::{AgentId, FrameworkId, OperationState};

use super::Operation;
use crate::Master;
use crate::event::{FrameworkEvent, OperationQuery, OperationStatus, Text};

impl Master {
    /// RECONCILE_OPERATIONS; for none the states of all.
    pub(crate) fn reconcile_operations(&mut self, id: &FrameworkId, queries: &[OperationQuery]) {
        self.counters.count("messages_reconcile_operations");
        let statuses: Vec<OperationStatus> = if queries.is_empty() {
            let own = |operation: &&Operation| operation.framework_id.as_ref() == Some(id);
            self.operations.iter().filter(own).map(last_told).collect()
        } else {
            queries
                .iter()
                .map(|query| self.operation_fate(id, query))
                .collect()
        };
        for status in statuses {
            self.send(id, FrameworkEvent::OperationStatus(status));
        }
    }

    fn operation_fate(&self, id: &FrameworkId, query: &OperationQuery) -> OperationStatus {
        if let Some(operation) = self.operations.named(id, &query.operation_id) {
            return last_told(operation);
        }
        let (state, message) = self.fate_by_agent(query.agent_id.as_ref());
        OperationStatus {
            message: Some(message.into()),
            agent_id: query.agent_id.clone(),
            provider_id: query.provider_id.clone(),
            ..OperationStatus::new(Some(query.operation_id.clone()), state)
        }
    }

    /// What can be said of an unknown operation by what is known of its agent.
    fn fate_by_agent(&self, agent: Option<&Text>) -> (OperationState, &'static str) {
        let Some(agent) = agent else {
            return (
                OperationState::Unknown,
                "Reconciliation: Operation is unknown and no 'agent_id' was provided",
            );
        };
        let unknown = (
            OperationState::Unknown,
            "Reconciliation: Both operation and agent are unknown",
        );
        let Ok(agent) = AgentId::new(agent) else {
            return unknown;
        };
        if self.recovered_agents.contains_key(&agent) {
            return (
                OperationState::Recovering,
                "Reconciliation: Agent is recovered but has not re-registered",
            );
        }
        if self.agents.contains_key(&agent) {
            return (
                OperationState::Unknown,
                "Reconciliation: Operation is unknown",
            );
        }
        if self.gone_agents.get(&agent).is_some() {
            return (
                OperationState::GoneByOperator,
                "Reconciliation: Agent marked gone by operator",
            );
        }
        if self.unreachable_agents.get(&agent).is_some() {
            return (
                OperationState::Unreachable,
                "Reconciliation: Agent is unreachable",
            );
        }
        if self.gone_agents.get(&agent).is_some() {
            return (
                OperationState::GoneByOperator,
                "Reconciliation: Agent marked gone by operator",
            );
        }
        unknown
    }
}

/// The newest status that was told of an operation, without a wish for an acknowledgement.
fn last_told(operation: &Operation) -> OperationStatus {
    let last = operation.statuses.last().unwrap_or(&operation.latest);
    OperationStatus {
        uuid: None,
        ..last.clone()
    }
}
