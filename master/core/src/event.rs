//! What happens to the master and what it wants done: the whole border between core and shell.
//!
//! The shell decodes messages into these types and encodes these types into messages. What the core
//! does not look into rides along as a [`Blob`]: the wire bytes of the v1 message named beside it.
//! Ids that come from frameworks are texts until the core has checked them, since an invalid one
//! must be answered under the same text.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{InvalidResource, Quantities, Resource, Role};
use model::{
    AgentId, Blob, ExecutorId, FrameworkId, OfferId, Reason, Resources, StatusUuid, TaskId,
    TaskState,
};

/// A text that is cheap to clone.
pub type Text = Arc<str>;

/// The event stream of one SUBSCRIBE, numbered by the shell; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The link of one agent, numbered by the shell; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One write to the registry, numbered by the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

/// Nanoseconds since the Unix epoch. The core adds its clock to the epoch given at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(pub u64);

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Nothing but time passing; wanted at [`crate::Master::deadline`].
    Tick,
    /// The registry was read; the first event of a master's life. Agents are admitted after it.
    Recovered(Registry),
    /// A SUBSCRIBE passed the checks of HTTP; its stream is open and empty.
    Subscribe {
        /// The stream on which events go.
        stream: StreamId,
        /// The call.
        subscription: Subscription,
    },
    /// A stream's connection ended, from the other side or by an effect of ours.
    StreamClosed {
        /// The stream.
        stream: StreamId,
    },
    /// Another call, whose framework and stream the shell found current by
    /// [`crate::Master::connection`].
    Call {
        /// Who calls.
        framework_id: FrameworkId,
        /// What for.
        call: Call,
    },
    /// The first frame of a new link.
    Register {
        /// The link.
        link: LinkId,
        /// The frame's incarnation.
        incarnation: u64,
        /// The frame's body.
        registration: Registration,
    },
    /// A later frame of a link.
    AgentFrame {
        /// The link.
        link: LinkId,
        /// The frame's epoch.
        epoch: u64,
        /// The frame's incarnation.
        incarnation: u64,
        /// The frame's body.
        message: AgentMessage,
    },
    /// A link ended, from the other side or by an effect of ours.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// A write to the registry is durable.
    RegistryStored {
        /// Which.
        store: StoreId,
    },
}

/// What the registry held at the start of this master.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Agents admitted and not given up, with their AgentInfo.
    pub admitted: Vec<(AgentId, Blob)>,
    /// Agents given up as unreachable, and when.
    pub unreachable: Vec<(AgentId, WallTime)>,
}

/// A SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Who subscribes.
    pub framework: FrameworkInfo,
    /// `suppressed_roles`.
    pub suppressed_roles: Vec<Text>,
}

/// The fields of a FrameworkInfo that the core decides by.
#[derive(Debug, Clone)]
pub struct FrameworkInfo {
    /// `id`, where set and not empty.
    pub id: Option<FrameworkId>,
    /// `name`.
    pub name: Text,
    /// `user`.
    pub user: Text,
    /// `principal`.
    pub principal: Option<Text>,
    /// `role`, where set.
    pub role: Option<Text>,
    /// `roles`.
    pub roles: Vec<Text>,
    /// `capabilities`.
    pub capabilities: Capabilities,
    /// `checkpoint`.
    pub checkpoint: bool,
    /// `failover_timeout`, seconds.
    pub failover_timeout_secs: f64,
    /// `offer_filters`: for a role, the alternatives of its minimum.
    pub min_allocatable: BTreeMap<Text, Vec<Quantities>>,
    /// The whole FrameworkInfo; its `id` may be unset, see [`FrameworkInfo::id`].
    pub info: Blob,
}

/// What a framework can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Uses resources that may be taken back.
    RevocableResources = 1,
    /// Knows TASK_KILLING.
    TaskKillingState = 2,
    /// Wants agents with GPUs.
    GpuResources = 3,
    /// Uses shared volumes.
    SharedResources = 4,
    /// Knows the states of partitioned tasks.
    PartitionAware = 5,
    /// Has any number of roles.
    MultiRole = 6,
    /// Knows stacks of reservations.
    ReservationRefinement = 7,
    /// Wants agents of other regions.
    RegionAware = 8,
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Whether `capability` is in the set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u16) != 0
    }

    /// The set of the capabilities with these numbers; numbers this version does not know are left
    /// out.
    #[must_use]
    pub fn from_numbers(numbers: impl IntoIterator<Item = i32>) -> Self {
        let bits = numbers.into_iter().filter(|n| (1..=8).contains(n));
        Self(bits.fold(0, |all, number| all | 1 << number))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(iter: I) -> Self {
        Self::from_numbers(iter.into_iter().map(|capability| capability as i32))
    }
}

