//! State: what `/state`, `/containers` and `/monitor/statistics` answer, in Mesos' words.

use std::collections::BTreeMap;

use agent_core::executor::{Life, Task};
use agent_kernel::cgroup::Cgroup;
use api::{convert, v1};
use model::resources::{Resource, Value as Amount};
use model::{AgentId, Blob, FrameworkId, Resources};
use serde_json::{Map, Value, json};

use super::Context;
use crate::description::{CAPABILITIES, VERSION};
use crate::paths;
use crate::snapshot::Snapshot;
use crate::wire::{drain_config, stored, task_status};

/// `/state`
pub(super) fn state(context: &Context) -> Value {
    let snapshot = context.snapshot();
    let description = &context.description;
    let resources = &snapshot.total;
    let unreserved = resources.unreserved();
    let allocated: Resources = snapshot
        .alive()
        .map(|(_, task)| whole(task))
        .fold(Resources::default(), |sum, task| {
            sum.plus(&task.unallocate())
        });
    let attributes: Map<String, Value> = description.attributes.iter().map(attribute).collect();
    let mut state = json!({
        "version": VERSION,
        "build_date": "",
        "build_time": 0.0,
        "build_user": "",
        "start_time": context.started_at,
        "id": snapshot.agent_id.as_ref().map_or("", AgentId::as_str),
        "pid": format!("slave(1)@{}:{}", description.ip, description.port),
        "hostname": description.hostname,
        "capabilities": CAPABILITIES.map(|capability| capability.as_str_name()),
        "resources": amounts(resources),
        "reserved_resources": by_role(&resources.reserved()),
        "unreserved_resources": amounts(&unreserved),
        "reserved_resources_full": by_role_full(&resources.reserved()),
        "unreserved_resources_full": full(&unreserved),
        "reserved_resources_allocated": by_role(&allocated.reserved()),
        "unreserved_resources_allocated": amounts(&allocated.unreserved()),
        "resource_providers": [],
        "attributes": attributes,
        "master_hostname": context.master,
        "flags": context.flags,
        "frameworks": frameworks(context, &snapshot, Standing::Active),
        "completed_frameworks": frameworks(context, &snapshot, Standing::Completed),
    });
    if let Some(drain) = snapshot.drain
        && let Some(map) = state.as_object_mut()
    {
        map.insert("drain_config".to_string(), message(&drain_config(drain)));
    }
    state
}

/// Frameworks with tasks here, or with none left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    Completed,
}

fn frameworks(context: &Context, snapshot: &Snapshot, standing: Standing) -> Vec<Value> {
    let infos: BTreeMap<&FrameworkId, &Blob> = snapshot
        .frameworks
        .iter()
        .map(|(id, info)| (id, info))
        .collect();
    let mut ids: Vec<&FrameworkId> = match standing {
        Standing::Active => infos.keys().copied().collect(),
        Standing::Completed => snapshot.completed.iter().map(|(id, _)| id).collect(),
    };
    ids.sort();
    ids.dedup();
    if standing == Standing::Completed {
        ids.retain(|id| !infos.contains_key(id));
    }
    ids.into_iter()
        .map(|id| {
            let info: Option<v1::FrameworkInfo> = infos.get(id).copied().and_then(stored);
            framework(context, snapshot, id, &info.unwrap_or_default())
        })
        .collect()
}

fn framework(
    context: &Context,
    snapshot: &Snapshot,
    id: &FrameworkId,
    info: &v1::FrameworkInfo,
) -> Value {
    let of = |tasks: &[(FrameworkId, Task)]| -> Vec<Value> {
        let ours = tasks.iter().filter(|(framework, _)| framework == id);
        ours.map(|(_, task)| executor(context, snapshot, id, task))
            .collect()
    };
    let roles = match info.roles.as_slice() {
        [] => vec![info.role().to_string()],
        roles => roles.to_vec(),
    };
    json!({
        "id": id.as_str(),
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout(),
        "checkpoint": info.checkpoint(),
        "hostname": info.hostname(),
        "roles": roles,
        "executors": of(&snapshot.tasks),
        "completed_executors": of(&snapshot.completed),
    })
}

