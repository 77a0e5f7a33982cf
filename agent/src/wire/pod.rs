//! Pods: what the containers of default executors and of checks need to know of messages.

use agent_core::sandbox::{Command, Demand};
use api::{convert, v1};
use model::sandbox::{Access, Handover};
use model::{Blob, Resources};

use super::container_info::{self, Container, Place, Wanted};
use super::task::{self, Launch, LaunchError, Volume, variables};
use super::{demand, image, stored};

/// What a pod's container is made of: nothing to run, and room for its tasks.
///
/// # Errors
/// Resources that are none; the master refuses them before.
pub fn launch<'a>(
    executor: &Blob,
    tasks: impl Iterator<Item = &'a Blob>,
    framework: &Blob,
) -> Result<Launch, LaunchError> {
    let tasks: Vec<_> = tasks.collect();
    let ports = ports(executor, tasks.iter().copied())?;
    let tasks = tasks.into_iter();
    let framework: v1::FrameworkInfo =
        stored(framework).ok_or(LaunchError::Malformed("FrameworkInfo"))?;
    let demand = demand(executor, tasks)?;
    let executor: v1::ExecutorInfo =
        stored(executor).ok_or(LaunchError::Malformed("ExecutorInfo"))?;
    let container = executor.container.as_ref();
    let container = container.map(|info| container_info::read(info, Place::Outermost));
    let container = container.transpose().map_err(LaunchError::Container)?;
    Ok(Launch {
        command: Command::Shell(String::new()),
        environment: Vec::new(),
        user: framework.user,
        command_user: None,
        // Nothing runs in it: its tasks have roots of their own.
        image: None,
        demand,
        ports,
        container: container.unwrap_or_default(),
        volumes: Vec::new(),
        uris: Vec::new(),
        checkpoint: framework.checkpoint.unwrap_or_default(),
    })
}

/// What an executor and its tasks use together.
///
/// # Errors
/// Resources that are none.
pub fn demand<'a>(
    executor: &Blob,
    tasks: impl Iterator<Item = &'a Blob>,
) -> Result<Demand, LaunchError> {
    let executor: v1::ExecutorInfo =
        stored(executor).ok_or(LaunchError::Malformed("ExecutorInfo"))?;
    let mut all = vec![demand::of(&read(&executor.resources)?)];
    for task in tasks {
        let task: v1::TaskInfo = stored(task).ok_or(LaunchError::Malformed("TaskInfo"))?;
        all.push(demand::limited(&read(&task.resources)?, &task.limits));
    }
    Ok(demand::together(&all))
}

/// The ports of the node that an executor and its tasks have together.
///
/// # Errors
/// Resources that are none.
pub fn ports<'a>(
    executor: &Blob,
    tasks: impl Iterator<Item = &'a Blob>,
) -> Result<Vec<(u16, u16)>, LaunchError> {
    let executor: v1::ExecutorInfo =
        stored(executor).ok_or(LaunchError::Malformed("ExecutorInfo"))?;
    let mut all = read(&executor.resources)?;
    for task in tasks {
        let task: v1::TaskInfo = stored(task).ok_or(LaunchError::Malformed("TaskInfo"))?;
        all.add_all(&read(&task.resources)?);
    }
    Ok(demand::ports(&all))
}

fn read(resources: &[v1::Resource]) -> Result<Resources, LaunchError> {
    let all = convert::resources(resources);
    let all = all.map_err(|error| LaunchError::Resources(error.to_string()))?;
    Ok(all.into_iter().collect())
}