/// A call of the scheduler API other than SUBSCRIBE.
#[derive(Debug, Clone)]
pub enum Call {
    /// TEARDOWN.
    Teardown,
    /// ACCEPT.
    Accept {
        /// `offer_ids`.
        offer_ids: Vec<Text>,
        /// `operations`.
        operations: Vec<Operation>,
        /// `filters.refuse_seconds`, where set.
        refuse_seconds: Option<f64>,
    },
    /// DECLINE.
    Decline {
        /// `offer_ids`.
        offer_ids: Vec<Text>,
        /// `filters.refuse_seconds`, where set.
        refuse_seconds: Option<f64>,
    },
    /// REVIVE.
    Revive {
        /// `roles`; none for all.
        roles: Vec<Text>,
    },
    /// SUPPRESS.
    Suppress {
        /// `roles`; none for all.
        roles: Vec<Text>,
    },
    /// KILL.
    Kill {
        /// `task_id`.
        task_id: Text,
        /// `agent_id`, where set.
        agent_id: Option<Text>,
        /// `kill_policy`, a KillPolicy, where set.
        kill_policy: Option<Blob>,
    },
    /// SHUTDOWN.
    Shutdown {
        /// `executor_id`.
        executor_id: Text,
        /// `agent_id`.
        agent_id: Text,
    },
    /// ACKNOWLEDGE.
    Acknowledge {
        /// `agent_id`.
        agent_id: Text,
        /// `task_id`.
        task_id: Text,
        /// `uuid`.
        uuid: StatusUuid,
    },
    /// RECONCILE.
    Reconcile {
        /// `tasks`: task, and agent where set; none for all that the master knows.
        tasks: Vec<(Text, Option<Text>)>,
    },
    /// MESSAGE.
    Message {
        /// `agent_id`.
        agent_id: Text,
        /// `executor_id`.
        executor_id: Text,
        /// `data`.
        data: Blob,
    },
    /// REQUEST.
    Request,
}

/// One operation of an ACCEPT.
#[derive(Debug, Clone)]
pub enum Operation {
    /// LAUNCH.
    Launch {
        /// `task_infos`.
        tasks: Vec<LaunchTask>,
    },
    /// LAUNCH_GROUP, which this master does not carry out yet: each task ends in TASK_ERROR.
    LaunchGroup {
        /// The tasks' ids.
        task_ids: Vec<Text>,
    },
    /// Any other operation, which this master does not carry out yet.
    Other {
        /// `id`, where set: the framework is told the outcome.
        id: Option<Text>,
        /// The operation's name, as in `RESERVE`.
        name: &'static str,
    },
}

/// The fields of a TaskInfo that the core decides by.
#[derive(Debug, Clone)]
pub struct LaunchTask {
    /// `task_id`.
    pub task_id: Text,
    /// `name`.
    pub name: Text,
    /// `agent_id`.
    pub agent_id: Text,
    /// `resources` as the framework gave them, or the first that is malformed.
    pub resources: Result<Vec<Resource>, InvalidResource>,
    /// Whether `command` is set.
    pub has_command: bool,
    /// `executor`.
    pub executor: Option<ExecutorSpec>,
    /// `kill_policy.grace_period`, nanoseconds, where set.
    pub kill_grace_ns: Option<i64>,
    /// `max_completion_time`, nanoseconds, where set.
    pub max_completion_ns: Option<i64>,
    /// What is wrong with `check` or `health_check`, in Mesos' words.
    pub check_fault: Option<String>,
    /// What is wrong with `command` or `container`, in Mesos' words.
    pub content_fault: Option<String>,
    /// The whole TaskInfo.
    pub info: Blob,
}

/// The fields of an ExecutorInfo that the core decides by.
#[derive(Debug, Clone)]
pub struct ExecutorSpec {
    /// `executor_id`.
    pub executor_id: Text,
    /// `framework_id`, where set.
    pub framework_id: Option<Text>,
    /// `type`.
    pub kind: ExecutorKind,
    /// Whether `command` is set.
    pub has_command: bool,
    /// `resources`, or the first that is malformed.
    pub resources: Result<Vec<Resource>, InvalidResource>,
    /// `shutdown_grace_period`, nanoseconds, where set.
    pub shutdown_grace_ns: Option<i64>,
    /// The whole ExecutorInfo.
    pub info: Blob,
}

/// `ExecutorInfo.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// Not set, or a value this version does not know.
    Unknown,
    /// DEFAULT.
    Default,
    /// CUSTOM.
    Custom,
}

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
    /// `AgentInfo.resources`, its total.
    pub resources: Resources,
    /// Changes whenever the total does.
    pub resource_version: Blob,
    /// The whole AgentInfo; its `id` may be unset.
    pub info: Blob,
    /// The frameworks with executors or tasks there.
    pub frameworks: Vec<FrameworkInfo>,
    /// The executors alive there.
    pub executors: Vec<RunningExecutor>,
    /// The tasks there that the agent has not forgotten.
    pub tasks: Vec<RunningTask>,
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
    /// An executor ended.
    ExecutorExited {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its id.
        executor_id: ExecutorId,
        /// As wait(2) encodes it.
        wait_status: i32,
    },
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
    /// `status.reason`, where set.
    pub reason: Option<Reason>,
    /// The whole TaskStatus, forwarded unchanged.
    pub status: Blob,
}

