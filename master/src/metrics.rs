//! Counters of the shell: calls and events of each framework, and timers.
//!
//! What the core counts, and every gauge, comes from the snapshot (`state::metrics`).
//! The loop counts, reads copy. The lock is held for a few additions or for one copy.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::v1::scheduler::call::Type;
use master_core::event::{Call, FrameworkEvent, Note, Operation};
use model::resources::ChangeKind;
use model::{FrameworkId, TaskState};

use crate::convert::calls::Submitted;
use crate::convert::events;

/// How many samples a timer keeps for its percentiles.
const SAMPLES_MAX: usize = 1000;
/// How many frameworks have counters of their own: those connected last.
const FRAMEWORKS_MAX: usize = 2000;

/// The counters, shared between the loop and reads.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Counters>);

/// A copy of all counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// Scheduler calls answered with 400 before they reached the loop.
    pub(crate) invalid_scheduler_calls: u64,
    /// Frames of agents that were not valid in themselves.
    pub(crate) invalid_frames: u64,
    /// By framework.
    pub(crate) frameworks: BTreeMap<FrameworkId, FrameworkCounters>,
    /// How often resources were allocated.
    pub(crate) allocation_runs: u64,
    /// How long a step with an allocation took.
    pub(crate) allocation_run: Timer,
    /// How long allocations waited before they began.
    pub(crate) allocation_latency: Timer,
    /// How long a commit of the registry took.
    pub(crate) state_store: Timer,
    /// The size of the registry in bytes.
    pub(crate) registry_size: u64,
}

/// The counters of one framework.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrameworkCounters {
    /// By type of call.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// By type of event.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// By type of operation.
    pub(crate) operations: BTreeMap<&'static str, u64>,
    /// By what became of offers.
    pub(crate) offers: BTreeMap<&'static str, u64>,
    /// Tasks that ended, by state.
    pub(crate) ended: BTreeMap<TaskState, u64>,
}

/// Durations in milliseconds: the newest [`SAMPLES_MAX`], and how many there were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timer {
    samples: VecDeque<f64>,
    count: u64,
}

impl Timer {
    fn add(&mut self, duration: Duration) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(duration.as_secs_f64() * 1000.0);
        self.count += 1;
    }

    /// Adds the timer under Mesos' names; nothing before the first sample.
    pub(crate) fn list(&self, name: &str, out: &mut BTreeMap<String, f64>) {
        if !self.samples.is_empty() {
            self.list_always(name, out);
        }
    }

    /// Adds the timer under Mesos' names, with zeros before the first sample.
    pub(crate) fn list_always(&self, name: &str, out: &mut BTreeMap<String, f64>) {
        let newest = self.samples.back().unwrap_or(&0.0);
        let mut sorted: Vec<f64> = self.samples.iter().copied().collect();
        if sorted.is_empty() {
            sorted.push(0.0);
        }
        sorted.sort_unstable_by(f64::total_cmp);
        out.insert(name.to_owned(), *newest);
        out.insert(format!("{name}/count"), as_f64(self.count));
        for (end, share) in [
            ("min", 0.0),
            ("p50", 0.5),
            ("p90", 0.9),
            ("p95", 0.95),
            ("p99", 0.99),
            ("p999", 0.999),
            ("p9999", 0.9999),
            ("max", 1.0),
        ] {
            out.insert(format!("{name}/{end}"), percentile(&sorted, share));
        }
    }
}

/// Linear between the two nearest samples; `sorted` has one at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index below SAMPLES_MAX"
)]
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let (low, high) = (
        sorted[below],
        sorted.get(below + 1).copied().unwrap_or(sorted[below]),
    );
    low + (high - low) * (place - below as f64)
}

/// A count as metrics show it.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts past 2^53 are not reached"
)]
pub(crate) const fn as_f64(count: u64) -> f64 {
    count as f64
}

impl Metrics {
    /// A copy of all counters.
    pub(crate) fn copy(&self) -> Counters {
        self.lock().clone()
    }

    /// A scheduler call was answered with 400 before it reached the loop.
    pub(crate) fn invalid_scheduler_call(&self) {
        self.lock().invalid_scheduler_calls += 1;
    }

    /// A frame of an agent was not valid.
    pub(crate) fn invalid_frame(&self) {
        self.lock().invalid_frames += 1;
    }

    /// Another call reached the core.
    pub(crate) fn call(&self, framework_id: &FrameworkId, kind: Type, call: &Submitted) {
        let mut counters = self.lock();
        let framework = counters.framework(framework_id);
        add(&mut framework.calls, name_of(kind), 1);
        let Submitted::Call(call) = call else { return };
        match call {
            Call::Accept {
                offer_ids,
                operations,
                ..
            } => {
                add(&mut framework.offers, "accepted", offer_ids.len());
                for operation in operations {
                    add(&mut framework.operations, operation_of(operation), 1);
                }
            }
            Call::Decline { offer_ids, .. } => {
                add(&mut framework.offers, "declined", offer_ids.len());
            }
            _ => {}
        }
    }

