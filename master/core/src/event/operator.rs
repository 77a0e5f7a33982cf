//! Requests of operators at the border: what they change, and how they are answered.
//!
//! A request that must outlive this master is answered when the registry has it.

use alloc::string::String;
use alloc::vec::Vec;

use model::AgentId;
use model::resources::{Change, InvalidResource, Resource, Role};

use super::Text;
use crate::draining::{DrainConfig, DrainInfo};
use crate::maintenance::{Machine, Plan, Schedule};
use crate::quota::Quota;

/// One request of an operator, numbered by the shell; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What an operator wants done. The shell has checked the form; whether it can be done is the core's
/// question.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorCall {
    /// RESERVE_RESOURCES to SHRINK_VOLUME.
    ChangeResources {
        /// `agent_id`.
        agent_id: Text,
        /// What is asked for, or why that is nothing, in Mesos' words.
        change: Result<Change, String>,
    },
    /// TEARDOWN.
    Teardown {
        /// `framework_id`.
        framework_id: Text,
    },
    /// UPDATE_MAINTENANCE_SCHEDULE.
    UpdateMaintenanceSchedule {
        /// `schedule`.
        schedule: Schedule,
    },
    /// START_MAINTENANCE.
    StartMaintenance {
        /// `machines`.
        machines: Vec<Machine>,
    },
    /// STOP_MAINTENANCE.
    StopMaintenance {
        /// `machines`.
        machines: Vec<Machine>,
    },
    /// DRAIN_AGENT.
    DrainAgent {
        /// `agent_id`.
        agent_id: Text,
        /// How.
        config: DrainConfig,
    },
    /// DEACTIVATE_AGENT.
    DeactivateAgent {
        /// `agent_id`.
        agent_id: Text,
    },
    /// REACTIVATE_AGENT.
    ReactivateAgent {
        /// `agent_id`.
        agent_id: Text,
    },
    /// MARK_AGENT_GONE.
    MarkAgentGone {
        /// `agent_id`.
        agent_id: Text,
    },
    /// UPDATE_QUOTA: all or none.
    UpdateQuota {
        /// `quota_configs`.
        configs: Vec<QuotaConfig>,
        /// Whether the cluster need not have what is guaranteed, nor limits cover what is in use.
        force: bool,
    },
    /// SET_QUOTA, for a role that has none.
    SetQuota {
        /// `role`.
        role: Option<Text>,
        /// `guarantee` as given, or the first that is malformed.
        guarantee: Result<Vec<Resource>, InvalidResource>,
        /// Whether the cluster need not have what is guaranteed.
        force: bool,
    },
    /// REMOVE_QUOTA.
    RemoveQuota {
        /// `role`.
        role: Text,
        /// The path that the role was part of, where it was.
        path: Option<Text>,
    },
    /// UPDATE_WEIGHTS: all or none.
    UpdateWeights {
        /// Roles and their weights.
        weights: Vec<(Text, f64)>,
    },
}

/// A `QuotaConfig`, amounts by name as they were given.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaConfig {
    /// `role`.
    pub role: Text,
    /// `guarantees`.
    pub guarantees: Vec<(Text, f64)>,
    /// `limits`.
    pub limits: Vec<(Text, f64)>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done: 200.
    Ok,
    /// It is on its way: 202.
    Accepted,
    /// It cannot be done: 400.
    BadRequest(String),
    /// This principal may not: 403.
    Forbidden(String),
    /// There is nothing of that name: 404.
    NotFound(String),
    /// The state of the cluster does not allow it now: 409.
    Conflict(String),
    /// The master cannot do it now: 503.
    Unavailable(String),
}

/// One entry of the registry about the cluster as a whole, or about an agent beyond its admission.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterEntry {
    /// All maintenance that is planned.
    Maintenance(Plan),
    /// Nothing of an agent is offered.
    Deactivated(AgentId),
    /// An agent drains, or has.
    Draining(AgentId, DrainInfo),
    /// An agent is neither deactivated nor draining.
    Reactivated(AgentId),
    /// The quota of a role.
    Quota {
        /// Which.
        role: Role,
        /// The quota; none where it was removed.
        quota: Option<Quota>,
    },
    /// The weight of a role.
    Weight {
        /// Which.
        role: Role,
        /// How much it counts.
        weight: f64,
    },
}
