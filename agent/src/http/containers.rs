//! Containers: what `/containers`, `/monitor/statistics` and GET_CONTAINERS tell of each.

use agent_core::executor::Life;
use api::http::query::Query;
use api::http::respond::Refusal;
use api::v1::agent::call::LaunchContainer;
use api::v1::agent::response::get_containers;
use api::v1::{self, ContainerStatus};
use model::{ContainerId, Resources};
use serde_json::Value;

use super::view::{self, Executor};
use super::{Context, pressure, usage};
use crate::wire::stored;

/// A container of an executor.
#[derive(Debug)]
pub(super) struct OfExecutor {
    /// What is told of every container.
    pub(super) container: get_containers::Container,
    /// `ExecutorInfo.source`.
    pub(super) source: String,
    /// How much it waits; unset where nobody asked, and where this host has no cgroups.
    pub(super) pressure: Option<Value>,
}

/// Which containers are asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    container: Option<String>,
    framework: Option<String>,
    executor: Option<String>,
    /// Whether it is told how much they wait, which Mesos does not tell.
    pressure: bool,
}

impl Wanted {
    /// Reads the query of `/containers`.
    ///
    /// # Errors
    /// A combination that says nothing, in Mesos' words.
    pub(super) fn parse(query: &Query<'_>) -> Result<Self, Refusal> {
        let wanted = Self {
            pressure: match query.get("pressure").as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(other) => {
                    let why = format!("pressure is true or false, not '{other}'");
                    return Err(Refusal::bad_request(why));
                }
            },
            container: query.get("container_id"),
            framework: query.get("framework_id"),
            executor: query.get("executor_id"),
        };
        let is_good = match (&wanted.container, &wanted.framework, &wanted.executor) {
            (Some(_), None, None) | (None, Some(_), _) | (None, None, None) => true,
            (Some(_), _, _) | (None, None, Some(_)) => false,
        };
        match is_good {
            true => Ok(wanted),
            false => Err(Refusal::bad_request(
                "Supported query parameters are container_id only, framework_id only, or \
                 executor_id and framework_id only",
            )),
        }
    }

    fn takes(&self, executor: &Executor<'_>, container: &ContainerId) -> bool {
        let same = |wanted: &Option<String>, id: &str| wanted.as_ref().is_none_or(|w| w == id);
        same(&self.container, container.as_str())
            && same(&self.framework, executor.framework_id.as_str())
            && same(&self.executor, executor.id.as_str())
    }
}

/// Containers of executors that are there, or being made.
pub(super) fn of_executors(context: &Context, wanted: &Wanted) -> Vec<OfExecutor> {
    let snapshot = context.snapshot();
    let all = view::live_executors(&snapshot).filter_map(|executor| {
        let id = executor.container.clone()?;
        if !wanted.takes(&executor, &id) {
            return None;
        }
        let tree = context.cgroups.as_ref().filter(|_| wanted.pressure);
        let info = &executor.info;
        let own = get_containers::Container {
            framework_id: Some(executor.framework_id.into()),
            executor_id: Some(executor.id.into()),
            executor_name: Some(info.name().to_owned()),
            ..container(context, &id, executor.pid, &executor.allocated())
        };
        Some(OfExecutor {
            container: own,
            source: info.source().to_owned(),
            pressure: tree.map(|tree| pressure::of(&tree.container(&id))),
        })
    });
    all.collect()
}

/// Containers within those of executors, which pods have for their tasks.
pub(super) fn nested(context: &Context) -> Vec<get_containers::Container> {
    let snapshot = context.snapshot();
    let tasks = snapshot.tasks.iter();
    let alive = tasks.filter(|(_, task)| task.life != Life::Ended);
    let all = alive.filter_map(|(_, task)| {
        let id = task.container.as_ref().filter(|id| id.parent().is_some())?;
        let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
        let held = view::resources(&info.resources);
        Some(container(context, id, task.pid(), &held))
    });
    all.collect()
}

/// Containers that calls launched: those that are nested, or those that stand alone.
pub(super) fn requested(context: &Context, are_nested: bool) -> Vec<get_containers::Container> {
    let snapshot = context.snapshot();
    let all = snapshot.containers.iter().filter_map(|(id, one)| {
        let launch = one.launch.as_ref()?;
        if id.parent().is_some() != are_nested {
            return None;
        }
        let launch: LaunchContainer = stored(launch).unwrap_or_default();
        let held = view::resources(&launch.resources);
        Some(container(context, id, one.pid, &held))
    });
    all.collect()
}

/// What is told of every container.
fn container(
    context: &Context,
    id: &ContainerId,
    pid: Option<u32>,
    resources: &Resources,
) -> get_containers::Container {
    let cgroup = context.cgroups.as_ref().map(|tree| tree.container(id));
    get_containers::Container {
        // As in Mesos, the names of its parents stand in its status alone.
        container_id: v1::ContainerId {
            value: id.name().to_owned(),
            parent: None,
        },
        container_status: Some(ContainerStatus {
            container_id: Some(id.into()),
            executor_pid: pid,
            network_infos: context.description.addresses.of(id).into_iter().collect(),
            ..ContainerStatus::default()
        }),
        resource_statistics: Some(usage::statistics(
            resources,
            cgroup.as_ref(),
            context.disks.usage(id),
        )),
        ..get_containers::Container::default()
    }
}
