//! Frames of the link between master and agent.

use std::net::IpAddr;
use std::sync::Arc;

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{self as wire, reconcile_tasks};
use api::v1;
use api::v1::resource::AllocationInfo;
use master_core::event::{
    AgentAttributes, AgentMessage, AgentUpdate, FrameworkInfo, MasterMessage, Registration,
    RunningExecutor, RunningTask, Text,
};
use model::{
    AgentId, Blob, ExecutorId, FrameworkId, IdError, Reason, Source, StatusUuid, TaskId, TaskState,
};

use super::maintenance::wire_drain_config;
use super::{blob, calls, events, message, operations, tasks};

/// Why a frame of an agent is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds no id.
    #[error("{field} is no id: {source}")]
    Id {
        /// Which.
        field: &'static str,
        /// Why.
        source: IdError,
    },
    /// A field holds no valid value.
    #[error("{field} is not valid: {detail}")]
    Value {
        /// Which.
        field: &'static str,
        /// Why.
        detail: String,
    },
}

/// A Register; `peer` is where the link comes from.
///
/// # Errors
/// The first field at fault.
pub(crate) fn registration(
    register: wire::Register,
    peer: IpAddr,
) -> Result<Registration, FrameError> {
    let info = register
        .agent_info
        .ok_or(FrameError::Missing("register.agent_info"))?;
    let agent_id = register
        .agent_id
        .map(|id| {
            AgentId::new(&id.value).map_err(|source| FrameError::Id {
                field: "register.agent_id",
                source,
            })
        })
        .transpose()?;
    let port = u16::try_from(info.port.unwrap_or(5051)).map_err(|_| FrameError::Value {
        field: "register.agent_info.port",
        detail: "not a port".into(),
    })?;
    let ip = match register.advertise_ip.as_str() {
        "" => info.hostname.parse().unwrap_or(peer),
        text => text.parse().map_err(|_| FrameError::Value {
            field: "register.advertise_ip",
            detail: format!("{text:?} is not an address"),
        })?,
    };
    let address = std::net::SocketAddr::new(ip, port).to_string();
    Ok(Registration {
        agent_id,
        in_offers: events::in_offers(&info, &address),
        hostname: Text::from(info.hostname.as_str()),
        address: Text::from(address),
        version: Text::from(register.version.as_str()),
        capabilities: register
            .capabilities
            .iter()
            .filter_map(|capability| capability.r#type)
            .collect(),
        resources: match register.total_resources.as_slice() {
            [] => resources(&info.resources, "register.agent_info.resources")?,
            total => resources(total, "register.total_resources")?,
        },
        oversubscribed: revocable(
            &register.oversubscribed_resources,
            "register.oversubscribed_resources",
        )?,
        resource_version: Blob::new(&register.resource_version),
        attributes: Arc::new(attributes(&info)?),
        info: blob(&info),
        frameworks: register
            .frameworks
            .iter()
            .map(framework)
            .collect::<Result<_, _>>()?,
        executors: register
            .executors
            .into_iter()
            .map(running_executor)
            .collect::<Result<_, _>>()?,
        tasks: register
            .tasks
            .into_iter()
            .map(running_task)
            .collect::<Result<_, _>>()?,
        operations: register
            .operations
            .iter()
            .map(operations::reported)
            .collect::<Result<_, _>>()?,
    })
}

/// The body of a later frame; `None` for one that this version does not know.
///
/// # Errors
/// The first field at fault.
pub(crate) fn agent_message(body: AgentBody) -> Result<Option<AgentMessage>, FrameError> {
    Ok(Some(match body {
        // A registered agent that registers again opens a new link.
        AgentBody::Register(_) => return Ok(None),
        AgentBody::Pong(pong) => AgentMessage::Pong {
            sequence: pong.sequence,
        },
        AgentBody::Update(update) => AgentMessage::Update(agent_update(update)?),
        AgentBody::ExecutorExited(exited) => AgentMessage::ExecutorExited {
            framework_id: framework_id(exited.framework_id, "executor_exited.framework_id")?,
            executor_id: executor_id(exited.executor_id, "executor_exited.executor_id")?,
            wait_status: exited.wait_status,
        },
        AgentBody::ExecutorMessage(message) => AgentMessage::ExecutorMessage {
            framework_id: framework_id(message.framework_id, "executor_message.framework_id")?,
            executor_id: executor_id(message.executor_id, "executor_message.executor_id")?,
            data: Blob::new(&message.data),
        },
        AgentBody::UpdateOversubscribed(update) => AgentMessage::Oversubscribed(revocable(
            &update.resources,
            "update_oversubscribed.resources",
        )?),
        AgentBody::Unregister(wire::Unregister {}) => AgentMessage::Unregister,
        AgentBody::OperationUpdate(update) => {
            AgentMessage::OperationUpdate(operations::update(update)?)
        }
    }))
}

/// The body of a frame to an agent.
pub(crate) fn master_body(body: MasterMessage, master: &v1::MasterInfo) -> MasterBody {
    match body {
        MasterMessage::Registered {
            agent_id,
            total_ping_timeout,
        } => MasterBody::Registered(wire::Registered {
            agent_id: Some(v1::AgentId::from(&agent_id)),
            master_info: Some(master.clone()),
            total_ping_timeout_ns: u64::try_from(total_ping_timeout.as_nanos()).unwrap_or(u64::MAX),
        }),
        MasterMessage::Refused { reason, is_final } => MasterBody::Refused(wire::Refused {
            reason,
            r#final: is_final,
        }),
        MasterMessage::Ping {
            sequence,
            connected,
        } => MasterBody::Ping(wire::Ping {
            sequence,
            connected,
        }),
        MasterMessage::RunTask {
            framework_id,
            framework,
            task,
            allocation_role,
            resource_version,
            executor_expected,
        } => MasterBody::RunTask(wire::RunTask {
            framework_info: Some(framework_info(&framework_id, &framework)),
            task_info: Some(task_of(&framework_id, &task, allocation_role.as_str())),
            resource_version: resource_version.as_bytes().to_vec(),
            executor_expected,
        }),
        MasterMessage::RunTaskGroup {
            framework_id,
            framework,
            executor,
            tasks,
            allocation_role,
            resource_version,
            executor_expected,
        } => {
            let mut executor: v1::ExecutorInfo = message(&executor);
            allocate(&mut executor.resources, allocation_role.as_str());
            let tasks = tasks.iter();
            let tasks = tasks.map(|task| allocated_task(message(task), allocation_role.as_str()));
            MasterBody::RunTaskGroup(wire::RunTaskGroup {
                framework_info: Some(framework_info(&framework_id, &framework)),
                executor_info: Some(executor),
                task_group: Some(v1::TaskGroupInfo {
                    tasks: tasks.collect(),
                }),
                resource_version: resource_version.as_bytes().to_vec(),
                executor_expected,
            })
        }
        MasterMessage::FrameworkMessage {
            framework_id,
            executor_id,
            data,
        } => MasterBody::FrameworkMessage(wire::FrameworkMessage {
            framework_id: Some((&framework_id).into()),
            executor_id: Some((&executor_id).into()),
            data: data.as_bytes().to_vec(),
        }),
        MasterMessage::FrameworkUpdated {
            framework_id,
            framework,
        } => MasterBody::FrameworkUpdated(wire::FrameworkUpdated {
            framework_info: Some(framework_info(&framework_id, &framework)),
        }),
        MasterMessage::KillTask {
            framework_id,
            task_id,
            kill_policy,
        } => MasterBody::KillTask(wire::KillTask {
            framework_id: Some((&framework_id).into()),
            task_id: Some((&task_id).into()),
            kill_policy: kill_policy.as_ref().map(message),
        }),
        MasterMessage::ApplyOperation {
            framework_id,
            info,
            uuid,
            resource_version,
        } => MasterBody::ApplyOperation(operations::apply(
            framework_id.as_ref(),
            &info,
            uuid,
            &resource_version,
        )),
        MasterMessage::AcknowledgeOperation { uuid, status_uuid } => {
            MasterBody::AcknowledgeOperation(wire::AcknowledgeOperation {
                operation_uuid: uuid.0.to_vec(),
                status_uuid: status_uuid.0.to_vec(),
            })
        }
        MasterMessage::ReconcileOperations { operations } => {
            MasterBody::ReconcileOperations(operations::reconcile(&operations))
        }
        MasterMessage::AcknowledgeUpdate {
            framework_id,
            task_id,
            uuid,
        } => MasterBody::AcknowledgeUpdate(wire::AcknowledgeUpdate {
            framework_id: Some((&framework_id).into()),
            task_id: Some((&task_id).into()),
            uuid: uuid.0.to_vec(),
        }),
        MasterMessage::ShutdownFramework { framework_id } => {
            MasterBody::ShutdownFramework(wire::ShutdownFramework {
                framework_id: Some((&framework_id).into()),
            })
        }
        MasterMessage::ShutdownExecutor {
            framework_id,
            executor_id,
        } => MasterBody::ShutdownExecutor(wire::ShutdownExecutor {
            framework_id: Some((&framework_id).into()),
            executor_id: Some(v1::ExecutorId::from(&executor_id)),
        }),
        MasterMessage::ReconcileTasks { tasks } => {
            MasterBody::ReconcileTasks(wire::ReconcileTasks {
                tasks: tasks
                    .iter()
                    .map(|(framework_id, task_id)| reconcile_tasks::Item {
                        framework_id: Some(framework_id.into()),
                        task_id: Some(task_id.into()),
                    })
                    .collect(),
            })
        }
        MasterMessage::DrainAgent { config } => MasterBody::DrainAgent(wire::DrainAgent {
            config: Some(wire_drain_config(config)),
        }),
        MasterMessage::Shutdown { reason } => MasterBody::Shutdown(wire::Shutdown { reason }),
        MasterMessage::FrameworkSubscribed { framework_id } => {
            MasterBody::FrameworkSubscribed(wire::FrameworkSubscribed {
                framework_id: Some((&framework_id).into()),
            })
        }
    }
}

fn task_of(framework_id: &FrameworkId, task: &Blob, role: &str) -> v1::TaskInfo {
    let mut task = allocated_task(message(task), role);
    if let Some(executor) = &mut task.executor {
        executor.framework_id = Some(framework_id.into());
    }
    task
}

fn framework_info(framework_id: &FrameworkId, framework: &Blob) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        id: Some(framework_id.into()),
        ..message(framework)
    }
}

