//! Records of executors that have containers of their own.

use agent_core::allocation::Allocation;
use agent_core::effect::Fact;
use agent_core::event::{ExecutorKind, ExecutorSpec, Framework};
use api::v1;
use model::{Blob, ContainerId, ExecutorId, FrameworkId};
use prost::Message;
use std::time::Duration;

use super::{FrameworkRecord, RecordError, framework, framework_record, nanos};
use crate::wire;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Executor {
    #[prost(message, required, tag = "1")]
    framework: FrameworkRecord,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(bytes = "vec", tag = "4")]
    info: Vec<u8>,
    #[prost(uint64, optional, tag = "5")]
    shutdown_grace_ns: Option<u64>,
    #[prost(string, tag = "6")]
    container: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ended {
    #[prost(string, tag = "1")]
    framework_id: String,
    #[prost(string, tag = "2")]
    executor_id: String,
}

pub(super) fn kind_number(kind: ExecutorKind) -> i32 {
    match kind {
        ExecutorKind::Command => 0,
        ExecutorKind::Custom => 1,
        ExecutorKind::Default => 2,
    }
}

pub(super) fn kind(number: Option<i32>) -> Result<ExecutorKind, RecordError> {
    match number {
        None | Some(0) => Ok(ExecutorKind::Command),
        Some(1) => Ok(ExecutorKind::Custom),
        Some(2) => Ok(ExecutorKind::Default),
        Some(_) => Err(RecordError::Unknown("kind of executor")),
    }
}

/// What it was given stands in its ExecutorInfo.
pub(super) fn allocation(info: &[u8], number: Option<i32>) -> Result<Allocation, RecordError> {
    let kind = kind(number)?;
    let info = v1::ExecutorInfo::decode(info);
    Ok(info
        .map(|info| wire::executor::allocation(&info, kind))
        .unwrap_or_default())
}

pub(super) fn record(
    framework: &Framework,
    executor: &ExecutorSpec,
    container: &ContainerId,
) -> Executor {
    Executor {
        framework: framework_record(framework),
        id: executor.id.to_string(),
        kind: kind_number(executor.kind),
        info: executor.info.as_bytes().to_vec(),
        shutdown_grace_ns: executor.shutdown_grace.map(nanos),
        container: container.to_string(),
    }
}

pub(super) fn fact(record: Executor) -> Result<Fact, RecordError> {
    Ok(Fact::Executor {
        framework: framework(record.framework)?,
        executor: ExecutorSpec {
            id: ExecutorId::new(&record.id)?,
            kind: kind(Some(record.kind))?,
            info: Blob::new(&record.info),
            shutdown_grace: record.shutdown_grace_ns.map(Duration::from_nanos),
            allocation: allocation(&record.info, Some(record.kind))?,
        },
        container: ContainerId::new(&record.container)?,
    })
}

pub(super) fn ended_record(framework_id: &FrameworkId, executor_id: &ExecutorId) -> Ended {
    Ended {
        framework_id: framework_id.to_string(),
        executor_id: executor_id.to_string(),
    }
}

pub(super) fn ended_fact(record: &Ended) -> Result<Fact, RecordError> {
    Ok(Fact::ExecutorEnded {
        framework_id: FrameworkId::new(&record.framework_id)?,
        executor_id: ExecutorId::new(&record.executor_id)?,
    })
}
