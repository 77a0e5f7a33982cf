//! Statuses that the master makes itself.

use alloc::string::String;

use model::{Blob, ExecutorId, FrameworkId, Reason, TaskState};

use crate::Master;
use crate::event::{Status, Text, WallTime};
use crate::tasks::Task;

/// What a status of the master's own says; the rest is filled in.
#[derive(Debug)]
pub(crate) struct MadeStatus {
    pub(crate) task_id: Text,
    pub(crate) agent_id: Option<Text>,
    pub(crate) executor_id: Option<ExecutorId>,
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) unreachable_time: Option<WallTime>,
    pub(crate) base: Option<Blob>,
}

impl MadeStatus {
    pub(crate) const fn new(
        task_id: Text,
        state: TaskState,
        reason: Reason,
        message: String,
    ) -> Self {
        Self {
            task_id,
            agent_id: None,
            executor_id: None,
            state,
            reason,
            message,
            unreachable_time: None,
            base: None,
        }
    }

    /// About a task that the master knows.
    pub(crate) fn of(task: &Task, state: TaskState, reason: Reason, message: String) -> Self {
        Self {
            agent_id: Some(Text::from(task.agent_id.as_str())),
            executor_id: task.executor_id.clone(),
            ..Self::new(Text::from(task.id.as_str()), state, reason, message)
        }
    }
}

impl Master {
    pub(crate) fn made_status(&self, status: MadeStatus) -> Status {
        let MadeStatus {
            task_id,
            agent_id,
            executor_id,
            state,
            reason,
            message,
            unreachable_time,
            base,
        } = status;
        Status {
            task_id,
            agent_id,
            executor_id,
            state,
            reason,
            message,
            timestamp: self.wall_time(),
            unreachable_time,
            base,
        }
    }

    /// A state as a framework may see it.
    pub(crate) fn state_for(&self, framework_id: &FrameworkId, state: TaskState) -> TaskState {
        self.frameworks
            .get(framework_id)
            .map_or(state, |framework| {
                state.for_framework(framework.awareness())
            })
    }
}
