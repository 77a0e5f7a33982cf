//! `/explain`: what a container runs under.

use agent_core::sandbox::explain::Row;
use api::flat::list;
use api::http::query::Query;
use api::http::respond::Refusal;
use hyper::StatusCode;
use model::ContainerId;
use serde_json::{Value, json};

use super::{Context, pressure};
use crate::explained::Entry;
use crate::snapshot::Snapshot;

/// Which container is asked for.
#[derive(Debug)]
pub(super) enum Wanted {
    Container(ContainerId),
    Task { framework: String, task: String },
}

impl Wanted {
    /// Reads the query.
    ///
    /// # Errors
    /// It names no container.
    pub(super) fn parse(query: &Query<'_>) -> Result<Self, Refusal> {
        let names = ["container_id", "framework_id", "task_id"];
        match names.map(|name| query.get(name)) {
            [Some(id), None, None] => ContainerId::new(&id)
                .map(Self::Container)
                .map_err(|error| Refusal::bad_request(format!("container_id: {error}"))),
            [None, Some(framework), Some(task)] => Ok(Self::Task { framework, task }),
            _ => Err(Refusal::bad_request(
                "Supported query parameters are container_id only, or framework_id and task_id only",
            )),
        }
    }

    fn container(&self, snapshot: &Snapshot) -> Result<ContainerId, Refusal> {
        let (framework, task) = match self {
            Self::Container(id) => return Ok(id.clone()),
            Self::Task { framework, task } => (framework, task),
        };
        // Of those of one id the newest counts, and the completed ones are the oldest.
        let mut all = snapshot.tasks.iter().chain(snapshot.completed.iter().rev());
        let found = all.find(|(of, one)| of.as_str() == framework && one.spec.id.as_str() == task);
        let Some((_, found)) = found else {
            return Err(absent(format!(
                "no task {task:?} of framework {framework:?} here"
            )));
        };
        let none = || absent(format!("task {task:?} has no container"));
        found.container.clone().ok_or_else(none)
    }
}

fn absent(why: String) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, why)
}

/// The document.
///
/// # Errors
/// There is no such task or container, or it has not been started.
pub(super) fn explain(context: &Context, wanted: &Wanted) -> Result<Value, Refusal> {
    let container = wanted.container(&context.snapshot())?;
    let Some(entry) = context.explained.of(&container) else {
        return Err(absent(format!(
            "container {container} does not run here, or ended long ago"
        )));
    };
    let cgroup = context.cgroups.as_ref();
    let cgroup = cgroup.map(|tree| tree.container(&container));
    let pressure = cgroup.as_ref().map(pressure::of);
    let mut entry = entry;
    // Of one that has ended it is known already, and its group is gone.
    if let Some(cgroup) = cgroup.filter(|cgroup| cgroup.path().exists()) {
        entry.lacks = context.explained.lacks(&cgroup);
        entry.calls = context.explained.calls(&cgroup);
    }
    let how = context.explained.how();
    Ok(document(&container, &entry, &how, pressure))
}

fn document(container: &ContainerId, entry: &Entry, how: &str, pressure: Option<Value>) -> Value {
    let report = &entry.report;
    json!({
        "container_id": container.as_str(),
        "exposure": f64::from(report.exposure_tenths()) / 10.0,
        "verdict": report.verdict(),
        "rows": list(&report.rows, row),
        "pressure": pressure.unwrap_or_else(|| json!({})),
        "denials": {
            "how": how,
            "count": entry.denied,
            "last": entry.denials,
            // With these it would have been done.
            "capabilities": list(&entry.lacks.own, |one| json!(one.to_string())),
            // These were asked for over what is the node's, where no container's count.
            "capabilities_of_node": list(&entry.lacks.others, |one| json!(one.to_string())),
            "system_calls": entry.stopped(),
            // These were made, and the profile has them told.
            "system_calls_logged": entry.calls.logged,
        },
    })
}

fn row(row: &Row) -> Value {
    json!({
        "area": row.area.name(),
        "what": row.what,
        "state": row.state.name(),
        "reason": row.reason,
        "weight": row.weight,
        "exposure": f64::from(row.exposure) / 10.0,
    })
}
