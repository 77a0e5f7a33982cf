//! The sandbox vocabulary: what a plan says and a deed does.
//!
//! `agent-core::sandbox` makes a [`LaunchPlan`] out of a task and facts about the node;
//! `agent-kernel::launch` carries it out and has nothing left to decide. Every number is final, every
//! path is either one of the node (`source`) or one of the container (`target`), never both.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::ContainerId;

/// Everything that is needed to start one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// Names the container's cgroup and its exit file.
    pub container: ContainerId,
    /// The host name inside.
    pub hostname: String,
    /// The namespaces that the container does not share with the node.
    pub namespaces: Vec<Namespace>,
    /// The node's ids that stand behind the ids inside.
    pub ids: IdRange,
    /// The root directory.
    pub root: Root,
    /// What is mounted on the root, in this order.
    pub mounts: Vec<Mount>,
    /// The task's own directory, and the files that take its output.
    pub sandbox: Sandbox,
    /// The process to run.
    pub process: Process,
    /// The capabilities that remain; those of the init and of the task are the same.
    pub capabilities: Vec<Capability>,
    /// The limits of the container's cgroup.
    pub cgroup: CgroupLimits,
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

/// Whether a mount may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing beneath can be changed through this mount.
    ReadOnly,
    /// Permissions decide.
    ReadWrite,
}

/// The directory of the node that is the container's `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// A directory of the node, on a file system other than the initramfs.
    pub source: String,
    /// The default root is shared by all containers and read-only.
    pub access: Access,
}

/// One mount inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// An absolute path inside; looked up so that no link leads out of the root.
    pub target: String,
    /// What appears there.
    pub content: Content,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory or file of the node, without what is mounted beneath it; device files in it are
    /// dead and set-user-id bits without effect.
    Bind {
        /// The path on the node.
        source: String,
        /// Whether it may be written to.
        access: Access,
        /// What to do where the node lacks it.
        missing: Missing,
    },
    /// The task's own directory, [`LaunchPlan::sandbox`].
    Sandbox,
    /// A directory of the node that outlives the container. On the disk its files have the
    /// container's ids, so that a later container, whatever its range, finds them its own.
    Volume {
        /// The path on the node.
        source: String,
        /// Whether it may be written to.
        access: Access,
        /// Whose it becomes.
        handover: Handover,
    },
    /// A new, empty file system in memory.
    Tmpfs {
        /// The most it holds.
        bytes_max: u64,
        /// The permissions of its root directory, as in `0o1777`.
        mode: u32,
    },
    /// A small file system of device files, links and directories.
    Devices(Devices),
    /// Pseudo terminals of the container's own; the files belong to this group of the container.
    Terminals {
        /// The container's id of the group `tty`.
        group: u32,
    },
    /// The processes of the container's own pid namespace.
    Proc,
    /// The cgroup tree from the container's cgroup downwards, read-only.
    Cgroup,
    /// Nothing: a device that reads as empty over a file, an empty directory over a directory. Left
    /// out where the target does not exist.
    Mask,
    /// What is there already, read-only. Left out where the target does not exist.
    ReadOnly,
}

/// When a volume is given to the container's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handover {
    /// At each start; what lies in it stays whose it is.
    Always,
    /// While it is nobody's: others may have it at the same time.
    WhileNew,
}

/// What to do where the source of a mount is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// The launch ends with an error.
    Fails,
    /// The mount is left out.
    IsLeftOut,
}

/// What a container's `/dev` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// The character devices, all with permissions 0666.
    pub nodes: Vec<DeviceNode>,
    /// Symbolic links as (name, where it points to).
    pub links: Vec<(String, String)>,
    /// Empty directories, to be mounted on.
    pub directories: Vec<String>,
}

/// A character device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// The name in `/dev`.
    pub name: String,
    /// The driver.
    pub major: u32,
    /// The device of this driver.
    pub minor: u32,
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

/// A capability by the kernel's number; none is kept as yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(pub u8);

/// Values for the files of a cgroup v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupLimits {
    /// `cpu.weight`.
    pub cpu_weight: u64,
    /// `cpu.max`; `None` leaves the processor unlimited.
    pub cpu_quota: Option<CpuQuota>,
    /// `memory.max` in bytes; `memory.swap.max` is 0 and `memory.oom.group` 1 beside it.
    pub memory_bytes_max: u64,
    /// `pids.max`.
    pub pids_max: u64,
}

/// How much processor time in a period, both in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Processor time.
    pub quota_us: u64,
    /// Of each such period.
    pub period_us: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExitStatus {
    /// By exit(2) with this code.
    Exited(u8),
    /// By this signal.
    Signaled(i32),
}

impl ExitStatus {
    /// The status as wait(2) encodes it.
    #[must_use]
    pub const fn wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => (code as i32) << 8,
            Self::Signaled(signal) => signal & 0x7f,
        }
    }

    /// Reads the encoding of wait(2); a status that tells of no end (stopped) is `None`.
    #[must_use]
    pub const fn from_wait_status(status: i32) -> Option<Self> {
        let signal = status & 0x7f;
        match signal {
            #[expect(clippy::cast_sign_loss, reason = "the mask leaves eight bits")]
            0 => Some(Self::Exited(((status >> 8) & 0xff) as u8)),
            0x7f => None,
            _ => Some(Self::Signaled(signal)),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with status {code}"),
            Self::Signaled(signal) => write!(f, "terminated by signal {signal}"),
        }
    }
}

/// One thing that keeps a container in its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isolation {
    /// A namespace of its own.
    Namespace(Namespace),
    /// No capabilities, in no set.
    Capabilities,
    /// Set-user-id programs have no effect.
    NoNewPrivileges,
    /// A root of its own.
    Root,
    /// A cgroup of its own, so that no process is lost.
    Placement,
    /// The share of the processor, and the quota where one was asked for.
    Cpu,
    /// The memory limit.
    Memory,
    /// The limit of processes.
    Pids,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => write!(f, "{} namespace", namespace.name()),
            Self::Capabilities => f.write_str("capabilities"),
            Self::NoNewPrivileges => f.write_str("no_new_privs"),
            Self::Root => f.write_str("root"),
            Self::Placement => f.write_str("cgroup"),
            Self::Cpu => f.write_str("cpu limit"),
            Self::Memory => f.write_str("memory limit"),
            Self::Pids => f.write_str("pids limit"),
        }
    }
}

/// What was enforced, and what was not and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enforcement {
    /// In force.
    pub enforced: Vec<Isolation>,
    /// Not in force, each with the reason.
    pub missing: Vec<(Isolation, String)>,
}

impl Enforcement {
    /// Notes what became of one isolation.
    pub fn note(&mut self, isolation: Isolation, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.enforced.push(isolation),
            Err(reason) => self.missing.push((isolation, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_survives_the_encoding_of_wait() {
        for status in [
            ExitStatus::Exited(0),
            ExitStatus::Exited(7),
            ExitStatus::Exited(255),
            ExitStatus::Signaled(9),
            ExitStatus::Signaled(15),
        ] {
            assert_eq!(
                ExitStatus::from_wait_status(status.wait_status()),
                Some(status)
            );
        }
        assert_eq!(ExitStatus::from_wait_status(0x137f), None, "stopped");
    }

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
