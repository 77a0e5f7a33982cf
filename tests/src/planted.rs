//! Planted bugs: masters and agents that are broken on purpose, to show that the checkers see it.
//!
//! The cores are those that ship: a variant lies at their border, by what it does to an event on its
//! way in or an effect on its way out. Nothing of it is in a release.

/// One broken variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The agent tells its master of an update, and stores it then.
    ToldBeforeStored,
    /// The agent launches a task, and stores it never.
    LaunchNotStored,
    /// The master believes a write to the registry as soon as it is handed in.
    WriteBelieved,
    /// The master acknowledges updates by itself when they arrive.
    AcknowledgedUnheard,
    /// A leader that was stopped goes on without a look at its lease.
    StaleLeaderActs,
    /// A leader that ZooKeeper does not hear goes on until it is told that its session ended.
    LeaseOutlived,
    /// Whoever gets a frame does not look at its epoch.
    EpochNotChecked,
    /// Whoever gets a frame does not look at the agent's incarnation.
    IncarnationNotChecked,
    /// An update that is not acknowledged is not sent again.
    UpdateNotResent,
    /// An update that an executor sends again is taken for a new one.
    DuplicateNotRecognised,
    /// A framework is not told that its offer is void.
    OfferNotRescinded,
    /// The end of a task is told twice, and differently.
    TerminalTwice,
    /// What an ended task held is given back twice.
    RecoveredTwice,
    /// An agent that was given up comes back, and what its tasks hold is offered again.
    UnreachableReused,
    /// What a killed task holds is given back before the task is gone.
    FreedTooEarly,
    /// Reservations and volumes are stored when the node next starts.
    OperationNotStored,
    /// An agent that starts again does not look for containers that go on.
    SurvivorsForgotten,
    /// It does, and takes those that ended meanwhile for running.
    UnseenEndForgotten,
}

impl Planted {
    /// Every variant.
    pub const ALL: [Self; 18] = [
        Self::ToldBeforeStored,
        Self::LaunchNotStored,
        Self::WriteBelieved,
        Self::AcknowledgedUnheard,
        Self::StaleLeaderActs,
        Self::LeaseOutlived,
        Self::EpochNotChecked,
        Self::IncarnationNotChecked,
        Self::UpdateNotResent,
        Self::DuplicateNotRecognised,
        Self::OfferNotRescinded,
        Self::TerminalTwice,
        Self::RecoveredTwice,
        Self::UnreachableReused,
        Self::FreedTooEarly,
        Self::OperationNotStored,
        Self::SurvivorsForgotten,
        Self::UnseenEndForgotten,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToldBeforeStored => "told-before-stored",
            Self::LaunchNotStored => "launch-not-stored",
            Self::WriteBelieved => "write-believed",
            Self::AcknowledgedUnheard => "acknowledged-unheard",
            Self::StaleLeaderActs => "stale-leader-acts",
            Self::LeaseOutlived => "lease-outlived",
            Self::EpochNotChecked => "epoch-not-checked",
            Self::IncarnationNotChecked => "incarnation-not-checked",
            Self::UpdateNotResent => "update-not-resent",
            Self::DuplicateNotRecognised => "duplicate-not-recognised",
            Self::OfferNotRescinded => "offer-not-rescinded",
            Self::TerminalTwice => "terminal-twice",
            Self::RecoveredTwice => "recovered-twice",
            Self::UnreachableReused => "unreachable-reused",
            Self::FreedTooEarly => "freed-too-early",
            Self::OperationNotStored => "operation-not-stored",
            Self::SurvivorsForgotten => "survivors-forgotten",
            Self::UnseenEndForgotten => "unseen-end-forgotten",
        }
    }

    /// The variant of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// How many seeds it takes at most until it is seen.
    #[must_use]
    pub const fn seen_within(self) -> u64 {
        match self {
            // What it breaks must first be lost on its way.
            Self::UnreachableReused => 500,
            Self::DuplicateNotRecognised
            | Self::IncarnationNotChecked
            | Self::OperationNotStored
            | Self::SurvivorsForgotten
            | Self::UnseenEndForgotten => 200,
            _ => 50,
        }
    }
}
