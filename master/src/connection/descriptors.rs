//! How many descriptors this process may have open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the system gives every program.
const DESCRIPTORS_MIN: u64 = 1024;

/// Raises the limit as far as the system allows, and tells it.
pub(crate) fn raise() -> usize {
    let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(error) => {
                tracing::warn!(%error, soft, hard, "raise the limit of descriptors");
                soft
            }
        },
        Ok((soft, _)) => soft,
        Err(error) => {
            tracing::warn!(%error, "read the limit of descriptors");
            DESCRIPTORS_MIN
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
