//! Records: facts as bytes, in protobuf's encoding, so that a later version may add fields.
//!
//! These messages are the agent's own and go nowhere but into its log.

mod ending;
mod executor;
mod operation;

use agent_core::checks::Checks;
use agent_core::effect::{Fact, Limitation, Status, WallTime};
use agent_core::event::{ExecutorSpec, Framework, KillingState, Restarts, TaskSpec};
use api::{convert, v1};
use model::task::PartitionAwareness;
use model::{
    AgentId, Blob, ContainerId, ContainerIdError, ExecutorId, FrameworkId, IdError, OperationUuid,
    Reason, Resources, Source, StatusUuid, TaskId, TaskState,
};
use prost::Message;
use std::time::Duration;

use crate::wire;

/// Why a payload is no fact.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not protobuf.
    #[error("malformed record")]
    Malformed(#[from] prost::DecodeError),
    /// An id that breaks the rules of ids.
    #[error("malformed id")]
    Id(#[from] IdError),
    /// A container's id that breaks theirs.
    #[error("malformed container id")]
    ContainerId(#[from] ContainerIdError),
    /// A kind of fact, a state or a number of a later version.
    #[error("unknown {0}")]
    Unknown(&'static str),
    /// Resources or a role that break their rules.
    #[error("malformed resources: {0}")]
    Resources(String),
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(
        oneof = "Kind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18"
    )]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(uint64, tag = "1")]
    Started(u64),
    #[prost(string, tag = "2")]
    Admitted(String),
    #[prost(bool, tag = "3")]
    Expelled(bool),
    #[prost(message, tag = "4")]
    Task(Task),
    #[prost(message, tag = "5")]
    Update(Update),
    #[prost(message, tag = "6")]
    Acknowledged(Named),
    #[prost(string, tag = "7")]
    FrameworkGone(String),
    #[prost(message, tag = "8")]
    Forgotten(Named),
    #[prost(message, tag = "9")]
    Operation(operation::Operation),
    #[prost(bytes = "vec", tag = "10")]
    OperationAcknowledged(Vec<u8>),
    #[prost(message, tag = "11")]
    Kept(operation::Kept),
    #[prost(message, tag = "12")]
    VolumeDestroyed(operation::Volume),
    #[prost(message, tag = "13")]
    Draining(operation::Drain),
    #[prost(message, tag = "14")]
    FrameworkUpdated(FrameworkRecord),
    #[prost(message, tag = "15")]
    Executor(executor::Executor),
    #[prost(message, tag = "16")]
    ExecutorEnded(executor::Ended),
    #[prost(message, tag = "17")]
    Killing(ending::Killing),
    #[prost(message, tag = "18")]
    ExecutorEnding(ending::Ending),
}

#[derive(Clone, PartialEq, Message)]
struct FrameworkRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    info: Vec<u8>,
    #[prost(bool, tag = "3")]
    hears_of_kills: bool,
    #[prost(bool, tag = "4")]
    knows_partitions: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Task {
    #[prost(string, tag = "1")]
    framework_id: String,
    #[prost(bytes = "vec", tag = "2")]
    framework_info: Vec<u8>,
    #[prost(bool, tag = "3")]
    hears_of_kills: bool,
    #[prost(bool, tag = "4")]
    knows_partitions: bool,
    #[prost(string, tag = "5")]
    task_id: String,
    #[prost(string, tag = "6")]
    executor_id: String,
    #[prost(bytes = "vec", tag = "7")]
    task_info: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    executor_info: Vec<u8>,
    #[prost(uint64, optional, tag = "9")]
    kill_grace_ns: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    max_completion_ns: Option<u64>,
    #[prost(string, optional, tag = "11")]
    unsupported: Option<String>,
    #[prost(string, optional, tag = "12")]
    container: Option<String>,
    /// None in logs of versions without operations, whose tasks used no volume.
    #[prost(message, repeated, tag = "13")]
    held: Vec<v1::Resource>,
    /// None in logs of versions whose agents ran command tasks only.
    #[prost(int32, optional, tag = "14")]
    kind: Option<i32>,
    #[prost(uint64, optional, tag = "15")]
    shutdown_grace_ns: Option<u64>,
    #[prost(string, repeated, tag = "16")]
    group: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Update {
    #[prost(string, tag = "1")]
    framework_id: String,
    #[prost(string, tag = "2")]
    task_id: String,
    #[prost(string, optional, tag = "3")]
    executor_id: Option<String>,
    #[prost(int32, tag = "4")]
    state: i32,
    #[prost(int32, tag = "5")]
    source: i32,
    #[prost(int32, optional, tag = "6")]
    reason: Option<i32>,
    #[prost(string, optional, tag = "7")]
    message: Option<String>,
    #[prost(bytes = "vec", tag = "8")]
    uuid: Vec<u8>,
    #[prost(uint64, tag = "9")]
    timestamp_ns: u64,
    #[prost(string, optional, tag = "10")]
    container: Option<String>,
    #[prost(uint32, optional, tag = "11")]
    pid: Option<u32>,
    #[prost(uint64, optional, tag = "12")]
    memory_limit_bytes: Option<u64>,
    #[prost(bool, optional, tag = "13")]
    healthy: Option<bool>,
    #[prost(message, optional, tag = "14")]
    check: Option<v1::CheckStatusInfo>,
    #[prost(bytes = "vec", optional, tag = "15")]
    given: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "16")]
    disk_limit_bytes: Option<u64>,
    #[prost(string, optional, tag = "17")]
    degraded: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    framework_id: String,
    #[prost(string, tag = "2")]
    task_id: String,
    #[prost(bytes = "vec", tag = "3")]
    uuid: Vec<u8>,
}

