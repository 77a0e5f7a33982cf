//! Records of operations, of what they made, and of drains.

use std::time::Duration;

use agent_core::effect::{Fact, OperationStatus};
use agent_core::event::{self, Fate};
use agent_core::holdings::VolumeName;
use api::{convert, v1};
use model::resources::Role;
use model::{Blob, FrameworkId, OperationState, OperationUuid, Resources};
use prost::Message;

use super::{RecordError, resources, sixteen, uuid};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Operation {
    #[prost(bytes = "vec", tag = "1")]
    uuid: Vec<u8>,
    #[prost(string, optional, tag = "2")]
    framework_id: Option<String>,
    #[prost(string, optional, tag = "3")]
    id: Option<String>,
    #[prost(bytes = "vec", tag = "4")]
    info: Vec<u8>,
    #[prost(int32, tag = "5")]
    state: i32,
    #[prost(bytes = "vec", optional, tag = "6")]
    status_uuid: Option<Vec<u8>>,
    #[prost(string, optional, tag = "7")]
    message: Option<String>,
    /// Unset where the operation changed nothing.
    #[prost(message, optional, tag = "8")]
    kept: Option<Kept>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Kept {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<v1::Resource>,
    #[prost(message, repeated, tag = "2")]
    doomed: Vec<Volume>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Volume {
    #[prost(string, tag = "1")]
    role: String,
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Drain {
    #[prost(bool, tag = "1")]
    is_draining: bool,
    #[prost(uint64, optional, tag = "2")]
    max_grace_ns: Option<u64>,
    #[prost(bool, tag = "3")]
    is_to_be_gone: bool,
}

pub(super) fn record(
    operation: &event::Operation,
    status: &OperationStatus,
    kept: Option<&Resources>,
) -> Operation {
    Operation {
        uuid: operation.uuid.0.to_vec(),
        framework_id: operation.framework_id.as_ref().map(ToString::to_string),
        id: operation.id.clone(),
        info: operation.info.as_bytes().to_vec(),
        state: status.state.number(),
        status_uuid: status.uuid.map(|uuid| uuid.0.to_vec()),
        message: status.message.clone(),
        kept: kept.map(|kept| kept_record(kept, &[])),
    }
}

pub(super) fn fact(record: Operation) -> Result<Fact, RecordError> {
    let state = OperationState::from_number(record.state);
    let kept = record.kept.as_ref().map(|kept| resources(&kept.resources));
    Ok(Fact::Operation {
        operation: event::Operation {
            uuid: OperationUuid(sixteen(&record.uuid)?),
            framework_id: record
                .framework_id
                .as_deref()
                .map(FrameworkId::new)
                .transpose()?,
            id: record.id,
            info: Blob::new(&record.info),
        },
        status: OperationStatus {
            state: state.ok_or(RecordError::Unknown("state of an operation"))?,
            uuid: record.status_uuid.as_deref().map(uuid).transpose()?,
            message: record.message,
        },
        kept: kept.transpose()?,
    })
}

pub(super) fn kept_record(kept: &Resources, doomed: &[VolumeName]) -> Kept {
    Kept {
        resources: convert::to_refined(kept),
        doomed: doomed.iter().map(volume_record).collect(),
    }
}

pub(super) fn kept_fact(record: &Kept) -> Result<Fact, RecordError> {
    Ok(Fact::Kept {
        kept: resources(&record.resources)?,
        doomed: record.doomed.iter().map(volume).collect::<Result<_, _>>()?,
    })
}

pub(super) fn volume_record(volume: &VolumeName) -> Volume {
    Volume {
        role: volume.role.to_string(),
        id: volume.id.to_string(),
    }
}

pub(super) fn volume(record: &Volume) -> Result<VolumeName, RecordError> {
    model::id::check(&record.id)?;
    let role = Role::new(&record.role);
    Ok(VolumeName {
        role: role.map_err(|error| RecordError::Resources(error.to_string()))?,
        id: record.id.as_str().into(),
    })
}

pub(super) fn drain_record(drain: Option<event::Drain>) -> Drain {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Drain {
        is_draining: drain.is_some(),
        max_grace_ns: drain.and_then(|drain| drain.max_grace).map(nanos),
        is_to_be_gone: drain.is_some_and(|drain| drain.fate == Fate::Gone),
    }
}

pub(super) fn drain(record: &Drain) -> Option<event::Drain> {
    record.is_draining.then(|| event::Drain {
        max_grace: record.max_grace_ns.map(Duration::from_nanos),
        fate: match record.is_to_be_gone {
            true => Fate::Gone,
            false => Fate::Stays,
        },
    })
}
