//! Operations on resources: their statuses, and what agents and the master tell each other of them.

use std::sync::Arc;

use api::link::v1 as wire;
use api::v1;
use api::v1::offer::operation::Type;
use master_core::event::{
    OperationInfo, OperationStatus, OperationUpdate, ReportedOperation, Text,
};
use master_core::operations::Operation;
use model::resources::ChangeKind;
use model::{FrameworkId, OperationState, OperationUuid, StatusUuid};

use super::link::{FrameError, framework_id, resources};

/// What sort of change an operation's type asks for; none for a launch and for what has no meaning.
pub(crate) const fn kind(kind: Type) -> Option<ChangeKind> {
    match kind {
        Type::Reserve => Some(ChangeKind::Reserve),
        Type::Unreserve => Some(ChangeKind::Unreserve),
        Type::Create => Some(ChangeKind::Create),
        Type::Destroy => Some(ChangeKind::Destroy),
        Type::GrowVolume => Some(ChangeKind::GrowVolume),
        Type::ShrinkVolume => Some(ChangeKind::ShrinkVolume),
        Type::CreateDisk => Some(ChangeKind::CreateDisk),
        Type::DestroyDisk => Some(ChangeKind::DestroyDisk),
        Type::Unknown | Type::Launch | Type::LaunchGroup => None,
    }
}

/// An OperationStatus.
pub(crate) fn to_status(status: &OperationStatus) -> v1::OperationStatus {
    v1::OperationStatus {
        operation_id: status.operation_id.as_ref().map(|id| v1::OperationId {
            value: id.to_string(),
        }),
        state: status.state.number(),
        message: status.message.clone(),
        converted_resources: api::convert::to_refined(&status.converted),
        uuid: status.uuid.map(|uuid| v1::Uuid {
            value: uuid.0.to_vec(),
        }),
        agent_id: status.agent_id.as_ref().map(|id| v1::AgentId {
            value: id.to_string(),
        }),
        resource_provider_id: status
            .provider_id
            .as_ref()
            .map(|id| v1::ResourceProviderId {
                value: id.to_string(),
            }),
    }
}

/// An operation as GET_OPERATIONS shows it.
pub(crate) fn to_operation(operation: &Operation) -> v1::Operation {
    let id = operation.info.id.as_deref();
    v1::Operation {
        framework_id: operation.framework_id.as_ref().map(v1::FrameworkId::from),
        agent_id: Some(v1::AgentId::from(&operation.agent_id)),
        info: api::convert::to_operation(&operation.info.change, id),
        latest_status: to_status(&operation.latest),
        statuses: operation.statuses.iter().map(to_status).collect(),
        uuid: v1::Uuid {
            value: operation.uuid.0.to_vec(),
        },
    }
}

/// An OperationStatusUpdate.
///
/// # Errors
/// The first field at fault.
pub(crate) fn update(update: wire::OperationStatusUpdate) -> Result<OperationUpdate, FrameError> {
    let wire = update
        .status
        .ok_or(FrameError::Missing("operation_update.status"))?;
    let total = match update.total_resources.as_slice() {
        [] => None,
        total => Some(resources(total, "operation_update.total_resources")?),
    };
    Ok(OperationUpdate {
        uuid: operation_uuid(&update.operation_uuid, "operation_update.operation_uuid")?,
        status: status(&wire, "operation_update.status")?,
        total,
    })
}

/// An operation of a Register.
///
/// # Errors
/// The first field at fault.
pub(crate) fn reported(operation: &v1::Operation) -> Result<ReportedOperation, FrameError> {
    let change = api::convert::change(&operation.info).map_err(|error| FrameError::Value {
        field: "register.operations.info",
        detail: error.to_string(),
    })?;
    let id = operation.info.id.as_ref();
    Ok(ReportedOperation {
        uuid: operation_uuid(&operation.uuid.value, "register.operations.uuid")?,
        framework_id: operation
            .framework_id
            .clone()
            .map(|id| framework_id(Some(id), "register.operations.framework_id"))
            .transpose()?,
        info: Arc::new(OperationInfo {
            id: id.map(|id| Text::from(id.value.as_str())),
            change,
        }),
        latest: status(
            &operation.latest_status,
            "register.operations.latest_status",
        )?,
        statuses: operation
            .statuses
            .iter()
            .map(|wire| status(wire, "register.operations.statuses"))
            .collect::<Result<_, _>>()?,
    })
}

fn status(wire: &v1::OperationStatus, field: &'static str) -> Result<OperationStatus, FrameError> {
    let text = |text: &String| Text::from(text.as_str());
    let uuid = wire.uuid.as_ref().map(|uuid| bytes(&uuid.value, field));
    Ok(OperationStatus {
        operation_id: wire.operation_id.as_ref().map(|id| text(&id.value)),
        state: OperationState::from_number(wire.state).unwrap_or(OperationState::Unsupported),
        message: wire.message.clone(),
        converted: resources(&wire.converted_resources, field)?,
        uuid: uuid.transpose()?.map(StatusUuid),
        agent_id: wire.agent_id.as_ref().map(|id| text(&id.value)),
        provider_id: wire.resource_provider_id.as_ref().map(|id| text(&id.value)),
    })
}

fn operation_uuid(value: &[u8], field: &'static str) -> Result<OperationUuid, FrameError> {
    bytes(value, field).map(OperationUuid)
}

fn bytes(value: &[u8], field: &'static str) -> Result<[u8; 16], FrameError> {
    value.try_into().map_err(|_| FrameError::Value {
        field,
        detail: format!("a uuid of {} bytes, not 16", value.len()),
    })
}

/// An ApplyOperation.
pub(crate) fn apply(
    framework_id: Option<&FrameworkId>,
    info: &OperationInfo,
    uuid: OperationUuid,
    resource_version: &model::Blob,
) -> wire::ApplyOperation {
    wire::ApplyOperation {
        framework_id: framework_id.map(v1::FrameworkId::from),
        info: Some(api::convert::to_operation(&info.change, info.id.as_deref())),
        operation_uuid: uuid.0.to_vec(),
        resource_version: resource_version.as_bytes().to_vec(),
    }
}

/// A ReconcileOperations.
pub(crate) fn reconcile(
    operations: &[(OperationUuid, Option<FrameworkId>, Option<Text>)],
) -> wire::ReconcileOperations {
    let items = operations.iter();
    wire::ReconcileOperations {
        operations: items
            .map(
                |(uuid, framework_id, id)| wire::reconcile_operations::Item {
                    framework_id: framework_id.as_ref().map(v1::FrameworkId::from),
                    operation_uuid: uuid.0.to_vec(),
                    operation_id: id.as_ref().map(|id| v1::OperationId {
                        value: id.to_string(),
                    }),
                },
            )
            .collect(),
    }
}
