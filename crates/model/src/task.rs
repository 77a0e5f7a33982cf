//! Task states, reasons and sources, with Mesos' names and numbers (reference, section 4).
//!
//! Whether a state ends a task is asked here and nowhere else.

macro_rules! mesos_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)+ }

        impl $name {
            /// Every value, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The value with this number; `None` for a number this version does not know.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The name on the wire and in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use mesos_enum;

mesos_enum! {
    /// The state of a task as a status update reports it.
    TaskState {
        /// Its executor prepares it.
        Starting = 0 "TASK_STARTING",
        /// It runs.
        Running = 1 "TASK_RUNNING",
        /// It ended with success.
        Finished = 2 "TASK_FINISHED",
        /// It ended without success.
        Failed = 3 "TASK_FAILED",
        /// It was killed on request.
        Killed = 4 "TASK_KILLED",
        /// What became of it is not known; told to frameworks without PARTITION_AWARE.
        Lost = 5 "TASK_LOST",
        /// The master accepted it; no executor has spoken of it yet.
        Staging = 6 "TASK_STAGING",
        /// Its description is invalid.
        Error = 7 "TASK_ERROR",
        /// A kill is under way; told to frameworks with TASK_KILLING_STATE.
        Killing = 8 "TASK_KILLING",
        /// It was never launched.
        Dropped = 9 "TASK_DROPPED",
        /// Its agent does not answer; it may run on.
        Unreachable = 10 "TASK_UNREACHABLE",
        /// It is no longer running, for certain.
        Gone = 11 "TASK_GONE",
        /// An operator said that its agent will not come back.
        GoneByOperator = 12 "TASK_GONE_BY_OPERATOR",
        /// The master has never heard of it.
        Unknown = 13 "TASK_UNKNOWN",
    }
}

impl TaskState {
    /// Whether no further state of this task is to be expected (reference, section 4.1).
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Lost
            | Self::Error
            | Self::Dropped
            | Self::Gone
            | Self::GoneByOperator => true,
            Self::Starting
            | Self::Running
            | Self::Staging
            | Self::Killing
            | Self::Unreachable
            | Self::Unknown => false,
        }
    }

    /// The state as a framework may see it: those that only PARTITION_AWARE frameworks know are
    /// TASK_LOST to the others.
    #[must_use]
    pub const fn for_framework(self, awareness: PartitionAwareness) -> Self {
        match (self, awareness) {
            (
                Self::Dropped
                | Self::Unreachable
                | Self::Gone
                | Self::GoneByOperator
                | Self::Unknown,
                PartitionAwareness::Unaware,
            ) => Self::Lost,
            (state, _) => state,
        }
    }
}

/// Whether a framework has the PARTITION_AWARE capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartitionAwareness {
    /// It tells the states of partitioned tasks apart.
    Aware,
    /// It knows TASK_LOST only.
    Unaware,
}

mesos_enum! {
    /// Who made a status update.
    Source {
        /// The master.
        Master = 0 "SOURCE_MASTER",
        /// The agent.
        Agent = 1 "SOURCE_AGENT",
        /// The executor.
        Executor = 2 "SOURCE_EXECUTOR",
    }
}

