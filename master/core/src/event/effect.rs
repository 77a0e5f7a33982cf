//! Effects: what is to be done, in order; stores before sends.

use alloc::string::String;

use model::resources::Role;
use model::{AgentId, Blob, FrameworkId, Reason, TaskId, TaskState};

use super::{
    Answer, Change, ClusterEntry, FrameworkEvent, LinkId, MasterMessage, RequestId, StoreId,
    StreamId, WallTime,
};
use alloc::vec::Vec;

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
    /// Answer a request of an operator.
    Answer {
        /// Which.
        request: RequestId,
        /// What became of it.
        answer: Answer,
    },
    /// Tell operators who watch the cluster.
    Publish(Change),
    /// Something to log.
    Note(Note),
}

/// One change to the registry, durable as a whole or not at all.
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
    /// An agent is gone for good, and with it what operators set about it.
    MarkGone {
        /// Which.
        agent_id: AgentId,
        /// Since when.
        since: WallTime,
    },
    /// Operators' settings, in order.
    Cluster(Vec<ClusterEntry>),
    /// An agent will not come back, or has been unreachable, or gone, for too long to be remembered;
    /// what operators set about it is forgotten too.
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
    /// A role has a new quota or weight.
    Role {
        /// Which.
        role: Role,
        /// What was set, as in `quota cpus:1 within cpus:2`.
        change: String,
    },
    /// A call or a frame had no effect.
    Dropped {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}
