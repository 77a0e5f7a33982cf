//! Operations on resources at the border: as frameworks and operators ask for them, as agents answer.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::{Change, ChangeKind};
use model::{FrameworkId, OperationState, OperationUuid, Resources, StatusUuid};

use super::Text;

/// RESERVE to DESTROY_DISK of an ACCEPT.
#[derive(Debug, Clone)]
pub struct ResourceOperation {
    /// `id`, where set: the framework is told the outcome.
    pub id: Option<Text>,
    /// `type`.
    pub kind: ChangeKind,
    /// What it asks for, or why it asks for nothing, in Mesos' words.
    pub change: Result<Change, String>,
}

/// An operation as it is carried out; an Offer.Operation.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationInfo {
    /// `id`, where the framework gave one.
    pub id: Option<Text>,
    /// What it does.
    pub change: Change,
}

/// An OperationStatus.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationStatus {
    /// `operation_id`, where the framework gave one.
    pub operation_id: Option<Text>,
    /// `state`.
    pub state: OperationState,
    /// `message`.
    pub message: Option<String>,
    /// `converted_resources`.
    pub converted: Resources,
    /// `uuid`: set where an acknowledgement is wanted.
    pub uuid: Option<StatusUuid>,
    /// `agent_id`, where known.
    pub agent_id: Option<Text>,
    /// `resource_provider_id`, where there is one.
    pub provider_id: Option<Text>,
}

impl OperationStatus {
    /// A status of the master's own, which nobody acknowledges.
    #[must_use]
    pub const fn new(operation_id: Option<Text>, state: OperationState) -> Self {
        Self {
            operation_id,
            state,
            message: None,
            converted: Resources::new(),
            uuid: None,
            agent_id: None,
            provider_id: None,
        }
    }
}

/// An agent's word on an operation.
#[derive(Debug, Clone)]
pub struct OperationUpdate {
    /// Which.
    pub uuid: OperationUuid,
    /// What became of it.
    pub status: OperationStatus,
    /// What the agent has where it did not carry the operation out.
    pub total: Option<Resources>,
}

/// An operation that an agent tells of.
#[derive(Debug, Clone)]
pub struct ReportedOperation {
    /// Which.
    pub uuid: OperationUuid,
    /// Whose; none for an operator's.
    pub framework_id: Option<FrameworkId>,
    /// What it does.
    pub info: Arc<OperationInfo>,
    /// What the agent knows last.
    pub latest: OperationStatus,
    /// What it told, the oldest first.
    pub statuses: Vec<OperationStatus>,
}

/// An operation that a framework asks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationQuery {
    /// `operation_id`.
    pub operation_id: Text,
    /// `agent_id`, where set.
    pub agent_id: Option<Text>,
    /// `resource_provider_id`, where set.
    pub provider_id: Option<Text>,
}
