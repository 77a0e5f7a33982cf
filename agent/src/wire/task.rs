//! Tasks: what agent-core and the sandbox need to know of a `TaskInfo`.
//!
//! What this agent cannot give is named here, so that a task fails with words instead of running
//! as something other than it asked for.

use std::time::Duration;

use agent_core::event::{ExecutorKind, TaskSpec};
use agent_core::holdings::{VolumeName, is_kept};
use agent_core::sandbox::{Command, Demand};
use api::{convert, v1};
use model::resources::{Resource, VolumeMode};
use model::sandbox::{Access, Handover, Io};
use model::{Blob, FrameworkId, Resources, TaskId};
use prost::Message;

use crate::fetch::Uri;
use crate::images::Wanted;

use super::container_info::{self, Container, Place};
use super::{FrameError, check, demand, executor, image};

/// The executor that Mesos would add to a command task: 0.1 cpus and 32 MB.
const EXECUTOR: [(&str, f64); 2] = [("cpus", 0.1), ("mem", 32.0)];
/// A command longer than this is cut in its executor's name …
const NAMED_BYTES_MAX: usize = 15;
/// … to so many bytes.
const NAMED_BYTES: usize = 12;

/// What agent-core decides by.
///
/// # Errors
/// An id that breaks the rules of ids.
pub fn spec(task: &v1::TaskInfo, framework_id: &FrameworkId) -> Result<TaskSpec, FrameError> {
    let id = TaskId::new(&task.task_id.value)?;
    let (executor, kind) = match &task.executor {
        Some(executor) => (executor.clone(), executor::kind(executor)),
        None => (command_executor(task, framework_id), ExecutorKind::Command),
    };
    let checks = check::checks(task);
    Ok(TaskSpec {
        id,
        executor: executor::spec(&executor, kind)?,
        group: Vec::new(),
        info: Blob::new(&task.encode_to_vec()),
        kill_grace: task.kill_policy.as_ref().and_then(grace),
        max_completion_time: task.max_completion_time.as_ref().and_then(duration),
        unsupported: unsupported(task).or_else(|| {
            checks
                .as_ref()
                .err()
                .map(|error| format!("{error} cannot be done"))
        }),
        checks: checks.unwrap_or_default(),
        held: held(task),
        allocation: demand::allocation(&task.resources),
    })
}

/// The reservations and volumes that operations made and a task uses, or its executor; of resources
/// that are none nothing is held, and the launch says so.
fn held(task: &v1::TaskInfo) -> Resources {
    let mut all = convert::resources(&task.resources).unwrap_or_default();
    if let Some(executor) = &task.executor {
        all.extend(convert::resources(&executor.resources).unwrap_or_default());
    }
    let all: Resources = all.into_iter().filter(is_kept).collect();
    all.unallocate()
}

/// The grace period of a policy.
#[must_use]
pub fn grace(policy: &v1::KillPolicy) -> Option<Duration> {
    policy.grace_period.as_ref().and_then(duration)
}

pub(super) fn duration(info: &v1::DurationInfo) -> Option<Duration> {
    u64::try_from(info.nanoseconds)
        .ok()
        .map(Duration::from_nanos)
}

/// What a task asks for that this agent cannot give, in words.
pub(super) fn unsupported(task: &v1::TaskInfo) -> Option<String> {
    if let Some(info) = &task.executor
        && executor::kind(info) == ExecutorKind::Custom
    {
        // What a task of its executor is to run in is the executor's question.
        let itself = v1::TaskInfo {
            resources: task.resources.clone(),
            ..v1::TaskInfo::default()
        };
        return unsupported(&executor::as_task(info, std::iter::once(itself)));
    }
    let yet = |what: &str| Some(format!("{what} not supported by this agent yet"));
    let Some(command) = &task.command else {
        return yet("a task without a command is");
    };
    if let Err(fault) = variables(command) {
        return Some(fault);
    }
    let disks = task.resources.iter().filter_map(|r| r.disk.as_ref());
    if disks.clone().any(|disk| disk.source.is_some()) {
        return yet("disk sources are");
    }
    if disks.clone().any(|disk| disk.persistence.is_none()) {
        return yet("disk volumes that are not persistent are");
    }
    let container = task.container.as_ref()?;
    container_info::read(container, place(task)).err()
}

/// A task of a pod is nested in it.
fn place(task: &v1::TaskInfo) -> Place {
    match task.executor.as_ref().map(executor::kind) {
        Some(ExecutorKind::Default) => Place::Nested,
        Some(ExecutorKind::Command | ExecutorKind::Custom) | None => Place::Outermost,
    }
}

