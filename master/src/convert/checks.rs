//! What is wrong with the parts of a TaskInfo that the core does not look into, in Mesos' words.

use api::faults::{command, container};
use api::v1;
use api::v1::{check_info, container_info, executor_info, health_check};

/// What is wrong with `check` or `health_check`.
pub(crate) fn check_fault(task: &v1::TaskInfo) -> Option<String> {
    if let Some(fault) = task.check.as_ref().and_then(check) {
        return Some(format!("Task uses invalid check: {fault}"));
    }
    let fault = task.health_check.as_ref().and_then(health)?;
    Some(format!("Task uses invalid health check: {fault}"))
}

/// What is wrong with `command` or `container`.
pub(crate) fn content_fault(task: &v1::TaskInfo) -> Option<String> {
    content(task.command.as_ref(), task.container.as_ref(), "Task")
}

/// What is wrong with `command` or `container` of an executor.
pub(crate) fn executor_content_fault(executor: &v1::ExecutorInfo) -> Option<String> {
    let container = executor.container.as_ref();
    content(executor.command.as_ref(), container, "Executor")
}

fn content(
    command: Option<&v1::CommandInfo>,
    container: Option<&v1::ContainerInfo>,
    whose: &str,
) -> Option<String> {
    if let Some(fault) = command.and_then(command::fault) {
        return Some(format!("{whose}'s `CommandInfo` is invalid: {fault}"));
    }
    let fault = container.and_then(container::fault)?;
    Some(format!("{whose}'s `ContainerInfo` is invalid: {fault}"))
}

