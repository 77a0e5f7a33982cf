//! A simulated scheduler: it wants a number of tasks run, acknowledges, and reconciles.
//!
//! It does what a careful framework does: explicit reconciliation after each subscription and every
//! so often, and nothing that the API does not promise.

use std::collections::BTreeMap;

use master_core::StreamId;
use model::{FrameworkId, TaskId, TaskState};

/// One scheduler.
#[derive(Debug)]
pub struct Scheduler {
    /// Its id, once subscribed.
    pub id: Option<FrameworkId>,
    /// Its present stream.
    pub stream: Option<StreamId>,
    /// Counts its SUBSCRIBEs; answers to an earlier one are void.
    pub attempt: u64,
    /// What it launched, with what it knows of each task.
    pub tasks: BTreeMap<TaskId, SeenTask>,
    /// How many tasks it still wants to launch.
    pub wanted: usize,
    /// Counts its task ids.
    pub named: usize,
}

/// A task as its framework sees it.
#[derive(Debug, Clone, Default)]
pub struct SeenTask {
    /// The newest state; none before the first update.
    pub state: Option<TaskState>,
    /// The first terminal state.
    pub end: Option<TaskState>,
    /// Where it was launched.
    pub agent_id: String,
}

impl Scheduler {
    /// A scheduler that wants so many tasks run.
    pub fn new(wanted: usize) -> Self {
        Self {
            id: None,
            stream: None,
            attempt: 0,
            tasks: BTreeMap::new(),
            wanted,
            named: 0,
        }
    }

    /// Whether everything it launched has ended, and it wants nothing more.
    pub fn is_done(&self) -> bool {
        self.wanted == 0 && self.tasks.values().all(|task| task.end.is_some())
    }

    /// Its tasks that have not ended, as far as it knows.
    pub fn open_tasks(&self) -> impl Iterator<Item = (&TaskId, &SeenTask)> {
        self.tasks.iter().filter(|(_, task)| task.end.is_none())
    }
}
