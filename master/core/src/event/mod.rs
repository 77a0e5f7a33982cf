//! What happens to the master and what it wants done: the whole border between core and shell.
//!
//! The shell decodes messages into these types and encodes these types into messages. What the core
//! does not look into rides along as a [`Blob`]: the wire bytes of the v1 message named beside it.
//! Ids that come from frameworks are texts until the core has checked them, since an invalid one
//! must be answered under the same text.

mod agent;
mod call;
mod constraints;
mod effect;
mod framework;
mod operation;
mod operator;
mod watch;

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::{AgentId, Blob, FrameworkId};

pub use agent::{
    AgentFacts, AgentMessage, AgentUpdate, MasterMessage, Registration, RunningExecutor,
    RunningTask,
};
pub use call::{Call, ExecutorKind, ExecutorSpec, Launch, LaunchGroup, LaunchTask, Operation};
pub use constraints::{
    AgentAttributes, AttributeConstraint, OfferConstraints, Predicate, Selector,
};
pub use effect::{Effect, Note, RegistryChange};
pub use framework::{
    Capabilities, Capability, FrameworkEvent, FrameworkInfo, Offer, Status, Subscription,
};
pub use operation::{
    OperationInfo, OperationQuery, OperationStatus, OperationUpdate, ReportedOperation,
    ResourceOperation,
};
pub use operator::{Answer, ClusterEntry, OperatorCall, QuotaConfig, RequestId};
pub use watch::Change;

/// A text that is cheap to clone.
pub type Text = Arc<str>;

/// The event stream of one SUBSCRIBE, numbered by the shell; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The link of one agent, numbered by the shell in the order in which they are opened; never used
/// twice.
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
    /// An operator wants something changed; answered by [`Effect::Answer`].
    Operate {
        /// The request.
        request: RequestId,
        /// Who asks, where authenticated.
        principal: Option<Text>,
        /// What for.
        call: OperatorCall,
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
    /// Agents that are gone, and since when.
    pub gone: Vec<(AgentId, WallTime)>,
    /// All else that operators set.
    pub cluster: Vec<ClusterEntry>,
}
