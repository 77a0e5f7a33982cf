//! Wire: frames of the link to and from what agent-core says and hears.

pub mod check;
pub mod container;
pub mod container_info;
pub mod demand;
pub mod executor;
pub mod image;
pub mod operation;
pub mod pod;
pub mod task;

use std::time::Duration;

use agent_core::effect::{Limitation, Register, Running, Status, ToMaster};
use agent_core::event::{
    Drain, Expected, Fate, Framework, FromMaster, KillingState, Restarts, Standing, TaskSpec,
    Verdict,
};
use api::link::v1 as link;
use api::{convert, v1};
use model::task::PartitionAwareness;
use model::{AgentId, Blob, ContainerId, ExecutorId, FrameworkId, IdError, StatusUuid, TaskId};
use prost::Message;

use crate::description::{Description, VERSION};

/// Why a frame of the master cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A field that has to be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An id that breaks the rules of ids.
    #[error("malformed id")]
    Id(#[from] IdError),
    /// The uuid is not 16 bytes.
    #[error("malformed uuid")]
    Uuid,
}

/// What a frame says; `Ok(None)` for a kind that this agent does not know.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn from_master(frame: link::MasterFrame) -> Result<Option<FromMaster>, FrameError> {
    use link::master_frame::Body;
    let Some(body) = frame.body else {
        return Ok(None);
    };
    Ok(Some(match body {
        Body::Registered(body) => FromMaster::Registered {
            agent_id: agent_id(body.agent_id.as_ref())?,
            total_ping_timeout: Duration::from_nanos(body.total_ping_timeout_ns),
        },
        Body::Refused(body) => FromMaster::Refused {
            reason: body.reason,
            verdict: match body.r#final {
                true => Verdict::Never,
                false => Verdict::Later,
            },
        },
        Body::Ping(body) => FromMaster::Ping {
            sequence: body.sequence,
            standing: match body.connected {
                true => Standing::Connected,
                false => Standing::Disconnected,
            },
        },
        Body::RunTask(body) => {
            let info = body
                .framework_info
                .ok_or(FrameError::Missing("framework_info"))?;
            let task = body.task_info.ok_or(FrameError::Missing("task_info"))?;
            let framework = framework(&info)?;
            FromMaster::RunTask {
                task: task::spec(&task, &framework.id)?,
                framework,
                resource_version: body.resource_version,
                expected: expected(body.executor_expected),
            }
        }
        Body::KillTask(body) => FromMaster::KillTask {
            framework_id: framework_id(body.framework_id.as_ref())?,
            task_id: task_id(body.task_id.as_ref())?,
            grace: body.kill_policy.as_ref().and_then(task::grace),
        },
        Body::AcknowledgeUpdate(body) => FromMaster::AcknowledgeUpdate {
            framework_id: framework_id(body.framework_id.as_ref())?,
            task_id: task_id(body.task_id.as_ref())?,
            uuid: StatusUuid(uuid(body.uuid)?),
        },
        Body::ShutdownFramework(body) => FromMaster::ShutdownFramework {
            framework_id: framework_id(body.framework_id.as_ref())?,
        },
        Body::ShutdownExecutor(body) => FromMaster::ShutdownExecutor {
            framework_id: framework_id(body.framework_id.as_ref())?,
            executor_id: executor_id(body.executor_id.as_ref())?,
        },
        Body::ReconcileTasks(body) => FromMaster::ReconcileTasks {
            tasks: body
                .tasks
                .iter()
                .map(|item| {
                    let framework = framework_id(item.framework_id.as_ref())?;
                    Ok((framework, task_id(item.task_id.as_ref())?))
                })
                .collect::<Result<_, FrameError>>()?,
        },
        Body::Shutdown(body) => FromMaster::Shutdown {
            reason: body.reason,
        },
        Body::FrameworkSubscribed(body) => FromMaster::FrameworkSubscribed {
            framework_id: framework_id(body.framework_id.as_ref())?,
        },
        Body::ApplyOperation(body) => operation::apply(body)?,
        Body::AcknowledgeOperation(body) => FromMaster::AcknowledgeOperation {
            operation: operation::uuid(body.operation_uuid)?,
            status: StatusUuid(uuid(body.status_uuid)?),
        },
        Body::ReconcileOperations(body) => FromMaster::ReconcileOperations {
            operations: body
                .operations
                .into_iter()
                .map(operation::asked)
                .collect::<Result<_, _>>()?,
        },
        Body::RunTaskGroup(body) => run_group(body)?,
        Body::FrameworkMessage(body) => FromMaster::FrameworkMessage {
            framework_id: framework_id(body.framework_id.as_ref())?,
            executor_id: executor_id(body.executor_id.as_ref())?,
            data: Blob::new(&body.data),
        },
        Body::FrameworkUpdated(body) => FromMaster::FrameworkUpdated {
            framework: framework(
                &body
                    .framework_info
                    .ok_or(FrameError::Missing("framework_info"))?,
            )?,
        },
        Body::DrainAgent(body) => {
            FromMaster::DrainAgent(drain(&body.config.ok_or(FrameError::Missing("config"))?))
        }
    }))
}

