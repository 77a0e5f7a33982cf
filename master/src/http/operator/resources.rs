//! Calls that reserve resources and make volumes, and GET_OPERATIONS.

use api::v1;
use api::v1::master::call::{
    CreateVolumes, DestroyVolumes, GrowVolume, ReserveResources, ShrinkVolume, Type,
    UnreserveResources,
};
use api::v1::master::response::GetOperations;
use api::v1::offer::Operation;
use api::v1::offer::operation::{self, Type as Kind};
use master_core::event::{OperatorCall, Text};

use super::{Caller, answer};
use crate::http::Response;

/// What an operation on an agent's resources comes to.
pub(crate) fn change(agent_id: &str, operation: &Operation) -> OperatorCall {
    OperatorCall::ChangeResources {
        agent_id: Text::from(agent_id),
        change: api::convert::change(operation).map_err(|fault| fault.to_string()),
    }
}

/// RESERVE of these resources.
pub(crate) fn reserving(source: Vec<v1::Resource>, resources: Vec<v1::Resource>) -> Operation {
    Operation {
        r#type: Some(Kind::Reserve.into()),
        reserve: Some(operation::Reserve { source, resources }),
        ..Operation::default()
    }
}

/// UNRESERVE of these resources.
pub(crate) fn unreserving(resources: Vec<v1::Resource>) -> Operation {
    Operation {
        r#type: Some(Kind::Unreserve.into()),
        unreserve: Some(operation::Unreserve { resources }),
        ..Operation::default()
    }
}

/// CREATE of these volumes.
pub(crate) fn creating(volumes: Vec<v1::Resource>) -> Operation {
    Operation {
        r#type: Some(Kind::Create.into()),
        create: Some(operation::Create { volumes }),
        ..Operation::default()
    }
}

/// DESTROY of these volumes.
pub(crate) fn destroying(volumes: Vec<v1::Resource>) -> Operation {
    Operation {
        r#type: Some(Kind::Destroy.into()),
        destroy: Some(operation::Destroy { volumes }),
        ..Operation::default()
    }
}

/// RESERVE_RESOURCES.
pub(super) fn reserve(call: ReserveResources) -> OperatorCall {
    let operation = reserving(call.source, call.resources);
    change(&call.agent_id.value, &operation)
}

/// UNRESERVE_RESOURCES.
pub(super) fn unreserve(call: UnreserveResources) -> OperatorCall {
    change(&call.agent_id.value, &unreserving(call.resources))
}

/// CREATE_VOLUMES.
pub(super) fn create(call: CreateVolumes) -> OperatorCall {
    change(&call.agent_id.value, &creating(call.volumes))
}

/// DESTROY_VOLUMES.
pub(super) fn destroy(call: DestroyVolumes) -> OperatorCall {
    change(&call.agent_id.value, &destroying(call.volumes))
}

/// GROW_VOLUME.
pub(super) fn grow(call: GrowVolume) -> OperatorCall {
    let operation = Operation {
        r#type: Some(Kind::GrowVolume.into()),
        grow_volume: Some(operation::GrowVolume {
            volume: call.volume,
            addition: call.addition,
        }),
        ..Operation::default()
    };
    change(&call.agent_id.unwrap_or_default().value, &operation)
}

/// SHRINK_VOLUME.
pub(super) fn shrink(call: ShrinkVolume) -> OperatorCall {
    let operation = Operation {
        r#type: Some(Kind::ShrinkVolume.into()),
        shrink_volume: Some(operation::ShrinkVolume {
            volume: call.volume,
            subtract: call.subtract,
        }),
        ..Operation::default()
    };
    change(&call.agent_id.unwrap_or_default().value, &operation)
}

/// GET_OPERATIONS.
pub(super) async fn operations(caller: &Caller<'_>) -> Response {
    let snapshot = caller.handle.snapshot_for(&caller.identity).await;
    let message = v1::master::Response {
        get_operations: Some(GetOperations {
            operations: snapshot.operations().collect(),
        }),
        ..answer::typed(v1::master::response::Type::GetOperations)
    };
    answer::message(caller, &message)
}

/// Checks the resources that a call brings before its agent is looked for, as Mesos does of
/// reservations alone.
pub(super) fn check(kind: Type, call: &v1::master::Call) -> Result<(), String> {
    let resources = match kind {
        Type::ReserveResources => call.reserve_resources.as_ref().map(|call| &call.resources),
        Type::UnreserveResources => call
            .unreserve_resources
            .as_ref()
            .map(|call| &call.resources),
        _ => None,
    };
    let Some(resources) = resources else {
        return Ok(());
    };
    api::convert::resources(resources)
        .and_then(|resources| model::Resources::validate(&resources))
        .map_err(|fault| fault.to_string())
}
