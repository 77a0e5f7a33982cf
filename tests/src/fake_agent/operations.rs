//! Operations, what they make of the stand-in's resources, and their statuses.

use std::time::Duration;

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::reconcile_operations::Item;
use api::link::v1::{AcknowledgeOperation, ApplyOperation, OperationStatusUpdate};
use api::v1;
use model::Resources;
use tokio::time::Instant;

use super::RESEND_AFTER;
use super::node::Node;

/// An operation whose status is not acknowledged.
#[derive(Debug)]
pub(super) struct Applied {
    info: v1::offer::Operation,
    update: OperationStatusUpdate,
    pub(super) resend_at: Instant,
    resend_after: Duration,
}

impl Applied {
    /// As a registration tells of it.
    pub(super) fn listed(&self) -> Option<v1::Operation> {
        let status = self.update.status.clone()?;
        Some(v1::Operation {
            framework_id: self.update.framework_id.clone(),
            agent_id: status.agent_id.clone(),
            info: self.info.clone(),
            latest_status: status.clone(),
            statuses: vec![status],
            uuid: v1::Uuid {
                value: self.update.operation_uuid.clone(),
            },
        })
    }
}

impl Node {
    pub(super) async fn apply(&mut self, apply: ApplyOperation) {
        let uuid = v1::Uuid {
            value: self.uuid().to_vec(),
        };
        let info = apply.info.unwrap_or_default();
        let (state, message) = match self.total_after(&info) {
            Ok(total) => {
                self.total = total;
                (v1::OperationState::OperationFinished, None)
            }
            Err(message) => (v1::OperationState::OperationError, Some(message)),
        };
        let total_resources = match &message {
            Some(_) => api::convert::to_refined(&self.total),
            None => Vec::new(),
        };
        let status = v1::OperationStatus {
            uuid: Some(uuid),
            operation_id: info.id.clone(),
            message,
            ..self.status(state)
        };
        let applied = Applied {
            info,
            update: OperationStatusUpdate {
                framework_id: apply.framework_id,
                operation_uuid: apply.operation_uuid.clone(),
                status: Some(status),
                total_resources,
            },
            resend_at: Instant::now(),
            resend_after: RESEND_AFTER,
        };
        self.operations.insert(apply.operation_uuid, applied);
        self.send_due_operations().await;
    }

    fn total_after(&self, info: &v1::offer::Operation) -> Result<Resources, String> {
        let change = api::convert::change(info).map_err(|error| error.to_string())?;
        let conversions = change.unallocate().conversions();
        let after = conversions.and_then(|all| self.total.convert_all(&all));
        after.map_err(|fault| fault.to_string())
    }

    pub(super) fn operation_acknowledged(&mut self, acknowledge: &AcknowledgeOperation) {
        let known = self.operations.get(&acknowledge.operation_uuid);
        let status = known.and_then(|applied| applied.update.status.as_ref());
        let uuid = status.and_then(|status| status.uuid.as_ref());
        if uuid.is_some_and(|uuid| uuid.value == acknowledge.status_uuid) {
            self.operations.remove(&acknowledge.operation_uuid);
        }
    }

    /// What the stand-in does not know never came here; what it knows is sent again by itself.
    pub(super) async fn reconcile_operations(&mut self, asked: Vec<Item>) {
        for item in asked {
            if self.operations.contains_key(&item.operation_uuid) {
                continue;
            }
            let status = v1::OperationStatus {
                operation_id: item.operation_id,
                ..self.status(v1::OperationState::OperationDropped)
            };
            self.send(AgentBody::OperationUpdate(OperationStatusUpdate {
                framework_id: item.framework_id,
                operation_uuid: item.operation_uuid,
                status: Some(status),
                total_resources: api::convert::to_refined(&self.total),
            }))
            .await;
        }
    }

    pub(super) async fn send_due_operations(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for applied in self.operations.values_mut() {
            if applied.resend_at <= now {
                applied.resend_at = now + applied.resend_after;
                applied.resend_after *= 2;
                due.push(applied.update.clone());
            }
        }
        for update in due {
            self.send(AgentBody::OperationUpdate(update)).await;
        }
    }

    fn status(&self, state: v1::OperationState) -> v1::OperationStatus {
        v1::OperationStatus {
            state: state.into(),
            agent_id: Some(self.agent_id.clone()),
            ..Default::default()
        }
    }
}