/// What keeps a task out of a task group.
pub(crate) fn group_fault(task: &v1::TaskInfo) -> Option<String> {
    use health_check::Type;
    let container = task.container.as_ref()?;
    let kind = task.health_check.as_ref().and_then(|check| check.r#type);
    let by_network = kind
        .and_then(|number| Type::try_from(number).ok())
        .is_some_and(|kind| matches!(kind, Type::Http | Type::Tcp));
    if by_network && !container.network_infos.is_empty() {
        return Some(
            "HTTP and TCP health checks are not supported for nested containers not joining \
             parent's network"
                .into(),
        );
    }
    is_docker(container).then(|| "Docker ContainerInfo is not supported on the task".into())
}

/// Whether a container is one of Docker's.
pub(crate) fn is_docker(container: &v1::ContainerInfo) -> bool {
    container.r#type == i32::from(container_info::Type::Docker)
}

/// What contradicts the type of an executor.
pub(crate) fn executor_type_fault(executor: &v1::ExecutorInfo) -> Option<String> {
    use executor_info::Type;
    let kind = executor
        .r#type
        .and_then(|number| Type::try_from(number).ok());
    let fault = match kind {
        Some(Type::Default) => {
            let container = executor.container.as_ref();
            let other = |c: &v1::ContainerInfo| c.r#type != i32::from(container_info::Type::Mesos);
            let has_image =
                |c: &v1::ContainerInfo| c.mesos.as_ref().is_some_and(|m| m.image.is_some());
            if executor.command.is_some() {
                "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
            } else if container.is_some_and(other) {
                "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
            } else if container.is_some_and(has_image) {
                "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
            } else {
                return None;
            }
        }
        Some(Type::Custom) if executor.command.is_none() => {
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
        }
        Some(Type::Custom | Type::Unknown) | None => return None,
    };
    Some(fault.into())
}

fn check(check: &v1::CheckInfo) -> Option<String> {
    use check_info::Type;
    let kind = check.r#type.and_then(|number| Type::try_from(number).ok());
    let fault = match kind {
        None => return Some("CheckInfo must specify 'type'".into()),
        Some(Type::Unknown) => return Some("'UNKNOWN' is not a valid check type".into()),
        Some(Type::Command) => match &check.command {
            None => Some("Expecting 'command' to be set for COMMAND check".into()),
            Some(command) => checked_command(&command.command, "Command check", "Check"),
        },
        Some(Type::Http) => match &check.http {
            None => Some("Expecting 'http' to be set for HTTP check".into()),
            Some(http) => path_fault(http.path.as_deref(), "HTTP check"),
        },
        Some(Type::Tcp) => check
            .tcp
            .is_none()
            .then(|| "Expecting 'tcp' to be set for TCP check".into()),
    };
    fault.or_else(|| {
        [
            ("delay_seconds", check.delay_seconds),
            ("interval_seconds", check.interval_seconds),
            ("timeout_seconds", check.timeout_seconds),
        ]
        .into_iter()
        .find_map(negative)
    })
}

fn health(check: &v1::HealthCheck) -> Option<String> {
    use health_check::Type;
    let kind = check.r#type.and_then(|number| Type::try_from(number).ok());
    let fault = match kind {
        None => return Some("HealthCheck must specify 'type'".into()),
        Some(Type::Unknown) => return Some("'UNKNOWN' is not a valid health check type".into()),
        Some(Type::Command) => match &check.command {
            None => Some("Expecting 'command' to be set for COMMAND health check".into()),
            Some(command) => checked_command(command, "Command health check", "Health check"),
        },
        Some(Type::Http) => match &check.http {
            None => Some("Expecting 'http' to be set for HTTP health check".into()),
            Some(http) => scheme_fault(http.scheme.as_deref())
                .or_else(|| path_fault(http.path.as_deref(), "HTTP health check")),
        },
        Some(Type::Tcp) => check
            .tcp
            .is_none()
            .then(|| "Expecting 'tcp' to be set for TCP health check".into()),
    };
    fault.or_else(|| {
        [
            ("delay_seconds", check.delay_seconds),
            ("grace_period_seconds", check.grace_period_seconds),
            ("interval_seconds", check.interval_seconds),
            ("timeout_seconds", check.timeout_seconds),
        ]
        .into_iter()
        .find_map(negative)
    })
}

fn negative((name, seconds): (&str, Option<f64>)) -> Option<String> {
    seconds
        .is_some_and(|seconds| seconds < 0.0)
        .then(|| format!("Expecting '{name}' to be non-negative"))
}

fn checked_command(command: &v1::CommandInfo, what: &str, whose: &str) -> Option<String> {
    if command.value.is_none() {
        let form = if command.shell.unwrap_or(true) {
            "'shell command'"
        } else {
            "'executable path'"
        };
        return Some(format!("{what} must contain {form}"));
    }
    command::fault(command).map(|fault| format!("{whose}'s `CommandInfo` is invalid: {fault}"))
}

fn path_fault(path: Option<&str>, what: &str) -> Option<String> {
    let path = path?;
    (!path.starts_with('/')).then(|| format!("The path '{path}' of {what} must start with '/'"))
}

fn scheme_fault(scheme: Option<&str>) -> Option<String> {
    let scheme = scheme?;
    (!matches!(scheme, "http" | "https"))
        .then(|| format!("Unsupported HTTP health check scheme: '{scheme}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(fields: &str) -> v1::TaskInfo {
        let json = format!(
            r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"a"}},{fields}}}"#
        );
        api::json::from_json(json.as_bytes()).expect(fields)
    }

    fn executor(fields: &str) -> v1::ExecutorInfo {
        let json = format!(r#"{{"executor_id":{{"value":"e"}},{fields}}}"#);
        api::json::from_json(json.as_bytes()).expect(fields)
    }

    #[test]
    fn a_check_is_refused_in_the_words_of_mesos() {
        for (fields, fault) in [
            (r#""check":{}"#, "check: CheckInfo must specify 'type'"),
            (
                r#""check":{"type":"COMMAND","command":{"command":{}}}"#,
                "check: Command check must contain 'shell command'",
            ),
            (
                r#""check":{"type":"COMMAND","command":{"command":{"shell":false}}}"#,
                "check: Command check must contain 'executable path'",
            ),
            (
                r#""check":{"type":"COMMAND","command":{"command":{"value":"x","environment":{"variables":[{"name":"A"}]}}}}"#,
                "check: Check's `CommandInfo` is invalid: Environment variable 'A' of type \
                 'VALUE' must have a value set",
            ),
            (
                r#""check":{"type":"HTTP","http":{"port":1,"path":"x"}}"#,
                "check: The path 'x' of HTTP check must start with '/'",
            ),
            (
                r#""check":{"type":"TCP","tcp":{"port":1},"delay_seconds":-1}"#,
                "check: Expecting 'delay_seconds' to be non-negative",
            ),
            (
                r#""health_check":{"type":"COMMAND","command":{}}"#,
                "health check: Command health check must contain 'shell command'",
            ),
            (
                r#""health_check":{"type":"HTTP","http":{"port":1,"path":"x"}}"#,
                "health check: The path 'x' of HTTP health check must start with '/'",
            ),
            (
                r#""health_check":{"type":"HTTP","http":{"port":1,"scheme":"ftp"}}"#,
                "health check: Unsupported HTTP health check scheme: 'ftp'",
            ),
            (
                r#""health_check":{"type":"TCP","tcp":{"port":1},"grace_period_seconds":-1}"#,
                "health check: Expecting 'grace_period_seconds' to be non-negative",
            ),
        ] {
            let fault = format!("Task uses invalid {fault}");
            assert_eq!(check_fault(&task(fields)), Some(fault), "{fields}");
        }
    }

    #[test]
    fn commands_and_containers_are_refused_in_the_words_of_mesos() {
        let secret = |secret: &str| {
            format!(
                r#""command":{{"environment":{{"variables":[{{"name":"A","type":"SECRET","secret":{secret}}}]}}}}"#
            )
        };
        let volume = |volume: &str| {
            format!(
                r#""container":{{"type":"MESOS","volumes":[{{"mode":"RW","container_path":"x",{volume}}}]}}"#
            )
        };
        let invalid = "Environment variable 'A' specifies an invalid secret: ";
        for (fields, fault) in [
            (
                secret(r#"{"type":"REFERENCE"}"#),
                format!(
                    "`CommandInfo` is invalid: {invalid}Secret of type REFERENCE must have the \
                     'reference' field set"
                ),
            ),
            (
                secret(r#"{"type":"VALUE"}"#),
                format!(
                    "`CommandInfo` is invalid: {invalid}Secret of type VALUE must have the \
                     'value' field set"
                ),
            ),
            (
                secret(r#"{"type":"VALUE","value":{"data":"AA=="}}"#),
                "`CommandInfo` is invalid: Environment variable 'A' specifies a secret containing \
                 null bytes, which is not allowed in the environment"
                    .into(),
            ),
            (
                volume(r#""host_path":"/x","source":{}"#),
                "`ContainerInfo` is invalid: Invalid volume: Only one of them should be set: \
                 'host_path', 'image' and 'source'"
                    .into(),
            ),
            (
                volume(r#""source":{"type":"SANDBOX_PATH"}"#),
                "`ContainerInfo` is invalid: Invalid volume: 'source.sandbox_path' is not set for \
                 SANDBOX_PATH volume"
                    .into(),
            ),
            (
                volume(r#""source":{"type":"UNKNOWN"}"#),
                "`ContainerInfo` is invalid: Invalid volume: 'source.type' is unknown".into(),
            ),
            (
                r#""container":{"type":"DOCKER"}"#.into(),
                "`ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed \
                 ContainerInfo"
                    .into(),
            ),
            (
                r#""container":{"type":"DOCKER","docker":{"image":"i","parameters":[{"key":"name","value":"n"}]}}"#.into(),
                "`ContainerInfo` is invalid: Parameter in DockerInfo must not be 'name'".into(),
            ),
        ] {
            let of_task = Some(format!("Task's {fault}"));
            assert_eq!(content_fault(&task(&fields)), of_task, "{fields}");
            let of_executor = Some(format!("Executor's {fault}"));
            assert_eq!(executor_content_fault(&executor(&fields)), of_executor);
        }
    }

    #[test]
    fn groups_and_types_of_executors_bear_no_contradiction() {
        for (fields, fault) in [
            (
                r#""container":{"type":"MESOS","network_infos":[{}]},"health_check":{"type":"TCP"}"#,
                Some(
                    "HTTP and TCP health checks are not supported for nested containers not \
                     joining parent's network",
                ),
            ),
            (
                r#""container":{"type":"MESOS","network_infos":[{}]},"health_check":{"type":"COMMAND"}"#,
                None,
            ),
            (
                r#""container":{"type":"DOCKER"}"#,
                Some("Docker ContainerInfo is not supported on the task"),
            ),
        ] {
            let found = group_fault(&task(fields));
            assert_eq!(found.as_deref(), fault, "{fields}");
        }
        for (fields, fault) in [
            (
                r#""type":"DEFAULT","command":{}"#,
                Some("'ExecutorInfo.command' must not be set for 'DEFAULT' executor"),
            ),
            (
                r#""type":"DEFAULT","container":{"type":"DOCKER"}"#,
                Some("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"),
            ),
            (
                r#""type":"DEFAULT","container":{"type":"MESOS","mesos":{"image":{"type":"DOCKER"}}}"#,
                Some("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"),
            ),
            (
                r#""type":"CUSTOM""#,
                Some("'ExecutorInfo.command' must be set for 'CUSTOM' executor"),
            ),
            (r#""name":"e""#, None),
        ] {
            let found = executor_type_fault(&executor(fields));
            assert_eq!(found.as_deref(), fault, "{fields}");
        }
    }
}
