//! Early mounts: the table, and the machine that it is for.

use std::fs;
use std::path::Path;

use agent_kernel::boot_mounts::{self, BootMountError, Flags};
use agent_kernel::console;
use agent_kernel::reexec::Past;
use model::sandbox::Access;
use tracing::warn;

use super::{InitError, Machine};
use crate::paths::META;

/// One row: what is mounted where, and how.
struct Row {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: Flags,
    options: &'static str,
    /// A node without it is none.
    needed: bool,
}

/// Nothing on these is a program to run, a device, or a way to more rights.
const INERT: Flags = Flags::MS_NOSUID
    .union(Flags::MS_NODEV)
    .union(Flags::MS_NOEXEC);
pub(super) const NO_NEW_RIGHTS: Flags = Flags::MS_NOSUID.union(Flags::MS_NODEV);
const DEVICES: Flags = Flags::MS_NOSUID.union(Flags::MS_NOEXEC);

const ROWS: [Row; 8] = [
    row("proc", "/proc", "proc", INERT, "", true),
    row("sysfs", "/sys", "sysfs", INERT, "", true),
    row("devtmpfs", "/dev", "devtmpfs", DEVICES, "mode=0755", true),
    // An instance's own `ptmx` node gives terminals to containers that get their own instance.
    row(
        "devpts",
        "/dev/pts",
        "devpts",
        DEVICES,
        "mode=0620,gid=5,ptmxmode=0666",
        false,
    ),
    row(
        "tmpfs",
        "/dev/shm",
        "tmpfs",
        INERT,
        "mode=1777,size=64m",
        false,
    ),
    row(
        "tmpfs",
        "/run",
        "tmpfs",
        NO_NEW_RIGHTS,
        "mode=0755,size=256m",
        true,
    ),
    row(
        "tmpfs",
        "/tmp",
        "tmpfs",
        NO_NEW_RIGHTS,
        "mode=1777,size=64m",
        false,
    ),
    // nsdelegate: what a container's root does inside of its cgroup namespace stays inside.
    row(
        "cgroup2",
        "/sys/fs/cgroup",
        "cgroup2",
        INERT,
        "nsdelegate",
        false,
    ),
];

const fn row(
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: Flags,
    options: &'static str,
    needed: bool,
) -> Row {
    Row {
        source,
        target,
        kind,
        flags,
        options,
        needed,
    }
}

/// The pid namespace that a kernel starts with has this number on every machine
/// (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Moves the root, makes the early mounts and opens the console; tells what machine this is. All of that
/// is there already where this program was executed again.
///
/// The log is not there yet: what could be done without and was not done comes back as texts.
///
/// # Errors
/// A mount without which a node is none was not made.
pub fn early(past: &Past) -> Result<(Machine, Vec<String>), InitError> {
    let mut missing = Vec::new();
    if past.cause.is_some() {
        return Ok((machine(), missing));
    }
    if boot_mounts::root_is_memory() {
        boot_mounts::move_root()?;
    }
    for row in ROWS {
        let target = Path::new(row.target);
        match boot_mounts::mount(row.source, target, row.kind, row.flags, row.options) {
            Ok(()) => {}
            Err(error) if row.needed => return Err(error.into()),
            Err(error) => missing.push(super::chain(&error)),
        }
    }
    let machine = machine();
    // A machine without a screen or serial line has nobody to tell, and works.
    if machine == Machine::Whole
        && let Err(error) = console::attach(Path::new("/dev/console"))
    {
        missing.push(super::chain(&error));
    }
    Ok((machine, missing))
}

fn machine() -> Machine {
    match fs::read_link("/proc/self/ns/pid") {
        Ok(link) if link == Path::new(FIRST_PID_NAMESPACE) => Machine::Whole,
        _ => Machine::Namespace,
    }
}

/// Whether something is mounted there, with these flags last.
pub(super) fn is_mounted(target: &Path, access: Access) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    is_among(&mounts, target, access)
}

fn is_among(mounts: &str, target: &Path, access: Access) -> bool {
    let last = mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let is_it = fields.next()? == target.to_str()?;
        is_it.then(|| fields.nth(1))?
    });
    last.is_some_and(|flags| {
        let is_read_only = flags.split(',').any(|flag| flag == "ro");
        access == Access::ReadWrite || is_read_only
    })
}

/// Mounts an empty file system in memory, has it filled, and lets nobody write to it again.
pub(super) fn default_root<E>(
    target: &Path,
    fill: impl FnOnce() -> Result<(), E>,
) -> Result<(), InitError>
where
    InitError: From<E>,
{
    boot_mounts::mount(
        "tmpfs",
        target,
        "tmpfs",
        NO_NEW_RIGHTS,
        "mode=0755,size=64m",
    )?;
    fill()?;
    boot_mounts::remount(target, NO_NEW_RIGHTS | Flags::MS_RDONLY)?;
    Ok(())
}

/// Mounts the work disk, with quotas for projects where the kernel has them; tells whether it has.
pub(super) fn work_disk(
    device: &str,
    target: &Path,
    kind: &str,
    options: &str,
) -> Result<bool, BootMountError> {
    let mount = |options: &str| boot_mounts::mount(device, target, kind, NO_NEW_RIGHTS, options);
    let with_quotas = match options {
        "" => "prjquota".to_owned(),
        options => format!("{options},prjquota"),
    };
    match mount(&with_quotas) {
        Ok(()) => Ok(true),
        Err(error) => {
            warn!(error = super::chain(&error), "no quotas for projects");
            mount(options).map(|()| false)
        }
    }
}

/// Mounts memory where there is no work disk; for the agent's own files apart, since a task may fill
/// what its sandbox is in, and an agent that cannot write to its checkpoint ends.
pub(super) fn work_memory(target: &Path) -> Result<(), BootMountError> {
    let mount = |target: &Path| {
        let options = "mode=0755,size=50%";
        boot_mounts::mount("tmpfs", target, "tmpfs", NO_NEW_RIGHTS, options)
    };
    mount(target)?;
    mount(&target.join(META))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_last_counts() {
        let mounts = "none / tmpfs rw 0 0\ntmpfs /run/a tmpfs rw,nosuid 0 0\n\
                      tmpfs /run/b tmpfs rw 0 0\ntmpfs /run/b tmpfs ro,nodev 0 0\nbroken\n";
        let is = |target: &str, access| is_among(mounts, Path::new(target), access);
        assert!(is("/run/a", Access::ReadWrite) && !is("/run/a", Access::ReadOnly));
        assert!(is("/run/b", Access::ReadOnly));
        assert!(!is("/run", Access::ReadWrite) && !is("/run/c", Access::ReadWrite));
    }
}
