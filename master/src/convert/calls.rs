//! Scheduler calls: what of them the core decides by.

use std::collections::BTreeMap;

use api::v1;
use api::v1::offer::Operation as WireOperation;
use api::v1::offer::operation::Type as OperationType;
use api::v1::scheduler::call::{Subscribe, Type};
use api::v1::scheduler::offer_constraints::role_constraints::Group as RoleGroup;
use master_core::KeptFields;
use master_core::event::{
    AttributeConstraint, Call, Capabilities, FrameworkInfo, Launch, OfferConstraints, Operation,
    OperationQuery, Predicate, ResourceOperation, Selector, Subscription, Text,
};
use model::{FrameworkId, StatusUuid};

use super::{blob, message, operations, tasks};

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
pub(crate) fn submitted(kind: Type, call: v1::scheduler::Call) -> Submitted {
    match (kind, call.update_framework) {
        (Type::Unknown | Type::Subscribe, _) => Submitted::Unknown,
        (Type::UpdateFramework, Some(update)) => Submitted::Update(Subscription {
            framework: framework(&update.framework_info),
            suppressed_roles: texts(&update.suppressed_roles),
            offer_constraints: constraints(update.offer_constraints.as_ref()),
        }),
        (kind, update_framework) => {
            let call = v1::scheduler::Call {
                update_framework,
                ..call
            };
            core_call(kind, call).map_or(Submitted::Nothing, Submitted::Call)
        }
    }
}

/// A SUBSCRIBE.
pub(crate) fn subscription(subscribe: &Subscribe) -> Subscription {
    Subscription {
        framework: framework(&subscribe.framework_info),
        suppressed_roles: texts(&subscribe.suppressed_roles),
        offer_constraints: constraints(subscribe.offer_constraints.as_ref()),
    }
}

/// A subscription with what its framework cannot change.
pub(crate) fn keeping(mut subscription: Subscription, kept: KeptFields) -> Subscription {
    let mut info: v1::FrameworkInfo = message(&subscription.framework.info);
    info.user = kept.user.to_string();
    info.checkpoint = kept.checkpoint.then_some(true);
    subscription.framework.user = kept.user;
    subscription.framework.checkpoint = kept.checkpoint;
    subscription.framework.info = blob(&info);
    subscription
}

/// A FrameworkInfo.
pub(crate) fn framework(info: &v1::FrameworkInfo) -> FrameworkInfo {
    let id = info.id.as_ref().filter(|id| !id.value.is_empty());
    let id = id.map(|id| FrameworkId::new(&id.value)).transpose();
    let (id, id_fault) = match id {
        Ok(id) => (id, None),
        Err(fault) => (None, Some(fault)),
    };
    FrameworkInfo {
        id,
        id_fault,
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
    }
}

