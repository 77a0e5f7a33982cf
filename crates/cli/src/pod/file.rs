//! File: a pod as its user writes it down, in JSON.
//!
//! ```text
//! {"name": "web", "executor": {…}, "tasks": [{"name": "a", "image": "…", "command": "…", "cpus": 0.1}, …]}
//! ```
//!
//! A task is Mesos' TaskInfo, the executor its ExecutorInfo, without what is not known beforehand (ids,
//! resources of an offer) and with short forms for what is said most: `cpus`, `mem`, `disk`, `ports`,
//! `image`, `env`, and a `command` that is a line or a list of words.

use api::json::JsonError;
use api::v1::{ExecutorInfo, TaskInfo};
use serde_json::{Map, Value, json};

use crate::need::Need;

/// The most tasks of a pod.
const TASKS_MAX: usize = 100;
/// What a pod takes beside its tasks, as Mesos' own executor does.
const EXECUTOR_CPUS: f64 = 0.1;
const EXECUTOR_MEM: f64 = 32.0;
/// A master refuses an executor without any.
const EXECUTOR_DISK: f64 = 32.0;
/// What a task takes that says nothing.
const TASK_CPUS: f64 = 0.1;
const TASK_MEM: f64 = 64.0;

/// What may stand in a task, beside the short forms.
const TASK_FIELDS: [&str; 10] = [
    "name",
    "command",
    "container",
    "health_check",
    "check",
    "kill_policy",
    "max_completion_time",
    "labels",
    "discovery",
    "limits",
];
const EXECUTOR_FIELDS: [&str; 7] = [
    "container",
    "labels",
    "discovery",
    "shutdown_grace_period",
    "cpus",
    "mem",
    "disk",
];

/// Why a file is no pod.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("{at}: {why}")]
    Shape { at: String, why: String },
    #[error("{at}")]
    Message { at: String, source: JsonError },
}

/// A pod, as far as it is known before there is an offer.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    /// Without id and resources.
    pub(crate) executor: ExecutorInfo,
    pub(crate) executor_need: Need,
    pub(crate) members: Vec<Member>,
}

/// One task of a pod.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Without ids and resources.
    pub(crate) info: TaskInfo,
    pub(crate) need: Need,
}

/// Reads a pod; `fallback` is its name where it has none.
///
/// # Errors
/// The first thing that is wrong, with where it stands.
pub(crate) fn read(text: &[u8], fallback: &str) -> Result<Pod, FileError> {
    let Value::Object(mut pod) = serde_json::from_slice(text)? else {
        return Err(shape("the file", "must be an object with \"tasks\""));
    };
    known(&pod, "the file", &["name", "executor", "tasks"], &[])?;
    let name = match pod.remove("name") {
        None => fallback.to_owned(),
        Some(name) => string(name, "name")?,
    };
    let (executor, executor_need) = executor(pod.remove("executor"))?;
    let Some(Value::Array(tasks)) = pod.remove("tasks") else {
        return Err(shape("tasks", "must be a list of tasks"));
    };
    if tasks.is_empty() || tasks.len() > TASKS_MAX {
        let why = format!("must be from 1 to {TASKS_MAX} tasks");
        return Err(shape("tasks", &why));
    }
    let mut members: Vec<Member> = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        let at = format!("tasks[{number}]");
        let member = member(task, &at, number)?;
        if members.iter().any(|other| other.name == member.name) {
            let why = format!("another task is called {:?} already", member.name);
            return Err(shape(&at, &why));
        }
        members.push(member);
    }
    Ok(Pod {
        name,
        executor,
        executor_need,
        members,
    })
}

fn executor(given: Option<Value>) -> Result<(ExecutorInfo, Need), FileError> {
    let at = "executor";
    let mut executor = match given {
        None => Map::new(),
        Some(Value::Object(executor)) => executor,
        Some(_) => return Err(shape(at, "must be an object")),
    };
    known(&executor, at, &EXECUTOR_FIELDS, &[])?;
    let need = Need::new(
        number(executor.remove("cpus"), "executor.cpus")?.unwrap_or(EXECUTOR_CPUS),
        number(executor.remove("mem"), "executor.mem")?.unwrap_or(EXECUTOR_MEM),
        Some(number(executor.remove("disk"), "executor.disk")?.unwrap_or(EXECUTOR_DISK)),
    );
    if let Some(container) = executor.get_mut("container") {
        typed(container, "executor.container")?;
    }
    executor.insert("type".to_owned(), json!("DEFAULT"));
    executor.insert("executor_id".to_owned(), json!({ "value": "" }));
    Ok((message(at, executor)?, need))
}

