//! Devices: which device files a container may use, and which it has.
//!
//! The list is Mesos', whose frameworks expect it (reference, section 8.5, cgroups/devices). What is
//! in a container's `/dev` is less: the list bounds what comes in by any other way. `m` lets files be
//! made, not used, and inside a user namespace the kernel lets none be made at all. What the operator
//! adds (`--allowed_devices`) every container has, as with Mesos' linux/devices.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{DeviceAccess, DeviceKind, DeviceNode, DeviceRule, Devices};

/// A device of the node that the operator lets every container use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedDevice {
    /// Its path beneath `/dev`.
    pub name: String,
    /// What kind it is.
    pub kind: DeviceKind,
    /// The number of its driver.
    pub major: u32,
    /// The number within it.
    pub minor: u32,
    /// What may be done with it.
    pub access: DeviceAccess,
}

/// The devices of every container, all of them characters.
const NODES: [(&str, u32, u32); 6] = [
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

/// What is mounted on.
const DIRECTORIES: [&str; 3] = ["pts", "shm", "mqueue"];

/// By the numbers of the kernel's devices.txt.
const DEFAULT: [DeviceRule; 14] = [
    rule(DeviceKind::Character, None, None, DeviceAccess::MKNOD),
    rule(DeviceKind::Block, None, None, DeviceAccess::MKNOD),
    // console, tty0, tty1
    usable(5, Some(1)),
    usable(4, Some(0)),
    usable(4, Some(1)),
    // pts/*, ptmx
    usable(136, None),
    usable(5, Some(2)),
    // net/tun, which makes devices in the container's own network namespace alone
    usable(10, Some(200)),
    // null, zero, full, tty, urandom, random
    usable(1, Some(3)),
    usable(1, Some(5)),
    usable(1, Some(7)),
    usable(5, Some(0)),
    usable(1, Some(9)),
    usable(1, Some(8)),
];

const fn usable(major: u32, minor: Option<u32>) -> DeviceRule {
    rule(DeviceKind::Character, Some(major), minor, DeviceAccess::ALL)
}

const fn rule(
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: DeviceAccess,
) -> DeviceRule {
    DeviceRule {
        kind,
        major,
        minor,
        access,
    }
}

/// The rules of a container.
pub(super) fn rules(allowed: &[AllowedDevice]) -> Vec<DeviceRule> {
    let more = allowed
        .iter()
        .map(|one| rule(one.kind, Some(one.major), Some(one.minor), one.access));
    DEFAULT.into_iter().chain(more).collect()
}

/// What its `/dev` holds. A file of the name that an allowed one has stays what it is.
pub(super) fn files(allowed: &[AllowedDevice]) -> Devices {
    let usual = NODES.map(|(name, major, minor)| DeviceNode {
        name: name.to_string(),
        kind: DeviceKind::Character,
        mode: 0o666,
        major,
        minor,
    });
    let mut devices = Devices {
        nodes: usual.to_vec(),
        links: LINKS
            .map(|(name, target)| (name.to_string(), target.to_string()))
            .to_vec(),
        directories: DIRECTORIES.map(String::from).to_vec(),
    };
    for one in allowed {
        if !is_taken(&devices, &one.name) {
            make_directories(&mut devices.directories, &one.name);
            devices.nodes.push(node(one));
        }
    }
    devices
}

fn node(allowed: &AllowedDevice) -> DeviceNode {
    let bits = |access, bits| match allowed.access.has(access) {
        true => bits,
        false => 0,
    };
    DeviceNode {
        name: allowed.name.clone(),
        kind: allowed.kind,
        // Whoever may use it in a container is the kernel's question by these rules alone.
        mode: bits(DeviceAccess::READ, 0o444) | bits(DeviceAccess::WRITE, 0o222),
        major: allowed.major,
        minor: allowed.minor,
    }
}

/// Whether a path is there already, or leads over what is no directory of its own.
fn is_taken(devices: &Devices, path: &str) -> bool {
    let nodes = devices.nodes.iter().map(|node| &node.name);
    let links = devices.links.iter().map(|(name, _)| name);
    let is_within = |name: &String| path == name || path.starts_with(&format!("{name}/"));
    nodes.chain(links).any(is_within)
        || devices.directories.iter().any(|name| path == name)
        || DIRECTORIES.iter().any(|name| is_within(&name.to_string()))
}

/// The directories that a path leads through.
fn make_directories(directories: &mut Vec<String>, path: &str) {
    let ends = path.match_indices('/').map(|(end, _)| &path[..end]);
    for directory in ends {
        if !directories.iter().any(|other| other == directory) {
            directories.push(directory.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use expect_test::expect;

    #[test]
    fn a_container_may_use_what_mesos_lets_it_use() {
        let all: Vec<String> = rules(&[]).iter().map(ToString::to_string).collect();
        expect![[r"
            c *:* m
            b *:* m
            c 5:1 rwm
            c 4:0 rwm
            c 4:1 rwm
            c 136:* rwm
            c 5:2 rwm
            c 10:200 rwm
            c 1:3 rwm
            c 1:5 rwm
            c 1:7 rwm
            c 5:0 rwm
            c 1:9 rwm
            c 1:8 rwm"]]
        .assert_eq(&all.join("\n"));
    }

    fn allowed(name: &str, kind: DeviceKind, access: DeviceAccess) -> AllowedDevice {
        AllowedDevice {
            name: name.into(),
            kind,
            major: 10,
            minor: 232,
            access,
        }
    }

    #[test]
    fn what_the_operator_allows_every_container_has() {
        let both = DeviceAccess::READ | DeviceAccess::WRITE;
        let all = [
            allowed("kvm", DeviceKind::Character, both),
            allowed("mapper/a/b", DeviceKind::Block, DeviceAccess::READ),
        ];
        let rules: Vec<String> = rules(&all).iter().map(ToString::to_string).collect();
        assert_eq!(rules[DEFAULT.len()..], ["c 10:232 rw", "b 10:232 r"]);
        let devices = files(&all);
        let nodes: Vec<_> = devices.nodes[NODES.len()..]
            .iter()
            .map(|node| (node.name.as_str(), node.mode))
            .collect();
        assert_eq!(nodes, [("kvm", 0o666), ("mapper/a/b", 0o444)]);
        assert_eq!(
            devices.directories,
            ["pts", "shm", "mqueue", "mapper", "mapper/a"]
        );
    }

    #[test]
    fn what_every_container_has_stays_what_it_is() {
        let taken = ["null", "null/x", "ptmx", "shm", "shm/x", "fd/7"];
        let all = taken.map(|name| allowed(name, DeviceKind::Block, DeviceAccess::ALL));
        assert_eq!(files(&all), files(&[]));
    }
}
