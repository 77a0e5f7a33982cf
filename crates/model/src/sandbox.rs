//! The sandbox vocabulary: what a plan says and a deed does.
//!
//! `agent-core::sandbox` makes a [`LaunchPlan`] out of a task and facts about the node;
//! `agent-kernel::launch` carries it out and has nothing left to decide. Every number is final, every
//! path is either one of the node (`source`) or one of the container (`target`), never both.

mod cgroup;
mod cpuset;
mod devices;
mod disk;
mod huge_pages;
mod io;
mod landlock;
mod mounts;
mod network;
mod outcome;
mod seccomp;
mod view;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::ContainerId;

pub use cgroup::{CgroupLimits, CgroupPlan, CpuQuota, IoMax, Nesting};
pub use cpuset::{CpuList, CpuSet};
pub use devices::{DeviceAccess, DeviceKind, DeviceRule};
pub use disk::DiskQuota;
pub use huge_pages::HugePages;
pub use io::{Io, WindowSize};
pub use landlock::{FileRights, FileRule, Landlock, Scope};
pub use mounts::{
    Access, Content, DeviceNode, Devices, Handover, Missing, Mount, MountsBeneath, Overlay, Root,
    Scratch, Secret,
};
pub use network::{
    Bridge, Endpoint, Firewall, Ipv4Net, Neighbours, Network, PortMapping, Rates, Transport, mac,
};
pub use outcome::{Enforcement, ExitStatus, Isolation, Lacks};
pub use seccomp::{
    ArgumentTest, ArgumentWidth, Refusal, Seccomp, SeccompAction, SeccompCondition, SeccompFilter,
    SeccompRule,
};
pub use view::{Load, Shares, View, ViewFacts, ViewFile};

/// Everything that is needed to start one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// Names the container's cgroup and its exit file.
    pub container: ContainerId,
    /// The host name inside; `None` where the container has that of its parent.
    pub hostname: Option<String>,
    /// The namespaces that the container shares with its parent; none where it is nested in none.
    pub joined: Vec<Namespace>,
    /// The namespaces of its own. What is neither here nor in [`Self::joined`] is the node's, except
    /// for pid namespaces: one of a nested container lies in that of its parent.
    pub namespaces: Vec<Namespace>,
    /// The node's ids that stand behind the ids inside; those of the parent where users are joined.
    pub ids: IdRange,
    /// Whose the network is, and what connects it.
    pub network: Network,
    /// The root directory.
    pub root: Root,
    /// What is mounted on the root, in this order.
    pub mounts: Vec<Mount>,
    /// The task's own directory; `None` for what has none.
    pub sandbox: Option<Sandbox>,
    /// Where input comes from and output goes.
    pub io: Io,
    /// What runs.
    pub run: Run,
    /// What its processes may do beyond others; those of the init and of the task are the same.
    pub capabilities: Capabilities,
    /// Which system calls the task may make. An init makes those of an init, whatever this says.
    pub seccomp: Seccomp,
    /// What of its mounts, and whom beside, its processes may reach; `None` where nothing is restricted.
    pub landlock: Option<Landlock>,
    /// What must be in force; where this kernel does not give it the container is not started.
    pub required: Vec<Isolation>,
    /// Where it is counted and bounded.
    pub cgroup: CgroupPlan,
    /// `oom_score_adj` of its processes (proc(5)): 0, or more for what goes before others.
    pub oom_score_adj: i16,
    /// By what it has a view of its own; `None` where it sees that of another container, or the node's.
    pub view: Option<View>,
    /// What its sandbox and its changes to its root may take of the disk, with those of containers
    /// nested in it; `None` for what is nested itself. Set before anything is written there.
    pub disk: Option<DiskQuota>,
}

/// What runs in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// A process; the container ends with it. In a pid namespace of its own it has an init beside it.
    Process(Process),
    /// An init without a program, which holds the namespaces until it is told to end.
    Hold(User),
}

impl Run {
    /// Whom the container belongs to.
    #[must_use]
    pub const fn user(&self) -> &User {
        match self {
            Self::Process(process) => &process.user,
            Self::Hold(user) => user,
        }
    }
}

/// A kind of namespace, by its name in `/proc/PID/ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// Users, groups and capabilities.
    User,
    /// Process ids.
    Pid,
    /// Mounts.
    Mount,
    /// System V objects and POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// The visible root of the cgroup tree.
    Cgroup,
    /// Network devices, addresses and ports.
    Network,
    /// The clocks that begin at zero: those of `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`. Only whoever is
    /// started afterwards is in a new one, so that it comes with a pid namespace, whose init starts the
    /// task.
    Time,
}

impl Namespace {
    /// The name in `/proc/PID/ns`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Pid => "pid",
            Self::Mount => "mnt",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Network => "net",
            Self::Time => "time",
        }
    }
}

/// Users and groups `0..length` inside are `first..first + length` on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRange {
    /// The node's id behind 0.
    pub first: u32,
    /// How many ids are mapped.
    pub length: u32,
}

impl IdRange {
    /// The node's id behind an id of the container; `None` outside the range.
    #[must_use]
    pub const fn on_node(self, inside: u32) -> Option<u32> {
        if inside < self.length {
            self.first.checked_add(inside)
        } else {
            None
        }
    }
}

/// The task's own directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The directory on the node. It is given to the task's user when the container starts; where
    /// it appears inside is told by the mount with [`Content::Sandbox`].
    pub source: String,
    /// The file in it that takes standard output, appended to.
    pub stdout: String,
    /// The file in it that takes standard error, appended to.
    pub stderr: String,
}

/// The process to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// A path, or a name to be looked up in the `PATH` of [`Process::environment`].
    pub program: String,
    /// The arguments, the program's own name first.
    pub arguments: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// Where it starts, inside the container.
    pub directory: String,
    /// Whom it runs as.
    pub user: User,
    /// Limits by setrlimit(2).
    pub rlimits: Vec<Rlimit>,
}

/// A user and its groups, by ids of the container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The first group.
    pub gid: u32,
    /// All other groups.
    pub groups: Vec<u32>,
}

/// One limit by setrlimit(2); `u64::MAX` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// The kernel's number of the resource, such as `RLIMIT_NOFILE`.
    pub resource: u32,
    /// What is enforced.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// A capability by the kernel's number, as in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(pub u8);

impl Capability {
    /// What they are called, by number and without `CAP_` (linux/capability.h).
    pub const NAMES: [&str; 41] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];
}

impl fmt::Display for Capability {
    /// Its name, as [`Self::NAMES`] has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "capability {}", self.0),
        }
    }
}

/// The sets of a container. All rights are those of the container's own user namespace: over what
/// belongs to the node no capability gives any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// In force from the start, whoever the user is, and handed on to every program.
    pub effective: Vec<Capability>,
    /// What can be had at all; holds the effective ones.
    pub bounding: Vec<Capability>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_outside_the_range_has_no_id_on_the_node() {
        let range = IdRange {
            first: 100_000,
            length: 65_536,
        };
        assert_eq!(range.on_node(0), Some(100_000));
        assert_eq!(range.on_node(65_535), Some(165_535));
        assert_eq!(range.on_node(65_536), None);
        let high = IdRange {
            first: u32::MAX,
            length: 2,
        };
        assert_eq!(high.on_node(1), None);
    }
}
