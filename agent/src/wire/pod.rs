//! Pods: what the containers of default executors and of checks need to know of messages.

use agent_core::sandbox::{Command, Demand};
use api::{convert, v1};
use model::{Blob, Resources};

use super::container_info::{self, Container, Place};
use super::task::{Launch, LaunchError, variables};
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
    let read = |resources: &[v1::Resource]| -> Result<Resources, LaunchError> {
        let all = convert::resources(resources);
        let all = all.map_err(|error| LaunchError::Resources(error.to_string()))?;
        Ok(all.into_iter().collect())
    };
    let mut all = vec![demand::of(&read(&executor.resources)?)];
    for task in tasks {
        let task: v1::TaskInfo = stored(task).ok_or(LaunchError::Malformed("TaskInfo"))?;
        all.push(demand::limited(&read(&task.resources)?, &task.limits));
    }
    Ok(demand::together(&all))
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
        container: Container::default(),
        volumes: Vec::new(),
        uris: Vec::new(),
        checkpoint: false,
    })
}