fn run_group(body: link::RunTaskGroup) -> Result<FromMaster, FrameError> {
    let info = body
        .framework_info
        .ok_or(FrameError::Missing("framework_info"))?;
    let executor = body
        .executor_info
        .ok_or(FrameError::Missing("executor_info"))?;
    let group = body.task_group.ok_or(FrameError::Missing("task_group"))?;
    let framework = framework(&info)?;
    let ids = group.tasks.iter().map(|task| task_id(Some(&task.task_id)));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let tasks = group.tasks.into_iter().map(|task| {
        let task = v1::TaskInfo {
            executor: Some(executor.clone()),
            ..task
        };
        Ok(TaskSpec {
            group: ids.clone(),
            ..task::spec(&task, &framework.id)?
        })
    });
    Ok(FromMaster::RunTaskGroup {
        tasks: tasks.collect::<Result<_, FrameError>>()?,
        framework,
        resource_version: body.resource_version,
        expected: expected(body.executor_expected),
    })
}

const fn expected(executor_expected: bool) -> Expected {
    match executor_expected {
        true => Expected::Running,
        false => Expected::New,
    }
}

fn drain(config: &v1::DrainConfig) -> Drain {
    let grace = config.max_grace_period.as_ref();
    Drain {
        max_grace: grace.and_then(task::duration),
        fate: match config.mark_gone() {
            true => Fate::Gone,
            false => Fate::Stays,
        },
    }
}

/// A drain as Mesos' API says it.
#[must_use]
pub fn drain_config(drain: Drain) -> v1::DrainConfig {
    v1::DrainConfig {
        max_grace_period: drain.max_grace.map(|grace| v1::DurationInfo {
            nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX),
        }),
        mark_gone: Some(drain.fate == Fate::Gone),
    }
}

fn uuid(bytes: Vec<u8>) -> Result<[u8; 16], FrameError> {
    bytes.try_into().map_err(|_| FrameError::Uuid)
}

