//! Mounts: the ordered list of what a container sees.
//!
//! The default root is the same for all containers and read-only. What a program needs to write to
//! is its sandbox, `/tmp` and `/dev/shm`; what it needs to know of the node is `/proc` of its own
//! processes, `/sys` and its own cgroup to read, and the node's resolver.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{Access, Content, DeviceNode, Devices, Missing, Mount, Root};

use super::{PlanError, Volume};

/// Where a container sees its sandbox (`--sandbox_directory`).
pub const SANDBOX: &str = "/mnt/mesos/sandbox";

/// The most that `/tmp` holds; what is in it counts as the container's memory, too.
const TMP_BYTES_MAX: u64 = 256 << 20;

/// The most that `/dev/shm` holds.
const SHM_BYTES_MAX: u64 = 64 << 20;

/// The group `tty` of the terminals, as on every Linux system.
const TTY_GROUP: u32 = 5;

/// Numbers by the kernel's devices.txt.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Files and directories that tell of the node, or of other containers.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/firmware",
];

/// Switches of the node's kernel.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Files of the node that name resolution reads. A node's host name is also the container's.
const NETWORK_FILES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

/// The node's default root.
pub(super) fn root(source: &str) -> Root {
    Root {
        source: source.to_string(),
        access: Access::ReadOnly,
    }
}

/// All mounts on the root, each after the one that it stands on.
pub(super) fn list(etc: &str, volumes: &[Volume]) -> Result<Vec<Mount>, PlanError> {
    let mut all = Vec::from([
        mount("/proc", Content::Proc),
        mount("/dev", Content::Devices(devices())),
        mount("/dev/pts", Content::Terminals { group: TTY_GROUP }),
        mount("/dev/shm", tmpfs(SHM_BYTES_MAX)),
        mount("/sys", bind("/sys")),
        mount("/sys/fs/cgroup", Content::Cgroup),
        mount("/tmp", tmpfs(TMP_BYTES_MAX)),
        mount(SANDBOX, Content::Sandbox),
    ]);
    for volume in volumes {
        all.push(self::volume(volume)?);
    }
    all.extend(
        NETWORK_FILES.map(|file| mount(&format!("/etc/{file}"), bind(&format!("{etc}/{file}")))),
    );
    all.extend(READ_ONLY.map(|place| mount(place, Content::ReadOnly)));
    all.extend(MASKED.map(|place| mount(place, Content::Mask)));
    Ok(all)
}

fn volume(volume: &Volume) -> Result<Mount, PlanError> {
    let path = volume.container_path.trim_end_matches('/');
    super::without_nul(path, "a volume's container_path")?;
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(PlanError::Volume(volume.container_path.clone()));
    }
    let content = Content::Volume {
        source: volume.source.clone(),
        access: volume.access,
        handover: volume.handover,
    };
    Ok(mount(&format!("{SANDBOX}/{path}"), content))
}

fn mount(target: &str, content: Content) -> Mount {
    Mount {
        target: target.to_string(),
        content,
    }
}

fn tmpfs(bytes_max: u64) -> Content {
    Content::Tmpfs {
        bytes_max,
        mode: 0o1777,
    }
}

fn bind(source: &str) -> Content {
    Content::Bind {
        source: source.to_string(),
        access: Access::ReadOnly,
        missing: Missing::IsLeftOut,
    }
}

fn devices() -> Devices {
    let node = |(name, major, minor): (&str, u32, u32)| DeviceNode {
        name: name.to_string(),
        major,
        minor,
    };
    let link = |(name, target): (&str, &str)| (name.to_string(), target.to_string());
    Devices {
        nodes: DEVICES.map(node).to_vec(),
        links: LINKS.map(link).to_vec(),
        directories: ["pts", "shm"].map(String::from).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mount_comes_after_the_one_it_stands_on() {
        let all = list("/etc", &[]).expect("mounts");
        for (index, mount) in all.iter().enumerate() {
            let later = &all[index + 1..];
            let covers = |other: &&Mount| {
                let prefix = other.target.as_str();
                let rest = mount.target.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let hidden_by = later.iter().find(covers).map(|other| &other.target);
            assert_eq!(hidden_by, None, "{} would be hidden", mount.target);
        }
    }

    #[test]
    fn nothing_of_the_node_is_writable() {
        assert_eq!(root("/r").access, Access::ReadOnly);
        for mount in list("/etc", &[]).expect("mounts") {
            if let Content::Bind { access, .. } = mount.content {
                assert_eq!(access, Access::ReadOnly, "{}", mount.target);
            }
        }
    }
}
