//! What is wrong with the parts of a TaskInfo that the core does not look into, in Mesos' words.

use api::v1;
use api::v1::environment::variable::Type as VariableType;
use api::v1::{check_info, health_check};

/// What is wrong with `check` or `health_check`.
pub(crate) fn check_fault(task: &v1::TaskInfo) -> Option<String> {
    if let Some(fault) = task.check.as_ref().and_then(check) {
        return Some(format!("Task uses invalid check: {fault}"));
    }
    let fault = task.health_check.as_ref().and_then(health)?;
    Some(format!("Task uses invalid health check: {fault}"))
}

/// What is wrong with `command`.
pub(crate) fn content_fault(task: &v1::TaskInfo) -> Option<String> {
    let command = task.command.as_ref()?;
    let fault = environment(command.environment.as_ref()?)?;
    Some(format!("Task's `CommandInfo` is invalid: {fault}"))
}

fn check(check: &v1::CheckInfo) -> Option<String> {
    use check_info::Type;
    let kind = check.r#type.and_then(|number| Type::try_from(number).ok());
    let fault = match kind {
        None => return Some("CheckInfo must specify 'type'".into()),
        Some(Type::Unknown) => return Some("'UNKNOWN' is not a valid check type".into()),
        Some(Type::Command) => match &check.command {
            None => Some("Expecting 'command' to be set for COMMAND check".into()),
            Some(command) => command_fault(&command.command, "CommandInfo"),
        },
        Some(Type::Http) => match &check.http {
            None => Some("Expecting 'http' to be set for HTTP check".into()),
            Some(http) => path_fault(http.path.as_deref()),
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
            Some(command) => command_fault(command, "CommandInfo"),
        },
        Some(Type::Http) => match &check.http {
            None => Some("Expecting 'http' to be set for HTTP health check".into()),
            Some(http) => {
                scheme_fault(http.scheme.as_deref()).or_else(|| path_fault(http.path.as_deref()))
            }
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

fn command_fault(command: &v1::CommandInfo, name: &str) -> Option<String> {
    if command.value.is_none() {
        let form = if command.shell.unwrap_or(true) {
            "Shell command"
        } else {
            "Executable path"
        };
        return Some(format!("{form} is not specified"));
    }
    environment(command.environment.as_ref()?)
        .map(|fault| format!("Check's `{name}` is invalid: {fault}"))
}

fn path_fault(path: Option<&str>) -> Option<String> {
    let path = path?;
    (!path.starts_with('/'))
        .then(|| format!("The path '{path}' of HTTP  check must start with '/'"))
}

fn scheme_fault(scheme: Option<&str>) -> Option<String> {
    let scheme = scheme?;
    (!matches!(scheme, "http" | "https"))
        .then(|| format!("Unsupported HTTP health check scheme: '{scheme}'"))
}

fn environment(environment: &v1::Environment) -> Option<String> {
    environment.variables.iter().find_map(|variable| {
        let name = &variable.name;
        let kind = variable
            .r#type
            .and_then(|number| VariableType::try_from(number).ok());
        match kind {
            Some(VariableType::Secret) if variable.secret.is_none() => Some(format!(
                "Environment variable '{name}' of type 'SECRET' must have a secret set"
            )),
            Some(VariableType::Secret) if variable.value.is_some() => Some(format!(
                "Environment variable '{name}' of type 'SECRET' must not have a value set"
            )),
            // VALUE is the default where the type is unset.
            Some(VariableType::Value) | None if variable.value.is_none() => Some(format!(
                "Environment variable '{name}' of type 'VALUE' must have a value set"
            )),
            Some(VariableType::Value) | None if variable.secret.is_some() => Some(format!(
                "Environment variable '{name}' of type 'VALUE' must not have a secret set"
            )),
            Some(VariableType::Unknown) => {
                Some("Environment variable of type 'UNKNOWN' is not allowed".into())
            }
            Some(VariableType::Secret | VariableType::Value) | None => None,
        }
    })
}
