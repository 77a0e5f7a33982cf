//! Validation: what a framework may launch on an offer.
//!
//! The checks and their order are Mesos' (reference, section 1.9), and so are the messages.

mod executor;
mod group;
mod task;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::resources::{InvalidResource, Resource, Role, Value};
use model::{Blob, ExecutorId, Resources, TaskId};

use crate::agents::Agent;
use crate::event::{ExecutorSpec, LaunchTask};
use crate::frameworks::Framework;

pub(crate) use group::check_group;
pub(crate) use task::check_task;

/// How many resources a task, an executor or an operation may list: what is done with them takes the
/// square of their number.
pub(crate) const RESOURCES_MAX: usize = 256;

/// What a task is launched on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) framework: &'a Framework,
    pub(crate) agent: &'a Agent,
    /// The role of the offers.
    pub(crate) role: &'a Role,
    /// What is left of the offers.
    pub(crate) left: &'a Resources,
}

/// A task that may be launched.
#[derive(Debug)]
pub(crate) struct Launchable {
    pub(crate) id: TaskId,
    pub(crate) resources: Resources,
    pub(crate) executor: Option<LaunchableExecutor>,
}

/// The executor of a task or of a group that may be launched.
#[derive(Debug)]
pub(crate) struct LaunchableExecutor {
    pub(crate) id: ExecutorId,
    /// Set where it is not running yet.
    pub(crate) start: Option<NewExecutor>,
}

/// An executor that is to be started.
#[derive(Debug)]
pub(crate) struct NewExecutor {
    pub(crate) resources: Resources,
    pub(crate) info: Blob,
    pub(crate) identity: Blob,
}

/// Tasks that may be launched together.
#[derive(Debug)]
pub(crate) struct LaunchableGroup {
    pub(crate) executor: LaunchableExecutor,
    pub(crate) tasks: Vec<(TaskId, Resources)>,
}

/// The first malformed resource of an operation that launches: none of its tasks is, then.
pub(crate) fn check_resources(
    executor: Option<&ExecutorSpec>,
    tasks: &[LaunchTask],
) -> Result<(), String> {
    if let Some(executor) = executor {
        check_given(&executor.resources)?;
    }
    for task in tasks {
        check_given(&task.resources)?;
        if let Some(executor) = &task.executor {
            check_given(&executor.resources)?;
        }
    }
    Ok(())
}

type Given = Result<Vec<Resource>, InvalidResource>;

fn check_given(given: &Given) -> Result<(), String> {
    match given {
        Ok(resources) if resources.len() > RESOURCES_MAX => Err(format!(
            "{} resources are listed, more than {RESOURCES_MAX}",
            resources.len()
        )),
        Ok(resources) => Resources::validate(resources).map_err(|fault| fault.to_string()),
        Err(invalid) => Err(invalid.to_string()),
    }
}

/// The resources of a task or executor, allocated to the offers' role where they do not say to
/// which.
fn allocated(given: &Given, role: &Role) -> Result<Vec<Resource>, String> {
    check_given(given)?;
    let given = given.as_ref().map_err(ToString::to_string)?;
    let allocate = |resource: &Resource| {
        let mut resource = resource.clone();
        resource.allocation_role.get_or_insert_with(|| role.clone());
        resource
    };
    Ok(given.iter().map(allocate).collect())
}

/// Whether a range or a set of one of these holds what another one holds too.
fn overlap<'a>(parts: impl IntoIterator<Item = &'a Resources>) -> bool {
    let mut sum = Resources::new();
    for part in parts {
        for resource in part {
            let meets = |have: &Resource| {
                resource.is_addable_to(have)
                    && match (&resource.value, &have.value) {
                        (Value::Ranges(a), Value::Ranges(b)) => a.overlaps(b),
                        (Value::Set(a), Value::Set(b)) => !a.is_disjoint(b),
                        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => false,
                    }
            };
            if sum.iter().any(meets) {
                return true;
            }
            sum.add(resource.clone());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use model::resources::Scalar;

    use super::*;

    #[test]
    fn a_task_lists_its_resources_up_to_a_bound() {
        for (count, is_taken) in [(RESOURCES_MAX, true), (RESOURCES_MAX + 1, false)] {
            let given = Ok(alloc::vec![Resource::scalar("cpus", Scalar(1)); count]);
            let taken = allocated(&given, &Role::star());
            assert_eq!(taken.is_ok(), is_taken, "{count}");
        }
    }
}