/// A task whose resources, and its executor's, are allocated to this role where they do not say to
/// which.
fn allocated_task(mut task: v1::TaskInfo, role: &str) -> v1::TaskInfo {
    allocate(&mut task.resources, role);
    if let Some(executor) = &mut task.executor {
        allocate(&mut executor.resources, role);
    }
    task
}

fn allocate(resources: &mut [v1::Resource], role: &str) {
    for resource in resources {
        resource
            .allocation_info
            .get_or_insert_with(|| AllocationInfo {
                role: Some(role.to_owned()),
            });
    }
}

fn framework(info: &v1::FrameworkInfo) -> Result<FrameworkInfo, FrameError> {
    let info = calls::framework(info);
    match info.id_fault {
        Some(source) => Err(FrameError::Id {
            field: "register.frameworks.id",
            source,
        }),
        None => Ok(info),
    }
}

/// What offer constraints look at.
fn attributes(info: &v1::AgentInfo) -> Result<AgentAttributes, FrameError> {
    let domain = info.domain.as_ref().map(|domain| {
        let fault_domain = domain.fault_domain.as_ref();
        // Which is where: nobody could tell how far away the agent is.
        fault_domain.ok_or(FrameError::Missing(
            "register.agent_info.domain.fault_domain",
        ))
    });
    let domain = domain.transpose()?;
    Ok(AgentAttributes {
        hostname: Text::from(info.hostname.as_str()),
        region: domain.map(|domain| Text::from(domain.region.name.as_str())),
        zone: domain.map(|domain| Text::from(domain.zone.name.as_str())),
        named: info
            .attributes
            .iter()
            .map(|attribute| {
                let value = attribute.text.as_ref();
                let is_text = attribute.r#type == i32::from(v1::value::Type::Text);
                let value = value.filter(|_| is_text);
                let value = value.map(|text| Text::from(text.value.as_str()));
                (Text::from(attribute.name.as_str()), value)
            })
            .collect(),
    })
}

