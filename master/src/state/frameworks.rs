//! Frameworks, tasks and roles.

use std::collections::BTreeMap;

use api::flat::{self, list, resources};
use api::v1;
use api::v1::executor_info::Type as ExecutorType;
use api::v1::framework_info::capability::Type as WireCapability;
use master_core::event::{Capability, Offer};
use master_core::tasks::TaskStatus;
use model::{Resources, TaskState};
use serde_json::{Map, Value, json};

use super::part::{Fields, Part};
use super::view::{Framework, Task, View};
use crate::convert::events::{self, seconds};
use crate::convert::message;
use crate::http::router::Query;

/// How many tasks `/tasks` shows where nobody says.
const TASKS_DEFAULT: usize = 100;

/// `/frameworks`: all frameworks, or the one asked for.
pub(super) fn document(view: &View, wanted: Option<String>) -> Part<'_> {
    let is_wanted = move |framework: &&Framework| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted == framework.id.as_str())
    };
    let is_completed = is_wanted.clone();
    let mut fields = Fields::default();
    fields.put(
        "frameworks",
        Part::list(view.frameworks.iter().filter(is_wanted), full),
    );
    fields.put(
        "completed_frameworks",
        Part::list(view.completed.iter().filter(is_completed), full),
    );
    fields.put("unregistered_frameworks", json!([]));
    fields.into()
}

/// A framework with its tasks.
pub(super) fn full(framework: &Framework) -> Part<'_> {
    let info: v1::FrameworkInfo = message(&framework.info);
    let mut fields = Fields::from(short(framework, &info));
    let mut put = |name: &str, value: Value| fields.put(name, value);
    put("user", json!(info.user));
    put(
        "failover_timeout",
        json!(info.failover_timeout.unwrap_or(0.0)),
    );
    put("checkpoint", json!(info.checkpoint.unwrap_or(false)));
    put("registered_time", json!(seconds(framework.registered)));
    put(
        "unregistered_time",
        json!(framework.unregistered.map_or(0.0, seconds)),
    );
    if let Some(principal) = &info.principal {
        put("principal", json!(principal));
    }
    put(
        "resources",
        resources::object(&framework.used.plus(&framework.offered)),
    );
    if let Some(time) = framework.reregistered {
        put("reregistered_time", json!(seconds(time)));
    }
    if framework.capabilities.has(Capability::MultiRole) {
        put("roles", json!(info.roles));
    } else {
        put("role", json!(info.role.as_deref().unwrap_or("*")));
    }
    fields.put("tasks", Part::list(framework.tasks.iter(), task));
    fields.put(
        "unreachable_tasks",
        Part::list(&framework.unreachable_tasks, task),
    );
    fields.put(
        "completed_tasks",
        Part::list(&framework.completed_tasks, task),
    );
    fields.put(
        "offers",
        Part::list(framework.offers.iter(), |offer| {
            Part::Text(offer.text(|offer| self::offer(offer).to_string()))
        }),
    );
    fields.put(
        "executors",
        Part::list(&framework.executors, |(agent_id, info)| {
            executor(agent_id.as_str(), &message(info))
        }),
    );
    if let Some(labels) = &info.labels {
        fields.put("labels", flat::labels(labels));
    }
    let constraints = framework.offer_constraints.as_ref();
    let constraints: v1::scheduler::OfferConstraints = constraints.map(message).unwrap_or_default();
    fields.put("offer_constraints", flat::message(&constraints));
    fields.into()
}

/// A framework with counts in place of tasks.
pub(super) fn summary(framework: &Framework) -> Value {
    let info: v1::FrameworkInfo = message(&framework.info);
    let mut object = short(framework, &info);
    count_into(&mut object, framework.every_task());
    let mut agents: Vec<&str> = framework
        .every_task()
        .map(|task| task.agent_id.as_str())
        .collect();
    agents.sort_unstable();
    agents.dedup();
    object.insert("slave_ids".into(), json!(agents));
    Value::Object(object)
}

fn short(framework: &Framework, info: &v1::FrameworkInfo) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(framework.id.as_str()));
    put("name", json!(info.name));
    put("used_resources", resources::object(&framework.used));
    put("offered_resources", resources::object(&framework.offered));
    put("capabilities", capabilities(info));
    put("hostname", json!(info.hostname.as_deref().unwrap_or("")));
    put("webui_url", json!(info.webui_url.as_deref().unwrap_or("")));
    put("active", json!(framework.connected));
    put("connected", json!(framework.connected));
    put("recovered", json!(framework.recovered));
    object
}

