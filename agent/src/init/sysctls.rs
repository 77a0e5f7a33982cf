//! Kernel settings: a short table, each with its reason.

use std::fs;

use tracing::{info, warn};

/// Setting below `/proc/sys`, value.
const SETTINGS: [(&str, &str); 13] = [
    // Our log is the console's; of the kernel's only errors.
    ("kernel/printk", "4"),
    // A kernel that has panicked starts again after ten seconds instead of standing still.
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    // Addresses inside of the kernel, its log and its tracing help only who breaks out of a container.
    ("kernel/kptr_restrict", "2"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/perf_event_paranoid", "3"),
    // One container's files are not another's: no hard links to what one may not write.
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_symlinks", "1"),
    // The default is 32 768, which eight containers may take between them.
    ("kernel/pid_max", "4194304"),
    // What one container takes of these is missing for all others and for us, since the kernel counts
    // them together for the user that made the user namespaces. Memory bounds them, each container's own.
    ("fs/inotify/max_user_instances", "1048576"),
    ("fs/inotify/max_user_watches", "16777216"),
    ("fs/file-max", "9223372036854775807"),
    // Who has a lease on his output would keep it from being rotated.
    ("fs/leases-enable", "0"),
];

/// Writes the table; a setting that this kernel lacks is told and is no fault.
pub(super) fn apply() {
    for (name, value) in SETTINGS {
        set(name, value);
    }
    // The keys would start the machine again at once, without a word to anyone.
    if let Err(error) = agent_kernel::power::ctrl_alt_del_as_signal() {
        warn!(%error, "Ctrl-Alt-Del is not ours");
    }
}

/// Lets nobody load a kernel module until the next boot, not even us.
pub(super) fn lock_modules() {
    set("kernel/modules_disabled", "1");
}

fn set(name: &str, value: &str) {
    match fs::write(format!("/proc/sys/{name}"), value) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            info!(name, "this kernel has no such setting");
        }
        Err(error) => warn!(name, value, %error, "kernel setting was not written"),
    }
}
