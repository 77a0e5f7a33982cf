//! Facts: what this machine has, and which isolation it can give.

use std::fs;
use std::path::Path;

use model::sandbox::{Enforcement, Isolation, Namespace};
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::{Uid, geteuid};

use crate::cgroup::Tree;
use crate::landlock::Abi;
use crate::seccomp;

/// What a machine has, before anything is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Processors that may be used.
    pub cpus: usize,
    /// Memory in bytes; `None` where it cannot be told.
    pub memory_bytes: Option<u64>,
    /// The size of the work directory's file system in bytes; `None` where it cannot be told.
    pub disk_bytes: Option<u64>,
}

/// Measures the machine. What cannot be measured is left open, as Mesos does (reference, section
/// 5.1): the agent then takes a default.
#[must_use]
pub fn measure(work_dir: &Path) -> Facts {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Facts {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory_total(&meminfo),
        disk_bytes: disk_total(work_dir).ok(),
    }
}

fn disk_total(path: &Path) -> Result<u64, Errno> {
    let stat = statvfs(path)?;
    Ok(stat.blocks().saturating_mul(stat.fragment_size()))
}

fn memory_total(meminfo: &str) -> Option<u64> {
    kilobytes(meminfo, "MemTotal:")
}

/// The bytes of a line such as `MemTotal:   123 kB` of the kernel's tables; none where there is none.
#[must_use]
pub fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Tells which isolation this host can give to containers.
#[must_use]
pub fn probe(cgroups: Option<&Tree>) -> Enforcement {
    let mut report = Enforcement::default();
    let root = geteuid() == Uid::from_raw(0);
    for namespace in [
        Namespace::User,
        Namespace::Pid,
        Namespace::Mount,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Cgroup,
        Namespace::Time,
    ] {
        report.note(
            Isolation::Namespace(namespace),
            namespace_outcome(namespace, root),
        );
    }
    let needs_root = || {
        if root {
            Ok(())
        } else {
            Err("the agent is not root".into())
        }
    };
    report.note(Isolation::Root, needs_root());
    report.note(Isolation::Capabilities, Ok(()));
    report.note(Isolation::NoNewPrivileges, Ok(()));
    let filters = match seccomp::is_supported() {
        true => Ok(()),
        false => Err("the kernel has no filters of system calls".into()),
    };
    report.note(Isolation::Seccomp, filters);
    let abi = Abi::current();
    report.landlock_abi = abi.0;
    report.note(Isolation::Landlock, abi.files());
    report.note(Isolation::Scopes, abi.scopes());
    let placed = match cgroups {
        Some(_) => Ok(()),
        None => Err("cgroup v2 is not mounted, or out of the agent's reach".into()),
    };
    report.note(Isolation::Placement, placed);
    for (isolation, controller) in [
        (Isolation::Cpu, "cpu"),
        (Isolation::Memory, "memory"),
        (Isolation::Pids, "pids"),
    ] {
        let has = cgroups.is_some_and(|tree| tree.controllers().contains(&controller));
        let outcome = if has {
            Ok(())
        } else {
            Err(format!("cgroup v2 has no {controller} controller here"))
        };
        report.note(isolation, outcome);
    }
    report
}

fn namespace_outcome(namespace: Namespace, root: bool) -> Result<(), String> {
    if !Path::new("/proc/self/ns").join(namespace.name()).exists() {
        return Err("the kernel has no such namespace".into());
    }
    // user_namespaces(7): a limit of 0 turns them off.
    let file = "/proc/sys/user/max_user_namespaces";
    let off = fs::read_to_string(file).is_ok_and(|limit| limit.trim() == "0");
    match (namespace, root) {
        (Namespace::User, _) if off => Err(format!("{file} is 0")),
        (_, false) => Err("the agent is not root".into()),
        (_, true) => Ok(()),
    }
}

/// The processors that are on, each with its package and its core; a core of its own where the kernel does
/// not tell.
#[must_use]
pub fn processors() -> Vec<(u32, u32, u32)> {
    let folder = Path::new("/sys/devices/system/cpu");
    let online = fs::read_to_string(folder.join("online")).unwrap_or_default();
    let number = |cpu: u32, name: &str| {
        let path = folder.join(format!("cpu{cpu}/topology/{name}"));
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let all = listed(&online).into_iter();
    all.map(|cpu| {
        let package = number(cpu, "physical_package_id").unwrap_or(0);
        (cpu, package, number(cpu, "core_id").unwrap_or(cpu))
    })
    .collect()
}

/// The numbers of a list of the kernel, as in `0-3,8`.
fn listed(list: &str) -> Vec<u32> {
    let parts = list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
    });
    parts.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            memory_total("MemTotal:        2048 kB\nMemFree: 1 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(memory_total("MemFree: 1 kB\n"), None);
        assert_eq!(memory_total("MemTotal: many kB\n"), None);
    }

    #[test]
    fn a_list_of_processors_is_read_as_the_kernel_writes_it() {
        assert_eq!(listed("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(listed("5"), [5]);
        assert_eq!(listed(""), []);
        assert!(!processors().is_empty());
    }

    #[test]
    fn this_machine_has_processors_memory_and_a_disk() {
        let facts = measure(Path::new("/"));
        assert!(facts.cpus > 0);
        assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(facts.disk_bytes.is_some());
        assert_eq!(measure(Path::new("/nonexistent")).disk_bytes, None);
    }
}
