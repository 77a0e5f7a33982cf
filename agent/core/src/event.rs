//! Events: everything that the core can be told.
//!
//! A frame of the master arrives here with its blobs unread and the few fields that the core
//! decides by beside them. Whatever finishes later than its effect (a connection, a launch, a
//! process) comes back as an event named for what happened.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Change;
use model::sandbox::Lacks;
use model::task::PartitionAwareness;
use model::{
    AgentId, Blob, ContainerId, ExecutorId, FrameworkId, OperationUuid, Resources, StatusUuid,
    TaskId,
};

use crate::allocation::Allocation;
use crate::checks::{Checks, Outcome, ProbeId};
use crate::containers::{Caller, ContainerCall, RequestId};
use crate::effect::{Fact, LinkId};
use crate::executor_api::{Claims, ExecutorCall};
use crate::holdings::VolumeName;
use crate::oversubscription::Looked;

/// Something that happened outside of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The deadline passed.
    Tick,
    /// One record of the checkpoint, in the order in which it was stored. Comes before
    /// [`Event::RecoveryEnded`] only.
    Recovered(Fact),
    /// A container that a call launched, and that ran before this process of the agent did. Comes
    /// before [`Event::RecoveryEnded`] only, after that of the container that it is nested in.
    RequestedRecovered {
        /// The container.
        container: ContainerId,
        /// The process that is its init.
        pid: u32,
        /// The call.
        launch: Blob,
    },
    /// The checkpoint has been read to its end; from here on the agent acts.
    RecoveryEnded {
        /// Of those that the checkpoint expects ([`crate::Agent::expected`]), the containers that still
        /// run, with the process that is their init; and those that ran and have ended since, for each
        /// of which [`Event::Exited`] comes next. Others never ran, or ended untold.
        alive: BTreeMap<ContainerId, u32>,
    },
    /// The stream to the master is open.
    LinkOpened {
        /// The link that `Effect::OpenLink` asked for.
        link: LinkId,
    },
    /// The stream ended, or could not be opened.
    LinkClosed {
        /// The link that `Effect::OpenLink` asked for.
        link: LinkId,
    },
    /// Another master leads than the one that was looked to until now.
    LeaderChanged,
    /// A frame of the master.
    Frame {
        /// The link it came over.
        link: LinkId,
        /// The epoch of its sender.
        epoch: u64,
        /// The incarnation of the agent it is for.
        incarnation: u64,
        /// What it says.
        frame: FromMaster,
    },
    /// A container's process runs.
    Launched {
        /// The container of `Effect::Launch`.
        container: ContainerId,
        /// The process that is its init, as the agent sees it.
        pid: u32,
        /// What this node does not give of its plan and why, in words; unset where it gives all.
        degraded: Option<String>,
    },
    /// A container could not be started; nothing of it is left.
    LaunchFailed {
        /// The container of `Effect::Launch`.
        container: ContainerId,
        /// The chain of causes, for the task's status.
        message: String,
    },
    /// A container's init is gone and its status known.
    Exited {
        /// The container.
        container: ContainerId,
        /// How it ended.
        exit: Exit,
    },
    /// A probe of a check is over.
    Probed {
        /// The probe of `Effect::Probe`.
        probe: ProbeId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A call of an executor; answered by `Effect::Answer`.
    ExecutorCall {
        /// Named in the answer; of a SUBSCRIBE it names the stream of events, too.
        request: RequestId,
        /// The framework that the executor says it belongs to.
        framework_id: FrameworkId,
        /// Who it says it is.
        executor_id: ExecutorId,
        /// What its token says; unset where this agent asks for none.
        claims: Option<Claims>,
        /// What it says.
        call: ExecutorCall,
    },
    /// An executor's stream of events ended, from its side or because it does not read.
    ExecutorClosed {
        /// The request that opened it.
        stream: RequestId,
    },
    /// A call about a container; `Effect::Answer` answers it, unless the caller leaves.
    Container {
        /// Names the call in its answer.
        request: RequestId,
        /// Whom it is by.
        caller: Caller,
        /// What it asks for.
        call: ContainerCall,
    },
    /// The data of a volume can no longer be reached under its name.
    VolumeDestroyed {
        /// The volume of `Effect::DestroyVolume`.
        volume: VolumeName,
    },
    /// The containers were looked at, as `Effect::Look` asked.
    Looked(Looked),
    /// The agent is to end its work.
    Stop(Stop),
}