fn member(task: Value, at: &str, number_in_pod: usize) -> Result<Member, FileError> {
    let Value::Object(mut task) = task else {
        return Err(shape(at, "must be an object"));
    };
    let short = ["cpus", "mem", "disk", "ports", "image", "env"];
    known(&task, at, &TASK_FIELDS, &short)?;
    let below = |field: &str| format!("{at}.{field}");
    let name = match task.get("name") {
        None => format!("task{number_in_pod}"),
        Some(name) => string(name.clone(), &below("name"))?,
    };
    let mut amount = |field: &str| number(task.remove(field), &below(field));
    let need = Need::new(
        amount("cpus")?.unwrap_or(TASK_CPUS),
        amount("mem")?.unwrap_or(TASK_MEM),
        amount("disk")?,
    );
    let ports: Vec<u16> = match task.remove("ports") {
        None => Vec::new(),
        Some(ports) => serde_json::from_value(ports)
            .map_err(|_| shape(&below("ports"), "must be a list of ports, 0 for any"))?,
    };
    let image = match task.remove("image") {
        None => None,
        Some(image) => Some(string(image, &below("image"))?),
    };
    let command = command(task.remove("command"), image.is_some(), at)?;
    let command = with_environment(command, task.remove("env"), at)?;
    task.insert("command".to_owned(), command);
    let container = task.remove("container");
    if image.is_some() || container.is_some() {
        let mut container = container.unwrap_or_else(|| json!({}));
        typed(&mut container, &below("container"))?;
        if let Some(image) = image {
            container["mesos"]["image"] = json!({ "type": "DOCKER", "docker": { "name": image } });
        }
        task.insert("container".to_owned(), container);
    }
    task.insert("name".to_owned(), json!(name));
    for id in ["task_id", "agent_id"] {
        task.insert(id.to_owned(), json!({ "value": "" }));
    }
    Ok(Member {
        name,
        info: message(at, task)?,
        need: need.with_ports(&ports),
    })
}

/// The CommandInfo: a line is for the shell, words are executed, none are the image's own.
fn command(given: Option<Value>, has_image: bool, at: &str) -> Result<Value, FileError> {
    let wrong = |why: &str| shape(&format!("{at}.command"), why);
    match given {
        None if has_image => Ok(json!({ "shell": false })),
        None => Err(wrong(
            "is missing, and there is no image that might have one",
        )),
        Some(Value::String(line)) => Ok(json!({ "shell": true, "value": line })),
        Some(Value::Array(words)) => match words.first() {
            Some(first) if words.iter().all(Value::is_string) => {
                Ok(json!({ "shell": false, "value": first, "arguments": words }))
            }
            Some(_) | None => Err(wrong("must be a line, or a list of words")),
        },
        Some(command @ Value::Object(_)) => Ok(command),
        Some(_) => Err(wrong("must be a line, a list of words, or a CommandInfo")),
    }
}

fn with_environment(mut command: Value, env: Option<Value>, at: &str) -> Result<Value, FileError> {
    let wrong = || shape(&format!("{at}.env"), "must be an object of texts");
    let env = match env {
        None => return Ok(command),
        Some(Value::Object(env)) => env,
        Some(_) => return Err(wrong()),
    };
    let variables = &mut command["environment"]["variables"];
    if variables.is_null() {
        *variables = json!([]);
    }
    let Value::Array(variables) = variables else {
        return Err(wrong());
    };
    for (name, value) in env {
        let Value::String(value) = value else {
            return Err(wrong());
        };
        variables.push(json!({ "name": name, "value": value }));
    }
    Ok(command)
}

/// A container is one of Mesos' own kind where it does not say.
fn typed(container: &mut Value, at: &str) -> Result<(), FileError> {
    let Value::Object(container) = container else {
        return Err(shape(at, "must be an object"));
    };
    container.entry("type").or_insert_with(|| json!("MESOS"));
    match container.entry("mesos").or_insert_with(|| json!({})) {
        Value::Object(_) => Ok(()),
        _ => Err(shape(&format!("{at}.mesos"), "must be an object")),
    }
}

fn known(map: &Map<String, Value>, at: &str, all: &[&str], more: &[&str]) -> Result<(), FileError> {
    let allowed = |field: &str| all.contains(&field) || more.contains(&field);
    match map.keys().find(|field| !allowed(field)) {
        None => Ok(()),
        Some(field) => {
            let all: Vec<&str> = all.iter().chain(more).copied().collect();
            let why = format!("{field:?} is none of {}", all.join(", "));
            Err(shape(at, &why))
        }
    }
}

