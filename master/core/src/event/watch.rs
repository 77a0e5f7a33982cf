//! What operators who watch the cluster are told.

use alloc::sync::Arc;

use model::{AgentId, Blob, FrameworkId, TaskState};

use crate::tasks::{Task, TaskStatus};

/// A change that watching operators are told of. Of agents and frameworks the shell looks up how
/// they are after the step.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A task is launched, or its agent told of it first.
    TaskAdded {
        /// Whose.
        framework_id: FrameworkId,
        /// The task.
        task: Arc<Task>,
    },
    /// A task was told to be in another state, or its check went another way.
    TaskUpdated {
        /// Whose.
        framework_id: FrameworkId,
        /// The task's TaskInfo.
        task: Blob,
        /// What was told.
        status: TaskStatus,
        /// The newest state that is known.
        state: TaskState,
    },
    /// An agent is registered that was not before.
    AgentAdded {
        /// Which.
        agent_id: AgentId,
    },
    /// An agent was removed. Of one that is unreachable or gone Mesos tells nothing here.
    AgentRemoved {
        /// Which.
        agent_id: AgentId,
    },
    /// A framework subscribed, or an agent told of it first.
    FrameworkAdded {
        /// Which.
        framework_id: FrameworkId,
    },
    /// A framework subscribed again or changed what it tells of itself.
    FrameworkUpdated {
        /// Which.
        framework_id: FrameworkId,
    },
    /// A framework is over.
    FrameworkRemoved {
        /// Which.
        framework_id: FrameworkId,
        /// Its FrameworkInfo.
        info: Blob,
    },
}