fn framework(info: &v1::FrameworkInfo) -> Result<Framework, FrameError> {
    use v1::framework_info::capability::Type;
    let has = |wanted: Type| {
        let mut all = info.capabilities.iter();
        all.any(|capability| capability.r#type == Some(wanted.into()))
    };
    Ok(Framework {
        id: framework_id(info.id.as_ref())?,
        info: Blob::new(&info.encode_to_vec()),
        killing: match has(Type::TaskKillingState) {
            true => KillingState::Told,
            false => KillingState::Untold,
        },
        partition: match has(Type::PartitionAware) {
            true => PartitionAwareness::Aware,
            false => PartitionAwareness::Unaware,
        },
        restarts: restarts(info),
    })
}

/// What a framework wants of restarts.
pub(crate) fn restarts(info: &v1::FrameworkInfo) -> Restarts {
    match info.checkpoint() {
        true => Restarts::Outlived,
        false => Restarts::Fatal,
    }
}

fn framework_id(id: Option<&v1::FrameworkId>) -> Result<FrameworkId, FrameError> {
    let id = id.ok_or(FrameError::Missing("framework_id"))?;
    Ok(FrameworkId::new(&id.value)?)
}

fn task_id(id: Option<&v1::TaskId>) -> Result<TaskId, FrameError> {
    let id = id.ok_or(FrameError::Missing("task_id"))?;
    Ok(TaskId::new(&id.value)?)
}

fn executor_id(id: Option<&v1::ExecutorId>) -> Result<ExecutorId, FrameError> {
    let id = id.ok_or(FrameError::Missing("executor_id"))?;
    Ok(ExecutorId::new(&id.value)?)
}

fn agent_id(id: Option<&v1::AgentId>) -> Result<AgentId, FrameError> {
    let id = id.ok_or(FrameError::Missing("agent_id"))?;
    Ok(AgentId::new(&id.value)?)
}

/// Encodes what agent-core says.
#[must_use]
pub fn to_master(
    description: &Description,
    agent: Option<&AgentId>,
    epoch: u64,
    incarnation: u64,
    frame: ToMaster,
) -> link::AgentFrame {
    use link::agent_frame::Body;
    let body = match frame {
        ToMaster::Register(frame) => Body::Register(register(description, frame)),
        ToMaster::Pong { sequence } => Body::Pong(link::Pong { sequence }),
        ToMaster::Update {
            framework_id,
            status,
            latest,
        } => Body::Update(link::StatusUpdate {
            framework_id: Some((&framework_id).into()),
            executor_id: status.executor_id.as_ref().map(Into::into),
            status: Some(task_status(description, agent, &status)),
            latest_state: latest.number(),
        }),
        ToMaster::OperationUpdate {
            operation,
            status,
            total,
        } => Body::OperationUpdate(operation::update(agent, &operation, &status, total)),
        ToMaster::ExecutorExited {
            framework_id,
            executor_id,
            wait_status,
        } => Body::ExecutorExited(link::ExecutorExited {
            framework_id: Some((&framework_id).into()),
            executor_id: Some((&executor_id).into()),
            wait_status,
        }),
        ToMaster::ExecutorMessage {
            framework_id,
            executor_id,
            data,
        } => Body::ExecutorMessage(link::ExecutorMessage {
            framework_id: Some((&framework_id).into()),
            executor_id: Some((&executor_id).into()),
            data: data.as_bytes().to_vec(),
        }),
        ToMaster::Oversubscribed { revocable } => {
            Body::UpdateOversubscribed(link::UpdateOversubscribed {
                resources: convert::to_refined(&revocable),
            })
        }
        ToMaster::Unregister => Body::Unregister(link::Unregister {}),
    };
    link::AgentFrame {
        epoch,
        incarnation,
        body: Some(body),
    }
}

fn register(description: &Description, frame: Register) -> link::Register {
    let agent = frame.agent_id.as_ref();
    let executors = frame.executors.iter().map(|one| link::RunningExecutor {
        framework_id: Some((&one.framework_id).into()),
        executor_info: stored(&one.executor.info),
        container_id: Some((&one.container).into()),
    });
    let tasks = frame.tasks.iter();
    link::Register {
        agent_id: agent.map(Into::into),
        agent_info: Some(description.agent_info(agent)),
        version: VERSION.to_string(),
        capabilities: Description::capabilities(),
        resource_version: description.resource_version.to_vec(),
        frameworks: frame.frameworks.iter().filter_map(stored).collect(),
        executors: executors.collect(),
        tasks: tasks
            .map(|task| running(description, agent, task))
            .collect(),
        advertise_ip: description.ip.to_string(),
        operations: frame
            .operations
            .iter()
            .filter_map(|(operation, status)| operation::listed(agent, operation, status))
            .collect(),
        drain_config: frame.drain.map(drain_config),
        total_resources: convert::to_refined(&frame.total),
        oversubscribed_resources: convert::to_refined(&frame.oversubscribed),
    }
}

fn running(
    description: &Description,
    agent: Option<&AgentId>,
    task: &Running,
) -> link::RunningTask {
    link::RunningTask {
        framework_id: Some((&task.framework_id).into()),
        task_info: stored(&task.task),
        executor_id: Some((&task.executor_id).into()),
        state: task.state.number(),
        status: task
            .status
            .as_ref()
            .map(|status| task_status(description, agent, status)),
    }
}

/// A message that this agent encoded itself.
#[must_use]
pub fn stored<T: Message + Default>(blob: &Blob) -> Option<T> {
    T::decode(blob.as_bytes()).ok()
}

/// The label of a status that tells what a node does not give of a container's isolation.
pub const DEGRADED: &str = "tepui.degraded";

/// A status as Mesos' API says it.
#[must_use]
pub fn task_status(
    description: &Description,
    agent: Option<&AgentId>,
    status: &Status,
) -> v1::TaskStatus {
    let container = status.container.as_ref().map(|id| v1::ContainerStatus {
        container_id: Some(id.into()),
        network_infos: vec![network_info(description, id)],
        executor_pid: status.pid,
        ..v1::ContainerStatus::default()
    });
    let limitation = status.limitation.map(limitation);
    let given: v1::TaskStatus = status.given.as_ref().and_then(stored).unwrap_or_default();
    v1::TaskStatus {
        task_id: (&status.task_id).into(),
        state: status.state.number(),
        message: status.message.clone(),
        source: Some(status.source.number()),
        reason: status.reason.map(model::Reason::number).or(given.reason),
        agent_id: agent.map(Into::into),
        executor_id: status.executor_id.as_ref().map(Into::into),
        timestamp: Some(seconds(status.timestamp)),
        uuid: Some(status.uuid.0.to_vec()),
        container_status: merged(container, given.container_status.clone()),
        limitation: limitation.or_else(|| given.limitation.clone()),
        healthy: status.healthy.or(given.healthy),
        check_status: status.check.map(check::status_info).or(given.check_status),
        labels: labels(status.degraded.as_deref(), given.labels),
        ..given
    }
}

/// What an executor says, and what the node does not give: Mesos has no field for that.
fn labels(degraded: Option<&str>, given: Option<v1::Labels>) -> Option<v1::Labels> {
    let Some(degraded) = degraded else {
        return given;
    };
    let mut all = given.unwrap_or_default();
    all.labels.push(v1::Label {
        key: DEGRADED.to_owned(),
        value: Some(degraded.to_owned()),
    });
    Some(all)
}

/// The container as the agent knows it, but for what its executor says of its addresses.
fn merged(
    own: Option<v1::ContainerStatus>,
    given: Option<v1::ContainerStatus>,
) -> Option<v1::ContainerStatus> {
    let (Some(own), Some(given)) = (&own, &given) else {
        return own.or(given);
    };
    let mut all = own.clone();
    if !given.network_infos.is_empty() {
        all.network_infos.clone_from(&given.network_infos);
    }
    Some(all)
}

/// The container's own network, or the node's.
fn network_info(description: &Description, container: &ContainerId) -> v1::NetworkInfo {
    use v1::network_info::{IpAddress, Protocol};
    if let Some(own) = description.addresses.of(container) {
        return own;
    }
    let protocol = match description.ip.is_ipv4() {
        true => Protocol::IPv4,
        false => Protocol::IPv6,
    };
    v1::NetworkInfo {
        ip_addresses: vec![IpAddress {
            protocol: Some(protocol.into()),
            ip_address: Some(description.ip.to_string()),
        }],
        ..v1::NetworkInfo::default()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a limit in MB is far below 2^52, and a timestamp is a double on the wire"
)]
pub(crate) fn limitation(limit: Limitation) -> v1::TaskResourceLimitation {
    let (name, bytes) = match limit {
        Limitation::Memory(bytes) => ("mem", bytes),
        Limitation::Disk(bytes) => ("disk", bytes),
    };
    v1::TaskResourceLimitation {
        resources: vec![v1::Resource {
            name: name.to_string(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar {
                value: bytes as f64 / f64::from(1 << 20),
            }),
            ..v1::Resource::default()
        }],
    }
}

/// Seconds since the Unix epoch, as Mesos' API counts.
#[expect(
    clippy::cast_precision_loss,
    reason = "the wire has a double: microseconds are what is left"
)]
#[must_use]
pub fn seconds(time: agent_core::WallTime) -> f64 {
    time.0 as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_without_what_it_needs_is_named_and_an_unknown_kind_is_none() {
        use link::master_frame::Body;
        let frame = |body| link::MasterFrame {
            epoch: 1,
            incarnation: 1,
            body,
        };
        assert!(matches!(from_master(frame(None)), Ok(None)));
        let run = Body::RunTask(link::RunTask::default());
        let error = from_master(frame(Some(run))).expect_err("no task");
        assert_eq!(error.to_string(), "framework_info is missing");
        let kill = Body::KillTask(link::KillTask {
            framework_id: Some(v1::FrameworkId {
                value: "../..".into(),
            }),
            ..link::KillTask::default()
        });
        let error = from_master(frame(Some(kill))).expect_err("no id");
        assert_eq!(
            crate::init::chain(&error),
            "malformed id: '../..' contains invalid characters"
        );
    }

    proptest! {
        /// A master that went mad cannot bring PID 1 down.
        #[test]
        fn no_bytes_of_a_master_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 3u8..16) {
            let mut framed = vec![kind << 3 | 2, u8::try_from(bytes.len().min(127)).unwrap_or(0)];
            framed.extend(bytes.iter().take(127));
            for bytes in [bytes, framed] {
                if let Ok(frame) = link::MasterFrame::decode(bytes.as_slice()) {
                    let _ = from_master(frame);
                }
            }
        }
    }
}