fn string(value: Value, at: &str) -> Result<String, FileError> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(shape(at, "must be a text")),
    }
}

fn number(value: Option<Value>, at: &str) -> Result<Option<f64>, FileError> {
    let Some(value) = value else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(number) if (0.001..=1e9).contains(&number) => Ok(Some(number)),
        Some(_) | None => Err(shape(at, "must be a number of at least 0.001")),
    }
}

fn message<T: api::descriptor::Described>(
    at: &str,
    fields: Map<String, Value>,
) -> Result<T, FileError> {
    let text = Value::Object(fields).to_string();
    api::json::from_json(text.as_bytes()).map_err(|source| FileError::Message {
        at: at.to_owned(),
        source,
    })
}

fn shape(at: &str, why: &str) -> FileError {
    FileError::Shape {
        at: at.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        crate::chain(&read(text.as_bytes(), "x").unwrap_err())
    }

    #[test]
    fn short_forms_become_mesos_messages() {
        let pod = read(
            br#"{"name": "web",
                "executor": {"container": {"network_infos": [{"name": "lan"}]}, "mem": 16},
                "tasks": [
                  {"name": "a", "image": "redis:7", "ports": [0, 80], "mem": 128, "env": {"A": "1"}},
                  {"command": "echo $A", "env": {"A": "1"}, "container":
                    {"volumes": [{"container_path": "/d", "host_path": "d", "mode": "RW"}]}},
                  {"name": "c", "command": ["ls", "-l"],
                   "health_check": {"type": "TCP", "tcp": {"port": 80}}}]}"#,
            "x",
        )
        .unwrap();
        assert_eq!(pod.name, "web");
        let network = &pod.executor.container.as_ref().unwrap().network_infos[0];
        assert_eq!(network.name.as_deref(), Some("lan"));
        let names: Vec<&str> = pod.members.iter().map(|member| &*member.name).collect();
        assert_eq!(names, ["a", "task1", "c"]);
        let [a, b, c] = [0, 1, 2].map(|at| pod.members[at].info.clone());
        let image = a.container.unwrap().mesos.unwrap().image.unwrap();
        assert_eq!(image.docker.unwrap().name, "redis:7");
        let command = a.command.unwrap();
        assert_eq!((command.shell, command.value), (Some(false), None));
        let command = b.command.unwrap();
        assert_eq!(command.value.as_deref(), Some("echo $A"));
        assert_eq!(command.environment.unwrap().variables[0].name, "A");
        assert_eq!(b.container.unwrap().volumes[0].container_path, "/d");
        assert_eq!(c.command.unwrap().arguments, ["ls", "-l"]);
        assert_eq!(c.health_check.unwrap().tcp.unwrap().port, 80);
    }

    #[test]
    fn what_is_wrong_is_told_with_where_it_stands() {
        for (text, words) in [
            ("{", "it is not JSON"),
            ("[]", "the file: must be an object"),
            (r#"{"tasks": []}"#, "tasks: must be from 1 to 100 tasks"),
            (r#"{"tasks": [{}]}"#, "tasks[0].command: is missing"),
            (
                r#"{"tasks": [{"command": 1}]}"#,
                "tasks[0].command: must be",
            ),
            (
                r#"{"tasks": [{"command": []}]}"#,
                "tasks[0].command: must be",
            ),
            (
                r#"{"tasks": [{"command": "x", "cmd": "y"}]}"#,
                "tasks[0]: \"cmd\" is none of name, command",
            ),
            (
                r#"{"tasks": [{"command": "x", "mem": "1"}]}"#,
                "tasks[0].mem: must be a number",
            ),
            (
                r#"{"tasks": [{"command": "x", "ports": [70000]}]}"#,
                "tasks[0].ports: must be a list of ports",
            ),
            (
                r#"{"tasks": [{"command": "x", "env": {"A": 1}}]}"#,
                "tasks[0].env: must be an object of texts",
            ),
            (
                r#"{"tasks": [{"name": "a", "command": "x"}, {"name": "a", "command": "x"}]}"#,
                "tasks[1]: another task is called \"a\"",
            ),
            (
                r#"{"tasks": [{"command": "x", "health_check": {"tcp": {"port": "x"}}}]}"#,
                "tasks[0]: ",
            ),
            (
                r#"{"tasks": [{"command": "x"}], "executor": {"command": {}}}"#,
                "executor: \"command\" is none of",
            ),
        ] {
            let said = said(text);
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
