//! A simulated scheduler: it wants a number of tasks run, acknowledges, and reconciles.
//!
//! It does what a careful framework does: explicit reconciliation after each subscription and every
//! so often, and nothing that the API does not promise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use master_core::StreamId;
use master_core::event::Offer;
use model::{FrameworkId, Instant, OfferId, StatusUuid, TaskId, TaskState};

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
    /// Counts its task ids, operation ids and volumes.
    pub named: usize,
    /// How many more operations it makes, for the fun of it.
    pub changes: usize,
    /// The volume that each of its operations with an id makes, until it hears of the end.
    pub creating: BTreeMap<String, String>,
    /// Volumes that it was told to have.
    pub volumes: BTreeSet<String>,
    /// Volumes that it destroyed, or tried to.
    pub destroyed: BTreeSet<String>,
    /// The master that it believes to lead.
    pub leader: Option<usize>,
    /// Offers that it has not answered yet.
    pub held: BTreeMap<OfferId, Arc<Offer>>,
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
    /// When it was launched.
    pub launched: Instant,
    /// The name of the update that said that it runs.
    pub running: Option<StatusUuid>,
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
            changes: wanted * 4,
            creating: BTreeMap::new(),
            volumes: BTreeSet::new(),
            destroyed: BTreeSet::new(),
            leader: None,
            held: BTreeMap::new(),
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
