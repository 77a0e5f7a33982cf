//! Operations on this agent's resources, and what becomes of them.

use agent_core::effect::OperationStatus;
use agent_core::event::{FromMaster, Operation};
use api::link::v1 as link;
use api::{convert, v1};
use model::{AgentId, Blob, FrameworkId, OperationUuid, Resources};
use prost::Message;

use super::{FrameError, stored};

/// An operation to apply. One that cannot be understood is agent-core's to refuse, so that whoever
/// made it hears of it.
///
/// # Errors
/// Nobody could be told of it.
pub(super) fn apply(body: link::ApplyOperation) -> Result<FromMaster, FrameError> {
    let info = body.info.ok_or(FrameError::Missing("info"))?;
    Ok(FromMaster::ApplyOperation {
        change: convert::change(&info).map_err(|error| error.to_string()),
        operation: Operation {
            uuid: uuid(body.operation_uuid)?,
            framework_id: framework_id(body.framework_id.as_ref())?,
            id: info.id.as_ref().map(|id| id.value.clone()),
            info: Blob::new(&info.encode_to_vec()),
        },
        resource_version: body.resource_version,
    })
}

/// An operation that the master asks after.
pub(super) fn asked(item: link::reconcile_operations::Item) -> Result<Operation, FrameError> {
    Ok(Operation {
        uuid: uuid(item.operation_uuid)?,
        framework_id: framework_id(item.framework_id.as_ref())?,
        id: item.operation_id.map(|id| id.value),
        info: Blob::default(),
    })
}

pub(super) fn uuid(bytes: Vec<u8>) -> Result<OperationUuid, FrameError> {
    super::uuid(bytes).map(OperationUuid)
}

/// An operator's operation has none.
fn framework_id(id: Option<&v1::FrameworkId>) -> Result<Option<FrameworkId>, FrameError> {
    Ok(id.map(|id| FrameworkId::new(&id.value)).transpose()?)
}

/// What became of an operation.
pub(super) fn update(
    agent: Option<&AgentId>,
    operation: &Operation,
    status: &OperationStatus,
    total: Option<Resources>,
) -> link::OperationStatusUpdate {
    link::OperationStatusUpdate {
        framework_id: operation.framework_id.as_ref().map(Into::into),
        operation_uuid: operation.uuid.0.to_vec(),
        status: Some(operation_status(agent, operation, status)),
        total_resources: total.as_ref().map(convert::to_refined).unwrap_or_default(),
    }
}

/// An operation as a registration lists it.
pub(crate) fn listed(
    agent: Option<&AgentId>,
    operation: &Operation,
    status: &OperationStatus,
) -> Option<v1::Operation> {
    let status = operation_status(agent, operation, status);
    Some(v1::Operation {
        framework_id: operation.framework_id.as_ref().map(Into::into),
        agent_id: agent.map(Into::into),
        info: stored(&operation.info)?,
        latest_status: status.clone(),
        statuses: vec![status],
        uuid: v1::Uuid {
            value: operation.uuid.0.to_vec(),
        },
    })
}

fn operation_status(
    agent: Option<&AgentId>,
    operation: &Operation,
    status: &OperationStatus,
) -> v1::OperationStatus {
    v1::OperationStatus {
        operation_id: operation.id.clone().map(|value| v1::OperationId { value }),
        state: status.state.number(),
        message: status.message.clone(),
        uuid: status.uuid.map(|uuid| v1::Uuid {
            value: uuid.0.to_vec(),
        }),
        agent_id: agent.map(Into::into),
        ..v1::OperationStatus::default()
    }
}