/// The executor that the API reports for a command task; it exists in messages only.
fn command_executor(task: &v1::TaskInfo, framework_id: &FrameworkId) -> v1::ExecutorInfo {
    let id = &task.task_id.value;
    let allocation = task
        .resources
        .first()
        .and_then(|r| r.allocation_info.clone());
    let resources = EXECUTOR.map(|(name, value)| v1::Resource {
        name: name.to_string(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: allocation.clone(),
        ..v1::Resource::default()
    });
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: id.clone() },
        framework_id: Some(framework_id.into()),
        command: Some(v1::CommandInfo {
            value: Some("tepui-agent".to_string()),
            ..v1::CommandInfo::default()
        }),
        resources: resources.to_vec(),
        name: Some(format!(
            "Command Executor (Task: {id}) (Command: {})",
            short_command(task.command.as_ref())
        )),
        source: Some(id.clone()),
        labels: task.labels.clone(),
        ..v1::ExecutorInfo::default()
    }
}

fn short_command(command: Option<&v1::CommandInfo>) -> String {
    let cut = |text: &str| match text.len() > NAMED_BYTES_MAX {
        true => format!("{}...", &text[..text.floor_char_boundary(NAMED_BYTES)]),
        false => text.to_string(),
    };
    let value = command.and_then(|command| command.value.as_deref());
    match (command, value) {
        (Some(command), Some(value)) if !command.shell() => {
            let all = std::iter::once(value).chain(command.arguments.iter().map(String::as_str));
            format!("[{}]", cut(&all.collect::<Vec<_>>().join(", ")))
        }
        (_, Some(value)) => format!("sh -c '{}'", cut(value)),
        (Some(command), None) if !command.shell() => "NO EXECUTABLE".to_string(),
        (_, None) => "NO COMMAND".to_string(),
    }
}

/// What a launch needs to know of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// What to run.
    pub command: Command,
    /// The variables that the task sets.
    pub environment: Vec<(String, String)>,
    /// What is fetched into the sandbox first.
    pub uris: Vec<Uri>,
    /// Whom to run as: the command's user, or the framework's.
    pub user: String,
    /// The user that the command itself names.
    pub command_user: Option<String>,
    /// What it may use, alone.
    pub demand: Demand,
    /// The ports of the node that are its own, first and last of each range.
    pub ports: Vec<(u16, u16)>,
    /// What its container is to be like.
    pub container: Container,
    /// Its persistent volumes.
    pub volumes: Vec<Volume>,
    /// The image that its root comes from; the node's default root where there is none.
    pub image: Option<Wanted>,
    /// Whether the framework wants its executors to outlive the agent.
    pub checkpoint: bool,
}

impl Launch {
    /// Where input comes from and output goes, unless somebody is attached.
    #[must_use]
    pub fn io(&self) -> Io {
        self.container.terminal.map_or(Io::Files, Io::Terminal)
    }
}

/// A persistent volume of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Which.
    pub name: VolumeName,
    /// Where the task sees it, relative to its sandbox.
    pub container_path: String,
    /// Whether it may be written to.
    pub access: Access,
    /// Whose it becomes.
    pub handover: Handover,
    /// How large it is, in bytes.
    pub bytes: u64,
}

/// Why a task cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A message that this agent encoded cannot be read.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The task's resources are not resources.
    #[error("read the task's resources: {0}")]
    Resources(String),
    /// What its container is to be like cannot be given.
    #[error("{0}")]
    Container(String),
    /// The task's image.
    #[error(transparent)]
    Image(#[from] image::ImageError),
}

/// Reads what a launch needs.
///
/// # Errors
/// The task has no command, or resources that are none; both are refused before.
pub fn launch(task: &Blob, framework: &Blob) -> Result<Launch, LaunchError> {
    let task: v1::TaskInfo = super::stored(task).ok_or(LaunchError::Malformed("TaskInfo"))?;
    let framework: v1::FrameworkInfo =
        super::stored(framework).ok_or(LaunchError::Malformed("FrameworkInfo"))?;
    let place = place(&task);
    let command = task.command.ok_or(LaunchError::Malformed("CommandInfo"))?;
    let resources = convert::resources(&task.resources)
        .map_err(|error| LaunchError::Resources(error.to_string()))?;
    let resources: Resources = resources.into_iter().collect();
    let container = task.container.as_ref();
    let wanted = container.map(|info| container_info::read(info, place));
    let wanted = wanted.transpose().map_err(LaunchError::Container)?;
    let wanted = wanted.unwrap_or_default();
    Ok(Launch {
        volumes: resources.iter().filter_map(volume).collect(),
        environment: {
            let own = variables(&command).map_err(LaunchError::Container)?;
            [wanted.environment.clone(), own].concat()
        },
        uris: uris(&command),
        command_user: command.user.clone().or(wanted.user.clone()),
        user: command.user.clone().unwrap_or(framework.user),
        demand: demand::limited(&resources, &task.limits),
        ports: demand::ports(&resources),
        container: wanted,
        checkpoint: framework.checkpoint.unwrap_or_default(),
        image: container.map(image::wanted).transpose()?.flatten(),
        command: image::command(container, command),
    })
}

