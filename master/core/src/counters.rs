//! Counters: how often what happened, under Mesos' metric names.

use alloc::collections::BTreeMap;

use model::resources::ChangeKind;
use model::{OperationState, Reason, Source, TaskState};

/// Who ended tasks in which state, why, and how many.
pub type TaskEnds = BTreeMap<(TaskState, Source, Option<Reason>), u64>;

/// Operations on resources by what they do and how they stand: of those that are over all there
/// ever were, of the others those that there are.
pub type OperationCounts = BTreeMap<(ChangeKind, OperationState), u64>;

/// The names under `master/`, each of which is reported from the start.
const NAMES: &[&str] = &[
    "dropped_messages",
    "invalid_executor_to_framework_messages",
    "invalid_framework_to_executor_messages",
    "invalid_operation_status_update_acknowledgements",
    "invalid_operation_status_updates",
    "invalid_status_update_acknowledgements",
    "invalid_status_updates",
    "messages_decline_offers",
    "messages_executor_to_framework",
    "messages_exited_executor",
    "messages_framework_to_executor",
    "messages_kill_task",
    "messages_launch_tasks",
    "messages_operation_status_update",
    "messages_operation_status_update_acknowledgement",
    "messages_reconcile_operations",
    "messages_reconcile_tasks",
    "messages_register_framework",
    "messages_register_slave",
    "messages_reregister_framework",
    "messages_reregister_slave",
    "messages_resource_request",
    "messages_revive_offers",
    "messages_status_update",
    "messages_status_update_acknowledgement",
    "messages_suppress_offers",
    "messages_unregister_framework",
    "messages_unregister_slave",
    "messages_update_slave",
    "recovery_slave_removals",
    "slave_registrations",
    "slave_removals",
    "slave_removals/reason_registered",
    "slave_removals/reason_unhealthy",
    "slave_removals/reason_unregistered",
    "slave_reregistrations",
    "slave_unreachable_canceled",
    "slave_unreachable_completed",
    "slave_unreachable_scheduled",
    "valid_operation_status_update_acknowledgements",
    "valid_operation_status_updates",
    "valid_status_update_acknowledgements",
    "valid_status_updates",
];

/// All counters.
#[derive(Debug, Clone)]
pub struct Counters {
    named: BTreeMap<&'static str, u64>,
    task_ends: TaskEnds,
    operations: OperationCounts,
    allocation_runs: u64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            named: NAMES.iter().map(|name| (*name, 0)).collect(),
            task_ends: BTreeMap::new(),
            operations: BTreeMap::new(),
            allocation_runs: 0,
        }
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        let counter = self.named.entry(name).or_default();
        *counter = counter.saturating_add(1);
    }

    pub(crate) fn count_task(&mut self, state: TaskState, source: Source, reason: Option<Reason>) {
        let counter = self.task_ends.entry((state, source, reason)).or_default();
        *counter = counter.saturating_add(1);
    }

    pub(crate) fn count_operation(&mut self, kind: ChangeKind, state: OperationState) {
        let counter = self.operations.entry((kind, state)).or_default();
        *counter = counter.saturating_add(1);
    }

    pub(crate) fn uncount_operation(&mut self, kind: ChangeKind, state: OperationState) {
        if let Some(counter) = self.operations.get_mut(&(kind, state)) {
            *counter = counter.saturating_sub(1);
        }
    }

    pub(crate) fn count_allocation(&mut self) {
        self.allocation_runs = self.allocation_runs.saturating_add(1);
    }

    /// The counters with names below `master/`.
    #[must_use]
    pub const fn named(&self) -> &BTreeMap<&'static str, u64> {
        &self.named
    }

    /// Ended tasks, for `master/tasks_<state>` and `master/task_<state>/source_<s>/reason_<r>`.
    #[must_use]
    pub const fn task_ends(&self) -> &TaskEnds {
        &self.task_ends
    }

    /// Operations on resources, for `master/operations/<state>` and
    /// `master/operations/<kind>/<state>`.
    #[must_use]
    pub const fn operations(&self) -> &OperationCounts {
        &self.operations
    }

    /// `allocator/mesos/allocation_runs`.
    #[must_use]
    pub const fn allocation_runs(&self) -> u64 {
        self.allocation_runs
    }
}
