//! Effects: everything that the core can ask for, and the facts that it keeps.
//!
//! The shell carries effects out in order. A [`Effect::Store`] is durable before any later effect
//! of the same step is begun; several steps may share one write.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::{
    AgentId, Blob, ContainerId, ExecutorId, FrameworkId, OperationState, OperationUuid, Reason,
    Resources, Source, StatusUuid, TaskId, TaskState,
};

use crate::checks::{CheckStatus, Kind, ProbeId, Request};
use crate::containers::{self, RequestId, Requested};
use crate::event::{Drain, ExecutorKind, ExecutorSpec, Framework, Operation, TaskSpec};
use crate::executor::Doom;
use crate::executor_api::{ExecutorRefusal, Taken, ToExecutor};
use crate::holdings::VolumeName;
use crate::oversubscription::{Look, qos::Suffering};

/// One stream to the master; a later one has the greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// A moment on the wall clock: nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WallTime(pub u64);

/// Something to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To be durable before what follows.
    Store(Fact),
    /// Opens a stream to the master; answered by `LinkOpened` or `LinkClosed`.
    OpenLink {
        /// How the stream is called from now on.
        link: LinkId,
    },
    /// Ends a stream; no event answers.
    CloseLink {
        /// The stream.
        link: LinkId,
    },
    /// Sends a frame; lost without a word if the stream is gone.
    Send {
        /// The stream.
        link: LinkId,
        /// The epoch of the master it is for; 0 in Register.
        epoch: u64,
        /// The incarnation of this agent.
        incarnation: u64,
        /// What it says.
        frame: ToMaster,
    },
    /// Starts a container; answered by `Launched` or `LaunchFailed`, and by `Exited` after
    /// `Launched`.
    Launch {
        /// The container's id.
        container: ContainerId,
        /// Its framework.
        framework: Framework,
        /// What it is to run.
        start: Start,
    },
    /// The tasks in an executor's container are others now, and with them its limits.
    Resize {
        /// The container.
        container: ContainerId,
        /// The executor that runs in it.
        executor: ExecutorSpec,
        /// The tasks that the executor has.
        tasks: Vec<TaskSpec>,
    },
    /// Answers a request; each gets one answer.
    Answer {
        /// Which.
        request: RequestId,
        /// What came of it.
        answer: Answer,
    },
    /// Sends an event on an executor's stream; lost without a word if that is gone.
    ToExecutor {
        /// The request that opened it.
        stream: RequestId,
        /// What it says.
        event: ToExecutor,
    },
    /// Ends an executor's stream, after what was sent on it; no event answers.
    CloseExecutor {
        /// The request that opened it.
        stream: RequestId,
    },
    /// Starts a container that a call asks for; answered as `Launch` is.
    LaunchRequested(Requested),
    /// Removes the sandbox of a container that a call launched and that has ended; no event answers.
    RemoveSandbox {
        /// The container.
        container: ContainerId,
    },
    /// Signals every process of a container. One that is being started ends as soon as it can,
    /// with `LaunchFailed` where it never ran.
    Kill {
        /// The container.
        container: ContainerId,
        /// SIGTERM or SIGKILL.
        signal: Signal,
    },
    /// Probes the task of a container through its network; answered by `Probed`, unless the probe
    /// is ended before.
    Probe {
        /// What the answer names.
        probe: ProbeId,
        /// What is done.
        how: Request,
    },
    /// Ends a probe that may still be under way; nothing answers.
    EndProbe {
        /// The probe.
        probe: ProbeId,
    },
    /// A probe failed, whatever that leads to; for the log.
    ProbeFailed {
        /// The framework of the task.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// Which of its checks.
        kind: Kind,
        /// Why.
        why: String,
    },
    /// Makes the directory of a volume, empty, whatever was left under its name.
    CreateVolume {
        /// The volume.
        volume: VolumeName,
    },
    /// Takes the data of a volume away; answered by `VolumeDestroyed`.
    DestroyVolume {
        /// The volume.
        volume: VolumeName,
    },
    /// An operation was applied or refused; for the log.
    OperationEnded {
        /// The operation.
        operation: Operation,
        /// What became of it.
        status: OperationStatus,
    },
    /// Looks at the containers; answered by `Looked`.
    Look(Look),
    /// A revocable container is ended, since another one waits for what it takes; for the log.
    Preempted {
        /// The container.
        container: ContainerId,
        /// Who waits, and what for.
        suffering: Suffering,
    },
    /// A task has a new state; for the log.
    TaskChanged {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The new state, in full.
        status: Status,
    },
    /// An executor has come to another stage of its life; for the log.
    ExecutorChanged {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// Its container.
        container: ContainerId,
        /// What happened to it.
        change: &'static str,
    },
    /// An event that the core did not follow, and why; for the log.
    Ignored {
        /// What and why.
        why: String,
    },
    /// The agent is registered; for the log and for whoever waits for it.
    Registered {
        /// Its id.
        agent_id: AgentId,
    },
    /// The agent has ended its work.
    End {
        /// Why.
        end: End,
    },
}

