//! Scheduler calls, and the parts of messages that the core decides by.

use api::v1;
use api::v1::executor_info;
use api::v1::offer::Operation as WireOperation;
use api::v1::offer::operation::Type as OperationType;
use api::v1::scheduler::call::{Subscribe, Type};
use master_core::event::{
    Call, Capabilities, ExecutorKind, ExecutorSpec, FrameworkInfo, LaunchTask, Operation,
    Subscription, Text,
};
use model::resources::{Quantities, Scalar};
use model::{FrameworkId, IdError, StatusUuid};

use super::{blob, checks};

/// A call other than SUBSCRIBE, as the main loop takes it.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// One for the core.
    Call(Call),
    /// UPDATE_FRAMEWORK, whose outcome is its answer.
    Update(Subscription),
    /// A good call that asks for nothing that this master does: it is accepted.
    Nothing,
    /// A type that has no meaning.
    Unknown,
}

/// A validated call other than SUBSCRIBE.
///
/// # Errors
/// UPDATE_FRAMEWORK, and the framework's id is no id.
pub(crate) fn submitted(kind: Type, call: v1::scheduler::Call) -> Result<Submitted, IdError> {
    Ok(match (kind, call.update_framework) {
        (Type::Unknown | Type::Subscribe, _) => Submitted::Unknown,
        (Type::UpdateFramework, Some(update)) => Submitted::Update(Subscription {
            framework: framework(&update.framework_info)?,
            suppressed_roles: texts(&update.suppressed_roles),
        }),
        (kind, update_framework) => {
            let call = v1::scheduler::Call {
                update_framework,
                ..call
            };
            core_call(kind, call).map_or(Submitted::Nothing, Submitted::Call)
        }
    })
}

/// A SUBSCRIBE.
///
/// # Errors
/// The framework's id is set and is no id.
pub(crate) fn subscription(subscribe: &Subscribe) -> Result<Subscription, IdError> {
    Ok(Subscription {
        framework: framework(&subscribe.framework_info)?,
        suppressed_roles: texts(&subscribe.suppressed_roles),
    })
}

