//! What a call must hold before anybody acts on it, in Mesos' words.

use api::v1::ContainerId;
use api::v1::agent::Call;
use api::v1::agent::call::Type;
use api::v1::agent::call::attach_container_input::Type as Input;
use model::id;

use super::launch;

/// The longest name of a container; its directory and its cgroup are called so.
const CONTAINER_ID_BYTES_MAX: usize = 242;
/// How deep containers may be nested: deeper ones have no use, and a message of this depth is read.
const DEPTH_MAX: usize = 32;

/// The first fault of a call, or its type.
pub(in crate::http) fn call(call: &Call) -> Result<Type, String> {
    // An enum's number that this version does not know reads as if the field were unset.
    let kind = call
        .r#type
        .and_then(|number| Type::try_from(number).ok())
        .ok_or_else(|| missing("type"))?;
    match kind {
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetContainers
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetAgent
        | Type::GetResourceProviders
        | Type::PruneImages => {}
        Type::GetMetrics => drop(present(&call.get_metrics, "get_metrics")?),
        Type::SetLoggingLevel => drop(present(&call.set_logging_level, "set_logging_level")?),
        Type::ListFiles => drop(present(&call.list_files, "list_files")?),
        Type::ReadFile => drop(present(&call.read_file, "read_file")?),
        Type::LaunchNestedContainer => {
            let name = "launch_nested_container";
            let call = present(&call.launch_nested_container, name)?;
            nested(&call.container_id, name)?;
            launch::nested(call)?;
        }
        Type::WaitNestedContainer => {
            let name = "wait_nested_container";
            let call = present(&call.wait_nested_container, name)?;
            nested(&call.container_id, name)?;
        }
        Type::KillNestedContainer => {
            let name = "kill_nested_container";
            let call = present(&call.kill_nested_container, name)?;
            nested(&call.container_id, name)?;
        }
        Type::RemoveNestedContainer => {
            let name = "remove_nested_container";
            let call = present(&call.remove_nested_container, name)?;
            nested(&call.container_id, name)?;
        }
        Type::LaunchNestedContainerSession => {
            let name = "launch_nested_container_session";
            let call = present(&call.launch_nested_container_session, name)?;
            nested(&call.container_id, name)?;
            launch::session(call)?;
        }
        Type::AttachContainerInput => input(call)?,
        Type::AttachContainerOutput => {
            let name = "attach_container_output";
            container(
                &present(&call.attach_container_output, name)?.container_id,
                name,
            )?;
        }
        Type::LaunchContainer => {
            let name = "launch_container";
            let call = present(&call.launch_container, name)?;
            container(&call.container_id, name)?;
            launch::container(call)?;
        }
        Type::WaitContainer => {
            let name = "wait_container";
            container(&present(&call.wait_container, name)?.container_id, name)?;
        }
        Type::KillContainer => {
            let name = "kill_container";
            container(&present(&call.kill_container, name)?.container_id, name)?;
        }
        Type::RemoveContainer => {
            let name = "remove_container";
            container(&present(&call.remove_container, name)?.container_id, name)?;
        }
        Type::AddResourceProviderConfig => {
            let name = "add_resource_provider_config";
            let add = present(&call.add_resource_provider_config, name)?;
            unset(&add.info.id, name)?;
        }
        Type::UpdateResourceProviderConfig => {
            let name = "update_resource_provider_config";
            let update = present(&call.update_resource_provider_config, name)?;
            unset(&update.info.id, name)?;
        }
        Type::RemoveResourceProviderConfig => drop(present(
            &call.remove_resource_provider_config,
            "remove_resource_provider_config",
        )?),
        Type::MarkResourceProviderGone => drop(present(
            &call.mark_resource_provider_gone,
            "mark_resource_provider_gone",
        )?),
    }
    Ok(kind)
}

/// A piece of a stream of input.
fn input(call: &Call) -> Result<(), String> {
    let name = "attach_container_input";
    let piece = present(&call.attach_container_input, name)?;
    let kind = piece.r#type.and_then(|number| Input::try_from(number).ok());
    match kind.ok_or_else(|| missing(&format!("{name}.type")))? {
        Input::Unknown => Err(format!("'{name}.type' is unknown")),
        Input::ContainerId => container(piece.container_id.as_ref().unwrap_or(&NO_CONTAINER), name),
        Input::ProcessIo => Ok(()),
    }
}