mesos_enum! {
    /// Why a task is in its state (reference, section 4.2).
    Reason {
        /// Deprecated in Mesos; also the wire's default, so presence must be told apart.
        CommandExecutorFailed = 0 "REASON_COMMAND_EXECUTOR_FAILED",
        /// The executor ended without a terminal update.
        ExecutorTerminated = 1 "REASON_EXECUTOR_TERMINATED",
        /// Unused by Mesos.
        ExecutorUnregistered = 2 "REASON_EXECUTOR_UNREGISTERED",
        /// The framework was torn down or its failover time ran out.
        FrameworkRemoved = 3 "REASON_FRAMEWORK_REMOVED",
        /// A sandbox could not be taken back from collection.
        GcError = 4 "REASON_GC_ERROR",
        /// Unused by Mesos.
        InvalidFrameworkid = 5 "REASON_INVALID_FRAMEWORKID",
        /// An offer of the ACCEPT is no longer valid.
        InvalidOffers = 6 "REASON_INVALID_OFFERS",
        /// Made by drivers only.
        MasterDisconnected = 7 "REASON_MASTER_DISCONNECTED",
        /// The memory limit was reached.
        ContainerLimitationMemory = 8 "REASON_CONTAINER_LIMITATION_MEMORY",
        /// The answer to a RECONCILE.
        Reconciliation = 9 "REASON_RECONCILIATION",
        /// The agent's link is cut.
        AgentDisconnected = 10 "REASON_AGENT_DISCONNECTED",
        /// The agent was removed or is unreachable.
        AgentRemoved = 11 "REASON_AGENT_REMOVED",
        /// The task was lost across a restart of the agent.
        AgentRestarted = 12 "REASON_AGENT_RESTARTED",
        /// Unused by Mesos.
        AgentUnknown = 13 "REASON_AGENT_UNKNOWN",
        /// The task's description is invalid.
        TaskInvalid = 14 "REASON_TASK_INVALID",
        /// The task is not authorised.
        TaskUnauthorized = 15 "REASON_TASK_UNAUTHORIZED",
        /// Unused by Mesos.
        TaskUnknown = 16 "REASON_TASK_UNKNOWN",
        /// The QoS controller took the resources back.
        ContainerPreempted = 17 "REASON_CONTAINER_PREEMPTED",
        /// A checkpointed resource is missing.
        ResourcesUnknown = 18 "REASON_RESOURCES_UNKNOWN",
        /// Another limit was reached.
        ContainerLimitation = 19 "REASON_CONTAINER_LIMITATION",
        /// The disk quota was reached.
        ContainerLimitationDisk = 20 "REASON_CONTAINER_LIMITATION_DISK",
        /// The container could not be launched.
        ContainerLaunchFailed = 21 "REASON_CONTAINER_LAUNCH_FAILED",
        /// The container could not be updated.
        ContainerUpdateFailed = 22 "REASON_CONTAINER_UPDATE_FAILED",
        /// The executor did not register in time.
        ExecutorRegistrationTimeout = 23 "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        /// The executor did not register again in time.
        ExecutorReregistrationTimeout = 24 "REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
        /// The task group's description is invalid.
        TaskGroupInvalid = 25 "REASON_TASK_GROUP_INVALID",
        /// The task group is not authorised.
        TaskGroupUnauthorized = 26 "REASON_TASK_GROUP_UNAUTHORIZED",
        /// The container's I/O helper ended.
        IoSwitchboardExited = 27 "REASON_IO_SWITCHBOARD_EXITED",
        /// A check has a new result.
        TaskCheckStatusUpdated = 28 "REASON_TASK_CHECK_STATUS_UPDATED",
        /// A health check has a new result.
        TaskHealthCheckStatusUpdated = 29 "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
        /// The kill came before the launch was delivered.
        TaskKilledDuringLaunch = 30 "REASON_TASK_KILLED_DURING_LAUNCH",
        /// An operator marked the agent gone.
        AgentRemovedByOperator = 31 "REASON_AGENT_REMOVED_BY_OPERATOR",
        /// An agent that was away came back.
        AgentReregistered = 32 "REASON_AGENT_REREGISTERED",
        /// `max_completion_time` ran out.
        MaxCompletionTimeReached = 33 "REASON_MAX_COMPLETION_TIME_REACHED",
        /// The agent is draining.
        AgentDraining = 34 "REASON_AGENT_DRAINING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_values_are_each_others_inverse() {
        for &state in TaskState::ALL {
            assert_eq!(TaskState::from_number(state.number()), Some(state));
        }
        for &reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
        }
        assert_eq!(TaskState::from_number(99), None);
    }

    #[test]
    fn only_partition_aware_frameworks_see_partition_states() {
        use PartitionAwareness::{Aware, Unaware};
        assert_eq!(TaskState::Gone.for_framework(Unaware), TaskState::Lost);
        assert_eq!(TaskState::Gone.for_framework(Aware), TaskState::Gone);
        assert_eq!(TaskState::Failed.for_framework(Unaware), TaskState::Failed);
    }
}