/// `None` where this master has nothing to do for the call.
fn core_call(kind: Type, call: v1::scheduler::Call) -> Option<Call> {
    Some(match kind {
        Type::Teardown => Call::Teardown,
        Type::Accept => {
            let accept = call.accept?;
            let framework_id = call.framework_id.unwrap_or_default();
            Call::Accept {
                offer_ids: accept.offer_ids.iter().map(|id| text(&id.value)).collect(),
                operations: {
                    let operations = accept.operations.into_iter();
                    operations
                        .map(|one| operation(&framework_id, one))
                        .collect()
                },
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
        Type::AcceptInverseOffers => {
            let accept = call.accept_inverse_offers?;
            Call::AcceptInverseOffers {
                inverse_offer_ids: accept
                    .inverse_offer_ids
                    .iter()
                    .map(|id| text(&id.value))
                    .collect(),
                refuse_seconds: accept.filters.and_then(|filters| filters.refuse_seconds),
            }
        }
        Type::DeclineInverseOffers => {
            let decline = call.decline_inverse_offers?;
            Call::DeclineInverseOffers {
                inverse_offer_ids: decline
                    .inverse_offer_ids
                    .iter()
                    .map(|id| text(&id.value))
                    .collect(),
                refuse_seconds: decline.filters.and_then(|filters| filters.refuse_seconds),
            }
        }
        Type::AcknowledgeOperationStatus => {
            let acknowledge = call.acknowledge_operation_status?;
            Call::AcknowledgeOperation {
                agent_id: text(&acknowledge.agent_id?.value),
                operation_id: text(&acknowledge.operation_id.value),
                uuid: StatusUuid(acknowledge.uuid.try_into().ok()?),
            }
        }
        Type::ReconcileOperations => Call::ReconcileOperations {
            operations: call
                .reconcile_operations?
                .operations
                .into_iter()
                .map(|operation| OperationQuery {
                    operation_id: text(&operation.operation_id.value),
                    agent_id: operation.agent_id.map(|id| text(&id.value)),
                    provider_id: operation.resource_provider_id.map(|id| text(&id.value)),
                })
                .collect(),
        },
        Type::Unknown | Type::Subscribe | Type::UpdateFramework => return None,
    })
}

fn operation(framework_id: &v1::FrameworkId, operation: WireOperation) -> Operation {
    let kind = operation
        .r#type
        .and_then(|number| OperationType::try_from(number).ok())
        .unwrap_or(OperationType::Unknown);
    let id = operation.id.as_ref().map(|id| text(&id.value));
    if let Some(kind) = operations::kind(kind) {
        return Operation::Resources(ResourceOperation {
            id,
            kind,
            change: api::convert::change(&operation).map_err(|fault| fault.to_string()),
        });
    }
    match kind {
        OperationType::Launch => {
            let tasks = operation.launch.map(|launch| launch.task_infos);
            let tasks = tasks.unwrap_or_default().into_iter();
            Operation::Launch(Launch {
                id,
                tasks: tasks
                    .map(|info| tasks::launched(framework_id, info))
                    .collect(),
            })
        }
        OperationType::LaunchGroup => {
            let group = operation.launch_group.unwrap_or_default();
            Operation::LaunchGroup(tasks::group(id, group))
        }
        _ => Operation::Unknown,
    }
}

fn quantities(wire: &v1::offer_filters::ResourceQuantities) -> BTreeMap<Text, f64> {
    let quantities = wire.quantities.iter();
    quantities
        .map(|(name, scalar)| (text(name), scalar.value))
        .collect()
}

/// `offer_constraints`.
fn constraints(wire: Option<&v1::scheduler::OfferConstraints>) -> OfferConstraints {
    let Some(wire) = wire else {
        return OfferConstraints::default();
    };
    let group = |group: &RoleGroup| group.attribute_constraints.iter().map(constraint).collect();
    let roles = wire.role_constraints.iter();
    OfferConstraints {
        roles: roles
            .map(|(role, groups)| (text(role), groups.groups.iter().map(group).collect()))
            .collect(),
        message: Some(blob(wire)),
    }
}

fn constraint(wire: &v1::scheduler::AttributeConstraint) -> AttributeConstraint {
    use v1::scheduler::attribute_constraint::predicate::Predicate as WirePredicate;
    use v1::scheduler::attribute_constraint::selector::{
        PseudoattributeType, Selector as WireSelector,
    };

    let selector = wire
        .selector
        .selector
        .as_ref()
        .map(|selector| match selector {
            WireSelector::AttributeName(name) => Selector::Attribute(text(name)),
            WireSelector::PseudoattributeType(number) => {
                match PseudoattributeType::try_from(*number) {
                    Ok(PseudoattributeType::Hostname) => Selector::Hostname,
                    Ok(PseudoattributeType::Region) => Selector::Region,
                    Ok(PseudoattributeType::Zone) => Selector::Zone,
                    Ok(PseudoattributeType::Unknown) | Err(_) => Selector::Unknown,
                }
            }
        });
    let predicate = wire.predicate.predicate.as_ref();
    let predicate = predicate.map(|predicate| match predicate {
        WirePredicate::Exists(_) => Predicate::Exists,
        WirePredicate::NotExists(_) => Predicate::NotExists,
        WirePredicate::TextEquals(equals) => Predicate::TextEquals(text(&equals.value)),
        WirePredicate::TextNotEquals(equals) => Predicate::TextNotEquals(text(&equals.value)),
        WirePredicate::TextMatches(matches) => Predicate::TextMatches(text(&matches.regex)),
        WirePredicate::TextNotMatches(matches) => Predicate::TextNotMatches(text(&matches.regex)),
    });
    AttributeConstraint {
        selector,
        predicate,
    }
}

fn texts(texts: &[String]) -> Vec<Text> {
    texts.iter().map(|one| text(one)).collect()
}

pub(super) fn text(text: &str) -> Text {
    Text::from(text)
}