/// What a container is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The command of a task.
    Command {
        /// The task.
        task: TaskSpec,
    },
    /// A framework's executor.
    Executor {
        /// The executor.
        executor: ExecutorSpec,
        /// The tasks that wait for it, whose resources are its container's.
        tasks: Vec<TaskSpec>,
    },
    /// Nothing: it holds what the containers within it share.
    Pod {
        /// The executor that it stands for.
        executor: ExecutorSpec,
        /// The tasks that wait for it.
        tasks: Vec<TaskSpec>,
    },
    /// The command of a task, within the container of its pod, which is its parent.
    Nested {
        /// The task.
        task: TaskSpec,
    },
    /// A command that checks a task, among the task's own processes; the task's container is its
    /// parent.
    Check {
        /// The task.
        task: TaskSpec,
        /// The whole `CommandInfo`.
        command: Blob,
    },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A call of an executor.
    Executor(Result<Taken, ExecutorRefusal>),
    /// A call about a container.
    Container(containers::Answer),
}

/// Why the agent has ended its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was stopped from outside.
    Stopped,
    /// The master said so, in these words.
    Refused(String),
}

/// The signal of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: the task may end by itself.
    Terminate,
    /// SIGKILL to everything in the container's cgroup.
    Kill,
    /// Another one, as kill(2) takes it; it ends no launch.
    Other(i32),
}

/// A frame to the master, to be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToMaster {
    /// Asks for admission; what the agent is, the shell adds.
    Register(Register),
    /// Answers a ping.
    Pong {
        /// The ping's number.
        sequence: u64,
    },
    /// A status update.
    Update {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The update.
        status: Status,
        /// The newest state of the task.
        latest: TaskState,
    },
    /// What became of an operation.
    OperationUpdate {
        /// The operation.
        operation: Operation,
        /// What became of it.
        status: OperationStatus,
        /// What the agent has, where the operation was not applied.
        total: Option<Resources>,
    },
    /// An executor's container is gone.
    ExecutorExited {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// As wait(2) encodes it; -1 where nobody can say.
        wait_status: i32,
    },
    /// Something that an executor has for its framework.
    ExecutorMessage {
        /// The framework.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// What it has.
        data: Blob,
    },
    /// What may be given out twice, from now on.
    Oversubscribed {
        /// All of it.
        revocable: Resources,
    },
    /// The agent will not come back.
    Unregister,
}

/// Everything that is alive here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Unset at the first registration.
    pub agent_id: Option<AgentId>,
    /// Every framework with a task here.
    pub frameworks: Vec<Blob>,
    /// Every executor that has a container.
    pub executors: Vec<RunningExecutor>,
    /// Every task that is not ended and acknowledged.
    pub tasks: Vec<Running>,
    /// Every operation whose status is not acknowledged.
    pub operations: Vec<(Operation, OperationStatus)>,
    /// What the agent has, as operations left it.
    pub total: Resources,
    /// What may be given out twice.
    pub oversubscribed: Resources,
    /// Set while it drains.
    pub drain: Option<Drain>,
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationStatus {
    /// `Finished`, `Error` or `Dropped`.
    pub state: OperationState,
    /// Names it in the acknowledgement; unset where none is wanted.
    pub uuid: Option<StatusUuid>,
    /// Why, in words.
    pub message: Option<String>,
}

/// An executor that has a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningExecutor {
    /// The framework it belongs to.
    pub framework_id: FrameworkId,
    /// The executor.
    pub executor: ExecutorSpec,
    /// Its container.
    pub container: ContainerId,
}

/// A task that is alive here, or whose end waits for its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The framework it belongs to.
    pub framework_id: FrameworkId,
    /// Its executor.
    pub executor_id: ExecutorId,
    /// Who runs it.
    pub kind: ExecutorKind,
    /// The whole `TaskInfo`.
    pub task: Blob,
    /// The newest state.
    pub state: TaskState,
    /// The newest update.
    pub status: Option<Status>,
}

