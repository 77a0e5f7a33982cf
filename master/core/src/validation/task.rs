//! A task that a framework launches by LAUNCH, and what is checked of every task.

use alloc::format;
use alloc::string::String;

use model::resources::Scalar;
use model::{Resources, TaskId};

use super::executor::{self, check_executor};
use super::{Ground, Launchable, allocated, overlap};
use crate::agents::AgentCapability;
use crate::event::{ExecutorKind, LaunchTask};
use crate::{resource_json, resource_rules};

/// Checks a task of LAUNCH and its executor; the error is for TASK_ERROR.
pub(crate) fn check_task(task: &LaunchTask, ground: Ground<'_>) -> Result<Launchable, String> {
    let (id, resources) = check_alone(task, ground)?;
    if task.has_command == task.executor.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
                .into(),
        );
    }
    let executor = task.executor.as_ref();
    let executor = executor.map(|spec| {
        let executor = check_executor(spec, ground)?;
        // A type that is not set is CUSTOM's, as it was before there were types.
        if !matches!(spec.kind, ExecutorKind::Custom | ExecutorKind::Unset) {
            return Err("'ExecutorInfo.type' must be 'CUSTOM'".into());
        }
        if !spec.has_command {
            return Err("'ExecutorInfo.command' must be set".into());
        }
        if executor.resources.iter().any(|r| r.shared) {
            return Err(format!(
                "Executor resources {} should not contain any shared resources",
                executor.resources
            ));
        }
        executor::check_share_cgroups(spec)?;
        Ok(executor)
    });
    let executor = executor.transpose()?;
    let own = executor.as_ref().map(|e| e.resources.clone());
    check_together(&resources, own.as_ref())?;
    let executor = executor.map(|executor| executor.launchable(ground));
    let mut total = resources.clone();
    if let Some(new) = executor.as_ref().and_then(|e| e.start.as_ref()) {
        total.add_all(&new.resources);
    }
    if !ground.left.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available {}",
            ground.left
        ));
    }
    if task.share_cgroups == Some(false) {
        return Err("Only tasks in a task group may have 'share_cgroups' set to 'false'".into());
    }
    Ok(Launchable {
        id,
        resources,
        executor,
    })
}

/// Checks a task without its executor.
pub(super) fn check_alone(
    task: &LaunchTask,
    ground: Ground<'_>,
) -> Result<(TaskId, Resources), String> {
    let id = check_id(task, ground)?;
    if *task.agent_id != *ground.agent.id.as_str() {
        return Err(format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id, ground.agent.id
        ));
    }
    if task.kill_grace_ns.is_some_and(|grace| grace < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".into());
    }
    if task.max_completion_ns.is_some_and(|time| time < 0) {
        return Err("Task's `max_completion_time` must be non-negative".into());
    }
    task.check_fault.clone().map_or(Ok(()), Err)?;
    let resources = task_resources(task, ground)?;
    task.content_fault.clone().map_or(Ok(()), Err)?;
    check_limits(task, &resources, ground)?;
    Ok((id, resources))
}

fn check_id(task: &LaunchTask, ground: Ground<'_>) -> Result<TaskId, String> {
    use alloc::string::ToString;

    let id = TaskId::new(&task.task_id).map_err(|fault| fault.to_string())?;
    if ground.framework.tasks.contains_key(&id) {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    let unreachable = &ground.framework.unreachable_tasks;
    if unreachable.iter().any(|task| task.id == id) {
        return Err(format!("Task reuses the ID of an unreachable task: {id}"));
    }
    Ok(id)
}

fn task_resources(task: &LaunchTask, ground: Ground<'_>) -> Result<Resources, String> {
    let given = allocated(&task.resources, ground.role)?;
    if given.is_empty() {
        return Err("Task uses no resources".into());
    }
    resource_rules::check(&given).map_err(|f| format!("Task uses invalid resources: {f}"))?;
    let resources: Resources = given.into_iter().collect();
    resource_rules::check_unique_persistence(&resources)
        .map_err(|fault| format!("Task uses duplicate persistence ID: {fault}"))?;
    resource_rules::check_single_role(&resources)
        .map_err(|fault| format!("Invalid task resources: {fault}"))?;
    resource_rules::check_revocable_mix(&resources)
        .map_err(|fault| format!("Task mixes revocable and non-revocable resources: {fault}"))?;
    Ok(resources)
}

fn check_limits(
    task: &LaunchTask,
    resources: &Resources,
    ground: Ground<'_>,
) -> Result<(), String> {
    if task.limits.is_empty() {
        return Ok(());
    }
    if !ground.agent.has(AgentCapability::TaskResourceLimits) {
        return Err("Agent is not capable of handling task resource limits".into());
    }
    if task
        .limits
        .keys()
        .any(|name| !matches!(&**name, "cpus" | "mem"))
    {
        return Err("Only cpus and mem may be included in a task's resource limits".into());
    }
    if let Some(limit) = task.limits.get("cpus") {
        let request = resources.scalar("cpus");
        if request == Scalar::ZERO {
            return Err(
                "When a CPU limit is specified, a CPU request must also be specified".into(),
            );
        }
        if *limit < request.to_f64() {
            return Err("The cpu limit must be greater than or equal to the cpu request".into());
        }
    }
    if let Some(limit) = task.limits.get("mem") {
        let request = resources.scalar("mem");
        if request == Scalar::ZERO {
            return Err(
                "When a memory limit is specified, a memory request must also be specified".into(),
            );
        }
        // Both are whole megabytes to Mesos.
        let megabytes = Scalar::from_f64(*limit).map_or(i64::MAX, |l| l.thousandths() / 1000);
        if !limit.is_infinite() && megabytes < request.thousandths() / 1000 {
            return Err(
                "The memory limit must be greater than or equal to the memory request".into(),
            );
        }
    }
    Ok(())
}

/// Checks what must not stand side by side in a task and its executor.
fn check_together(task: &Resources, executor: Option<&Resources>) -> Result<(), String> {
    let Some(executor) = executor else {
        return Ok(());
    };
    if overlap([task, executor]) {
        return Err(format!(
            "There are overlapping resources in the task resources {} and executor resources {}",
            resource_json::list(task),
            resource_json::list(executor)
        ));
    }
    let total = task.plus(executor);
    resource_rules::check_unique_persistence(&total)
        .map_err(|f| format!("Task and its executor use duplicate persistence ID: {f}"))?;
    resource_rules::check_revocable_mix(&total).map_err(|fault| {
        format!("Task and its executor mix revocable and non-revocable resources: {fault}")
    })
}
