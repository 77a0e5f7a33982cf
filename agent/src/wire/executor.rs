//! Executors: what agent-core needs to know of an `ExecutorInfo`, their calls and their events.

use agent_core::WallTime;
use agent_core::allocation::Allocation;
use agent_core::event::{ExecutorKind, ExecutorSpec};
use agent_core::executor_api::{ExecutorCall, ExecutorStatus, ToExecutor};
use api::v1;
use api::v1::executor as wire;
use model::{AgentId, Blob, ExecutorId, FrameworkId, Reason, StatusUuid, TaskId, TaskState};
use prost::Message;

use super::task::{Launch, LaunchError};
use super::{FrameError, stored};
use crate::description::Description;

/// Who runs the tasks of an executor that a framework names.
pub(super) fn kind(info: &v1::ExecutorInfo) -> ExecutorKind {
    match info.r#type() {
        v1::executor_info::Type::Default => ExecutorKind::Default,
        v1::executor_info::Type::Unknown | v1::executor_info::Type::Custom => ExecutorKind::Custom,
    }
}

/// What agent-core decides by.
pub(super) fn spec(
    info: &v1::ExecutorInfo,
    kind: ExecutorKind,
) -> Result<ExecutorSpec, FrameError> {
    let grace = info.shutdown_grace_period.as_ref();
    Ok(ExecutorSpec {
        id: ExecutorId::new(&info.executor_id.value)?,
        kind,
        info: Blob::new(&info.encode_to_vec()),
        shutdown_grace: grace.and_then(super::task::duration),
        allocation: allocation(info, kind),
    })
}

/// What an executor was given for itself. That of a command task Mesos would have made, and it is given
/// nothing.
pub(crate) fn allocation(info: &v1::ExecutorInfo, kind: ExecutorKind) -> Allocation {
    match kind {
        ExecutorKind::Command => Allocation::default(),
        ExecutorKind::Custom | ExecutorKind::Default => super::demand::allocation(&info.resources),
    }
}

/// The program of a custom executor as a task: what it runs, in what, with the resources of its tasks
/// beside its own.
pub(super) fn as_task(
    info: &v1::ExecutorInfo,
    tasks: impl Iterator<Item = v1::TaskInfo>,
) -> v1::TaskInfo {
    let own = info.resources.iter().cloned();
    v1::TaskInfo {
        name: info.name.clone().unwrap_or_default(),
        command: info.command.clone(),
        container: info.container.clone(),
        resources: own.chain(tasks.flat_map(|task| task.resources)).collect(),
        ..v1::TaskInfo::default()
    }
}

/// Reads what the launch of a custom executor needs.
///
/// # Errors
/// As [`super::task::launch`].
pub fn launch<'a>(
    info: &Blob,
    tasks: impl Iterator<Item = &'a Blob>,
    framework: &Blob,
) -> Result<Launch, LaunchError> {
    let tasks: Vec<_> = tasks.collect();
    let demand = super::pod::demand(info, tasks.iter().copied())?;
    let ports = super::pod::ports(info, tasks.iter().copied())?;
    let info = stored(info).ok_or(LaunchError::Malformed("ExecutorInfo"))?;
    let task = as_task(&info, tasks.into_iter().filter_map(stored));
    let launch = super::task::launch(&Blob::new(&task.encode_to_vec()), framework)?;
    // Those of the tasks have limits of their own.
    Ok(Launch {
        demand,
        ports,
        ..launch
    })
}

/// Why a call is refused before agent-core hears of it; the words are Mesos'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A part that the type of the call wants is not there.
    #[error("Expecting '{0}' to be present")]
    Missing(&'static str),
    /// The uuid of an update is not 16 bytes.
    #[error("Not a valid UUID")]
    Uuid,
    /// The update names another executor than the call.
    #[error("ExecutorID in Call: {call} does not match ExecutorID in TaskStatus: {status}")]
    Executor {
        /// The call's.
        call: String,
        /// The update's.
        status: String,
    },
    /// The update is not in an executor's name.
    #[error(
        "Received Call from executor {executor} of framework {framework} with invalid source, \
         expecting 'SOURCE_EXECUTOR'"
    )]
    Source {
        /// The caller.
        executor: String,
        /// Its framework.
        framework: String,
    },
    /// The update takes a task back to where it was before the executor had it.
    #[error(
        "Received TASK_STAGING from executor {executor} of framework {framework} which is not allowed"
    )]
    Staging {
        /// The caller.
        executor: String,
        /// Its framework.
        framework: String,
    },
}