/// Gives a task the persistent volumes of its executor that it wants of its pod's sandbox: there
/// is nobody in the pod itself who would see them there.
///
/// # Errors
/// It wants a part of one.
pub fn share_volumes(executor: &Blob, launch: &mut Launch) -> Result<(), LaunchError> {
    let executor: v1::ExecutorInfo =
        stored(executor).ok_or(LaunchError::Malformed("ExecutorInfo"))?;
    let all = convert::resources(&executor.resources);
    let all = all.map_err(|error| LaunchError::Resources(error.to_string()))?;
    for volume in all.iter().filter_map(task::volume) {
        let place = volume.container_path.trim_matches('/');
        for wish in std::mem::take(&mut launch.container.volumes) {
            let wanted = match &wish.source {
                Wanted::ParentSandbox(path) => path.trim_matches('/'),
                Wanted::Host(..) | Wanted::OwnSandbox(_) | Wanted::Image(_) | Wanted::Secret(_) => {
                    ""
                }
            };
            match wanted.strip_prefix(place) {
                Some("") => launch.volumes.push(Volume {
                    container_path: wish.container_path,
                    access: match volume.access {
                        Access::ReadOnly => Access::ReadOnly,
                        Access::ReadWrite => wish.access,
                    },
                    // Other tasks of the pod have it, too.
                    handover: Handover::WhileNew,
                    name: volume.name.clone(),
                    bytes: volume.bytes,
                }),
                Some(rest) if rest.starts_with('/') => {
                    return Err(LaunchError::Container(format!(
                        "'{wanted}' is a part of a persistent volume: a task has the whole of it \
                         or nothing"
                    )));
                }
                Some(_) | None => launch.container.volumes.push(wish),
            }
        }
    }
    Ok(())
}

/// The variable that tells a task of a pod the role of its resources; there is one for all of them.
#[must_use]
pub fn allocation_role(task: &Blob) -> Option<(String, String)> {
    let task: v1::TaskInfo = stored(task)?;
    let role = task
        .resources
        .first()?
        .allocation_info
        .as_ref()?
        .role
        .clone();
    Some(("MESOS_ALLOCATION_ROLE".to_string(), role?))
}

/// A command beside another one; user and files of its own are not for it, as in Mesos.
///
/// # Errors
/// Never for what this agent stored.
pub fn beside(info: &Blob) -> Result<Launch, LaunchError> {
    let info: v1::CommandInfo = stored(info).ok_or(LaunchError::Malformed("CommandInfo"))?;
    Ok(Launch {
        environment: variables(&info).map_err(LaunchError::Container)?,
        command: image::command(None, info),
        user: String::new(),
        command_user: None,
        image: None,
        demand: Demand::default(),
        ports: Vec::new(),
        container: Container::default(),
        volumes: Vec::new(),
        uris: Vec::new(),
        checkpoint: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn launch(path: &str) -> Result<Launch, LaunchError> {
        let executor: v1::ExecutorInfo = api::json::from_json(
            br#"{"executor_id":{"value":"e"},"type":"DEFAULT","resources":[
                {"name":"disk","type":"SCALAR","scalar":{"value":8},
                 "reservations":[{"type":"DYNAMIC","role":"a"}],
                 "disk":{"persistence":{"id":"v1"},
                         "volume":{"mode":"RW","container_path":"data"}}}]}"#,
        )
        .expect("an ExecutorInfo");
        let task: v1::TaskInfo = api::json::from_json(
            format!(
                r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"S1"}},
                "command":{{"value":"true"}},
                "container":{{"type":"MESOS","volumes":[{{"mode":"RO","container_path":"here",
                 "source":{{"type":"SANDBOX_PATH",
                            "sandbox_path":{{"type":"PARENT","path":"{path}"}}}}}}]}}}}"#
            )
            .as_bytes(),
        )
        .expect("a TaskInfo");
        // What is read of a task in a pod knows that it is in one.
        let task = v1::TaskInfo {
            executor: Some(executor.clone()),
            ..task
        };
        let blob = |bytes: Vec<u8>| Blob::new(&bytes);
        let framework = blob(v1::FrameworkInfo::default().encode_to_vec());
        let mut launch = task::launch(&blob(task.encode_to_vec()), &framework)?;
        share_volumes(&blob(executor.encode_to_vec()), &mut launch)?;
        Ok(launch)
    }

    #[test]
    fn a_task_has_the_persistent_volume_of_its_executor_where_it_asks_for_its_place() {
        let shared = launch("data").expect("a launch");
        let [volume] = shared.volumes.as_slice() else {
            panic!("{:?}", shared.volumes);
        };
        assert_eq!((&*volume.name.id, &*volume.container_path), ("v1", "here"));
        assert_eq!(volume.access, Access::ReadOnly);
        assert!(shared.container.volumes.is_empty());

        let other = launch("database").expect("a launch");
        assert!(other.volumes.is_empty());
        assert_eq!(other.container.volumes.len(), 1);

        let part = launch("data/sub").expect_err("a part");
        assert!(
            part.to_string().starts_with("'data/sub' is a part"),
            "{part}"
        );
    }
}
