//! Cast: frameworks that a recording shows at work without their calls.
//!
//! Events tell of a framework that was added and of its tasks, or the state lists them, and no
//! request of the recording made them. Each is played here: it subscribes, launches those tasks,
//! acknowledges their updates, declines everything else, and stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use super::case::Case;
use super::cluster::Cluster;
use super::http;
use super::ids::Ids;
use super::request;
use super::streams::{Acknowledged, Stream, Unrecorded};

/// How long an actor may take until its tasks are where the recording has them.
const PLAY_TIME_MAX: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(5);
/// So long is what an actor does not use kept away from it.
const REFUSE_SECS: f64 = 1e6;

/// A framework without recorded calls.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Actor {
    /// Its recorded id.
    pub(super) id: String,
    /// FrameworkInfo, without the id.
    info: Value,
    tasks: BTreeMap<String, Role>,
    /// The place of the case before which it enters.
    pub(super) enters: usize,
}

/// What one task of an actor is to come to.
#[derive(Debug, Clone, PartialEq)]
struct Role {
    /// Task, as the operator API shows it.
    task: Value,
    state: String,
    /// How its command begins, where an executor's name tells.
    begins: Option<String>,
}

/// The frameworks that the cases of a scenario show and no case subscribes.
pub(super) fn of(cases: &[Case]) -> Vec<Actor> {
    let mut subscribed = BTreeSet::new();
    let mut named = BTreeSet::new();
    for case in cases {
        for event in case.events().map(super::case::Event::value) {
            named.extend(text(&event, "/subscribed/framework_id/value"));
        }
        if let Some(call) = request::call(case) {
            subscribed.extend(text(&call, "/subscribe/framework_info/name"));
        }
    }
    let begins = cases.iter().flat_map(|case| commands(&case.document()));
    let begins: BTreeMap<String, String> = begins.collect();
    let mut actors: Vec<Actor> = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        let mut seen = Seen::default();
        for event in &case.events_before {
            seen.event(&event.value());
        }
        seen.document(&case.document());
        for (id, info) in seen.frameworks {
            let name = text(&info, "/name").unwrap_or_default();
            let known = actors.iter().any(|actor| actor.id == id);
            if !known && !named.contains(&id) && !subscribed.contains(&name) {
                // A listing shows what was there from the start, unless events told of it.
                let enters = if seen.by_event { place } else { 0 };
                let tasks = BTreeMap::new();
                actors.push(Actor {
                    id,
                    info,
                    tasks,
                    enters,
                });
            }
        }
        for (framework, task) in seen.tasks {
            let id = text(&task, "/task_id/value").unwrap_or_default();
            let own = actors.iter_mut().find(|actor| actor.id == framework);
            if let Some(actor) = own.filter(|actor| place == actor.enters || actor.enters == 0) {
                let state = text(&task, "/state").unwrap_or_default();
                let begins = begins.get(&id).cloned();
                actor.tasks.entry(id).or_insert(Role {
                    task,
                    state,
                    begins,
                });
            }
        }
        for (framework, task, state) in seen.updates {
            let own = actors.iter_mut().find(|actor| actor.id == framework);
            let role = own
                .filter(|actor| place == actor.enters)
                .and_then(|actor| actor.tasks.get_mut(&task));
            if let Some(role) = role {
                role.state = state;
            }
        }
    }
    actors
}

/// What a case shows of frameworks and tasks.
#[derive(Default)]
struct Seen {
    frameworks: Vec<(String, Value)>,
    tasks: Vec<(String, Value)>,
    updates: Vec<(String, String, String)>,
    by_event: bool,
}

impl Seen {
    fn event(&mut self, event: &Value) {
        if let Some(framework) = event.pointer("/framework_added/framework") {
            self.by_event = true;
            self.framework(framework);
        }
        if let Some(task) = event.pointer("/task_added/task") {
            self.task(task);
        }
        if let Some(update) = event.get("task_updated") {
            self.updates.extend((|| {
                Some((
                    text(update, "/framework_id/value")?,
                    text(update, "/status/task_id/value")?,
                    text(update, "/state")?,
                ))
            })());
        }
    }

