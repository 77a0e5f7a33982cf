//! What the system lets one process have: descriptors.

use anyhow::{Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that are not links: files, the reactor, readers of the master.
const SPARE: usize = 256;

/// Raises the limit of descriptors so that there is one for each agent, and tells what stops that.
/// What this process starts inherits it.
pub(super) fn raise(agents: usize) -> Result<()> {
    let wanted = u64::try_from(agents + SPARE)?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    // Root may raise the hard limit too, up to fs.nr_open.
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)) {
        Ok(()) => Ok(()),
        Err(error) => bail!(
            "{agents} agents need {wanted} descriptors, and {soft} of at most {hard} are allowed \
             ({error}): run `ulimit -n {wanted}` as root first, or ask for fewer agents"
        ),
    }
}
