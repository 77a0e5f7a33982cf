//! The machine that this program is PID 1 of.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use agent_kernel::boot_mounts::{self, Flags};
use agent_kernel::modules;

use crate::Outcome;

/// Where the disk is mounted: runtimes, the agent, and what is made in a run.
pub(crate) const DISK_AT: &str = "/work";
const DISK: &str = "/dev/vda";

/// Where Debian's programs look for their loader and libraries.
const LIBRARIES: [&str; 3] = [
    "/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
];

/// Makes the machine ready; gives the kernel's command line.
pub(crate) fn prepare() -> Outcome<String> {
    boot_mounts::move_root()?;
    let folder = Path::new("/lib/modules").join(modules::release()?);
    let list = fs::read_to_string(folder.join("modules.load")).unwrap_or_default();
    for module in list.lines() {
        modules::load(&folder.join(module))?;
    }
    for (kind, target) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        boot_mounts::mount(kind, Path::new(target), kind, Flags::empty(), "")?;
    }
    boot_mounts::mount(DISK, Path::new(DISK_AT), "ext4", Flags::empty(), "")?;
    for library in LIBRARIES {
        let place = Path::new(library);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        symlink(format!("{DISK_AT}/runtimes{library}"), place)?;
    }
    Ok(fs::read_to_string("/proc/cmdline")?)
}