fn executor(context: &Context, snapshot: &Snapshot, framework: &FrameworkId, task: &Task) -> Value {
    let info: v1::ExecutorInfo = stored(&task.spec.executor.info).unwrap_or_default();
    let directory = match (&snapshot.agent_id, &task.container) {
        (Some(agent), Some(container)) => {
            let sandbox = paths::sandbox(agent, framework, &task.spec.executor.id, container);
            context
                .work_dir
                .join(sandbox)
                .to_string_lossy()
                .into_owned()
        }
        _ => String::new(),
    };
    let rendered = task_value(context, snapshot, framework, task);
    let [queued, running, done] = match (&task.life, task.statuses.is_empty()) {
        (Life::Ended, _) => [json!([]), json!([]), json!([rendered])],
        (_, true) => [json!([rendered]), json!([]), json!([])],
        (_, false) => [json!([]), json!([rendered]), json!([])],
    };
    json!({
        "id": task.spec.executor.id.as_str(),
        "name": info.name(),
        "source": info.source(),
        "container": task.container.as_ref().map_or("", |id| id.as_str()),
        "directory": directory,
        "resources": amounts(&whole(task).flatten()),
        "role": role(&info.resources),
        "tasks": running,
        "queued_tasks": queued,
        "completed_tasks": done,
    })
}

fn task_value(
    context: &Context,
    snapshot: &Snapshot,
    framework: &FrameworkId,
    task: &Task,
) -> Value {
    let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
    let statuses: Vec<Value> = task
        .statuses
        .iter()
        .map(|one| status(context, one))
        .collect();
    let mut value = json!({
        "id": task.spec.id.as_str(),
        "name": info.name,
        "framework_id": framework.as_str(),
        "executor_id": if info.executor.is_some() { task.spec.executor.id.as_str() } else { "" },
        "slave_id": snapshot.agent_id.as_ref().map_or("", AgentId::as_str),
        "state": task.state().name(),
        "resources": amounts(&own(&info.resources).flatten()),
        "role": role(&info.resources),
        "statuses": statuses,
    });
    if let (Some(map), Some(labels)) = (value.as_object_mut(), &info.labels) {
        map.insert(
            "labels".to_string(),
            labels.labels.iter().map(message).collect(),
        );
    }
    if let (Some(map), Some(discovery)) = (value.as_object_mut(), &info.discovery) {
        map.insert("discovery".to_string(), message(discovery));
    }
    value
}

fn status(context: &Context, status: &agent_core::Status) -> Value {
    let wire = task_status(&context.description, None, status);
    let mut value = json!({
        "state": status.state.name(),
        "timestamp": wire.timestamp,
    });
    if let (Some(map), Some(container)) = (value.as_object_mut(), &wire.container_status) {
        map.insert("container_status".to_string(), message(container));
    }
    value
}

/// A message in Mesos' JSON.
fn message<T: api::Described>(message: &T) -> Value {
    serde_json::from_str(&api::json::to_json(message)).unwrap_or_default()
}

/// The task's resources and its executor's.
fn whole(task: &Task) -> Resources {
    let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
    let executor: v1::ExecutorInfo = stored(&task.spec.executor.info).unwrap_or_default();
    own(&info.resources).plus(&own(&executor.resources))
}

fn own(wire: &[v1::Resource]) -> Resources {
    let all = convert::resources(wire).unwrap_or_default();
    all.into_iter().collect()
}

fn role(resources: &[v1::Resource]) -> String {
    let allocation = resources.iter().find_map(|r| r.allocation_info.as_ref());
    allocation
        .and_then(|info| info.role.clone())
        .unwrap_or_else(|| "*".to_string())
}

/// Amounts by name: numbers, and the text of ranges and sets; the predefined scalars always.
fn amounts(resources: &Resources) -> Value {
    let mut all = Map::new();
    for name in ["disk", "mem", "gpus", "cpus"] {
        all.insert(
            name.to_string(),
            number(resources.scalar(name).thousandths()),
        );
    }
    for resource in resources.iter() {
        match &resource.value {
            Amount::Scalar(_) => {
                let sum = resources.scalar(&resource.name).thousandths();
                all.insert(resource.name.to_string(), number(sum));
            }
            Amount::Ranges(_) | Amount::Set(_) => {
                all.insert(resource.name.to_string(), json!(resource.value.to_string()));
            }
        }
    }
    Value::Object(all)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "thousandths of real amounts are below 2^52"
)]
fn number(thousandths: i64) -> Value {
    json!(thousandths as f64 / 1000.0)
}