/// The variables that a command sets.
///
/// # Errors
/// The value of one is a secret that stands elsewhere.
pub(super) fn variables(command: &v1::CommandInfo) -> Result<Vec<(String, String)>, String> {
    let all = command.environment.iter().flat_map(|e| &e.variables);
    let value = |variable: &v1::environment::Variable| match &variable.secret {
        None => Ok(variable.value.clone().unwrap_or_default()),
        Some(secret) => {
            let secret = container_info::secret(secret)?;
            String::from_utf8(secret.0).map_err(|_| {
                format!(
                    "The secret of environment variable '{}' is no text",
                    variable.name
                )
            })
        }
    };
    all.map(|variable| Ok((variable.name.clone(), value(variable)?)))
        .collect()
}

/// What a command wants fetched.
#[must_use]
pub fn uris(command: &v1::CommandInfo) -> Vec<Uri> {
    let all = command.uris.iter().map(|uri| Uri {
        value: uri.value.clone(),
        executable: uri.executable(),
        extract: uri.extract(),
        cache: uri.cache(),
        output_file: uri.output_file.clone(),
    });
    all.collect()
}

/// The persistent volume that a resource is.
pub(super) fn volume(resource: &Resource) -> Option<Volume> {
    let volume = resource.disk.as_ref()?.volume.as_ref()?;
    Some(Volume {
        name: VolumeName::of(resource)?,
        container_path: volume.container_path.to_string(),
        access: match volume.mode {
            VolumeMode::ReadWrite => Access::ReadWrite,
            VolumeMode::ReadOnly => Access::ReadOnly,
        },
        handover: match resource.shared {
            true => Handover::WhileNew,
            false => Handover::Always,
        },
        bytes: demand::volume_bytes(resource),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(json: &str) -> v1::TaskInfo {
        let json = format!(
            r#"{{"name":"n","task_id":{{"value":"t1"}},"agent_id":{{"value":"S1"}},{json}}}"#
        );
        api::json::from_json(json.as_bytes()).expect("a TaskInfo")
    }

    #[test]
    fn the_executor_of_a_command_is_named_as_mesos_names_it() {
        for (json, name) in [
            (r#"{"value":"true"}"#, "sh -c 'true'"),
            (
                r#"{"value":"echo hello from me"}"#,
                "sh -c 'echo hello f...'",
            ),
            (
                r#"{"value":"/bin/ls","shell":false,"arguments":["ls","-al"]}"#,
                "[/bin/ls, ls,...]",
            ),
            (r#"{"value":"ääääääääää"}"#, "sh -c 'ääääää...'"),
            (r"{}", "NO COMMAND"),
            (r#"{"shell":false}"#, "NO EXECUTABLE"),
        ] {
            let task = task(&format!(r#""command":{json}"#));
            assert_eq!(short_command(task.command.as_ref()), name);
        }
    }

    #[test]
    fn what_cannot_be_given_is_named() {
        for (json, what) in [
            (r#""command":{"value":"true"}"#, None),
            (
                r#""command":{"value":"true"},"container":{"type":"MESOS"}"#,
                None,
            ),
            (
                r#""executor":{"executor_id":{"value":"e"},"command":{"value":"x"}}"#,
                None,
            ),
            (
                r#""executor":{"executor_id":{"value":"e"},"command":{"value":"x"},"container":{"type":"MESOS","network_infos":[{"name":"n"}]}}"#,
                None,
            ),
            (
                r#""command":{"value":"true"},"container":{"type":"DOCKER","docker":{"image":"x"}}"#,
                None,
            ),
            (
                r#""command":{"value":"true"},"container":{"type":"MESOS","mesos":{"image":{"type":"DOCKER","docker":{"name":"x"}}}}"#,
                None,
            ),
            (
                r#""command":{"value":"true"},"container":{"type":"MESOS","network_infos":[{"name":"x"}]}"#,
                None,
            ),
        ] {
            assert_eq!(unsupported(&task(json)).as_deref(), what, "{json}");
        }
    }

    #[test]
    fn a_launch_takes_the_tasks_own_resources_and_the_commands_user() {
        let task = task(
            r#""command":{"value":"ls","shell":false,"arguments":["ls","-l"],"user":"nobody",
                "environment":{"variables":[{"name":"A","value":"1"}]}},
               "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.5}},
                {"name":"mem","type":"SCALAR","scalar":{"value":64.5}}]"#,
        );
        let framework = v1::FrameworkInfo {
            user: "root".into(),
            ..v1::FrameworkInfo::default()
        };
        let blob = |bytes: Vec<u8>| Blob::new(&bytes);
        let launch = launch(
            &blob(task.encode_to_vec()),
            &blob(framework.encode_to_vec()),
        );
        let launch = launch.expect("a launch");
        let demand = launch.demand;
        assert_eq!((demand.cpus_milli, demand.memory_bytes), (500, 129 << 19));
        assert_eq!(launch.user, "nobody");
        assert_eq!(launch.environment, [("A".to_string(), "1".to_string())]);
    }
}
