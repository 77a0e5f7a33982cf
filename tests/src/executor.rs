//! A simulated executor: the program of a framework in a container of its own.

use std::collections::BTreeMap;

use agent_core::containers::RequestId;
use agent_core::executor_api::ExecutorStatus;
use model::{ExecutorId, FrameworkId, Instant, StatusUuid, TaskId};

use crate::notation;

/// One executor on one node.
#[derive(Debug)]
pub struct SimulatedExecutor {
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Its id.
    pub id: ExecutorId,
    /// Whether its process runs.
    pub is_running: bool,
    /// Set when its end is on its way, so that it ends once.
    pub is_dying: bool,
    /// Its stream of events.
    pub stream: Option<RequestId>,
    /// Counts its tries to subscribe.
    pub tries: u64,
    /// When the newest event arrives that is on its way, so that they keep their order.
    pub heard_last: Instant,
    /// The tasks that it runs.
    pub tasks: Vec<TaskId>,
    /// The tasks of which no update was acknowledged to it.
    pub fresh: Vec<TaskId>,
    /// The updates that were not acknowledged to it, by their order.
    pub unacknowledged: BTreeMap<u64, ExecutorStatus>,
    /// Counts its updates.
    pub updates: u64,
}

impl SimulatedExecutor {
    /// One whose container is being made.
    pub fn new(framework_id: FrameworkId, id: ExecutorId, now: Instant) -> Self {
        Self {
            framework_id,
            id,
            is_running: false,
            is_dying: false,
            stream: None,
            tries: 0,
            heard_last: now,
            tasks: Vec::new(),
            fresh: Vec::new(),
            unacknowledged: BTreeMap::new(),
            updates: 0,
        }
    }

    /// An update is stored at the agent.
    pub fn acknowledged(&mut self, task_id: &TaskId, uuid: StatusUuid) {
        self.fresh.retain(|id| id != task_id);
        self.unacknowledged.retain(|_, update| update.uuid != uuid);
    }

    /// Cpus that it holds with its tasks, in thousandths.
    pub fn cpus(&self) -> i64 {
        let tasks = i64::try_from(self.tasks.len()).unwrap_or(i64::MAX);
        notation::EXECUTOR_CPUS + tasks * notation::TASK_CPUS
    }
}
