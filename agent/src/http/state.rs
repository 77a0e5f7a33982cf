//! State: what `/state`, `/containers` and `/monitor/statistics` answer, in Mesos' words.

use agent_core::executor::Task;
use api::flat::{self, list, resources};
use api::v1;
use api::v1::executor_info::Type as ExecutorType;
use api::v1::framework_info::capability::Type as Capability;
use model::{AgentId, Resources};
use serde_json::{Map, Value, json};

use super::Context;
use super::containers;
use super::view::{self, Executor, Framework, Phase};
use crate::again::History;
use crate::description::{CAPABILITIES, VERSION};
use crate::snapshot::Snapshot;
use crate::wire::{drain_config, stored, task_status};

/// `/state`
pub(super) fn state(context: &Context) -> Value {
    let snapshot = context.snapshot();
    let description = &context.description;
    let total = &snapshot.total;
    let unreserved = total.unreserved();
    let allocated = view::live_executors(&snapshot).fold(Resources::default(), |sum, executor| {
        sum.plus(&executor.allocated().unallocate())
    });
    let frameworks =
        |all: Vec<Framework<'_>>| -> Value { list(&all, |one| framework(context, &snapshot, one)) };
    let mut state = json!({
        "version": VERSION,
        "git_sha": "",
        "git_tag": VERSION,
        "build_date": "",
        "build_time": 0.0,
        "build_user": "",
        "start_time": context.started_at,
        "id": snapshot.agent_id.as_ref().map_or("", AgentId::as_str),
        "pid": format!("slave(1)@{}:{}", description.ip, description.port),
        "hostname": description.hostname,
        "capabilities": CAPABILITIES.map(|capability| capability.as_str_name()),
        "resources": resources::object(total),
        "reserved_resources": resources::reserved(&total.reserved()),
        "unreserved_resources": resources::object(&unreserved),
        "reserved_resources_full": resources::reserved_full(&total.reserved()),
        "unreserved_resources_full": resources::full(&unreserved),
        "reserved_resources_allocated": resources::reserved(&allocated.reserved()),
        "unreserved_resources_allocated": resources::object(&allocated.unreserved()),
        "resource_providers": [],
        "attributes": resources::attributes(&description.attributes),
        "master_hostname": *context.master.borrow(),
        "flags": context.flags,
        "frameworks": frameworks(view::frameworks(&snapshot)),
        "completed_frameworks": frameworks(view::completed_frameworks(&snapshot)),
    });
    if let (Some(domain), Some(map)) = (&description.domain, state.as_object_mut()) {
        map.insert("domain".to_owned(), flat::message(domain));
    }
    if let Some(drain) = snapshot.drain
        && let Some(map) = state.as_object_mut()
    {
        let config = flat::message(&drain_config(drain));
        map.insert("drain_config".to_string(), config);
    }
    // Mesos has nothing like it, and an agent to which nothing happened says nothing.
    let history = &context.history;
    if let (true, Some(map)) = (*history != History::default(), state.as_object_mut()) {
        let told = json!({
            "executed_again_for": history.cause,
            "executed_again_lately": history.executions,
            "ended_by": history.ended_by,
        });
        map.insert("tepui_history".to_string(), told);
    }
    if let (Some(told), Some(map)) = (context.upgrades.told(), state.as_object_mut()) {
        map.insert("tepui_upgrade".to_string(), told);
    }
    state
}

