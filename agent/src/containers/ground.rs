//! Ground: what all launches of an agent share.

use std::path::PathBuf;
use std::sync::Arc;

use agent_core::sandbox::{Rules, SwitchUser};
use agent_kernel::launch::Host;

use super::Order;
use crate::config::isolation::Isolation;
use crate::disk::Disks;
use crate::fetch::Fetcher;
use crate::housekeeping::Housekeeping;
use crate::images::Provisioner;
use crate::images::scratch::Scratches;
use crate::init::chain;
use crate::networks::Networks;
use crate::processors::Cpus;
use crate::sandboxes::Sandboxes;
use crate::seccomp::Profiles;
use crate::volumes::Volumes;

/// What all launches share.
#[derive(Debug)]
pub struct Ground {
    /// The kernel's side.
    pub host: Host,
    /// This run of the machine.
    pub boot: String,
    /// The root of a task without an image; none on a host that was told none.
    pub root: Option<PathBuf>,
    /// Holds `hosts` and `resolv.conf`.
    pub etc: PathBuf,
    /// The name that containers have.
    pub hostname: String,
    /// Whether a task's user is looked up.
    pub switch_user: SwitchUser,
    /// What containers are allowed.
    pub isolation: Isolation,
    /// Their limits.
    pub rules: Rules,
    /// The processors that they run on, where those are shared out.
    pub cpus: Option<Cpus>,
    /// What they may call.
    pub profiles: Profiles,
    /// The networks of containers.
    pub networks: Networks,
    /// Where the sandboxes are made.
    pub sandboxes: Arc<Sandboxes>,
    /// What containers may keep.
    pub disks: Arc<Disks>,
    /// Rotates what containers write, and collects what they leave.
    pub housekeeping: Housekeeping,
    /// Brings what commands name.
    pub fetcher: Fetcher,
    /// Where the persistent volumes are.
    pub volumes: Volumes,
    /// Who brings images here.
    pub images: Provisioner,
    /// Where containers write that have an image's root.
    pub scratches: Scratches,
}

impl Ground {
    /// Makes the sandbox of a container, with its bounds; gives its whole path.
    ///
    /// # Errors
    /// The file system, in words.
    pub(super) fn make_sandbox(&self, order: &Order) -> Result<PathBuf, String> {
        let made = match order.container.depth() {
            1 => self.sandboxes.make(&order.sandbox),
            _ => self.sandboxes.make_nested(&order.sandbox),
        };
        let path = made.map_err(|error| chain(&error))?;
        let demand = order.launch.demand;
        self.disks.begun(&order.container, &path, demand)?;
        Ok(path)
    }
}
