//! States of an operation on resources, with Mesos' names and numbers (reference, section 4.7).

use crate::task::mesos_enum;

mesos_enum! {
    /// The state of an operation as a status reports it.
    OperationState {
        /// Not one of the others.
        Unsupported = 0 "OPERATION_UNSUPPORTED",
        /// On its way, or being applied.
        Pending = 1 "OPERATION_PENDING",
        /// Applied.
        Finished = 2 "OPERATION_FINISHED",
        /// Tried without success.
        Failed = 3 "OPERATION_FAILED",
        /// Refused by the master.
        Error = 4 "OPERATION_ERROR",
        /// Refused by the agent, or lost on its way there.
        Dropped = 5 "OPERATION_DROPPED",
        /// Its agent does not answer.
        Unreachable = 6 "OPERATION_UNREACHABLE",
        /// Its agent was given up for good.
        GoneByOperator = 7 "OPERATION_GONE_BY_OPERATOR",
        /// Its agent has not come back to this master yet.
        Recovering = 8 "OPERATION_RECOVERING",
        /// Nobody knows.
        Unknown = 9 "OPERATION_UNKNOWN",
    }
}

impl OperationState {
    /// Whether nothing follows it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Error | Self::Dropped | Self::GoneByOperator => {
                true
            }
            Self::Unsupported
            | Self::Pending
            | Self::Unreachable
            | Self::Recovering
            | Self::Unknown => false,
        }
    }
}