/// A fact as bytes.
pub(super) fn encode(fact: &Fact) -> Vec<u8> {
    let kind = match fact {
        Fact::Started { incarnation } => Kind::Started(*incarnation),
        Fact::Admitted { agent_id } => Kind::Admitted(agent_id.to_string()),
        Fact::Expelled => Kind::Expelled(true),
        Fact::Executor {
            framework,
            executor,
            container,
        } => Kind::Executor(executor::record(framework, executor, container)),
        Fact::ExecutorEnded {
            framework_id,
            executor_id,
        } => Kind::ExecutorEnded(executor::ended_record(framework_id, executor_id)),
        Fact::ExecutorEnding {
            framework_id,
            executor_id,
            deadline,
        } => Kind::ExecutorEnding(ending::record(framework_id, executor_id, *deadline)),
        Fact::Killing {
            framework_id,
            task_id,
            doom,
            deadline,
        } => Kind::Killing(ending::killing(framework_id, task_id, *doom, *deadline)),
        Fact::Task {
            framework,
            task,
            container,
        } => Kind::Task(task_record(framework, task, container.as_ref())),
        Fact::Update {
            framework_id,
            status,
        } => Kind::Update(update_record(framework_id, status)),
        Fact::Acknowledged {
            framework_id,
            task_id,
            uuid,
        } => Kind::Acknowledged(Named {
            framework_id: framework_id.to_string(),
            task_id: task_id.to_string(),
            uuid: uuid.0.to_vec(),
        }),
        Fact::FrameworkGone { framework_id } => Kind::FrameworkGone(framework_id.to_string()),
        Fact::Forgotten {
            framework_id,
            task_id,
        } => Kind::Forgotten(Named {
            framework_id: framework_id.to_string(),
            task_id: task_id.to_string(),
            uuid: Vec::new(),
        }),
        Fact::FrameworkUpdated { framework } => Kind::FrameworkUpdated(FrameworkRecord {
            id: framework.id.to_string(),
            info: framework.info.as_bytes().to_vec(),
            hears_of_kills: framework.killing == KillingState::Told,
            knows_partitions: framework.partition == PartitionAwareness::Aware,
        }),
        Fact::Operation {
            operation,
            status,
            kept,
        } => Kind::Operation(operation::record(operation, status, kept.as_ref())),
        Fact::OperationAcknowledged { operation } => {
            Kind::OperationAcknowledged(operation.0.to_vec())
        }
        Fact::Kept { kept, doomed } => Kind::Kept(operation::kept_record(kept, doomed)),
        Fact::VolumeDestroyed { volume } => Kind::VolumeDestroyed(operation::volume_record(volume)),
        Fact::Draining(drain) => Kind::Draining(operation::drain_record(*drain)),
    };
    Record { kind: Some(kind) }.encode_to_vec()
}