fn capabilities(info: &v1::FrameworkInfo) -> Value {
    info.capabilities
        .iter()
        .filter_map(|capability| WireCapability::try_from(capability.r#type?).ok())
        .map(|capability| json!(capability.as_str_name()))
        .collect()
}

/// The states that summaries count, in their order.
const SUMMARY_STATES: [TaskState; 10] = [
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Killed,
    TaskState::Failed,
    TaskState::Lost,
    TaskState::Error,
    TaskState::Unreachable,
];

/// Adds the number of tasks in each state.
pub(super) fn count_into<'a>(
    object: &mut Map<String, Value>,
    tasks: impl Iterator<Item = &'a Task>,
) {
    let mut counts: BTreeMap<TaskState, u64> = BTreeMap::new();
    for task in tasks {
        *counts.entry(task.state).or_default() += 1;
    }
    for state in SUMMARY_STATES {
        let count = counts.get(&state).copied().unwrap_or(0);
        object.insert(state.name().into(), json!(count));
    }
}

/// `/tasks`: those asked for, the newest first.
pub(super) fn tasks<'a>(view: &'a View, query: &Query<'_>) -> Part<'a> {
    // A number below 0 is a very large one, as in Mesos.
    let number = |name: &str| {
        let number = query.get(name)?.parse::<i32>().ok()?;
        Some(usize::try_from(number).unwrap_or(usize::MAX))
    };
    let framework_id = query.get("framework_id");
    let task_id = query.get("task_id");
    let mut tasks: Vec<&Task> = view
        .frameworks
        .iter()
        .chain(&view.completed)
        .flat_map(Framework::every_task)
        .filter(|task| {
            let wanted =
                |asked: &Option<String>, id: &str| asked.as_deref().is_none_or(|asked| asked == id);
            wanted(&framework_id, task.framework_id.as_str()) && wanted(&task_id, task.id.as_str())
        })
        .collect();
    tasks.sort_by_cached_key(|task| began(task));
    if query.get("order").as_deref() != Some("asc") {
        tasks.reverse();
    }
    let page = tasks
        .into_iter()
        .skip(number("offset").unwrap_or(0))
        .take(number("limit").unwrap_or(TASKS_DEFAULT));
    Part::object("tasks", Part::list(page, task))
}

/// When a task was first told of, in microseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a key for sorting; a float's cast saturates"
)]
fn began(task: &Task) -> i64 {
    let first = task.statuses.front().map(|(_, status)| wire_status(status));
    let seconds = first.and_then(|status| status.timestamp).unwrap_or(0.0);
    (seconds * 1e6) as i64
}

/// A task with its statuses.
pub(super) fn task(task: &Task) -> Value {
    let info: v1::TaskInfo = message(&task.info);
    flat::task(flat::Task {
        info: &info,
        framework_id: task.framework_id.as_str(),
        executor_id: task.executor_id.as_ref().map_or("", |id| id.as_str()),
        agent_id: task.agent_id.as_str(),
        state: task.state.name(),
        resources: &task.resources,
        statuses: list(&task.statuses, status),
    })
}

fn status((state, status): &(TaskState, TaskStatus)) -> Value {
    let mut wire = wire_status(status);
    if let TaskStatus::Made(_) = status {
        wire.container_status = None;
    }
    flat::status(state.name(), &wire)
}

fn wire_status(status: &TaskStatus) -> v1::TaskStatus {
    match status {
        TaskStatus::Relayed(blob) => message(blob),
        TaskStatus::Made(status) => events::made(status),
    }
}

/// An outstanding offer.
fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id.as_str(),
        "framework_id": offer.framework_id.as_str(),
        "allocation_info": { "role": offer.role.as_str() },
        "slave_id": offer.agent_id.as_str(),
        "resources": resources::object(&offer.resources),
    })
}

/// An executor other than that of a command task.
fn executor(agent_id: &str, info: &v1::ExecutorInfo) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("executor_id", json!(info.executor_id.value));
    put("name", json!(info.name.as_deref().unwrap_or("")));
    let framework_id = info.framework_id.as_ref().map_or("", |id| &id.value);
    put("framework_id", json!(framework_id));
    // One that has no command is shown with an empty one.
    put(
        "command",
        flat::command(&info.command.clone().unwrap_or_default()),
    );
    let held: Resources = api::convert::resources(&info.resources)
        .unwrap_or_default()
        .into_iter()
        .collect();
    put("resources", resources::object(&held));
    if !info.resources.is_empty() {
        put("role", json!(resources::role(&held)));
    }
    if let Some(labels) = &info.labels {
        put("labels", flat::labels(labels));
    }
    if let Some(kind) = info
        .r#type
        .and_then(|kind| ExecutorType::try_from(kind).ok())
    {
        put("type", json!(kind.as_str_name()));
    }
    put("slave_id", json!(agent_id));
    Value::Object(object)
}
