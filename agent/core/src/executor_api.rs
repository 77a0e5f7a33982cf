//! The executor API: what executors call, and the events on their streams.
//!
//! Only custom executors speak it; the agent itself is the executor of all other tasks.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::{Blob, ContainerId, Reason, StatusUuid, TaskId, TaskState};

use crate::effect::WallTime;

/// What an executor's token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `fid`
    pub framework_id: String,
    /// `eid`
    pub executor_id: String,
    /// `cid`
    pub container: String,
}

/// A call of an executor, decoded and valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutorCall {
    /// Opens its stream of events.
    Subscribe {
        /// The tasks for which it has no acknowledged update.
        tasks: Vec<TaskId>,
        /// The updates that were not acknowledged to it.
        updates: Vec<ExecutorStatus>,
    },
    /// A new state of a task.
    Update(ExecutorStatus),
    /// Something for its framework.
    Message(Blob),
    /// It is alive.
    Heartbeat,
}

/// A status update as an executor makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorStatus {
    /// The task.
    pub task_id: TaskId,
    /// The state it reports.
    pub state: TaskState,
    /// Why.
    pub reason: Option<Reason>,
    /// Why, in words.
    pub message: Option<String>,
    /// Names it in the acknowledgement.
    pub uuid: StatusUuid,
    /// When the executor made it, if it says so.
    pub timestamp: Option<WallTime>,
    /// The whole `TaskStatus`.
    pub info: Blob,
}

/// What became of an executor's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is followed.
    Accepted,
    /// The request is the executor's stream of events from now on.
    Subscribed,
}

/// Why an executor's call is refused; the texts are Mesos'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorRefusal {
    /// No such framework has an executor here.
    #[error("Framework cannot be found")]
    Framework,
    /// The framework has no such executor here.
    #[error("Executor cannot be found")]
    Executor,
    /// It must subscribe first.
    #[error("Executor is not subscribed")]
    NotSubscribed,
    /// Its token is another's.
    #[error("Authenticated principal does not match the {0} of the executor")]
    Claims(&'static str),
}

/// An event for an executor, to be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToExecutor {
    /// It is subscribed; what the agent is, the shell adds.
    Subscribed {
        /// The whole `ExecutorInfo`.
        executor: Blob,
        /// The whole `FrameworkInfo`.
        framework: Blob,
        /// Its container.
        container: ContainerId,
    },
    /// A task for it.
    Launch {
        /// The whole `TaskInfo`.
        task: Blob,
    },
    /// Tasks for it that belong together.
    LaunchGroup {
        /// Each the whole `TaskInfo`.
        tasks: Vec<Blob>,
    },
    /// A task to end.
    Kill {
        /// Which.
        task_id: TaskId,
        /// The grace period of the call's kill policy.
        grace: Option<Duration>,
    },
    /// An update of it is stored.
    Acknowledged {
        /// The task.
        task_id: TaskId,
        /// The update.
        uuid: StatusUuid,
    },
    /// Something that its framework has for it.
    Message {
        /// What.
        data: Blob,
    },
    /// It is to end.
    Shutdown,
}