    /// An event was queued for a framework.
    pub(crate) fn event(&self, framework_id: &FrameworkId, event: &FrameworkEvent) {
        let mut counters = self.lock();
        let framework = counters.framework(framework_id);
        add(&mut framework.events, events::name(event), 1);
        match event {
            FrameworkEvent::Subscribed { .. } => add(&mut framework.calls, "subscribe", 1),
            FrameworkEvent::Offers { offers, .. } => {
                add(&mut framework.offers, "sent", offers.len());
            }
            FrameworkEvent::Rescind { .. } => add(&mut framework.offers, "rescinded", 1),
            _ => {}
        }
    }

    /// The core took a step.
    pub(crate) fn stepped(&self, allocation_runs: u64, took: Duration) {
        let mut counters = self.lock();
        if counters.allocation_runs != allocation_runs {
            counters.allocation_runs = allocation_runs;
            counters.allocation_run.add(took);
            // An allocation is part of the step that wanted it: it waits in no queue.
            counters.allocation_latency.add(Duration::ZERO);
        }
    }

    /// A commit of the registry ended.
    pub(crate) fn registry_stored(&self, took: Duration, size: u64) {
        let mut counters = self.lock();
        counters.state_store.add(took);
        counters.registry_size = size;
    }

    /// A task changed its state.
    pub(crate) fn note(&self, note: &Note) {
        let Note::Task {
            framework_id, to, ..
        } = note
        else {
            return;
        };
        if to.is_terminal() {
            let mut counters = self.lock();
            let framework = counters.framework(framework_id);
            *framework.ended.entry(*to).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn framework(&mut self, framework_id: &FrameworkId) -> &mut FrameworkCounters {
        if self.frameworks.len() >= FRAMEWORKS_MAX && !self.frameworks.contains_key(framework_id) {
            // Ids of one master grow: the first is the oldest.
            self.frameworks.pop_first();
        }
        self.frameworks.entry(framework_id.clone()).or_default()
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, name: &'static str, count: usize) {
    *counts.entry(name).or_default() += count as u64;
}

/// The names of calls, in metrics.
pub(crate) const CALLS: [Type; 17] = [
    Type::Subscribe,
    Type::Teardown,
    Type::Accept,
    Type::Decline,
    Type::AcceptInverseOffers,
    Type::DeclineInverseOffers,
    Type::Revive,
    Type::Kill,
    Type::Shutdown,
    Type::Acknowledge,
    Type::AcknowledgeOperationStatus,
    Type::Reconcile,
    Type::ReconcileOperations,
    Type::Message,
    Type::Request,
    Type::Suppress,
    Type::UpdateFramework,
];

/// A call's name in metrics.
pub(crate) const fn name_of(kind: Type) -> &'static str {
    match kind {
        Type::Unknown => "unknown",
        Type::Subscribe => "subscribe",
        Type::Teardown => "teardown",
        Type::Accept => "accept",
        Type::Decline => "decline",
        Type::AcceptInverseOffers => "accept_inverse_offers",
        Type::DeclineInverseOffers => "decline_inverse_offers",
        Type::Revive => "revive",
        Type::Kill => "kill",
        Type::Shutdown => "shutdown",
        Type::Acknowledge => "acknowledge",
        Type::AcknowledgeOperationStatus => "acknowledge_operation_status",
        Type::Reconcile => "reconcile",
        Type::ReconcileOperations => "reconcile_operations",
        Type::Message => "message",
        Type::Request => "request",
        Type::Suppress => "suppress",
        Type::UpdateFramework => "update_framework",
    }
}

fn operation_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Launch { .. } => "launch",
        Operation::LaunchGroup { .. } => "launch_group",
        Operation::Resources(operation) => match operation.kind {
            ChangeKind::Reserve => "reserve",
            ChangeKind::Unreserve => "unreserve",
            ChangeKind::Create => "create",
            ChangeKind::Destroy => "destroy",
            ChangeKind::GrowVolume => "grow_volume",
            ChangeKind::ShrinkVolume => "shrink_volume",
            ChangeKind::CreateDisk => "create_disk",
            ChangeKind::DestroyDisk => "destroy_disk",
        },
        Operation::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_the_samples() {
        let mut timer = Timer::default();
        for millis in [1, 2, 3, 4, 5] {
            timer.add(Duration::from_millis(millis));
        }
        let mut out = BTreeMap::new();
        timer.list("t_ms", &mut out);
        let shown: Vec<(&str, f64)> = out
            .iter()
            .map(|(name, value)| (name.as_str(), (value * 1000.0).round() / 1000.0))
            .collect();
        assert_eq!(
            shown,
            [
                ("t_ms", 5.0),
                ("t_ms/count", 5.0),
                ("t_ms/max", 5.0),
                ("t_ms/min", 1.0),
                ("t_ms/p50", 3.0),
                ("t_ms/p90", 4.6),
                ("t_ms/p95", 4.8),
                ("t_ms/p99", 4.96),
                ("t_ms/p999", 4.996),
                ("t_ms/p9999", 5.0),
            ]
        );
    }
}