/// Bytes as a fact.
pub(super) fn decode(bytes: &[u8]) -> Result<Fact, RecordError> {
    let kind = Record::decode(bytes)?.kind;
    Ok(match kind.ok_or(RecordError::Unknown("kind of fact"))? {
        Kind::Started(incarnation) => Fact::Started { incarnation },
        Kind::Admitted(id) => Fact::Admitted {
            agent_id: AgentId::new(&id)?,
        },
        Kind::Expelled(_) => Fact::Expelled,
        Kind::Task(task) => task_fact(task)?,
        Kind::Executor(record) => executor::fact(record)?,
        Kind::ExecutorEnded(record) => executor::ended_fact(&record)?,
        Kind::ExecutorEnding(record) => ending::fact(&record)?,
        Kind::Killing(record) => ending::killing_fact(&record)?,
        Kind::Update(update) => Fact::Update {
            framework_id: FrameworkId::new(&update.framework_id)?,
            status: status(update)?,
        },
        Kind::Acknowledged(named) => Fact::Acknowledged {
            framework_id: FrameworkId::new(&named.framework_id)?,
            task_id: TaskId::new(&named.task_id)?,
            uuid: uuid(&named.uuid)?,
        },
        Kind::FrameworkGone(id) => Fact::FrameworkGone {
            framework_id: FrameworkId::new(&id)?,
        },
        Kind::Forgotten(named) => Fact::Forgotten {
            framework_id: FrameworkId::new(&named.framework_id)?,
            task_id: TaskId::new(&named.task_id)?,
        },
        Kind::FrameworkUpdated(record) => Fact::FrameworkUpdated {
            framework: framework(record)?,
        },
        Kind::Operation(record) => operation::fact(record)?,
        Kind::OperationAcknowledged(uuid) => Fact::OperationAcknowledged {
            operation: OperationUuid(sixteen(&uuid)?),
        },
        Kind::Kept(record) => operation::kept_fact(&record)?,
        Kind::VolumeDestroyed(record) => Fact::VolumeDestroyed {
            volume: operation::volume(&record)?,
        },
        Kind::Draining(record) => Fact::Draining(operation::drain(&record)),
    })
}

fn framework_record(framework: &Framework) -> FrameworkRecord {
    FrameworkRecord {
        id: framework.id.to_string(),
        info: framework.info.as_bytes().to_vec(),
        hears_of_kills: framework.killing == KillingState::Told,
        knows_partitions: framework.partition == PartitionAwareness::Aware,
    }
}

fn framework(record: FrameworkRecord) -> Result<Framework, RecordError> {
    Ok(Framework {
        id: FrameworkId::new(&record.id)?,
        info: Blob::new(&record.info),
        killing: match record.hears_of_kills {
            true => KillingState::Told,
            false => KillingState::Untold,
        },
        partition: match record.knows_partitions {
            true => PartitionAwareness::Aware,
            false => PartitionAwareness::Unaware,
        },
        restarts: v1::FrameworkInfo::decode(&*record.info)
            .map_or(Restarts::Fatal, |info| wire::restarts(&info)),
    })
}

fn task_record(framework: &Framework, task: &TaskSpec, container: Option<&ContainerId>) -> Task {
    Task {
        framework_id: framework.id.to_string(),
        framework_info: framework.info.as_bytes().to_vec(),
        hears_of_kills: framework.killing == KillingState::Told,
        knows_partitions: framework.partition == PartitionAwareness::Aware,
        task_id: task.id.to_string(),
        executor_id: task.executor.id.to_string(),
        task_info: task.info.as_bytes().to_vec(),
        executor_info: task.executor.info.as_bytes().to_vec(),
        kill_grace_ns: task.kill_grace.map(nanos),
        max_completion_ns: task.max_completion_time.map(nanos),
        unsupported: task.unsupported.clone(),
        container: container.map(ToString::to_string),
        held: convert::to_refined(&task.held),
        kind: Some(executor::kind_number(task.executor.kind)).filter(|kind| *kind != 0),
        shutdown_grace_ns: task.executor.shutdown_grace.map(nanos),
        group: task.group.iter().map(ToString::to_string).collect(),
    }
}

