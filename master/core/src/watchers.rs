//! What watching operators are told, beside the events of frameworks.

use model::{Blob, FrameworkId, Reason, TaskState};

use crate::Master;
use crate::event::{Change, Effect};
use crate::tasks::{Task, TaskStatus};

impl Master {
    /// Tells operators who watch.
    pub(crate) fn publish(&mut self, change: Change) {
        self.out.push(Effect::Publish(change));
    }

    /// Tells operators who watch of a status that is news to them.
    pub(crate) fn publish_status(
        &mut self,
        framework_id: &FrameworkId,
        task: Blob,
        status: TaskStatus,
        state: TaskState,
    ) {
        self.publish(Change::TaskUpdated {
            framework_id: framework_id.clone(),
            task,
            status,
            state,
        });
    }
}

impl Task {
    /// Whether a status with this state and reason is news to operators who watch: the first of its
    /// state in a row, or the outcome of a check.
    pub(crate) fn is_news(&self, state: TaskState, reason: Option<Reason>) -> bool {
        let of_check = matches!(
            reason,
            Some(Reason::TaskCheckStatusUpdated | Reason::TaskHealthCheckStatusUpdated)
        );
        of_check || self.statuses.back().is_none_or(|(last, _)| *last != state)
    }
}
