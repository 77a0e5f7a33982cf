//! Why a master ends by itself.

use crate::registry::RegistryError;
use crate::server::StartError;

/// Why the loop ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What the registry holds is no longer known: the master must not go on.
    #[error("store the registry")]
    Registry(#[from] RegistryError),
    /// The registry's thread is gone.
    #[error("the registry's thread ended")]
    RegistryThread,
    /// Another master may lead by now. What this one knows is of no use any more, and so it ends, as
    /// Mesos' does; started again, it stands for election again.
    #[error("lost leadership ({why}); this master ends, and is to be started again")]
    Deposed {
        /// What happened.
        why: &'static str,
    },
    /// All masters must be in one region.
    #[error(
        "the leading master is in region {leads:?} and this one in {own:?}; all masters are in one region: \
         mend --domain"
    )]
    Misplaced {
        /// The region of the leader.
        leads: String,
        /// This master's own.
        own: String,
    },
    /// It was elected and cannot read what it is to lead with.
    #[error("begin to lead")]
    Unfit(#[source] Box<StartError>),
}