fn task_fact(task: Task) -> Result<Fact, RecordError> {
    let framework = framework(FrameworkRecord {
        id: task.framework_id,
        info: task.framework_info,
        hears_of_kills: task.hears_of_kills,
        knows_partitions: task.knows_partitions,
    })?;
    Ok(Fact::Task {
        framework,
        task: TaskSpec {
            id: TaskId::new(&task.task_id)?,
            executor: ExecutorSpec {
                id: ExecutorId::new(&task.executor_id)?,
                kind: executor::kind(task.kind)?,
                info: Blob::new(&task.executor_info),
                shutdown_grace: task.shutdown_grace_ns.map(Duration::from_nanos),
                allocation: executor::allocation(&task.executor_info, task.kind)?,
            },
            group: task
                .group
                .iter()
                .map(|id| TaskId::new(id))
                .collect::<Result<_, _>>()?,
            checks: checks(&task.task_info),
            info: Blob::new(&task.task_info),
            kill_grace: task.kill_grace_ns.map(Duration::from_nanos),
            max_completion_time: task.max_completion_ns.map(Duration::from_nanos),
            unsupported: task.unsupported,
            held: resources(&task.held)?,
            allocation: v1::TaskInfo::decode(&*task.task_info)
                .map(|info| wire::demand::allocation(&info.resources))
                .unwrap_or_default(),
        },
        container: task
            .container
            .as_deref()
            .map(ContainerId::new)
            .transpose()?,
    })
}

/// A task that was launched had checks that can be done, or it was refused.
fn checks(info: &[u8]) -> Checks {
    let task = v1::TaskInfo::decode(info);
    let checks = task.map(|task| wire::check::checks(&task).unwrap_or_default());
    checks.unwrap_or_default()
}

fn update_record(framework_id: &FrameworkId, status: &Status) -> Update {
    Update {
        framework_id: framework_id.to_string(),
        task_id: status.task_id.to_string(),
        executor_id: status.executor_id.as_ref().map(ToString::to_string),
        state: status.state.number(),
        source: status.source.number(),
        reason: status.reason.map(Reason::number),
        message: status.message.clone(),
        uuid: status.uuid.0.to_vec(),
        timestamp_ns: status.timestamp.0,
        container: status.container.as_ref().map(ToString::to_string),
        pid: status.pid,
        memory_limit_bytes: match status.limitation {
            Some(Limitation::Memory(bytes)) => Some(bytes),
            Some(Limitation::Disk(_)) | None => None,
        },
        disk_limit_bytes: match status.limitation {
            Some(Limitation::Disk(bytes)) => Some(bytes),
            Some(Limitation::Memory(_)) | None => None,
        },
        healthy: status.healthy,
        check: status.check.map(wire::check::status_info),
        degraded: status.degraded.clone(),
        given: status.given.as_ref().map(|given| given.as_bytes().to_vec()),
    }
}

fn status(update: Update) -> Result<Status, RecordError> {
    let reason = |number| Reason::from_number(number).ok_or(RecordError::Unknown("reason"));
    Ok(Status {
        task_id: TaskId::new(&update.task_id)?,
        executor_id: update
            .executor_id
            .as_deref()
            .map(ExecutorId::new)
            .transpose()?,
        state: TaskState::from_number(update.state).ok_or(RecordError::Unknown("state"))?,
        source: Source::from_number(update.source).ok_or(RecordError::Unknown("source"))?,
        reason: update.reason.map(reason).transpose()?,
        message: update.message,
        uuid: uuid(&update.uuid)?,
        timestamp: WallTime(update.timestamp_ns),
        container: update
            .container
            .as_deref()
            .map(ContainerId::new)
            .transpose()?,
        pid: update.pid,
        limitation: match (update.memory_limit_bytes, update.disk_limit_bytes) {
            (Some(bytes), _) => Some(Limitation::Memory(bytes)),
            (None, Some(bytes)) => Some(Limitation::Disk(bytes)),
            (None, None) => None,
        },
        healthy: update.healthy,
        check: update.check.as_ref().and_then(wire::check::status),
        degraded: update.degraded,
        given: update.given.as_deref().map(Blob::new),
    })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn uuid(bytes: &[u8]) -> Result<StatusUuid, RecordError> {
    sixteen(bytes).map(StatusUuid)
}

fn sixteen(bytes: &[u8]) -> Result<[u8; 16], RecordError> {
    bytes.try_into().map_err(|_| RecordError::Unknown("uuid"))
}

fn resources(wire: &[v1::Resource]) -> Result<Resources, RecordError> {
    let all =
        convert::resources(wire).map_err(|error| RecordError::Resources(error.to_string()))?;
    Ok(all.into_iter().collect())
}