/// Why the agent is to end its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The machine goes down, or the process was told to end: the id is kept.
    Keep,
    /// The agent leaves the cluster (Mesos' SIGUSR1): it unregisters.
    Leave,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// What the task's first process ended with.
    pub status: ExitStatus,
    /// Set where it was ended because it took more than its limit.
    pub limit: Option<Limit>,
    /// What it was refused for lack of capabilities, as far as the kernel tells.
    pub lacks: Lacks,
}

/// What a container was ended for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The kernel killed in it because its memory limit was reached.
    Memory(MemoryLimit),
    /// It kept more on the disk than it asked for.
    Disk(DiskLimit),
}

/// What a process ended with, as wait(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit(2) with this code.
    Code(u8),
    /// A signal of this number ended it.
    Signal(u8),
    /// It is gone, and nobody can say how.
    Unknown,
}

/// The facts of a memory limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The cgroup's limit.
    pub limit_bytes: u64,
    /// The most it used.
    pub used_bytes_max: u64,
    /// `memory.stat` as text, one statistic a line; may be empty.
    pub statistics: String,
}

/// The facts of a limit of the disk that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimit {
    /// What it asked for.
    pub limit_bytes: u64,
    /// What it kept.
    pub used_bytes: u64,
}

/// What the master believes of the executor of a task that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is launched for this task, and counted from now on.
    New,
    /// It is counted already; where it is not here (any more), the task is dropped, and the master
    /// was told or is about to be.
    Running,
}

/// A frame of the master, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromMaster {
    /// The agent is admitted.
    Registered {
        /// Its id from now on.
        agent_id: AgentId,
        /// The silence after which it opens a new link.
        total_ping_timeout: Duration,
    },
    /// The agent is not admitted.
    Refused {
        /// Why, in the master's words.
        reason: String,
        /// Whether it may ask again.
        verdict: Verdict,
    },
    /// Asks for a pong.
    Ping {
        /// Returned in the pong.
        sequence: u64,
        /// Whether the master counts this agent as connected; if not, it registers again.
        standing: Standing,
    },
    /// A task to launch.
    RunTask {
        /// The framework it belongs to.
        framework: Framework,
        /// The task.
        task: TaskSpec,
        /// The version of the agent's resources that the master believed; empty where it does
        /// not say.
        resource_version: Vec<u8>,
        /// What the master believes of the task's executor.
        expected: Expected,
    },
    /// Tasks to launch in one executor, all or none.
    RunTaskGroup {
        /// The framework they belong to.
        framework: Framework,
        /// The tasks.
        tasks: Vec<TaskSpec>,
        /// As in `RunTask`.
        resource_version: Vec<u8>,
        /// As in `RunTask`.
        expected: Expected,
    },
    /// A task to kill.
    KillTask {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// The grace period of the call's kill policy.
        grace: Option<Duration>,
    },
    /// The scheduler has an update.
    AcknowledgeUpdate {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// The update.
        uuid: StatusUuid,
    },
    /// The framework is gone: its tasks are killed, its updates dropped.
    ShutdownFramework {
        /// The framework.
        framework_id: FrameworkId,
    },
    /// An executor to shut down.
    ShutdownExecutor {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
    },
    /// Tasks that the master believes to be here.
    ReconcileTasks {
        /// Each with its framework, and whether that knows the partition states.
        tasks: Vec<(FrameworkId, TaskId)>,
    },
    /// The agent must end its work.
    Shutdown {
        /// Why, in the master's words.
        reason: String,
    },
    /// The framework listens again: what waits for its acknowledgements is sent at once.
    FrameworkSubscribed {
        /// The framework.
        framework_id: FrameworkId,
    },
    /// An operation on this agent's resources.
    ApplyOperation {
        /// Which.
        operation: Operation,
        /// What it changes, or why it cannot be understood.
        change: Result<Change, String>,
        /// As in `RunTask`.
        resource_version: Vec<u8>,
    },
    /// The status of an operation is where it is wanted.
    AcknowledgeOperation {
        /// The operation.
        operation: OperationUuid,
        /// Its status.
        status: StatusUuid,
    },
    /// Operations that the master believes to be here.
    ReconcileOperations {
        /// Each without what it is about.
        operations: Vec<Operation>,
    },
    /// Something that a framework has for an executor.
    FrameworkMessage {
        /// The framework.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// What it has.
        data: Blob,
    },
    /// A framework describes itself anew.
    FrameworkUpdated {
        /// As it is from now on.
        framework: Framework,
    },
    /// The agent is to end its tasks and to take no new ones.
    DrainAgent(Drain),
}

