//! State for people and programs: documents made from a published snapshot, never by the loop.
//!
//! Keys, their order and the forms of numbers are those of Mesos' unversioned endpoints.

mod agents;
mod frameworks;
mod maintenance;
mod master;
pub(crate) mod messages;
mod metrics;
mod registry;
mod resources;
mod system;
mod view;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use master_core::Master;
use serde_json::{Value, json};

use crate::handle::Handle;
use crate::http::query::{self, Query};
use crate::metrics::as_f64;
use view::View;

pub(crate) use master::version_info;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    /// Everything.
    State,
    /// Agents and frameworks with counts in place of tasks.
    StateSummary,
    /// Agents.
    Slaves,
    /// Frameworks.
    Frameworks,
    /// Tasks.
    Tasks,
    /// Roles.
    Roles,
    /// What outlives this master.
    Registry,
    /// The maintenance that is planned.
    MaintenanceSchedule,
    /// The machines in maintenance.
    MaintenanceStatus,
    /// The flags in force.
    Flags,
    /// The version of the interfaces.
    Version,
    /// Counters and gauges.
    Metrics,
    /// The load of the machine.
    SystemStats,
}

/// The state of the cluster after one step of the core.
pub(crate) struct Snapshot {
    /// The step's number.
    pub(crate) step: u64,
    view: View,
    /// The largest document; readers that come together share it.
    state: OnceLock<Bytes>,
}

impl Snapshot {
    /// A copy of what the core holds, its large parts shared.
    pub(crate) fn new(step: u64, core: &Master) -> Self {
        Self {
            step,
            view: View::of(core),
            state: OnceLock::new(),
        }
    }
}

/// The document as JSON.
///
/// # Errors
/// A parameter of the query is wrong.
pub(crate) async fn document(
    handle: &Handle,
    document: Document,
    query: &Query<'_>,
) -> Result<Bytes, String> {
    let facts = handle.facts();
    let value = match document {
        Document::Version => master::version(),
        Document::Flags => json!({ "flags": facts.flags }),
        Document::SystemStats => system::document(),
        Document::Metrics => {
            check_timeout(query)?;
            let numbers = metrics(handle).await.into_iter();
            numbers
                .map(|(name, value)| (name, Value::from(value)))
                .collect()
        }
        Document::State => {
            let snapshot = handle.snapshot().await;
            let make = || master::state(&snapshot.view, facts).to_string().into();
            return Ok(snapshot.state.get_or_init(make).clone());
        }
        Document::StateSummary => master::summary(&handle.snapshot().await.view, facts),
        Document::Slaves => {
            let wanted = query.get("slave_id");
            agents::document(&handle.snapshot().await.view, wanted.as_deref())
        }
        Document::Frameworks => {
            let wanted = query.get("framework_id");
            frameworks::document(&handle.snapshot().await.view, wanted.as_deref())
        }
        Document::Tasks => frameworks::tasks(&handle.snapshot().await.view, query),
        Document::Registry => registry::document(&handle.snapshot().await.view, facts),
        Document::MaintenanceSchedule => {
            let schedule = handle.snapshot().await.maintenance_schedule();
            return Ok(api::json::to_json(&schedule).into());
        }
        Document::MaintenanceStatus => {
            let status = handle.snapshot().await.maintenance_status();
            return Ok(api::json::to_json(&status).into());
        }
        Document::Roles => frameworks::roles(&handle.snapshot().await.view),
    };
    Ok(value.to_string().into())
}

/// Counters and gauges, by name.
pub(crate) async fn metrics(handle: &Handle) -> BTreeMap<String, f64> {
    let snapshot = handle.snapshot().await;
    let mut numbers = metrics::numbers(&snapshot.view, &handle.metrics().copy(), handle.facts());
    let watchers = handle.watchers().load(Ordering::Relaxed);
    let name = "master/operator_event_stream_subscribers".to_owned();
    numbers.insert(name, as_f64(watchers as u64));
    numbers
}

/// Mesos lets a reader bound the time that gauges may take; here none takes any.
fn check_timeout(query: &Query<'_>) -> Result<(), String> {
    let Some(text) = query.get("timeout") else {
        return Ok(());
    };
    let checked = query::duration(&text);
    checked
        .map(drop)
        .map_err(|fault| format!("Invalid timeout '{text}': {fault}.\n"))
}

/// A list of anything.
fn list<T>(items: impl IntoIterator<Item = T>, make: impl Fn(T) -> Value) -> Value {
    Value::Array(items.into_iter().map(make).collect())
}