    /// A listing of the operator API, or one of the unversioned endpoints.
    fn document(&mut self, body: &Value) {
        let state = body.get("get_state").unwrap_or(body);
        let list = |value: &Value, path: &str| {
            let found = value.pointer(path).and_then(Value::as_array);
            found.cloned().unwrap_or_default()
        };
        for framework in list(state, "/get_frameworks/frameworks") {
            self.framework(&framework);
        }
        for kind in ["tasks", "launched_tasks", "completed_tasks"] {
            for task in list(state, &format!("/get_tasks/{kind}")) {
                self.task(&task);
            }
        }
        for framework in list(body, "/frameworks") {
            // The counts of a summary are no frameworks' tasks.
            let (Some(id), true) = (text(&framework, "/id"), framework["tasks"].is_array()) else {
                continue;
            };
            self.frameworks.push((id.clone(), unversioned(&framework)));
            for kind in ["tasks", "completed_tasks"] {
                for task in list(&framework, &format!("/{kind}")) {
                    self.tasks.push((id.clone(), unversioned_task(&task)));
                }
            }
        }
    }

    fn framework(&mut self, framework: &Value) {
        let Some(Value::Object(info)) = framework.get("framework_info") else {
            return;
        };
        let mut info = info.clone();
        let id = info.remove("id").unwrap_or_default();
        if let Some(id) = text(&id, "/value") {
            self.frameworks.push((id, Value::Object(info)));
        }
    }

    fn task(&mut self, task: &Value) {
        if let Some(framework) = text(task, "/framework_id/value") {
            self.tasks.push((framework, task.clone()));
        }
    }
}

/// The FrameworkInfo of a framework as `/state` shows it.
fn unversioned(framework: &Value) -> Value {
    let mut info = Map::new();
    for key in [
        "name",
        "user",
        "failover_timeout",
        "checkpoint",
        "hostname",
        "webui_url",
        "principal",
        "role",
        "roles",
    ] {
        if let Some(value) = framework.get(key) {
            info.insert(key.into(), value.clone());
        }
    }
    let capabilities = framework["capabilities"].as_array().into_iter().flatten();
    let capabilities: Vec<_> = capabilities.map(|name| json!({"type": name})).collect();
    info.insert("capabilities".into(), capabilities.into());
    if let Some(labels) = framework.get("labels") {
        info.insert("labels".into(), json!({"labels": labels}));
    }
    Value::Object(info)
}

/// The Task of a task as `/state` shows it.
fn unversioned_task(task: &Value) -> Value {
    let role = task.get("role").cloned().unwrap_or("*".into());
    let scalars = ["cpus", "mem", "disk", "gpus"].iter().filter_map(|name| {
        let value = task["resources"][*name].as_f64().filter(|v| *v > 0.0)?;
        Some(json!({
            "name": name, "type": "SCALAR", "scalar": {"value": value},
            "allocation_info": {"role": role},
        }))
    });
    let mut made = json!({
        "name": task["name"],
        "task_id": {"value": task["id"]},
        "agent_id": {"value": task["slave_id"]},
        "state": task["state"],
        "resources": scalars.collect::<Vec<_>>(),
    });
    if let Some(labels) = task.get("labels") {
        made["labels"] = json!({"labels": labels});
    }
    if let Some(discovery) = task.get("discovery") {
        made["discovery"] = discovery.clone();
    }
    made
}