fn by_role(resources: &Resources) -> Value {
    let roles = resources.reservations();
    let all = roles
        .iter()
        .map(|(role, share)| (role.to_string(), amounts(share)));
    Value::Object(all.collect())
}

fn by_role_full(resources: &Resources) -> Value {
    let roles = resources.reservations();
    let all = roles
        .iter()
        .map(|(role, share)| (role.to_string(), full(share)));
    Value::Object(all.collect())
}

fn full(resources: &Resources) -> Value {
    let render = |resource: &Resource| {
        let mut wire = convert::to_resource(resource);
        if wire.reservations.is_empty() && wire.role.is_none() {
            wire.role = Some("*".to_string());
        }
        message(&wire)
    };
    resources.iter().map(render).collect()
}

fn attribute(attribute: &v1::Attribute) -> (String, Value) {
    let resource = v1::Resource {
        name: attribute.name.clone(),
        r#type: attribute.r#type,
        scalar: attribute.scalar,
        ranges: attribute.ranges.clone(),
        set: attribute.set.clone(),
        ..v1::Resource::default()
    };
    let value = match (&attribute.text, &attribute.scalar) {
        (Some(text), _) => json!(text.value),
        (None, Some(scalar)) => json!(scalar.value),
        (None, None) => {
            json!(convert::from_resource(&resource).map_or(String::new(), |r| r.value.to_string()))
        }
    };
    (attribute.name.clone(), value)
}

/// `/containers`
pub(super) fn containers(context: &Context) -> Value {
    let snapshot = context.snapshot();
    let all = snapshot.alive().filter_map(|(framework, task)| {
        let container = task.container.as_ref()?;
        let mut value = statistics_of(context, framework, task)?;
        let map = value.as_object_mut()?;
        map.insert("container_id".to_string(), json!(container.as_str()));
        let status = json!({
            "container_id": { "value": container.as_str() },
            "executor_pid": task.pid(),
        });
        map.insert("status".to_string(), status);
        Some(value)
    });
    all.collect()
}

/// `/monitor/statistics`
pub(super) fn statistics(context: &Context) -> Value {
    let snapshot = context.snapshot();
    let all = snapshot.alive();
    all.filter_map(|(framework, task)| statistics_of(context, framework, task))
        .collect()
}

fn statistics_of(context: &Context, framework: &FrameworkId, task: &Task) -> Option<Value> {
    let container = task.container.as_ref()?;
    let info: v1::ExecutorInfo = stored(&task.spec.executor.info)?;
    let cgroup = context
        .cgroups
        .as_ref()
        .map(|tree| tree.container(container));
    Some(json!({
        "executor_id": task.spec.executor.id.as_str(),
        "executor_name": info.name(),
        "framework_id": framework.as_str(),
        "source": info.source(),
        "statistics": figures(task, cgroup.as_ref()),
    }))
}

fn figures(task: &Task, cgroup: Option<&Cgroup>) -> Value {
    let whole = whole(task);
    let usage = cgroup.map(Cgroup::usage).unwrap_or_default();
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            all.insert(name.to_string(), value);
        }
    };
    put(
        "cpus_soft_limit",
        number(whole.scalar("cpus").thousandths()),
    );
    put(
        "cpus_system_time_secs",
        json!(usage.cpu_system.map(|time| time.as_secs_f64())),
    );
    put(
        "cpus_user_time_secs",
        json!(usage.cpu_user.map(|time| time.as_secs_f64())),
    );
    put(
        "mem_limit_bytes",
        json!(cgroup.and_then(Cgroup::memory_bytes_max)),
    );
    put("mem_rss_bytes", json!(usage.memory_bytes));
    put("processes", json!(usage.pids));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    put("timestamp", json!(now.map_or(0.0, |now| now.as_secs_f64())));
    Value::Object(all)
}
