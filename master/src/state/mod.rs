//! State for people and programs: documents made from a published snapshot, never by the loop.
//!
//! Keys, their order and the forms of numbers are those of Mesos' unversioned endpoints.

mod agents;
mod allocator;
mod frameworks;
mod maintenance;
mod master;
pub(crate) mod messages;
mod metrics;
mod part;
mod registry;
mod roles;
mod shared;
mod shown;
pub(crate) mod sight;
mod sums;
mod system;
mod view;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use api::flat;
use master_core::Master;
use serde_json::{Map, Value, json};

use crate::access::Identity;
use crate::handle::Handle;
use crate::http::pieces::{self, Gone, Made, Writer};
use crate::http::query::{self, Query};
use crate::metrics::as_f64;
use part::Part;
use view::{Begun, View};

pub(crate) use view::Kept;

pub(crate) use master::version_info;
pub(crate) use shared::Documents;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Quotas.
    Quota,
    /// Weights.
    Weights,
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
    /// The version of what it shows, [`Master::version`].
    pub(crate) version: u64,
    /// About how many things a document of all of it shows.
    items: usize,
    view: LazyLock<View, Box<dyn FnOnce() -> View + Send>>,
    is_finished: AtomicBool,
}

impl Snapshot {
    /// A copy of what the core holds, its large parts shared, also with the snapshot before.
    pub(crate) fn new(step: u64, core: &Master, kept: &mut Kept) -> Self {
        let begun = Begun::of(core, kept);
        Self::made_by(step, core.version(), begun.items(), move || begun.finish())
    }

    fn made_by(
        step: u64,
        version: u64,
        items: usize,
        make: impl FnOnce() -> View + Send + 'static,
    ) -> Self {
        Self {
            step,
            version,
            items,
            view: LazyLock::new(Box::new(make)),
            is_finished: AtomicBool::new(false),
        }
    }

    /// Makes what a reader needs and the loop left out; this takes its time for a large cluster.
    pub(crate) fn finish(&self) {
        LazyLock::force(&self.view);
        self.is_finished.store(true, Ordering::Release);
    }

    /// Whether readers find everything made.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }
}

/// The document as JSON, as the argument of a function where the query names one.
///
/// # Errors
/// A parameter of the query is wrong.
pub(crate) async fn document(
    handle: &Handle,
    document: Document,
    query: &Query<'_>,
    identity: &Identity,
) -> Result<Made, String> {
    if document == Document::Metrics {
        check_timeout(query)?;
    }
    let (handle, query) = (handle.clone(), query.0.to_owned());
    let identity = identity.clone();
    let readers = handle.readers().clone();
    let made = pieces::make(&readers, |mut out| async move {
        let query = Query(&query);
        let function = query.get("jsonp");
        if let Some(function) = &function {
            out.push(&format!("{function}(")).await?;
        }
        if query.0.is_empty()
            && !sight::is_limited(&identity)
            && let Some(reader) = handle.documents().read(&handle, document).await
        {
            return reader.copy_to(out).await;
        }
        let snapshot = handle.snapshot_for(&identity).await;
        let part = part(document, &handle, &snapshot, &query);
        part.write(&mut out).await?;
        if function.is_some() {
            out.push(")").await?;
        }
        Ok(out)
    });
    Ok(made.await)
}

/// Writes a document about which nothing else was said.
async fn write(
    document: Document,
    handle: &Handle,
    snapshot: &Snapshot,
    out: &mut Writer,
) -> Result<(), Gone> {
    part(document, handle, snapshot, &Query(""))
        .write(out)
        .await
}

/// What of a document is made before it is written.
fn part<'a>(
    document: Document,
    handle: &'a Handle,
    snapshot: &'a Snapshot,
    query: &Query<'_>,
) -> Part<'a> {
    let (view, facts) = (&snapshot.view, handle.facts());
    match document {
        Document::Version => master::version().into(),
        Document::Flags => json!({ "flags": facts.flags }).into(),
        Document::SystemStats => system::document().into(),
        Document::Metrics => {
            let numbers = numbers(handle, snapshot).into_iter();
            let map = numbers.map(|(name, value)| (name, value.into()));
            map.collect::<Map<String, Value>>().into()
        }
        Document::State => master::state(view, facts),
        Document::StateSummary => master::summary(view, facts),
        Document::Slaves => agents::document(view, query.get("slave_id")),
        Document::Frameworks => frameworks::document(view, query.get("framework_id")),
        Document::Tasks => frameworks::tasks(view, query),
        Document::Registry => registry::document(view, facts),
        Document::MaintenanceSchedule => flat::message(&snapshot.maintenance_schedule()).into(),
        Document::MaintenanceStatus => flat::message(&snapshot.maintenance_status()).into(),
        Document::Roles => roles::document(view),
        Document::Quota => flat::message(&snapshot.quotas()).into(),
        Document::Weights => Part::list(snapshot.weights(), |info| flat::message(&info)),
    }
}

/// Counters and gauges, by name.
pub(crate) async fn metrics(handle: &Handle) -> BTreeMap<String, f64> {
    let snapshot = handle.snapshot().await;
    numbers(handle, &snapshot)
}

fn numbers(handle: &Handle, snapshot: &Snapshot) -> BTreeMap<String, f64> {
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