fn running_executor(executor: wire::RunningExecutor) -> Result<RunningExecutor, FrameError> {
    let info = executor
        .executor_info
        .ok_or(FrameError::Missing("register.executors.executor_info"))?;
    Ok(RunningExecutor {
        framework_id: framework_id(executor.framework_id, "register.executors.framework_id")?,
        executor_id: executor_id(
            Some(info.executor_id.clone()),
            "register.executors.executor_info.executor_id",
        )?,
        resources: resources(
            &info.resources,
            "register.executors.executor_info.resources",
        )?,
        identity: tasks::identity(&info),
        info: blob(&info),
    })
}

fn running_task(task: wire::RunningTask) -> Result<RunningTask, FrameError> {
    let info = task
        .task_info
        .ok_or(FrameError::Missing("register.tasks.task_info"))?;
    let task_id = task_id(&info.task_id, "register.tasks.task_info.task_id")?;
    Ok(RunningTask {
        framework_id: framework_id(task.framework_id, "register.tasks.framework_id")?,
        name: Text::from(info.name.as_str()),
        executor_id: executor_id(
            task.executor_id.or_else(|| {
                Some(v1::ExecutorId {
                    value: task_id.to_string(),
                })
            }),
            "register.tasks.executor_id",
        )?,
        is_command: info.executor.is_none(),
        resources: resources(&info.resources, "register.tasks.task_info.resources")?,
        state: state(task.state, "register.tasks.state")?,
        status: task.status.as_ref().map(kept),
        share_cgroups: tasks::share_cgroups(info.container.as_ref()).unwrap_or(true),
        info: blob(&info),
        task_id,
    })
}