/// What is to be done, in order; stores before sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write an event to a stream.
    Send {
        /// The stream.
        stream: StreamId,
        /// The event.
        event: FrameworkEvent,
    },
    /// End a stream with its last chunk, after what was sent before.
    CloseStream {
        /// The stream.
        stream: StreamId,
    },
    /// Send a frame to an agent.
    ToAgent {
        /// Its link.
        link: LinkId,
        /// The frame's epoch.
        epoch: u64,
        /// The frame's incarnation.
        incarnation: u64,
        /// The frame's body.
        message: MasterMessage,
    },
    /// End a link, after what was sent before.
    CloseLink {
        /// The link.
        link: LinkId,
    },
    /// Change the registry, and answer with [`Event::RegistryStored`] when it is durable.
    Store {
        /// The number to answer with.
        store: StoreId,
        /// The change.
        change: RegistryChange,
    },
    /// Something to log.
    Note(Note),
}

/// An event of the scheduler API.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameworkEvent {
    /// SUBSCRIBED; the shell adds MasterInfo.
    Subscribed {
        /// The framework's id.
        framework_id: FrameworkId,
        /// `heartbeat_interval_seconds`.
        heartbeat: Duration,
    },
    /// HEARTBEAT.
    Heartbeat,
    /// OFFERS, all of one allocation.
    Offers {
        /// The offers.
        offers: Vec<Arc<Offer>>,
        /// What the framework understands: whether `allocation_info` and stacks of reservations
        /// may be shown to it.
        capabilities: Capabilities,
    },
    /// RESCIND.
    Rescind {
        /// The offer.
        offer_id: OfferId,
    },
    /// UPDATE with an agent's status, unchanged.
    Relayed {
        /// The TaskStatus.
        status: Blob,
    },
    /// UPDATE with a status of the master's own.
    Made(Status),
    /// UPDATE_OPERATION_STATUS with OPERATION_ERROR and no uuid.
    OperationError {
        /// The operation.
        operation_id: Text,
        /// Why.
        message: String,
    },
    /// FAILURE of an agent, or of one executor there.
    Failure {
        /// The agent.
        agent_id: AgentId,
        /// The executor and how it ended, as wait(2) encodes it.
        executor: Option<(ExecutorId, i32)>,
    },
    /// ERROR.
    Error {
        /// Why.
        message: String,
    },
}

/// A task status that the master makes itself: SOURCE_MASTER, and no uuid, so that nobody
/// acknowledges it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The task.
    pub task_id: Text,
    /// Its agent, where known.
    pub agent_id: Option<Text>,
    /// Its executor, where known.
    pub executor_id: Option<ExecutorId>,
    /// The state, as this framework may see it.
    pub state: TaskState,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    pub message: String,
    /// When it was made.
    pub timestamp: WallTime,
    /// Since when its agent does not answer.
    pub unreachable_time: Option<WallTime>,
    /// The agent's newest TaskStatus: `healthy`, `check_status`, `container_status` and
    /// `executor_id` carry over from it.
    pub base: Option<Blob>,
}

/// Resources of one agent held out to one framework in one role.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// Of which agent.
    pub agent_id: AgentId,
    /// For which role; the resources carry it as their allocation role.
    pub role: Role,
    /// What.
    pub resources: Resources,
    /// The framework's executors there.
    pub executor_ids: Vec<ExecutorId>,
    /// What else the message tells of the agent.
    pub agent: Arc<AgentFacts>,
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
    /// The whole AgentInfo; its `id` may be unset.
    pub info: Blob,
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
}

/// One change to the registry; each touches one key.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistryChange {
    /// An agent is admitted, for the first time, again after it was unreachable, or with a new
    /// AgentInfo.
    Admit {
        /// Which.
        agent_id: AgentId,
        /// Its AgentInfo.
        info: Blob,
    },
    /// An agent does not answer.
    MarkUnreachable {
        /// Which.
        agent_id: AgentId,
        /// Since when.
        since: WallTime,
    },
    /// An agent will not come back, or has been unreachable for too long to be remembered.
    Remove {
        /// Which.
        agent_id: AgentId,
    },
}

/// A change of state or a dropped message, for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A framework has a new state.
    Framework {
        /// Which.
        framework_id: FrameworkId,
        /// What happened to it.
        change: &'static str,
    },
    /// An agent has a new state.
    Agent {
        /// Which.
        agent_id: AgentId,
        /// What happened to it.
        change: &'static str,
    },
    /// A task has a new state.
    Task {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
        /// Where.
        agent_id: AgentId,
        /// The state before.
        from: TaskState,
        /// The state now.
        to: TaskState,
        /// Why.
        reason: Option<Reason>,
    },
    /// A call or a frame had no effect.
    Dropped {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}
