//! Frameworks at the border: what they subscribe with, and the events they are sent.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Role;
use model::{
    AgentId, Blob, ExecutorId, FrameworkId, IdError, OfferId, Reason, Resources, TaskState,
};

use super::{AgentFacts, OfferConstraints, OperationStatus, Text, WallTime};
use crate::maintenance::{InverseOffer, Unavailability};

/// A SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Who subscribes.
    pub framework: FrameworkInfo,
    /// `suppressed_roles`.
    pub suppressed_roles: Vec<Text>,
    /// `offer_constraints`.
    pub offer_constraints: OfferConstraints,
}

/// The fields of a FrameworkInfo that the core decides by.
#[derive(Debug, Clone)]
pub struct FrameworkInfo {
    /// `id`, where set and not empty.
    pub id: Option<FrameworkId>,
    /// Why `id` is none, where it is set to what no framework can have.
    pub id_fault: Option<IdError>,
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
    /// `offer_filters`: for a role, the alternatives of its minimum, each with amounts by name.
    pub min_allocatable: BTreeMap<Text, Vec<BTreeMap<Text, f64>>>,
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
    /// INVERSE_OFFERS.
    InverseOffers {
        /// The inverse offers.
        offers: Vec<Arc<InverseOffer>>,
    },
    /// RESCIND_INVERSE_OFFER.
    RescindInverseOffer {
        /// The inverse offer.
        inverse_offer_id: OfferId,
    },
    /// UPDATE with an agent's status, unchanged.
    Relayed {
        /// The TaskStatus.
        status: Blob,
    },
    /// UPDATE with a status of the master's own.
    Made(Status),
    /// MESSAGE.
    Message {
        /// The agent.
        agent_id: AgentId,
        /// The executor.
        executor_id: ExecutorId,
        /// What it says.
        data: Blob,
    },
    /// UPDATE_OPERATION_STATUS.
    OperationStatus(OperationStatus),
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
    /// When the agent will be away, where that is planned.
    pub unavailability: Option<Unavailability>,
    /// What else the message tells of the agent.
    pub agent: Arc<AgentFacts>,
}