fn framework(context: &Context, snapshot: &Snapshot, framework: &Framework<'_>) -> Value {
    let info = &framework.info;
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(framework.id.as_str()));
    put("name", json!(info.name));
    put("user", json!(info.user));
    put("failover_timeout", json!(info.failover_timeout()));
    put("checkpoint", json!(info.checkpoint()));
    put("hostname", json!(info.hostname()));
    if let Some(principal) = &info.principal {
        put("principal", json!(principal));
    }
    let capabilities = &mut info.capabilities.iter();
    let is_multi_role = capabilities.any(|one| one.r#type == Some(Capability::MultiRole.into()));
    match is_multi_role {
        true => put("roles", json!(info.roles)),
        false => put("role", json!(info.role())),
    };
    let executors = |all: &[Executor<'_>]| list(all, |one| executor(context, snapshot, one));
    put("executors", executors(&framework.executors));
    put(
        "completed_executors",
        executors(&framework.completed_executors),
    );
    Value::Object(object)
}

fn executor(context: &Context, snapshot: &Snapshot, executor: &Executor<'_>) -> Value {
    let info = &executor.info;
    let agent = snapshot.agent_id.as_ref();
    let sandbox = agent.and_then(|agent| executor.sandbox(agent));
    let directory = sandbox.map(|path| context.work_dir.join(path));
    let directory = directory.map_or(String::new(), |path| path.to_string_lossy().into_owned());
    let container = executor.container.as_ref();
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(executor.id.as_str()));
    put("name", json!(info.name()));
    put("source", json!(info.source()));
    put("container", json!(container.map_or("", |id| id.as_str())));
    put("directory", json!(directory));
    put("resources", resources::object(&executor.allocated()));
    if !info.resources.is_empty() {
        let own = view::resources(&info.resources);
        put("role", json!(resources::role(&own)));
    }
    if let Some(labels) = &info.labels {
        put("labels", flat::labels(labels));
    }
    let kind = info
        .r#type
        .and_then(|kind| ExecutorType::try_from(kind).ok());
    if let Some(kind) = kind {
        put("type", json!(kind.as_str_name()));
    }
    let of = |phase: Phase| {
        executor
            .tasks
            .iter()
            .filter(move |t| view::phase(t) == phase)
    };
    let rendered = |one: &&Task| task(context, snapshot, executor, one);
    put("tasks", list(of(Phase::Launched), rendered));
    put("queued_tasks", list(of(Phase::Queued), |one| queued(one)));
    // Those whose end is not acknowledged stand here, too, as in Mesos.
    let completed = executor.completed_tasks.iter();
    let completed = completed.chain(of(Phase::Terminated));
    put("completed_tasks", list(completed, rendered));
    Value::Object(object)
}

fn task(context: &Context, snapshot: &Snapshot, executor: &Executor<'_>, task: &Task) -> Value {
    let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
    let agent = snapshot.agent_id.as_ref();
    let statuses = list(&task.statuses, |one| {
        let wire = task_status(&context.description, agent, one);
        flat::status(one.state.name(), &wire)
    });
    let own = info.executor.as_ref();
    flat::task(flat::Task {
        info: &info,
        framework_id: executor.framework_id.as_str(),
        executor_id: own.map_or("", |own| &own.executor_id.value),
        agent_id: agent.map_or("", AgentId::as_str),
        state: task.state().name(),
        resources: &view::resources(&info.resources),
        statuses,
    })
}

/// A task that its executor does not have yet is shown as it was asked for.
fn queued(task: &Task) -> Value {
    let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
    let held = view::resources(&info.resources);
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(info.task_id.value));
    put("name", json!(info.name));
    put("slave_id", json!(info.agent_id.value));
    put("resources", resources::object(&held));
    put("role", json!(resources::role(&held)));
    if let Some(command) = &info.command {
        put("command", flat::command(command));
    }
    if let Some(executor) = &info.executor {
        put("executor_id", json!(executor.executor_id.value));
    }
    if let Some(discovery) = &info.discovery {
        put("discovery", flat::message(discovery));
    }
    Value::Object(object)
}

/// `/containers`
pub(super) fn containers(context: &Context, wanted: &containers::Wanted) -> Value {
    list(containers::of_executors(context, wanted), |one| {
        let mut value = executor_statistics(&one);
        let status = one.container.container_status.as_ref().map(flat::message);
        if let Some(map) = value.as_object_mut() {
            let id = one.container.container_id.value;
            map.insert("container_id".to_string(), json!(id));
            map.insert("status".to_string(), status.unwrap_or_default());
            if let Some(pressure) = one.pressure {
                map.insert("tepui_pressure".to_string(), pressure);
            }
        }
        value
    })
}

/// `/monitor/statistics`
pub(super) fn statistics(context: &Context) -> Value {
    let all = containers::of_executors(context, &containers::Wanted::default());
    list(all, |one| executor_statistics(&one))
}

fn executor_statistics(one: &containers::OfExecutor) -> Value {
    let container = &one.container;
    let framework = container.framework_id.as_ref();
    let executor = container.executor_id.as_ref();
    let statistics = container.resource_statistics.as_ref();
    json!({
        "executor_id": executor.map_or("", |id| &id.value),
        "executor_name": container.executor_name(),
        "framework_id": framework.map_or("", |id| &id.value),
        "source": one.source,
        "statistics": statistics.map(flat::message),
    })
}