/// A call as agent-core hears it.
///
/// # Errors
/// The first rule that it breaks.
pub fn call(call: &wire::Call) -> Result<ExecutorCall, CallError> {
    use wire::call::Type;
    Ok(match call.r#type() {
        Type::Subscribe => {
            let subscribe = call.subscribe.as_ref();
            let subscribe = subscribe.ok_or(CallError::Missing("subscribe"))?;
            let tasks = subscribe.unacknowledged_tasks.iter();
            let updates = subscribe.unacknowledged_updates.iter();
            ExecutorCall::Subscribe {
                tasks: tasks
                    .filter_map(|task| TaskId::new(&task.task_id.value).ok())
                    .collect(),
                updates: updates
                    .filter_map(|update| status(&update.status).ok())
                    .collect(),
            }
        }
        Type::Update => {
            let update = call.update.as_ref().ok_or(CallError::Missing("update"))?;
            check(call, &update.status)?;
            ExecutorCall::Update(status(&update.status)?)
        }
        Type::Message => {
            let message = call.message.as_ref().ok_or(CallError::Missing("message"))?;
            ExecutorCall::Message(Blob::new(&message.data))
        }
        Type::Heartbeat => ExecutorCall::Heartbeat,
        Type::Unknown => return Err(CallError::Missing("type")),
    })
}

fn check(call: &wire::Call, status: &v1::TaskStatus) -> Result<(), CallError> {
    let uuid = status.uuid.as_ref().ok_or(CallError::Missing("uuid"))?;
    if uuid.len() != 16 {
        return Err(CallError::Uuid);
    }
    let (executor, framework) = (&call.executor_id.value, &call.framework_id.value);
    if let Some(named) = status
        .executor_id
        .as_ref()
        .filter(|id| id.value != *executor)
    {
        return Err(CallError::Executor {
            call: executor.clone(),
            status: named.value.clone(),
        });
    }
    if status.source() != v1::task_status::Source::Executor {
        return Err(CallError::Source {
            executor: executor.clone(),
            framework: framework.clone(),
        });
    }
    if status.state() == v1::TaskState::TaskStaging {
        return Err(CallError::Staging {
            executor: executor.clone(),
            framework: framework.clone(),
        });
    }
    Ok(())
}

fn status(status: &v1::TaskStatus) -> Result<ExecutorStatus, CallError> {
    let uuid = status.uuid.as_ref().ok_or(CallError::Missing("uuid"))?;
    Ok(ExecutorStatus {
        task_id: TaskId::new(&status.task_id.value).map_err(|_| CallError::Missing("task_id"))?,
        state: TaskState::from_number(status.state).ok_or(CallError::Missing("state"))?,
        reason: status.reason.and_then(Reason::from_number),
        message: status.message.clone(),
        uuid: StatusUuid(uuid.as_slice().try_into().map_err(|_| CallError::Uuid)?),
        timestamp: status.timestamp.map(moment),
        info: Blob::new(&status.encode_to_vec()),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a double to an integer saturates, and makes nothing of what is no number"
)]
fn moment(seconds: f64) -> WallTime {
    WallTime((seconds * 1e9) as u64)
}

/// The names in a call; `None` where one of them could not be anybody's.
#[must_use]
pub fn names(call: &wire::Call) -> Option<(FrameworkId, ExecutorId)> {
    let framework = FrameworkId::new(&call.framework_id.value).ok()?;
    Some((framework, ExecutorId::new(&call.executor_id.value).ok()?))
}

/// An event as Mesos' API says it.
#[must_use]
pub fn event(description: &Description, agent: Option<&AgentId>, event: ToExecutor) -> wire::Event {
    use wire::event::{Acknowledged, Kill, Launch, LaunchGroup, Message, Subscribed, Type};
    let empty = |kind: Type| wire::Event {
        r#type: Some(kind.into()),
        ..wire::Event::default()
    };
    match event {
        ToExecutor::Subscribed {
            executor,
            framework,
            container,
        } => wire::Event {
            subscribed: Some(Subscribed {
                executor_info: stored(&executor).unwrap_or_default(),
                framework_info: stored(&framework).unwrap_or_default(),
                agent_info: description.agent_info(agent),
                container_id: Some((&container).into()),
            }),
            ..empty(Type::Subscribed)
        },
        ToExecutor::Launch { task } => wire::Event {
            launch: Some(Launch {
                task: stored(&task).unwrap_or_default(),
            }),
            ..empty(Type::Launch)
        },
        ToExecutor::LaunchGroup { tasks } => wire::Event {
            launch_group: Some(LaunchGroup {
                task_group: v1::TaskGroupInfo {
                    tasks: tasks.iter().filter_map(stored).collect(),
                },
            }),
            ..empty(Type::LaunchGroup)
        },
        ToExecutor::Kill { task_id, grace } => wire::Event {
            kill: Some(Kill {
                task_id: (&task_id).into(),
                kill_policy: grace.map(|grace| v1::KillPolicy {
                    grace_period: Some(v1::DurationInfo {
                        nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX),
                    }),
                }),
            }),
            ..empty(Type::Kill)
        },
        ToExecutor::Acknowledged { task_id, uuid } => wire::Event {
            acknowledged: Some(Acknowledged {
                task_id: (&task_id).into(),
                uuid: uuid.0.to_vec(),
            }),
            ..empty(Type::Acknowledged)
        },
        ToExecutor::Message { data } => wire::Event {
            message: Some(Message {
                data: data.as_bytes().to_vec(),
            }),
            ..empty(Type::Message)
        },
        ToExecutor::Shutdown => empty(Type::Shutdown),
    }
}
