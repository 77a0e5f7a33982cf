//! Tasks and executors that are to be launched: what of them the core decides by.

use api::v1;
use api::v1::{executor_info, health_check};
use master_core::event::{ExecutorKind, ExecutorSpec, LaunchGroup, LaunchTask, Text};
use model::Blob;

use super::calls::text;
use super::{blob, checks};

/// A task of LAUNCH. What frameworks need not say, and later readers count on, is filled in.
pub(super) fn launched(framework_id: &v1::FrameworkId, mut info: v1::TaskInfo) -> LaunchTask {
    if let Some(executor) = &mut info.executor {
        executor
            .framework_id
            .get_or_insert_with(|| framework_id.clone());
    }
    // Before there were types, the field that is set told which.
    if let Some(check) = info.health_check.as_mut().filter(|c| c.r#type.is_none()) {
        let kind = match (&check.command, &check.http) {
            (Some(_), None) => Some(health_check::Type::Command),
            (None, Some(_)) => Some(health_check::Type::Http),
            (Some(_), Some(_)) | (None, None) => None,
        };
        check.r#type = kind.map(Into::into);
    }
    task(&info)
}

/// A LAUNCH_GROUP. Each task is told with its executor, so that whoever reads one finds the other.
pub(super) fn group(id: Option<Text>, group: v1::offer::operation::LaunchGroup) -> LaunchGroup {
    let tasks = group.task_group.tasks.into_iter().map(|mut info| {
        info.executor.get_or_insert_with(|| group.executor.clone());
        task(&info)
    });
    LaunchGroup {
        id,
        tasks: tasks.collect(),
        executor: executor(&group.executor),
    }
}

fn task(info: &v1::TaskInfo) -> LaunchTask {
    LaunchTask {
        task_id: text(&info.task_id.value),
        name: text(&info.name),
        agent_id: text(&info.agent_id.value),
        resources: api::convert::resources(&info.resources),
        limits: info
            .limits
            .iter()
            .map(|(name, scalar)| (text(name), scalar.value))
            .collect(),
        user: user(info).map(text),
        has_command: info.command.is_some(),
        executor: info.executor.as_ref().map(executor),
        kill_grace_ns: info
            .kill_policy
            .as_ref()
            .and_then(|policy| policy.grace_period.as_ref())
            .map(|period| period.nanoseconds),
        max_completion_ns: info.max_completion_time.as_ref().map(|t| t.nanoseconds),
        share_cgroups: share_cgroups(info.container.as_ref()),
        check_fault: checks::check_fault(info),
        content_fault: checks::content_fault(info),
        group_fault: checks::group_fault(info),
        info: blob(info),
    }
}

/// As whom a task wants to run.
pub(crate) fn user(info: &v1::TaskInfo) -> Option<&str> {
    let executor = info.executor.as_ref();
    let commands = [
        info.command.as_ref(),
        executor.and_then(|e| e.command.as_ref()),
    ];
    let mut users = commands
        .into_iter()
        .flatten()
        .map(|command| command.user.as_deref());
    users.find_map(|user| user)
}

fn executor(info: &v1::ExecutorInfo) -> ExecutorSpec {
    let kind = info
        .r#type
        .and_then(|number| executor_info::Type::try_from(number).ok());
    let container = info.container.as_ref();
    ExecutorSpec {
        executor_id: text(&info.executor_id.value),
        framework_id: info.framework_id.as_ref().map(|id| text(&id.value)),
        kind: match kind {
            Some(executor_info::Type::Default) => ExecutorKind::Default,
            Some(executor_info::Type::Custom) => ExecutorKind::Custom,
            Some(executor_info::Type::Unknown) => ExecutorKind::Unknown,
            None => ExecutorKind::Unset,
        },
        has_command: info.command.is_some(),
        resources: api::convert::resources(&info.resources),
        shutdown_grace_ns: info
            .shutdown_grace_period
            .as_ref()
            .map(|period| period.nanoseconds),
        share_cgroups: share_cgroups(container),
        is_docker: container.is_some_and(checks::is_docker),
        type_fault: checks::executor_type_fault(info),
        content_fault: checks::executor_content_fault(info),
        info: blob(info),
        identity: identity(info),
    }
}

/// An ExecutorInfo in a form that is equal for equal ones: which role it was allocated to is told by
/// whoever launches a task in it, or left out.
pub(super) fn identity(info: &v1::ExecutorInfo) -> Blob {
    let mut info = info.clone();
    for resource in &mut info.resources {
        resource.allocation_info = None;
    }
    blob(&info)
}

/// `linux_info.share_cgroups`, where it is set.
pub(super) fn share_cgroups(container: Option<&v1::ContainerInfo>) -> Option<bool> {
    container?.linux_info.as_ref()?.share_cgroups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(fields: &str) -> LaunchTask {
        let json = format!(
            r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"a"}},{fields}}}"#
        );
        let info = api::json::from_json(json.as_bytes()).expect(fields);
        let framework_id = v1::FrameworkId { value: "f".into() };
        launched(&framework_id, info)
    }

    #[test]
    fn what_frameworks_need_not_say_is_filled_in() {
        let task = launch(
            r#""executor":{"executor_id":{"value":"e"}},"health_check":{"command":{"value":"x"}}"#,
        );
        let executor = task.executor.expect("executor");
        assert_eq!(executor.framework_id.as_deref(), Some("f"));
        assert_eq!(executor.kind, ExecutorKind::Unset);
        assert_eq!(task.check_fault, None);
        let neither = launch(r#""health_check":{}"#);
        let fault = "Task uses invalid health check: HealthCheck must specify 'type'";
        assert_eq!(neither.check_fault.as_deref(), Some(fault));
    }

    #[test]
    fn an_executor_is_the_same_whichever_role_its_resources_are_allocated_to() {
        let with = |allocation: &str, value: &str| {
            let executor = launch(&format!(
                r#""executor":{{"executor_id":{{"value":"e"}},"resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":{value}}}{allocation}}}]}}"#
            ));
            executor.executor.expect("executor").identity
        };
        let allocated = r#","allocation_info":{"role":"web"}"#;
        assert_eq!(with("", "1"), with(allocated, "1"));
        assert_ne!(with("", "1"), with("", "2"));
    }

    #[test]
    fn a_task_of_a_group_is_told_with_its_executor() {
        let json = r#"{"executor":{"executor_id":{"value":"e"}},"task_group":{"tasks":[
            {"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"limits":{"cpus":{"value":2}}}]}}"#;
        let wire = api::json::from_json(json.as_bytes()).expect("group");
        let group = group(None, wire);
        let task = &group.tasks[0];
        let executor = task.executor.as_ref().expect("executor");
        assert_eq!(executor.identity, group.executor.identity);
        assert_eq!(executor.framework_id, None);
        assert_eq!(task.limits.get("cpus"), Some(&2.0));
    }
}
