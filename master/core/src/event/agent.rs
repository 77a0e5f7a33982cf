//! Agents at the border: what they register with, and the frames of their link.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Role;
use model::{
    AgentId, Blob, ExecutorId, FrameworkId, OperationUuid, Reason, Resources, Source, StatusUuid,
    TaskId, TaskState,
};

use super::{
    AgentAttributes, FrameworkInfo, OperationInfo, OperationUpdate, ReportedOperation, Text,
};
use crate::draining::DrainConfig;

/// What an agent asks admission with.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The id it was given before, if it was.
    pub agent_id: Option<AgentId>,
    /// `AgentInfo.hostname`.
    pub hostname: Text,
    /// Where its HTTP API is: `ip:port`, as advertised.
    pub address: Text,
    /// Its version, dotted numbers.
    pub version: Text,
    /// The numbers of its capabilities.
    pub capabilities: Arc<[i32]>,
    /// Its total, as operations left it.
    pub resources: Resources,
    /// What may be given out beside that, to be taken back when it is needed: all revocable.
    pub oversubscribed: Resources,
    /// Changes whenever the total does.
    pub resource_version: Blob,
    /// What offer constraints look at.
    pub attributes: Arc<AgentAttributes>,
    /// The whole AgentInfo; its `id` may be unset.
    pub info: Blob,
    /// What every offer tells of it: fields of an Offer.
    pub in_offers: Blob,
    /// The frameworks with executors or tasks there.
    pub frameworks: Vec<FrameworkInfo>,
    /// The executors alive there; those of command tasks are passed over, since what they hold is
    /// not accounted for.
    pub executors: Vec<RunningExecutor>,
    /// The tasks there that the agent has not forgotten.
    pub tasks: Vec<RunningTask>,
    /// The operations there whose end is not acknowledged, in the order in which they came.
    pub operations: Vec<ReportedOperation>,
}

impl Registration {
    /// All that can be given out of it.
    #[must_use]
    pub fn total(&self) -> Resources {
        self.resources.plus(&self.oversubscribed)
    }
}

/// An executor that an agent tells of.
#[derive(Debug, Clone)]
pub struct RunningExecutor {
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Its id.
    pub executor_id: ExecutorId,
    /// What it holds, allocation roles included.
    pub resources: Resources,
    /// The whole ExecutorInfo.
    pub info: Blob,
    /// The ExecutorInfo in a form that is equal for equal ones.
    pub identity: Blob,
}

/// A task that an agent tells of.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Its id.
    pub task_id: TaskId,
    /// Its name.
    pub name: Text,
    /// Its executor; for a command task the task's own id.
    pub executor_id: ExecutorId,
    /// Whether the executor is one that Mesos would have made for a command task.
    pub is_command: bool,
    /// What it holds, allocation roles included.
    pub resources: Resources,
    /// The newest state the agent knows.
    pub state: TaskState,
    /// The newest TaskStatus, where there is one.
    pub status: Option<Blob>,
    /// `container.linux_info.share_cgroups`, true where unset.
    pub share_cgroups: bool,
    /// The whole TaskInfo.
    pub info: Blob,
}

/// A frame's body from a registered agent.
#[derive(Debug, Clone)]
pub enum AgentMessage {
    /// The answer to a ping.
    Pong {
        /// The ping's number.
        sequence: u64,
    },
    /// A status update.
    Update(AgentUpdate),
    /// A status of an operation.
    OperationUpdate(OperationUpdate),
    /// An executor ended.
    ExecutorExited {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its id.
        executor_id: ExecutorId,
        /// As wait(2) encodes it.
        wait_status: i32,
    },
    /// A message of an executor for its framework.
    ExecutorMessage {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its id.
        executor_id: ExecutorId,
        /// What it says.
        data: Blob,
    },
    /// What may be given out beside its own resources, from now on: all revocable.
    Oversubscribed(Resources),
    /// The agent shuts down in good order.
    Unregister,
}

/// A status update of an agent.
#[derive(Debug, Clone)]
pub struct AgentUpdate {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// The task.
    pub task_id: TaskId,
    /// `status.state`.
    pub state: TaskState,
    /// The newest state the agent knows.
    pub latest_state: TaskState,
    /// `status.uuid`: set where an acknowledgement is wanted.
    pub uuid: Option<StatusUuid>,
    /// `status.source`.
    pub source: Source,
    /// `status.reason`, where set.
    pub reason: Option<Reason>,
    /// The whole TaskStatus, forwarded unchanged.
    pub status: Blob,
    /// The same without its `data`, which may be large: what is remembered of it.
    pub kept: Blob,
}

