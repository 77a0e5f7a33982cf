//! Pods: what the containers of default executors and of checks need to know of messages.

use agent_core::sandbox::{Command, Demand};
use api::{convert, v1};
use model::{Blob, Resources};

use super::task::{Launch, LaunchError, demand_of, variables};
use super::{image, stored};

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
    Ok(Launch {
        command: Command::Shell(String::new()),
        environment: Vec::new(),
        user: framework.user,
        command_user: None,
        // Nothing runs in it: its tasks have roots of their own.
        image: None,
        cpus_milli: demand.cpus_milli,
        memory_bytes: demand.memory_bytes,
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
    let mut all = executor.resources;
    for task in tasks {
        let task: v1::TaskInfo = stored(task).ok_or(LaunchError::Malformed("TaskInfo"))?;
        all.extend(task.resources);
    }
    let all = convert::resources(&all);
    let all = all.map_err(|error| LaunchError::Resources(error.to_string()))?;
    let all: Resources = all.into_iter().collect();
    Ok(demand_of(&all))
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
        environment: variables(&info),
        command: image::command(None, info),
        user: String::new(),
        command_user: None,
        image: None,
        cpus_milli: 0,
        memory_bytes: 0,
        volumes: Vec::new(),
        uris: Vec::new(),
        checkpoint: false,
    })
}
