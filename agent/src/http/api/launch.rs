//! What a call that launches a container must hold, in Mesos' words.

use api::v1::agent::call::{LaunchContainer, LaunchNestedContainer, LaunchNestedContainerSession};
use api::v1::{CommandInfo, ContainerId, ContainerInfo, LinuxInfo};
use api::{convert, faults};

/// The first fault of LAUNCH_NESTED_CONTAINER.
pub(super) fn nested(call: &LaunchNestedContainer) -> Result<(), String> {
    let name = "launch_nested_container";
    content(call.command.as_ref(), call.container.as_ref(), name)?;
    if shares_cgroups(call.container.as_ref()) == Some(false) && is_deep(&call.container_id) {
        return Err(format!("'{name}' is invalid: {DEEP_ALONE}"));
    }
    Ok(())
}

/// The first fault of LAUNCH_NESTED_CONTAINER_SESSION.
pub(super) fn session(call: &LaunchNestedContainerSession) -> Result<(), String> {
    let name = "launch_nested_container_session";
    content(call.command.as_ref(), call.container.as_ref(), name)?;
    if shares_cgroups(call.container.as_ref()) == Some(false) {
        return Err(format!(
            "'{name}.container.linux_info' is invalid: 'share_cgroups' cannot be set to 'false' for \
             nested container sessions"
        ));
    }
    Ok(())
}

/// The first fault of LAUNCH_CONTAINER.
pub(super) fn container(call: &LaunchContainer) -> Result<(), String> {
    let name = "launch_container";
    resources(call)?;
    content(call.command.as_ref(), call.container.as_ref(), name)?;
    let shares = shares_cgroups(call.container.as_ref());
    let fault = match (
        call.container_id.parent.is_some(),
        is_deep(&call.container_id),
    ) {
        (_, true) if !call.resources.is_empty() => {
            "containers nested at the second level or greater cannot specify resources"
        }
        (_, true) if !call.limits.is_empty() => {
            "containers nested at the second level or greater cannot specify resource limits"
        }
        (_, true) if shares == Some(false) => DEEP_ALONE,
        (false, _) if shares == Some(true) => {
            "containers without a parent cannot set 'share_cgroups' to 'true'"
        }
        (true | false, true | false) => return Ok(()),
    };
    Err(format!("'{name}' is invalid: {fault}"))
}

const DEEP_ALONE: &str =
    "containers nested at the second level or greater cannot set 'share_cgroups' to 'false'";

/// Whether a container is nested in one that is nested.
fn is_deep(id: &ContainerId) -> bool {
    id.parent.as_ref().is_some_and(|id| id.parent.is_some())
}

/// What the call says of it, if it does.
fn shares_cgroups(container: Option<&ContainerInfo>) -> Option<bool> {
    let linux: &LinuxInfo = container?.linux_info.as_ref()?;
    linux.share_cgroups
}

fn content(
    command: Option<&CommandInfo>,
    container: Option<&ContainerInfo>,
    name: &str,
) -> Result<(), String> {
    if let Some(fault) = command.and_then(faults::command::fault) {
        return Err(format!("'{name}.command' is invalid: {fault}"));
    }
    match container.and_then(faults::container::fault) {
        Some(fault) => Err(format!("'{name}.container' is invalid: {fault}")),
        None => Ok(()),
    }
}

/// No master counts what a container that stands alone uses: it may have nothing that is anyone's.
fn resources(call: &LaunchContainer) -> Result<(), String> {
    let all = convert::resources(&call.resources);
    let all = all.map_err(|fault| format!("Invalid resources: {fault}"))?;
    let gpus = all.iter().filter(|resource| &*resource.name == "gpus");
    let parts = |resource: &model::resources::Resource| match &resource.value {
        model::resources::Value::Scalar(scalar) => scalar.thousandths() % 1000 != 0,
        model::resources::Value::Ranges(_) | model::resources::Value::Set(_) => true,
    };
    if gpus.into_iter().any(parts) {
        return Err(
            "Invalid GPU resources: The 'gpus' resource must be an unsigned integer".to_owned(),
        );
    }
    if call.container_id.parent.is_some() {
        return Ok(());
    }
    for resource in &all {
        let is_persistent = |disk: &model::resources::DiskInfo| disk.persistence.is_some();
        let fault = if !resource.reservations.is_empty() {
            "must be unreserved"
        } else if resource.disk.as_deref().is_some_and(is_persistent) {
            "may not use persistent volumes"
        } else if resource.revocable {
            "must be non-revocable"
        } else {
            continue;
        };
        return Err(format!("'launch_container.resources' {fault}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &str, expected: Result<(), &str>) {
        let call: LaunchContainer =
            api::json::from_json(format!("{{{fields}}}").as_bytes()).expect("a call");
        assert_eq!(
            container(&call),
            expected.map_err(str::to_owned),
            "{fields}"
        );
    }

    #[test]
    fn a_container_that_stands_alone_has_nothing_that_is_anyones() {
        let alone = |resource: &str| {
            format!(
                r#""container_id":{{"value":"c"}},"resources":[{{"name":"disk","type":"SCALAR",
                    "scalar":{{"value":1}}{resource}}}]"#
            )
        };
        check(&alone(""), Ok(()));
        check(
            &alone(r#","role":"web""#),
            Err("'launch_container.resources' must be unreserved"),
        );
        check(
            &alone(r#","revocable":{}"#),
            Err("'launch_container.resources' must be non-revocable"),
        );
    }

    #[test]
    fn what_is_nested_twice_has_no_resources_of_its_own() {
        let id = r#""container_id":{"value":"c","parent":{"value":"b","parent":{"value":"a"}}}"#;
        let prefix = "'launch_container' is invalid: ";
        let nested = "containers nested at the second level or greater cannot";
        for (fields, fault) in [
            (
                r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]"#,
                Some(format!("{nested} specify resources")),
            ),
            (
                r#""limits":{"cpus":{"value":1}}"#,
                Some(format!("{nested} specify resource limits")),
            ),
            (
                r#""container":{"type":"MESOS","linux_info":{"share_cgroups":false}}"#,
                Some(format!("{nested} set 'share_cgroups' to 'false'")),
            ),
            (r#""container":{"type":"MESOS"}"#, None),
        ] {
            let fault = fault.map(|fault| format!("{prefix}{fault}"));
            let expected = fault.as_deref().map_or(Ok(()), Err);
            check(&format!("{id},{fields}"), expected);
        }
        check(
            r#""container_id":{"value":"c"},
               "container":{"type":"MESOS","linux_info":{"share_cgroups":true}}"#,
            Err(
                "'launch_container' is invalid: containers without a parent cannot set \
                 'share_cgroups' to 'true'",
            ),
        );
    }

    #[test]
    fn a_command_and_a_container_must_be_sound() {
        let id = r#""container_id":{"value":"c"}"#;
        check(
            &format!(r#"{id},"command":{{"environment":{{"variables":[{{"name":"A"}}]}}}}"#),
            Err(
                "'launch_container.command' is invalid: Environment variable 'A' of type 'VALUE' \
                 must have a value set",
            ),
        );
        check(
            &format!(r#"{id},"container":{{"type":"DOCKER"}}"#),
            Err(
                "'launch_container.container' is invalid: DockerInfo 'docker' is not set for \
                 DOCKER typed ContainerInfo",
            ),
        );
    }
}