/// What does not change about a registered agent until it registers again.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentFacts {
    /// `AgentInfo.hostname`.
    pub hostname: Text,
    /// Where its HTTP API is: `ip:port`.
    pub address: Text,
    /// Its version.
    pub version: Text,
    /// The numbers of its capabilities.
    pub capabilities: Arc<[i32]>,
    /// What offer constraints look at.
    pub attributes: Arc<AgentAttributes>,
    /// The whole AgentInfo; its `id` may be unset.
    pub info: Blob,
    /// What every offer tells of it: fields of an Offer.
    pub in_offers: Blob,
}

/// A frame's body to an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum MasterMessage {
    /// It is admitted; the shell adds MasterInfo.
    Registered {
        /// The id it has from now on.
        agent_id: AgentId,
        /// It opens a new link when no ping came for so long.
        total_ping_timeout: Duration,
    },
    /// It is not admitted.
    Refused {
        /// Why.
        reason: String,
        /// Whether it must forget its id.
        is_final: bool,
    },
    /// Asks for a pong.
    Ping {
        /// The number to answer with.
        sequence: u64,
        /// Whether the master holds it for registered.
        connected: bool,
    },
    /// Run a task.
    RunTask {
        /// Whose, to be set as FrameworkInfo's `id`.
        framework_id: FrameworkId,
        /// Whose, a FrameworkInfo.
        framework: Blob,
        /// The task, a TaskInfo.
        task: Blob,
        /// To be set as `allocation_info.role` where a resource of the task or of its executor has
        /// none.
        allocation_role: Role,
        /// What the master believed.
        resource_version: Blob,
        /// Whether the executor is one that the master counts already.
        executor_expected: bool,
    },
    /// Run tasks in one executor, all of them or none.
    RunTaskGroup {
        /// Whose, to be set as FrameworkInfo's `id`.
        framework_id: FrameworkId,
        /// Whose, a FrameworkInfo.
        framework: Blob,
        /// The executor, an ExecutorInfo.
        executor: Blob,
        /// The tasks, each a TaskInfo.
        tasks: Vec<Blob>,
        /// To be set as `allocation_info.role` where a resource has none.
        allocation_role: Role,
        /// What the master believed.
        resource_version: Blob,
        /// Whether the executor is one that the master counts already.
        executor_expected: bool,
    },
    /// A message of a framework for its executor.
    FrameworkMessage {
        /// Whose.
        framework_id: FrameworkId,
        /// Which executor.
        executor_id: ExecutorId,
        /// What it says.
        data: Blob,
    },
    /// A framework changed what it tells of itself.
    FrameworkUpdated {
        /// Which, to be set as FrameworkInfo's `id`.
        framework_id: FrameworkId,
        /// The FrameworkInfo.
        framework: Blob,
    },
    /// Kill a task.
    KillTask {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
        /// How, a KillPolicy.
        kill_policy: Option<Blob>,
    },
    /// Carry out an operation.
    ApplyOperation {
        /// Whose; none for an operator's.
        framework_id: Option<FrameworkId>,
        /// What it does; its resources are allocated to nobody.
        info: Arc<OperationInfo>,
        /// What it is called from now on.
        uuid: OperationUuid,
        /// What the master believed.
        resource_version: Blob,
    },
    /// A status of an operation was received by whoever wanted it.
    AcknowledgeOperation {
        /// Which operation's.
        uuid: OperationUuid,
        /// Which status.
        status_uuid: StatusUuid,
    },
    /// Tell what became of these operations, which the registration did not list.
    ReconcileOperations {
        /// Which, whose, and what their frameworks call them.
        operations: Vec<(OperationUuid, Option<FrameworkId>, Option<Text>)>,
    },
    /// A status update was received by its framework.
    AcknowledgeUpdate {
        /// Whose.
        framework_id: FrameworkId,
        /// Which task's.
        task_id: TaskId,
        /// Which update.
        uuid: StatusUuid,
    },
    /// End everything of a framework.
    ShutdownFramework {
        /// Which.
        framework_id: FrameworkId,
    },
    /// End an executor.
    ShutdownExecutor {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        executor_id: ExecutorId,
    },
    /// Tell what became of these tasks, which the registration did not list.
    ReconcileTasks {
        /// The tasks.
        tasks: Vec<(FrameworkId, TaskId)>,
    },
    /// End all work.
    Shutdown {
        /// Why.
        reason: String,
    },
    /// End all tasks and take no new ones.
    DrainAgent {
        /// How.
        config: DrainConfig,
    },
    /// A framework has a stream: what waits for its acknowledgements is to be sent at once.
    FrameworkSubscribed {
        /// Which.
        framework_id: FrameworkId,
    },
}