/// What a container's id is where none is given.
static NO_CONTAINER: ContainerId = ContainerId {
    value: String::new(),
    parent: None,
};

fn present<'a, T>(field: &'a Option<T>, name: &str) -> Result<&'a T, String> {
    field.as_ref().ok_or_else(|| missing(name))
}

fn unset<T>(id: &Option<T>, name: &str) -> Result<(), String> {
    match id {
        None => Ok(()),
        Some(_) => Err(format!("Expecting '{name}.info.id' to be unset")),
    }
}

/// The id of a container that must have a parent.
fn nested(id: &ContainerId, name: &str) -> Result<(), String> {
    container(id, name)?;
    match id.parent {
        Some(_) => Ok(()),
        None => Err(missing(&format!("{name}.container_id.parent"))),
    }
}

fn container(id: &ContainerId, name: &str) -> Result<(), String> {
    let depth = std::iter::successors(Some(id), |id| id.parent.as_deref()).take(DEPTH_MAX + 1);
    if depth.count() > DEPTH_MAX {
        return Err(format!(
            "'{name}.container_id' is invalid: nested deeper than {DEPTH_MAX}"
        ));
    }
    container_id(id).map_err(|fault| format!("'{name}.container_id' is invalid: {fault}"))
}

/// The names from the inside out; what is wrong with a parent is told as such.
fn container_id(id: &ContainerId) -> Result<(), String> {
    let name = &id.value;
    id::check(name).map_err(|fault| fault.to_string())?;
    if name.len() > CONTAINER_ID_BYTES_MAX {
        return Err(format!(
            "'ContainerID.value' '{name}' exceeds the maximum length ({CONTAINER_ID_BYTES_MAX})"
        ));
    }
    if name.contains(['.', ' ']) {
        return Err(format!(
            "'ContainerID.value' '{name}' contains invalid characters"
        ));
    }
    id.parent.as_deref().map_or(Ok(()), |parent| {
        container_id(parent).map_err(|fault| format!("'ContainerID.parent' is invalid: {fault}"))
    })
}

fn missing(name: &str) -> String {
    format!("Expecting '{name}' to be present")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Type, &str>) {
        let read: Call = api::json::from_json(text.as_bytes()).expect("a call");
        assert_eq!(call(&read), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_call_must_bring_the_field_of_its_type() {
        check("{}", Err("Expecting 'type' to be present"));
        check(r#"{"type":"GET_STATE"}"#, Ok(Type::GetState));
        check(
            r#"{"type":"GET_METRICS"}"#,
            Err("Expecting 'get_metrics' to be present"),
        );
        check(
            r#"{"type":"LAUNCH_CONTAINER"}"#,
            Err("Expecting 'launch_container' to be present"),
        );
        check(
            r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{}}"#,
            Err("Expecting 'attach_container_input.type' to be present"),
        );
    }

    #[test]
    fn names_of_containers_keep_their_rules_on_every_level() {
        let wait = |id: &str| {
            format!(
                r#"{{"type":"WAIT_NESTED_CONTAINER","wait_nested_container":{{"container_id":{id}}}}}"#
            )
        };
        check(
            &wait(r#"{"value":"c","parent":{"value":"p"}}"#),
            Ok(Type::WaitNestedContainer),
        );
        check(
            &wait(r#"{"value":"c"}"#),
            Err("Expecting 'wait_nested_container.container_id.parent' to be present"),
        );
        check(
            &wait(r#"{"value":"a.b","parent":{"value":"p"}}"#),
            Err(
                "'wait_nested_container.container_id' is invalid: 'ContainerID.value' 'a.b' \
                 contains invalid characters",
            ),
        );
        check(
            &wait(r#"{"value":"c","parent":{"value":""}}"#),
            Err(
                "'wait_nested_container.container_id' is invalid: 'ContainerID.parent' is \
                 invalid: ID must not be empty",
            ),
        );
        let long = "x".repeat(243);
        check(
            &wait(&format!(r#"{{"value":"{long}","parent":{{"value":"p"}}}}"#)),
            Err(&format!(
                "'wait_nested_container.container_id' is invalid: 'ContainerID.value' '{long}' \
                 exceeds the maximum length (242)"
            )),
        );
    }
}
