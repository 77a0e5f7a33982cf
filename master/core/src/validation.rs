//! Validation of tasks: what a framework may launch on an offer.
//!
//! The checks and their order are Mesos' (reference, section 1.9), and so are the messages.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::resources::{InvalidResource, Resource, Role};
use model::{AgentId, Blob, ExecutorId, Resources, TaskId};

use crate::event::{ExecutorKind, ExecutorSpec, LaunchTask, Text};
use crate::frameworks::Framework;

/// How many resources a task or an executor may list: what is done with them here takes the square
/// of their number.
const RESOURCES_MAX: usize = 256;

/// What a task is launched on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) framework: &'a Framework,
    pub(crate) agent_id: &'a AgentId,
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

/// The executor of a task that may be launched.
#[derive(Debug)]
pub(crate) struct LaunchableExecutor {
    pub(crate) id: ExecutorId,
    /// Set where it is not running yet.
    pub(crate) start: Option<(Resources, Blob)>,
}

/// Checks a task; the error is for TASK_ERROR.
pub(crate) fn check(task: &LaunchTask, ground: Ground<'_>) -> Result<Launchable, String> {
    let id = check_id(task, ground)?;
    check_fields(task, ground)?;
    let resources = task_resources(&task.resources, ground.role)?;
    if resources.is_empty() {
        return Err("Task uses no resources".into());
    }
    check_mix(&resources)?;
    if let Some(fault) = &task.content_fault {
        return Err(fault.clone());
    }
    if task.has_command == task.executor.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
                .into(),
        );
    }
    let resources: Resources = resources.iter().cloned().collect();
    let executor = task
        .executor
        .as_ref()
        .map(|spec| check_executor(spec, ground))
        .transpose()?;
    let mut total = resources.clone();
    if let Some((executor, _)) = executor.as_ref().and_then(|e| e.start.as_ref()) {
        total.add_all(executor);
    }
    if !ground.left.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available {}",
            ground.left
        ));
    }
    Ok(Launchable {
        id,
        resources,
        executor,
    })
}

fn check_id(task: &LaunchTask, ground: Ground<'_>) -> Result<TaskId, String> {
    let id = TaskId::new(&task.task_id).map_err(|fault| fault.to_string())?;
    let unreachable = &ground.framework.unreachable_tasks;
    if ground.framework.tasks.contains_key(&id) || unreachable.iter().any(|t| t.id == id) {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    Ok(id)
}

fn check_fields(task: &LaunchTask, ground: Ground<'_>) -> Result<(), String> {
    if *task.agent_id != *ground.agent_id.as_str() {
        return Err(format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id, ground.agent_id
        ));
    }
    if task.kill_grace_ns.is_some_and(|grace| grace < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".into());
    }
    if task.max_completion_ns.is_some_and(|time| time < 0) {
        return Err("Task's `max_completion_time` must be non-negative".into());
    }
    task.check_fault.clone().map_or(Ok(()), Err)
}

type Given = Result<Vec<Resource>, InvalidResource>;

/// The resources of a task or executor, allocated to the offers' role where they do not say to
/// which, each of them valid.
fn task_resources(given: &Given, role: &Role) -> Result<Vec<Resource>, String> {
    let allocate = |resource: &Resource| {
        let mut resource = resource.clone();
        resource.allocation_role.get_or_insert_with(|| role.clone());
        resource
    };
    match given {
        Ok(resources) if resources.len() > RESOURCES_MAX => Err(format!(
            "{} resources are listed, more than {RESOURCES_MAX}",
            resources.len()
        )),
        Ok(resources) => {
            let resources: Vec<_> = resources.iter().map(allocate).collect();
            Resources::validate(&resources).map_err(|fault| fault.to_string())?;
            Ok(resources)
        }
        Err(invalid) => Err(invalid.to_string()),
    }
}

/// Checks what must not stand side by side in one task.
fn check_mix(resources: &[Resource]) -> Result<(), String> {
    let mut volumes = BTreeSet::new();
    for resource in resources {
        let persistence = resource.disk.as_ref().and_then(|d| d.persistence.as_ref());
        if let Some(persistence) = persistence
            && !volumes.insert(&persistence.id)
        {
            return Err(format!(
                "Task uses duplicate persistence ID {}",
                persistence.id
            ));
        }
        let other_kind =
            |other: &Resource| other.name == resource.name && other.revocable != resource.revocable;
        if resources.iter().any(other_kind) {
            return Err(format!(
                "Cannot use both revocable and non-revocable '{}' at the same time",
                resource.name
            ));
        }
    }
    let roles: BTreeSet<&Role> = resources
        .iter()
        .filter_map(|r| r.allocation_role.as_ref())
        .collect();
    let mut roles = roles.into_iter();
    if let (Some(one), Some(other)) = (roles.next(), roles.next()) {
        return Err(format!(
            "The resources have multiple allocation roles ('{one}' and '{other}') but only one \
             allocation role is allowed"
        ));
    }
    Ok(())
}

fn check_executor(spec: &ExecutorSpec, ground: Ground<'_>) -> Result<LaunchableExecutor, String> {
    if spec.kind == ExecutorKind::Default {
        return Err("'ExecutorInfo.type' must be 'CUSTOM'".into());
    }
    if !spec.has_command {
        return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".into());
    }
    let id = ExecutorId::new(&spec.executor_id).map_err(|fault| fault.to_string())?;
    let own = |id: &Text| **id == *ground.framework.id.as_str();
    if let Some(other) = spec.framework_id.as_ref().filter(|id| !own(id)) {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {other} vs Expected: {})",
            ground.framework.id
        ));
    }
    if spec.shutdown_grace_ns.is_some_and(|grace| grace < 0) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".into());
    }
    let resources = task_resources(&spec.resources, ground.role)?;
    check_mix(&resources)?;
    if resources.iter().any(|r| r.shared) {
        return Err("Executor must not use shared resources".into());
    }
    let key = (ground.agent_id.clone(), id.clone());
    let start = match ground.framework.executors.get(&key) {
        Some(running) if running.info == spec.info => None,
        Some(_) => {
            return Err(
                "ExecutorInfo is not compatible with existing ExecutorInfo with same \
                 ExecutorID"
                    .into(),
            );
        }
        None => Some((resources.into_iter().collect(), spec.info.clone())),
    };
    Ok(LaunchableExecutor { id, start })
}

#[cfg(test)]
mod tests {
    use model::resources::Scalar;

    use super::*;

    #[test]
    fn a_task_lists_its_resources_up_to_a_bound() {
        for (count, is_taken) in [(RESOURCES_MAX, true), (RESOURCES_MAX + 1, false)] {
            let given = Ok(alloc::vec![Resource::scalar("cpus", Scalar(1)); count]);
            let taken = task_resources(&given, &Role::star());
            assert_eq!(taken.is_ok(), is_taken, "{count}");
        }
    }
}