/// A FrameworkInfo.
///
/// # Errors
/// Its id is set and is no id.
pub(crate) fn framework(info: &v1::FrameworkInfo) -> Result<FrameworkInfo, IdError> {
    let id = match &info.id {
        Some(id) if !id.value.is_empty() => Some(FrameworkId::new(&id.value)?),
        _ => None,
    };
    Ok(FrameworkInfo {
        id,
        name: info.name.as_str().into(),
        user: info.user.as_str().into(),
        principal: info.principal.as_deref().map(Text::from),
        role: info.role.as_deref().map(Text::from),
        roles: texts(&info.roles),
        capabilities: Capabilities::from_numbers(
            info.capabilities
                .iter()
                .filter_map(|capability| capability.r#type),
        ),
        checkpoint: info.checkpoint.unwrap_or(false),
        failover_timeout_secs: info.failover_timeout.unwrap_or(0.0),
        min_allocatable: info
            .offer_filters
            .iter()
            .filter_map(|(role, filters)| {
                let minimum = filters.min_allocatable_resources.as_ref()?;
                let alternatives = minimum.quantities.iter().map(quantities).collect();
                Some((role.as_str().into(), alternatives))
            })
            .collect(),
        info: blob(info),
    })
}

/// `None` where this master has nothing to do for the call.
fn core_call(kind: Type, call: v1::scheduler::Call) -> Option<Call> {
    Some(match kind {
        Type::Teardown => Call::Teardown,
        Type::Accept => {
            let accept = call.accept?;
            Call::Accept {
                offer_ids: accept.offer_ids.iter().map(|id| text(&id.value)).collect(),
                operations: accept.operations.into_iter().map(operation).collect(),
                refuse_seconds: accept.filters.and_then(|filters| filters.refuse_seconds),
            }
        }
        Type::Decline => {
            let decline = call.decline?;
            Call::Decline {
                offer_ids: decline.offer_ids.iter().map(|id| text(&id.value)).collect(),
                refuse_seconds: decline.filters.and_then(|filters| filters.refuse_seconds),
            }
        }
        Type::Revive => Call::Revive {
            roles: texts(&call.revive.unwrap_or_default().roles),
        },
        Type::Suppress => Call::Suppress {
            roles: texts(&call.suppress.unwrap_or_default().roles),
        },
        Type::Kill => {
            let kill = call.kill?;
            Call::Kill {
                task_id: text(&kill.task_id.value),
                agent_id: kill.agent_id.map(|id| text(&id.value)),
                kill_policy: kill.kill_policy.as_ref().map(blob),
            }
        }
        Type::Shutdown => {
            let shutdown = call.shutdown?;
            Call::Shutdown {
                executor_id: text(&shutdown.executor_id.value),
                agent_id: text(&shutdown.agent_id.value),
            }
        }
        Type::Acknowledge => {
            let acknowledge = call.acknowledge?;
            Call::Acknowledge {
                agent_id: text(&acknowledge.agent_id.value),
                task_id: text(&acknowledge.task_id.value),
                uuid: StatusUuid(acknowledge.uuid.try_into().ok()?),
            }
        }
        Type::Reconcile => Call::Reconcile {
            tasks: call
                .reconcile?
                .tasks
                .into_iter()
                .map(|task| {
                    let agent = task.agent_id.map(|id| text(&id.value));
                    (text(&task.task_id.value), agent)
                })
                .collect(),
        },
        Type::Message => {
            let message = call.message?;
            Call::Message {
                agent_id: text(&message.agent_id.value),
                executor_id: text(&message.executor_id.value),
                data: model::Blob::new(&message.data),
            }
        }
        Type::Request => Call::Request,
        // No inverse offers and no operations with feedback are made yet: there is nothing that
        // these could answer.
        Type::AcceptInverseOffers
        | Type::DeclineInverseOffers
        | Type::AcknowledgeOperationStatus
        | Type::ReconcileOperations => return None,
        Type::Unknown | Type::Subscribe | Type::UpdateFramework => return None,
    })
}

fn operation(operation: WireOperation) -> Operation {
    let kind = operation
        .r#type
        .and_then(|number| OperationType::try_from(number).ok())
        .unwrap_or(OperationType::Unknown);
    match (kind, operation.launch, operation.launch_group) {
        (OperationType::Launch, Some(launch), _) if operation.id.is_none() => Operation::Launch {
            tasks: launch.task_infos.into_iter().map(task).collect(),
        },
        (OperationType::LaunchGroup, _, Some(group)) => Operation::LaunchGroup {
            task_ids: group
                .task_group
                .tasks
                .iter()
                .map(|task| text(&task.task_id.value))
                .collect(),
        },
        (kind, _, _) => Operation::Other {
            id: operation.id.map(|id| text(&id.value)),
            name: kind.as_str_name(),
        },
    }
}

fn task(info: v1::TaskInfo) -> LaunchTask {
    LaunchTask {
        task_id: text(&info.task_id.value),
        name: text(&info.name),
        agent_id: text(&info.agent_id.value),
        resources: api::convert::resources(&info.resources),
        has_command: info.command.is_some(),
        executor: info.executor.as_ref().map(executor),
        kill_grace_ns: info
            .kill_policy
            .and_then(|policy| policy.grace_period)
            .map(|period| period.nanoseconds),
        max_completion_ns: info.max_completion_time.map(|time| time.nanoseconds),
        check_fault: checks::check_fault(&info),
        content_fault: checks::content_fault(&info),
        info: blob(&info),
    }
}

fn executor(info: &v1::ExecutorInfo) -> ExecutorSpec {
    let kind = info
        .r#type
        .and_then(|number| executor_info::Type::try_from(number).ok());
    ExecutorSpec {
        executor_id: text(&info.executor_id.value),
        framework_id: info.framework_id.as_ref().map(|id| text(&id.value)),
        kind: match kind {
            Some(executor_info::Type::Default) => ExecutorKind::Default,
            Some(executor_info::Type::Custom) => ExecutorKind::Custom,
            Some(executor_info::Type::Unknown) | None => ExecutorKind::Unknown,
        },
        has_command: info.command.is_some(),
        resources: api::convert::resources(&info.resources),
        shutdown_grace_ns: info
            .shutdown_grace_period
            .as_ref()
            .map(|period| period.nanoseconds),
        info: blob(info),
    }
}

fn quantities(wire: &v1::offer_filters::ResourceQuantities) -> Quantities {
    wire.quantities
        .iter()
        .filter_map(|(name, scalar)| Some((text(name), Scalar::from_f64(scalar.value)?)))
        .collect()
}

fn texts(texts: &[String]) -> Vec<Text> {
    texts.iter().map(|one| text(one)).collect()
}

fn text(text: &str) -> Text {
    Text::from(text)
}