/// One status update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The task.
    pub task_id: TaskId,
    /// Its executor; unset where the task never had one.
    pub executor_id: Option<ExecutorId>,
    /// The state it reports.
    pub state: TaskState,
    /// Who made it.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// Why, in words.
    pub message: Option<String>,
    /// Names it in the acknowledgement.
    pub uuid: StatusUuid,
    /// When it was made.
    pub timestamp: WallTime,
    /// The container it speaks of.
    pub container: Option<ContainerId>,
    /// The container's init, as the agent sees it.
    pub pid: Option<u32>,
    /// The limit that was passed.
    pub limitation: Option<Limitation>,
    /// What its health check says of it.
    pub healthy: Option<bool>,
    /// The last result of its check, where it has one.
    pub check: Option<CheckStatus>,
    /// What the node does not give of the container's plan and why, in words.
    pub degraded: Option<String>,
    /// The whole `TaskStatus` as an executor made it; what stands here comes before what it says.
    pub given: Option<Blob>,
}

/// A limit that a container passed, in bytes; by its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limitation {
    /// Of memory.
    Memory(u64),
    /// Of the disk.
    Disk(u64),
}

/// When something that has begun must be over, as the checkpoint keeps it: the clock of the core begins
/// anew with each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: WallTime,
    /// How long before that it began; what is left is never more, wherever the date was set to.
    pub of: Duration,
}

impl Deadline {
    /// That much from now.
    #[must_use]
    pub fn after(now: WallTime, of: Duration) -> Self {
        let nanos = u64::try_from(of.as_nanos()).unwrap_or(u64::MAX);
        Self {
            at: WallTime(now.0.saturating_add(nanos)),
            of,
        }
    }

    /// What is left of it.
    #[must_use]
    pub fn left(self, now: WallTime) -> Duration {
        Duration::from_nanos(self.at.0.saturating_sub(now.0)).min(self.of)
    }
}

/// What the checkpoint keeps: each fact applied in order gives the state back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The agent process started for the n-th time on this work directory.
    Started {
        /// n, 1 at the first.
        incarnation: u64,
    },
    /// The agent has an id.
    Admitted {
        /// Its id.
        agent_id: AgentId,
    },
    /// The agent's id is void, and everything under it.
    Expelled,
    /// An executor of a framework is wanted; those of command tasks are none of these.
    Executor {
        /// Its framework.
        framework: Framework,
        /// The executor.
        executor: ExecutorSpec,
        /// Its container.
        container: ContainerId,
    },
    /// An executor's container is gone.
    ExecutorEnded {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
    },
    /// A task arrived.
    Task {
        /// Its framework.
        framework: Framework,
        /// The task.
        task: TaskSpec,
        /// Its container; unset where it will never have one.
        container: Option<ContainerId>,
    },
    /// A task that the agent runs itself is to end.
    Killing {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// Why.
        doom: Doom,
        /// How long it may take.
        deadline: Deadline,
    },
    /// An executor was told to end.
    ExecutorEnding {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// How long it may take.
        deadline: Deadline,
    },
    /// A status update was made.
    Update {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The update.
        status: Status,
    },
    /// A status update was acknowledged.
    Acknowledged {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// The update.
        uuid: StatusUuid,
    },
    /// A task of a framework that is gone ended; nobody is told.
    Forgotten {
        /// The framework it belongs to.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
    },
    /// A framework was shut down: its tasks are to be killed and nobody is told.
    FrameworkGone {
        /// The framework.
        framework_id: FrameworkId,
    },
    /// A framework describes itself anew.
    FrameworkUpdated {
        /// As it is from then on.
        framework: Framework,
    },
    /// An operation was applied or refused.
    Operation {
        /// The operation.
        operation: Operation,
        /// What became of it.
        status: OperationStatus,
        /// The reservations and volumes from then on, where it was applied.
        kept: Option<Resources>,
    },
    /// The status of an operation was acknowledged.
    OperationAcknowledged {
        /// The operation.
        operation: OperationUuid,
    },
    /// The reservations and volumes of this agent.
    Kept {
        /// All of them.
        kept: Resources,
        /// Destroyed volumes whose data may still be there.
        doomed: Vec<VolumeName>,
    },
    /// The data of a destroyed volume is no longer there.
    VolumeDestroyed {
        /// The volume.
        volume: VolumeName,
    },
    /// The agent drains, or is drained.
    Draining(Option<Drain>),
}