/// An operation on an agent's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name on the link.
    pub uuid: OperationUuid,
    /// The framework it belongs to; none for an operator's.
    pub framework_id: Option<FrameworkId>,
    /// The name that its framework gave it.
    pub id: Option<String>,
    /// The whole `Offer.Operation`.
    pub info: Blob,
}

/// How an agent drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Bounds the grace period of every kill.
    pub max_grace: Option<Duration>,
    /// What is meant to follow.
    pub fate: Fate,
}

/// What becomes of an agent that is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It comes back some day.
    Stays,
    /// The master marks it gone.
    Gone,
}

/// Whether a refused agent may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may, after a while.
    Later,
    /// It never will be admitted under its id.
    Never,
}

/// What the master thinks of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The agent is registered.
    Connected,
    /// The agent must register again.
    Disconnected,
}

/// A framework as the agent knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// The whole `FrameworkInfo`.
    pub info: Blob,
    /// Whether it wants to hear TASK_KILLING (capability TASK_KILLING_STATE).
    pub killing: KillingState,
    /// Whether it tells the partition states apart.
    pub partition: PartitionAwareness,
    /// What becomes of its containers when the agent's program starts again.
    pub restarts: Restarts,
}

/// What becomes of a framework's containers when the agent's program starts again
/// (`FrameworkInfo.checkpoint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarts {
    /// They go on.
    Outlived,
    /// They are killed: as in Mesos, the master calls the tasks lost as soon as the agent is gone.
    Fatal,
}

/// Whether a framework has the TASK_KILLING_STATE capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillingState {
    /// It hears of kills under way.
    Told,
    /// It hears of their end only.
    Untold,
}

/// A task as the core decides by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its id.
    pub id: TaskId,
    /// Its executor.
    pub executor: ExecutorSpec,
    /// All tasks of its group, this one among them; empty for a task that came alone.
    pub group: Vec<TaskId>,
    /// The whole `TaskInfo`.
    pub info: Blob,
    /// The grace period of its own kill policy.
    pub kill_grace: Option<Duration>,
    /// `max_completion_time`.
    pub max_completion_time: Option<Duration>,
    /// How it is checked.
    pub checks: Checks,
    /// What it asks for that this agent cannot give, in the words of its status.
    pub unsupported: Option<String>,
    /// The reservations and volumes that operations made and it uses, allocated to nobody.
    pub held: Resources,
    /// What it was given of this node.
    pub allocation: Allocation,
}

/// An executor as the core decides by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorSpec {
    /// Its id; the task's own where Mesos would make a command executor for it.
    pub id: ExecutorId,
    /// Who runs its tasks.
    pub kind: ExecutorKind,
    /// The whole `ExecutorInfo`, as the API reports it.
    pub info: Blob,
    /// Its own `shutdown_grace_period`.
    pub shutdown_grace: Option<Duration>,
    /// What it was given of this node for itself; nothing where it exists in messages only.
    pub allocation: Allocation,
}

/// Who runs the tasks of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// The agent itself runs the one task; the executor exists in messages only.
    Command,
    /// A program of the framework, which speaks the executor API.
    Custom,
    /// The agent itself, each task in a container within the executor's (Mesos' DEFAULT).
    Default,
}
