//! Calls about containers, and what they are answered.

use alloc::string::String;

use model::{Blob, ContainerId};

use super::{REQUESTED_MAX, WAITERS_MAX};
use crate::event::ExitStatus;
use crate::executor::Ending;

/// One request of a caller, until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Whom a call is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Someone whom the agent's rules let do everything.
    Operator,
    /// An executor, by the token that it was given.
    Executor {
        /// Its container.
        container: ContainerId,
    },
}

impl Caller {
    /// Whether the caller may act on a container: an executor on what is nested in its own only
    /// (Mesos' implicit authorisation of executors).
    #[must_use]
    pub fn may(&self, container: &ContainerId) -> bool {
        match self {
            Self::Operator => true,
            Self::Executor { container: own } => container != own && container.is_within(own),
        }
    }
}

/// How a container relates to the one it is nested in; Mesos' `ContainerClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A container like any other.
    Default,
    /// A process in the namespaces and the cgroup of its parent, for a session or a check.
    Debug,
}

/// A container that a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// Its id.
    pub container: ContainerId,
    /// Its class.
    pub class: Class,
    /// The whole `agent.Call.LaunchContainer`.
    pub launch: Blob,
}

/// What a caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerCall {
    /// To start a container; answered when it runs.
    Launch(Requested),
    /// To hear of an end; answered when the container and all in it have ended.
    Wait {
        /// The container.
        container: ContainerId,
    },
    /// To send a signal.
    Kill {
        /// The container.
        container: ContainerId,
        /// As kill(2) takes it.
        signal: i32,
    },
    /// To remove what a container has left behind.
    Remove {
        /// The container.
        container: ContainerId,
    },
    /// To end a container and all in it; what a session's lost connection means.
    Destroy {
        /// The container.
        container: ContainerId,
    },
    /// Nobody listens for the answer of this request any more.
    Leave,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// A container of this id is there already, and nothing was done.
    AlreadyLaunched,
    /// The container has ended.
    Ended(Termination),
    /// It is not done.
    Refused(Refusal),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// What its process ended with; unknown where it never ran.
    pub status: ExitStatus,
    /// Set where something else than the process itself brought the end about.
    pub cause: Option<Ending>,
}

/// Why a call is not followed, in the words of Mesos where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller may not.
    #[error("this executor may act on containers nested in its own only")]
    Forbidden,
    /// Nobody knows the container.
    #[error("Container {0} cannot be found")]
    Unknown(ContainerId),
    /// Nobody knows the container that is to get a signal.
    #[error("Container '{0}' cannot be found (or is already killed)")]
    UnknownToKill(ContainerId),
    /// There is nothing to nest a container in.
    #[error("Parent container {0} does not exist")]
    NoParent(ContainerId),
    /// What a container is to be nested in does not run yet.
    #[error("Parent container {0} is not running yet")]
    ParentStarts(ContainerId),
    /// What a container is to be nested in ends.
    #[error("Parent container {0} is in 'DESTROYING' state")]
    ParentEnds(ContainerId),
    /// The launch went wrong.
    #[error("{0}")]
    Launch(String),
    /// The container has not ended.
    #[error("Nested container has not terminated yet")]
    Alive,
    /// The outermost container is not there any more.
    #[error("Unknown root container")]
    NoRoot,
    /// kill(2) knows no such signal.
    #[error("Unable to send signal to container: Invalid argument")]
    Signal,
    /// [`REQUESTED_MAX`] is reached.
    #[error("{REQUESTED_MAX} containers that were launched by calls are alive")]
    TooMany,
    /// [`WAITERS_MAX`] is reached.
    #[error("{WAITERS_MAX} calls wait for ends of containers")]
    TooManyWait,
    /// The agent ends its work.
    #[error("the agent is ending its work")]
    AgentEnds,
}

/// What is to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Starts a container.
    Launch(Requested),
    /// Sends a signal.
    Kill {
        /// The container.
        container: ContainerId,
        /// As kill(2) takes it.
        signal: i32,
    },
    /// Removes a container's sandbox.
    RemoveSandbox {
        /// The container.
        container: ContainerId,
    },
    /// Answers a request.
    Answer {
        /// The request.
        request: RequestId,
        /// What it hears.
        answer: Answer,
    },
}