impl Actor {
    /// Subscribes, and has the tasks run as far as the recording has them; the open stream.
    pub(super) async fn play(&self, cluster: &Cluster, ids: &mut Ids) -> Result<Stream, String> {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info}});
        let bytes = request::unrecorded(&Unrecorded {
            stream_id: String::new(),
            call,
        });
        let exchange = timeout(PLAY_TIME_MAX, http::exchange(cluster.address, &bytes));
        let (reply, events) = exchange
            .await
            .map_err(|_| "an actor's subscription is not answered".to_owned())?
            .map_err(|error| error.to_string())?;
        let events = events.ok_or_else(|| format!("an actor is answered {}", reply.status_line))?;
        let id = reply.header("Mesos-Stream-Id").unwrap_or_default();
        let mut stream = Stream::new(None, id.to_owned(), events);
        let deadline = Instant::now() + PLAY_TIME_MAX;
        let mut waiting = self.tasks.clone();
        let mut told = false;
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        while Instant::now() < deadline {
            let mut due = stream.pump(&Acknowledged::default());
            if let (false, Some(actual)) = (told, stream.framework_id()) {
                ids.bind(&self.id, &actual);
                told = true;
            }
            due.extend(self.launch(&mut stream, cluster, ids, &mut waiting));
            for call in due {
                let bytes = request::unrecorded(&call);
                drop(timeout(PLAY_TIME_MAX, http::exchange(cluster.address, &bytes)).await);
            }
            for event in stream.queue.drain(..) {
                let status = &event["update"]["status"];
                if let (Some(task), Some(state)) =
                    (text(status, "/task_id/value"), text(status, "/state"))
                {
                    seen.insert(task, state);
                }
            }
            let there = |(id, role): (&String, &Role)| seen.get(id) == Some(&role.state);
            if told && self.tasks.iter().all(there) {
                return Ok(stream);
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!(
            "the tasks of {} did not come so far: {seen:?}",
            self.info["name"]
        ))
    }

    /// Takes the offers that came: the tasks that still wait are launched on those of their agents.
    fn launch(
        &self,
        stream: &mut Stream,
        cluster: &Cluster,
        ids: &mut Ids,
        waiting: &mut BTreeMap<String, Role>,
    ) -> Vec<Unrecorded> {
        for role in waiting.values() {
            let agent = text(&role.task, "/agent_id/value").unwrap_or_default();
            let spare = cluster.agents().find(|id| !ids.is_taken(id));
            if let (None, Some(actual)) = (ids.actual(&agent), spare) {
                let actual = actual.to_owned();
                ids.bind(&agent, &actual);
            }
        }
        let mut calls = Vec::new();
        for offer in stream.take_offers() {
            let of_agent = |role: &Role| {
                let agent = text(&role.task, "/agent_id/value").unwrap_or_default();
                offer["agent_id"]["value"].as_str() == ids.actual(&agent)
            };
            let (chosen, rest) = std::mem::take(waiting)
                .into_iter()
                .partition(|(_, role)| of_agent(role));
            *waiting = rest;
            let chosen: BTreeMap<String, Role> = chosen;
            let tasks: Vec<Value> = chosen
                .values()
                .map(|role| role.task_info(&offer["agent_id"]))
                .collect();
            let operations = match tasks.is_empty() {
                true => json!([]),
                false => json!([{"type": "LAUNCH", "launch": {"task_infos": tasks}}]),
            };
            calls.push(Unrecorded {
                stream_id: stream.id.clone(),
                call: json!({
                    "type": "ACCEPT",
                    "framework_id": {"value": stream.framework_id()},
                    "accept": {
                        "offer_ids": [offer["id"]],
                        "operations": operations,
                        "filters": {"refuse_seconds": REFUSE_SECS},
                    },
                }),
            });
        }
        calls
    }
}

impl Role {
    /// A task that comes to this state on the agents of this tool, which go by the command.
    fn task_info(&self, agent_id: &Value) -> Value {
        let command = match self.state.as_str() {
            "TASK_FINISHED" => "true",
            "TASK_FAILED" => "exit 1",
            _ => "sleep 1000",
        };
        // Of what the recorded tasks wrote nothing was kept: their executor was a stand-in.
        let command = match &self.begins {
            Some(begins) => format!("{begins} >/dev/null; {command}"),
            None => command.to_owned(),
        };
        let mut info = json!({
            "name": self.task["name"],
            "task_id": self.task["task_id"],
            "agent_id": agent_id,
            "resources": self.task["resources"],
            "command": {"value": command},
        });
        for key in ["labels", "discovery"] {
            if let Some(value) = self.task.get(key) {
                info[key] = value.clone();
            }
        }
        info
    }
}

/// By task, the words with which its command begins: the name of a command task's executor has them.
fn commands(document: &Value) -> Vec<(String, String)> {
    let text = document.to_string();
    let named = text.split("Command Executor (Task: ").skip(1);
    let read = |rest: &str| {
        let (task, rest) = rest.split_once(") (Command: sh -c '")?;
        let (command, _) = rest.split_once("...')")?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || " ./_-".contains(c);
        // Anything else may not be whole where it is cut off.
        let is_plain = command.chars().all(is_word);
        is_plain.then(|| (task.to_owned(), command.to_owned()))
    };
    named.filter_map(read).collect()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}
