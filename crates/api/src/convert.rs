//! Between the messages of the wire and the types of `model`.
//!
//! Ids are checked on the way in. States, reasons and sources are plain numbers in the messages:
//! `model::TaskState::from_number` and `number` convert them, and a test here holds the two sides
//! together.

mod change;
mod resource;

pub use change::{ChangeError, change, to_operation};
pub(crate) use resource::UNRESERVED;
pub use resource::{from_resource, resources, to_both, to_refined, to_resource, to_unrefined};

use crate::v1;

macro_rules! ids {
    ($($id:ident,)*) => {
        $(
            impl TryFrom<&v1::$id> for model::$id {
                type Error = model::IdError;

                fn try_from(id: &v1::$id) -> Result<Self, model::IdError> {
                    Self::new(&id.value)
                }
            }

            impl From<&model::$id> for v1::$id {
                fn from(id: &model::$id) -> Self {
                    Self {
                        value: id.as_str().to_string(),
                    }
                }
            }
        )*
    };
}

ids! {
    FrameworkId,
    AgentId,
    OfferId,
    TaskId,
    ExecutorId,
}

impl TryFrom<&v1::ContainerId> for model::ContainerId {
    type Error = model::ContainerIdError;

    fn try_from(id: &v1::ContainerId) -> Result<Self, Self::Error> {
        // From the outside inwards, and no deeper than containers go, however deep the message is.
        let mut names = vec![id.value.as_str()];
        let mut outer = id.parent.as_deref();
        while let Some(id) = outer.filter(|_| names.len() <= model::container_id::DEPTH_MAX) {
            names.push(&id.value);
            outer = id.parent.as_deref();
        }
        let mut names = names.into_iter().rev();
        let outermost = names.next().unwrap_or_default();
        // A name of several would be several names.
        if outermost.contains('.') {
            return Err(model::ContainerIdError::Character(outermost.to_string()));
        }
        let outermost = Self::new(outermost)?;
        names.try_fold(outermost, |outer, name| outer.child(name))
    }
}

impl From<&model::ContainerId> for v1::ContainerId {
    fn from(id: &model::ContainerId) -> Self {
        Self {
            value: id.name().to_string(),
            parent: id.parent().map(|parent| Box::new(Self::from(&parent))),
        }
    }
}

/// The part of a task that a `TaskInfo` tells. As in Mesos, its user is the command's, or its
/// executor's.
#[must_use]
pub fn task(info: v1::TaskInfo, framework_id: v1::FrameworkId) -> v1::Task {
    let user = |command: Option<v1::CommandInfo>| command.and_then(|command| command.user);
    let executor_id = info.executor.as_ref().map(|one| one.executor_id.clone());
    let of_executor = info.executor.and_then(|executor| user(executor.command));
    v1::Task {
        name: info.name,
        task_id: info.task_id,
        framework_id,
        executor_id,
        agent_id: info.agent_id,
        state: v1::TaskState::TaskStaging.into(),
        resources: info.resources,
        statuses: Vec::new(),
        status_update_state: None,
        status_update_uuid: None,
        labels: info.labels,
        discovery: info.discovery,
        container: info.container,
        health_check: info.health_check,
        kill_policy: info.kill_policy,
        user: user(info.command).or(of_executor),
        limits: info.limits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_reasons_and_sources_have_the_same_names_and_numbers_on_both_sides() {
        for number in 0..100 {
            assert_eq!(
                model::TaskState::from_number(number).map(model::TaskState::name),
                v1::TaskState::try_from(number)
                    .ok()
                    .map(|s| s.as_str_name()),
            );
            assert_eq!(
                model::Reason::from_number(number).map(model::Reason::name),
                v1::task_status::Reason::try_from(number)
                    .ok()
                    .map(|r| r.as_str_name()),
            );
            assert_eq!(
                model::Source::from_number(number).map(model::Source::name),
                v1::task_status::Source::try_from(number)
                    .ok()
                    .map(|s| s.as_str_name()),
            );
        }
    }

    #[test]
    fn ids_are_checked_on_the_way_in() {
        let id = |value: &str| v1::TaskId {
            value: value.to_string(),
        };
        let task = model::TaskId::try_from(&id("t1")).unwrap();
        assert_eq!(v1::TaskId::from(&task), id("t1"));
        assert!(model::TaskId::try_from(&id("a/b")).is_err());
    }

    #[test]
    fn a_nested_container_is_a_message_within_a_message() {
        let text = model::ContainerId::new("outer.task.check").unwrap();
        let message = v1::ContainerId::from(&text);
        assert_eq!(message.value, "check");
        let outer = message.parent.as_ref().and_then(|id| id.parent.as_ref());
        assert_eq!(outer.map(|id| id.value.as_str()), Some("outer"));
        assert_eq!(model::ContainerId::try_from(&message), Ok(text));
        let dotted = v1::ContainerId {
            value: "a.b".to_string(),
            parent: None,
        };
        assert!(model::ContainerId::try_from(&dotted).is_err());
    }
}
