//! Tasks and their statuses as messages.

use api::convert::to_refined;
use api::v1;
use master_core::tasks::{self, TaskStatus};
use model::FrameworkId;

use crate::convert::{events, message};
use crate::state::Snapshot;
use crate::state::view::{Framework, Task};

/// Whose tasks are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Those of every framework.
    Every,
    /// Those of frameworks that are not over.
    Live,
}

impl Snapshot {
    /// Tasks that are not over.
    pub(crate) fn tasks(&self, owners: Owners) -> impl Iterator<Item = v1::Task> {
        let frameworks = self.owners(owners);
        frameworks.flat_map(|framework| framework.tasks.iter().map(wire))
    }

    /// Tasks on agents that do not answer.
    pub(crate) fn unreachable_tasks(&self, owners: Owners) -> impl Iterator<Item = v1::Task> {
        let frameworks = self.owners(owners);
        frameworks.flat_map(|framework| framework.unreachable_tasks.iter().map(wire))
    }

    /// Tasks that are over and remembered.
    pub(crate) fn completed_tasks(&self, owners: Owners) -> impl Iterator<Item = v1::Task> {
        let frameworks = self.owners(owners);
        frameworks.flat_map(|framework| framework.completed_tasks.iter().map(wire))
    }

    fn owners(&self, owners: Owners) -> impl Iterator<Item = &Framework> {
        let over = match owners {
            Owners::Every => self.view.completed.as_slice(),
            Owners::Live => &[],
        };
        self.view.frameworks.iter().chain(over)
    }
}

fn wire(shown: &Task) -> v1::Task {
    task(&shown.framework_id, shown)
}

/// A task with what was told of it.
pub(crate) fn task(framework_id: &FrameworkId, task: &tasks::Task) -> v1::Task {
    let info: v1::TaskInfo = message(&task.info);
    v1::Task {
        executor_id: task.executor_id.as_ref().map(v1::ExecutorId::from),
        agent_id: v1::AgentId::from(&task.agent_id),
        state: task.state.number(),
        resources: to_refined(&task.resources),
        statuses: task.statuses.iter().map(|(_, told)| status(told)).collect(),
        status_update_state: task.status_update_state.map(model::TaskState::number),
        status_update_uuid: task.status_update_uuid.map(|uuid| uuid.0.to_vec()),
        ..api::convert::task(info, v1::FrameworkId::from(framework_id))
    }
}

/// A status as it was told.
pub(crate) fn status(status: &TaskStatus) -> v1::TaskStatus {
    match status {
        TaskStatus::Relayed(status) => message(status),
        TaskStatus::Made(status) => events::made(status),
    }
}
