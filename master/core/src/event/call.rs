//! Calls of the scheduler API at the border, and the operations of an ACCEPT.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use model::resources::{InvalidResource, Resource};
use model::{Blob, StatusUuid};

use super::{OperationQuery, ResourceOperation, Subscription, Text};

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
    /// ACCEPT_INVERSE_OFFERS.
    AcceptInverseOffers {
        /// `inverse_offer_ids`.
        inverse_offer_ids: Vec<Text>,
        /// `filters.refuse_seconds`, where set.
        refuse_seconds: Option<f64>,
    },
    /// DECLINE_INVERSE_OFFERS.
    DeclineInverseOffers {
        /// `inverse_offer_ids`.
        inverse_offer_ids: Vec<Text>,
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
    /// ACKNOWLEDGE_OPERATION_STATUS.
    AcknowledgeOperation {
        /// `agent_id`.
        agent_id: Text,
        /// `operation_id`.
        operation_id: Text,
        /// `uuid`.
        uuid: StatusUuid,
    },
    /// RECONCILE_OPERATIONS.
    ReconcileOperations {
        /// `operations`; none for all that the master knows.
        operations: Vec<OperationQuery>,
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
    /// UPDATE_FRAMEWORK, which passed [`crate::Master::check_update`].
    UpdateFramework(Subscription),
}

/// One operation of an ACCEPT.
#[derive(Debug, Clone)]
pub enum Operation {
    /// LAUNCH.
    Launch(Launch),
    /// LAUNCH_GROUP.
    LaunchGroup(LaunchGroup),
    /// RESERVE to DESTROY_DISK.
    Resources(ResourceOperation),
    /// A type that this version does not know.
    Unknown,
}

/// LAUNCH: tasks, each started by itself.
#[derive(Debug, Clone)]
pub struct Launch {
    /// `id`, where set: it must not be.
    pub id: Option<Text>,
    /// `task_infos`.
    pub tasks: Vec<LaunchTask>,
}

/// LAUNCH_GROUP: tasks of one executor, all of them started or none.
#[derive(Debug, Clone)]
pub struct LaunchGroup {
    /// `id`, where set: it must not be.
    pub id: Option<Text>,
    /// `executor`.
    pub executor: ExecutorSpec,
    /// `task_group.tasks`, each with the group's executor where it brings none.
    pub tasks: Vec<LaunchTask>,
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
    /// `limits`: most of what the task may take, by name; infinity for all there is.
    pub limits: BTreeMap<Text, f64>,
    /// `command.user`, else `executor.command.user`, where set; else it runs as its framework's.
    pub user: Option<Text>,
    /// Whether `command` is set.
    pub has_command: bool,
    /// `executor`.
    pub executor: Option<ExecutorSpec>,
    /// `kill_policy.grace_period`, nanoseconds, where set.
    pub kill_grace_ns: Option<i64>,
    /// `max_completion_time`, nanoseconds, where set.
    pub max_completion_ns: Option<i64>,
    /// `container.linux_info.share_cgroups`, where set.
    pub share_cgroups: Option<bool>,
    /// What is wrong with `check` or `health_check`, in Mesos' words.
    pub check_fault: Option<String>,
    /// What is wrong with `command` or `container`, in Mesos' words.
    pub content_fault: Option<String>,
    /// What is wrong with `container` in a task group alone, in Mesos' words.
    pub group_fault: Option<String>,
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
    /// `container.linux_info.share_cgroups`, where set.
    pub share_cgroups: Option<bool>,
    /// Whether `container` is one of Docker's.
    pub is_docker: bool,
    /// What contradicts `type`, in Mesos' words.
    pub type_fault: Option<String>,
    /// What is wrong with `command` or `container`, in Mesos' words.
    pub content_fault: Option<String>,
    /// The whole ExecutorInfo.
    pub info: Blob,
    /// The ExecutorInfo in a form that is equal for equal ones.
    pub identity: Blob,
}

/// `ExecutorInfo.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// Not set, or a value this version does not know.
    Unset,
    /// UNKNOWN.
    Unknown,
    /// DEFAULT.
    Default,
    /// CUSTOM.
    Custom,
}