fn agent_update(update: wire::StatusUpdate) -> Result<AgentUpdate, FrameError> {
    let status = update.status.ok_or(FrameError::Missing("update.status"))?;
    let uuid = match status.uuid.as_deref() {
        None | Some([]) => None,
        Some(bytes) => Some(StatusUuid(bytes.try_into().map_err(|_| {
            FrameError::Value {
                field: "update.status.uuid",
                detail: format!("{} bytes, not 16", bytes.len()),
            }
        })?)),
    };
    Ok(AgentUpdate {
        framework_id: framework_id(update.framework_id, "update.framework_id")?,
        task_id: task_id(&status.task_id, "update.status.task_id")?,
        state: state(status.state, "update.status.state")?,
        latest_state: state(update.latest_state, "update.latest_state")?,
        uuid,
        source: status
            .source
            .and_then(Source::from_number)
            .unwrap_or(Source::Agent),
        reason: status.reason.and_then(Reason::from_number),
        status: blob(&status),
        kept: kept(&status),
    })
}

/// A status as it is remembered: without what its executor sent for the framework's eyes.
fn kept(status: &v1::TaskStatus) -> Blob {
    match status.data {
        None => blob(status),
        Some(_) => blob(&v1::TaskStatus {
            data: None,
            ..status.clone()
        }),
    }
}

/// Resources that may be given out twice; others would be counted twice.
fn revocable(all: &[v1::Resource], field: &'static str) -> Result<model::Resources, FrameError> {
    let all = resources(all, field)?;
    let is_fit = |one: &model::resources::Resource| {
        one.revocable
            && one.allocation_role.is_none()
            && one.reservations.is_empty()
            && one.disk.is_none()
    };
    match all.iter().find(|one| !is_fit(one)) {
        Some(one) => Err(FrameError::Value {
            field,
            detail: format!("{one} is not revocable, or more than that"),
        }),
        None => Ok(all),
    }
}

pub(super) fn resources(
    resources: &[v1::Resource],
    field: &'static str,
) -> Result<model::Resources, FrameError> {
    let resources = api::convert::resources(resources).map_err(|error| FrameError::Value {
        field,
        detail: error.to_string(),
    })?;
    model::Resources::validate(&resources).map_err(|error| FrameError::Value {
        field,
        detail: error.to_string(),
    })?;
    Ok(resources.into_iter().collect())
}

fn state(number: i32, field: &'static str) -> Result<TaskState, FrameError> {
    TaskState::from_number(number).ok_or_else(|| FrameError::Value {
        field,
        detail: format!("{number} is no task state"),
    })
}

pub(super) fn framework_id(
    id: Option<v1::FrameworkId>,
    field: &'static str,
) -> Result<FrameworkId, FrameError> {
    let id = id.ok_or(FrameError::Missing(field))?;
    FrameworkId::new(&id.value).map_err(|source| FrameError::Id { field, source })
}

fn executor_id(id: Option<v1::ExecutorId>, field: &'static str) -> Result<ExecutorId, FrameError> {
    let id = id.ok_or(FrameError::Missing(field))?;
    ExecutorId::new(&id.value).map_err(|source| FrameError::Id { field, source })
}

fn task_id(id: &v1::TaskId, field: &'static str) -> Result<TaskId, FrameError> {
    TaskId::new(&id.value).map_err(|source| FrameError::Id { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_executor_sends_for_its_framework_is_forwarded_and_not_remembered() {
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: "t1".into() },
            state: v1::TaskState::TaskRunning.into(),
            data: Some(vec![0; 1000]),
            ..v1::TaskStatus::default()
        };
        let update = agent_update(wire::StatusUpdate {
            framework_id: Some(v1::FrameworkId { value: "f".into() }),
            latest_state: status.state,
            status: Some(status.clone()),
            ..wire::StatusUpdate::default()
        });
        let update = update.unwrap();
        assert_eq!(message::<v1::TaskStatus>(&update.status), status);
        let kept: v1::TaskStatus = message(&update.kept);
        assert_eq!((kept.data, kept.state), (None, status.state));
    }
}
