//! The tests as PID 1 of a machine of their own, where the whole cgroup tree is theirs.
//!
//! Boots in seconds with the image of this repository around this program, built for musl:
//! `tepui-qemu boot --init <program> --memory 512`.

use std::error::Error;
use std::path::Path;

use agent_kernel::boot_mounts::{self, Flags};
use agent_kernel::power;

/// Whether this program is the first of its machine.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
}

/// Mounts what a container needs of a node.
pub(crate) fn prepare() -> Result<(), Box<dyn Error>> {
    boot_mounts::move_root()?;
    for (kind, target) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("tmpfs", "/tmp"),
    ] {
        boot_mounts::mount(kind, Path::new(target), kind, Flags::empty(), "")?;
    }
    Ok(())
}

/// Ends the machine.
pub(crate) fn off() -> ! {
    power::sync();
    let reason = power::off();
    // PID 1 must not end: the kernel would call it a panic.
    println!("power off: {reason}");
    loop {
        std::thread::park();
    }
}
