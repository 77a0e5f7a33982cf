//! Kernel modules: those that the image lists for this kernel, in its order, and no others.

use std::fs;
use std::path::{Path, PathBuf};

use agent_kernel::clock::since_boot;
use tracing::{debug, info, warn};

/// Loads what every node needs: `modules.load`.
///
/// A module that does not load is told by name and is no end: what it was for will be missed by the
/// phase that needs it, which says so in its own words.
pub(super) fn load_needed() {
    load("modules.load");
}

/// Loads what only some machines have a device for: `modules.optional`.
pub(super) fn load_optional() {
    load("modules.optional");
}

/// Loads the driver of XFS, where the image brings it: `modules.xfs`.
pub(super) fn load_xfs() {
    load("modules.xfs");
}

/// Loads what shares a disk out by weight, where this node is to have it: `modules.scheduler`.
pub(super) fn load_scheduler() {
    load("modules.scheduler");
}

/// Loads what drives the hardware's watchdog, where this machine says that it has one: `modules.watchdog`.
pub(super) fn load_watchdog() {
    if has_watchdog(Path::new("/sys")) {
        load("modules.watchdog");
    }
}

/// The device that QEMU has too (Intel 6300ESB), or what firmware describes of its own (the table WDAT).
fn has_watchdog(sys: &Path) -> bool {
    let is_one = |device: PathBuf| {
        let is = |file: &str, wanted: &str| {
            fs::read_to_string(device.join(file)).is_ok_and(|text| text.trim() == wanted)
        };
        is("vendor", "0x8086") && is("device", "0x25ab")
    };
    let devices = fs::read_dir(sys.join("bus/pci/devices"));
    let mut devices = devices.into_iter().flatten().flatten();
    devices.any(|entry| is_one(entry.path())) || sys.join("firmware/acpi/tables/WDAT").exists()
}

fn load(list: &str) {
    let Ok(release) = agent_kernel::modules::release() else {
        return;
    };
    let folder = Path::new("/lib/modules").join(release);
    let Ok(text) = fs::read_to_string(folder.join(list)) else {
        // A kernel with everything built in has no list.
        info!(list, folder = %folder.display(), "no list of kernel modules");
        return;
    };
    for path in listed(&folder, &text) {
        let start = since_boot();
        match agent_kernel::modules::load(&path) {
            Ok(()) => {
                let took = since_boot().saturating_sub(start);
                debug!(module = %path.display(), us = took.as_micros(), "kernel module is loaded");
            }
            Err(error) => warn!(error = super::chain(&error), "kernel module is missing"),
        }
    }
}

/// One path a line, from the list's folder; blank lines and lines that begin with # say nothing.
fn listed(folder: &Path, text: &str) -> Vec<PathBuf> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| folder.join(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_looked_for_among_devices_and_firmware_tables() {
        let sys = tempfile::tempdir().expect("a folder");
        let device = sys.path().join("bus/pci/devices/0000:00:04.0");
        fs::create_dir_all(&device).expect("a folder");
        let put = |file: &str, text: &str| fs::write(device.join(file), text).expect("a file");
        put("vendor", "0x8086\n");
        put("device", "0x2918\n");
        assert!(!has_watchdog(sys.path()));
        put("device", "0x25ab\n");
        assert!(has_watchdog(sys.path()));
        put("vendor", "0x1af4\n");
        assert!(!has_watchdog(sys.path()));
        let tables = sys.path().join("firmware/acpi/tables");
        fs::create_dir_all(&tables).expect("a folder");
        fs::write(tables.join("WDAT"), "").expect("a file");
        assert!(has_watchdog(sys.path()));
    }

    #[test]
    fn a_list_is_paths_from_its_folder() {
        let text =
            "# network first\nkernel/net/core/failover.ko\n\n  kernel/drivers/net/virtio_net.ko \n";
        assert_eq!(
            listed(Path::new("/lib/modules/6.12"), text),
            [
                PathBuf::from("/lib/modules/6.12/kernel/net/core/failover.ko"),
                PathBuf::from("/lib/modules/6.12/kernel/drivers/net/virtio_net.ko"),
            ]
        );
    }
}
