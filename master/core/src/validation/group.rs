//! A task group: tasks of one executor, of which all are launched or none.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::resources::Scalar;
use model::{ExecutorId, Resources, TaskId};

use super::executor::{check_executor, check_share_cgroups};
use super::task::check_alone;
use super::{Ground, LaunchableGroup, overlap};
use crate::event::{ExecutorKind, ExecutorSpec, LaunchGroup, LaunchTask};
use crate::{resource_json, resource_rules};

/// The least an executor of a group must have: Mesos' `MIN_CPUS`.
const CPUS_MIN: Scalar = Scalar(10);

/// Mesos' `MIN_MEM`, in megabytes.
const MEM_MIN_MB: i64 = 32;

/// Checks a task group; the error is for the TASK_ERROR of each of its tasks.
pub(crate) fn check_group(
    group: &LaunchGroup,
    ground: Ground<'_>,
) -> Result<LaunchableGroup, String> {
    let mut tasks = Vec::with_capacity(group.tasks.len());
    let mut seen = BTreeSet::new();
    for task in &group.tasks {
        let checked = check_task(task, ground).and_then(|(id, resources)| {
            // Mesos' master ends where two tasks of a group have one id.
            if seen.insert(id.clone()) {
                Ok((id, resources))
            } else {
                Err(format!("Task has duplicate ID: {id}"))
            }
        });
        let invalid = |fault| format!("Task '{}' is invalid: {fault}", task.task_id);
        tasks.push(checked.map_err(invalid)?);
    }
    let executor = check_executor(&group.executor, ground)?;
    check_kind(&group.executor)?;
    let differs = |task: &&LaunchTask| {
        let own = task.executor.as_ref();
        own.is_some_and(|own| own.identity != group.executor.identity)
    };
    if let Some(task) = group.tasks.iter().find(differs) {
        return Err(format!(
            "The `ExecutorInfo` of task '{}' is different from executor '{}'",
            task.task_id, executor.id
        ));
    }
    check_minimum(&executor.id, &executor.resources)?;
    check_together(&tasks, &executor.resources)?;
    let executor_id = executor.id.clone();
    let executor = executor.launchable(ground);
    let mut total = Resources::new();
    for (_, resources) in &tasks {
        total.add_all(resources);
    }
    if let Some(new) = &executor.start {
        total.add_all(&new.resources);
    }
    if !ground.left.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task group and its executor are more than \
             available {}",
            ground.left
        ));
    }
    check_share_cgroups(&group.executor)?;
    check_same_cgroups(group, &executor_id, ground)?;
    Ok(LaunchableGroup { executor, tasks })
}

fn check_task(task: &LaunchTask, ground: Ground<'_>) -> Result<(TaskId, Resources), String> {
    let checked = check_alone(task, ground)?;
    if task.executor.is_none() {
        return Err("'TaskInfo.executor' must be set".into());
    }
    task.group_fault.clone().map_or(Ok(()), Err)?;
    if !task.limits.is_empty() && task.share_cgroups != Some(false) {
        return Err(
            "Resource limits may only be set for tasks within a task group when the \
             'share_cgroups' field is set to 'false'."
                .into(),
        );
    }
    Ok(checked)
}

fn check_kind(executor: &ExecutorSpec) -> Result<(), String> {
    match executor.kind {
        ExecutorKind::Unset => return Err("'ExecutorInfo.type' must be set".into()),
        ExecutorKind::Unknown => return Err("Unknown executor type".into()),
        ExecutorKind::Default | ExecutorKind::Custom => {}
    }
    if executor.is_docker {
        return Err("Docker ContainerInfo is not supported on the executor".into());
    }
    Ok(())
}

fn check_minimum(id: &ExecutorId, resources: &Resources) -> Result<(), String> {
    let cpus = resources.scalar("cpus");
    if cpus < CPUS_MIN {
        let cpus = match cpus {
            Scalar::ZERO => "None".into(),
            cpus => format!("{cpus}"),
        };
        return Err(format!(
            "Executor '{id}' uses less CPUs ({cpus}) than the minimum required ({CPUS_MIN})"
        ));
    }
    let mem = resources.scalar("mem");
    if mem.thousandths() / 1000 < MEM_MIN_MB {
        let mem = match mem {
            Scalar::ZERO => "None".into(),
            mem if mem < Scalar::whole(1) => "0B".into(),
            mem => format!("{}MB", mem.thousandths() / 1000),
        };
        return Err(format!(
            "Executor '{id}' uses less memory ({mem}) than the minimum required ({MEM_MIN_MB}MB)"
        ));
    }
    if resources.scalar("disk") == Scalar::ZERO {
        return Err(format!("Executor '{id}' uses no disk"));
    }
    Ok(())
}

/// Checks what must not stand side by side in the tasks and their executor.
fn check_together(tasks: &[(TaskId, Resources)], executor: &Resources) -> Result<(), String> {
    let mut total = executor.clone();
    for (_, resources) in tasks {
        total.add_all(resources);
    }
    resource_rules::check_unique_persistence(&total)
        .map_err(|f| format!("Task group and executor use duplicate persistence ID: {f}"))?;
    resource_rules::check_revocable_mix(&total).map_err(|fault| {
        format!("Task group and executor mix revocable and non-revocable resources: {fault}")
    })?;
    let parts = tasks.iter().map(|(_, resources)| resources);
    if overlap(parts.clone().chain([executor])) {
        let tasks: Vec<String> = parts.map(|resources| format!("{resources}")).collect();
        return Err(format!(
            "There are overlapping resources in the task group's task resources [ {} ] and/or \
             executor resources {}",
            tasks.join(", "),
            resource_json::list(executor)
        ));
    }
    Ok(())
}

/// Either all tasks of an executor share its cgroup or none does.
fn check_same_cgroups(
    group: &LaunchGroup,
    executor_id: &ExecutorId,
    ground: Ground<'_>,
) -> Result<(), String> {
    let framework = ground.framework;
    let key = (ground.agent.id.clone(), executor_id.clone());
    // Tasks of an executor that has ended bind the next one of its id to nothing.
    let runs = framework.executors.contains_key(&key);
    let unreachable = framework.unreachable_tasks.iter();
    let known = framework.tasks.values().chain(unreachable);
    let known = known
        .filter(|t| t.agent_id == ground.agent.id && t.executor_id.as_ref() == Some(executor_id))
        .filter(|_| runs);
    let new = group.tasks.iter().map(|task| task.share_cgroups);
    let mut all = new
        .map(|shares| shares.unwrap_or(true))
        .chain(known.map(|task| task.share_cgroups));
    let first = all.next();
    if group.tasks.is_empty() || all.all(|shares| Some(shares) == first) {
        return Ok(());
    }
    Err(
        "If set, the value of 'share_cgroups' must be the same for all tasks in each task group \
         and under a single executor"
            .into(),
    )
}
