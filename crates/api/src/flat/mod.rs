//! JSON as the unversioned endpoints have it: flatter than the messages, and with names of its own.

pub mod resources;

use model::Resources;
use serde_json::{Map, Value, json};

use crate::v1;

/// A list, item by item.
pub fn list<T>(items: impl IntoIterator<Item = T>, make: impl Fn(T) -> Value) -> Value {
    Value::Array(items.into_iter().map(make).collect())
}

/// A message as a JSON value.
#[must_use]
pub fn message<M: crate::Described>(message: &M) -> Value {
    serde_json::from_str(&crate::json::to_json(message)).unwrap_or(Value::Null)
}

/// A task, and where it stands.
#[derive(Debug)]
pub struct Task<'a> {
    /// What it is.
    pub info: &'a v1::TaskInfo,
    /// Whose it is.
    pub framework_id: &'a str,
    /// Its executor; empty for a command task.
    pub executor_id: &'a str,
    /// Where it runs.
    pub agent_id: &'a str,
    /// The name of its state.
    pub state: &'a str,
    /// Its resources.
    pub resources: &'a Resources,
    /// A list of what [`status`] makes.
    pub statuses: Value,
}

/// A task with what was told of it.
#[must_use]
pub fn task(task: Task<'_>) -> Value {
    let info = task.info;
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(info.task_id.value));
    put("name", json!(info.name));
    put("framework_id", json!(task.framework_id));
    put("executor_id", json!(task.executor_id));
    put("slave_id", json!(task.agent_id));
    put("state", json!(task.state));
    put("resources", resources::object(task.resources));
    if !info.limits.is_empty() {
        let mut limits: Vec<_> = info.limits.iter().collect();
        limits.sort_by_key(|(name, _)| name.as_str());
        let limits = limits.into_iter();
        let limits = limits.map(|(name, limit)| (name.clone(), json!(limit.value)));
        put("limits", Value::Object(limits.collect()));
    }
    put("role", json!(resources::role(task.resources)));
    put("statuses", task.statuses);
    let own = info.command.as_ref();
    let executor = info.executor.as_ref().and_then(|e| e.command.as_ref());
    let user = |command: Option<&v1::CommandInfo>| command.and_then(|c| c.user.clone());
    if let Some(user) = user(own).or_else(|| user(executor)) {
        put("user", json!(user));
    }
    if let Some(all) = &info.labels {
        put("labels", labels(all));
    }
    if let Some(discovery) = &info.discovery {
        put("discovery", message(discovery));
    }
    if let Some(container) = &info.container {
        put("container", message(container));
    }
    if let Some(check) = &info.health_check {
        put("health_check", message(check));
    }
    Value::Object(object)
}

/// A status of a task, whose state has this name.
#[must_use]
pub fn status(state: &str, status: &v1::TaskStatus) -> Value {
    let mut object = Map::new();
    object.insert("state".into(), json!(state));
    object.insert("timestamp".into(), json!(status.timestamp.unwrap_or(0.0)));
    if let Some(all) = &status.labels {
        object.insert("labels".into(), labels(all));
    }
    if let Some(container) = &status.container_status {
        object.insert("container_status".into(), container_status(container));
    }
    if let Some(healthy) = status.healthy {
        object.insert("healthy".into(), json!(healthy));
    }
    Value::Object(object)
}

/// A command.
#[must_use]
pub fn command(command: &v1::CommandInfo) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    if let Some(shell) = command.shell {
        put("shell", json!(shell));
    }
    if let Some(value) = &command.value {
        put("value", json!(value));
    }
    put("argv", json!(command.arguments));
    if let Some(environment) = &command.environment {
        put("environment", message(environment));
    }
    let uris = list(
        &command.uris,
        |uri| json!({ "value": uri.value, "executable": uri.executable.unwrap_or(false) }),
    );
    put("uris", uris);
    Value::Object(object)
}

/// A container's status, as far as the state shows it: no process ids.
#[must_use]
pub fn container_status(status: &v1::ContainerStatus) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    if let Some(id) = &status.container_id {
        put("container_id", message(id));
    }
    if !status.network_infos.is_empty() {
        put("network_infos", list(&status.network_infos, network_info));
    }
    if let Some(cgroup) = &status.cgroup_info {
        put("cgroup_info", message(cgroup));
    }
    Value::Object(object)
}

/// The labels are a list of their own here, unlike in the message.
fn network_info(info: &v1::NetworkInfo) -> Value {
    let mut value = message(info);
    if let Some(labels) = &info.labels {
        value["labels"] = self::labels(labels);
    }
    value
}

/// Labels, a list of their own.
#[must_use]
pub fn labels(labels: &v1::Labels) -> Value {
    list(&labels.labels, message)
}
