//! Mounts: the root of a container, and what stands on it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{DeviceKind, IdRange, ViewFile};

/// Whether a mount may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing beneath can be changed through this mount.
    ReadOnly,
    /// Permissions decide.
    ReadWrite,
}

/// The container's `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A directory of the node.
    Directory {
        /// Where it is, on a file system other than the initramfs.
        source: String,
        /// The default root is shared by all containers and read-only.
        access: Access,
    },
    /// The layers of an image, with what the container changes kept apart.
    Overlay(Overlay),
    /// The mounts of the parent, those of [`LaunchPlan::mounts`] added for this container alone
    /// where it has a mount namespace of its own.
    ///
    /// [`LaunchPlan::mounts`]: super::LaunchPlan::mounts
    Parent,
}

/// Directories seen as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Directories of the node, the bottom first. None of them is ever changed.
    pub layers: Vec<String>,
    /// The ids that files of the layers have on the disk, seen inside as `0..length`; `None` leaves
    /// them as they are.
    pub ids: Option<IdRange>,
    /// Where changes go.
    pub scratch: Scratch,
    /// Whether the container may change anything.
    pub access: Access,
}

/// Where the changes of an overlay go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scratch {
    /// A directory of the node that is there, on a file system other than an overlay; `upper` and
    /// `work` are made in it. Removing it once the container has ended is for who made it.
    Directory(String),
    /// Memory, gone with the container.
    Memory {
        /// The most it takes.
        bytes_max: u64,
    },
}

/// One mount inside the container. A place that is missing is made, where what it would be in can
/// be written to.
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
    /// dead and set-user-id bits without effect. Its owners are strangers inside.
    Bind {
        /// The path on the node.
        source: String,
        /// Whether it may be written to.
        access: Access,
        /// What to do where the node lacks it.
        missing: Missing,
    },
    /// The same with owners seen inside by the ids that they have on the disk, from 0 up.
    Host {
        /// The path on the node.
        source: String,
        /// Whether it may be written to.
        access: Access,
        /// What is seen of mounts beneath it.
        beneath: MountsBeneath,
    },
    /// The task's own directory, [`LaunchPlan::sandbox`].
    ///
    /// [`LaunchPlan::sandbox`]: super::LaunchPlan::sandbox
    Sandbox,
    /// A directory or file in a sandbox: this container's own, or one of those that it is nested in.
    /// Tasks write there, so no link on the way is followed; where there is nothing, a directory is
    /// made and given to the container's user.
    Beneath {
        /// The sandbox on the node.
        directory: String,
        /// The path in it, relative.
        path: String,
        /// Whether it may be written to.
        access: Access,
    },
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
    /// The files of an image.
    Image(Overlay),
    /// A small file in memory, read-only, which belongs to the container's user.
    File {
        /// What it holds.
        content: Secret,
        /// Its permissions, as in `0o400`.
        mode: u32,
    },
    /// What the parent has at the same place, with all that is mounted beneath it.
    OfParent,
    /// A new, empty file system in memory.
    Tmpfs {
        /// The most it holds.
        bytes_max: u64,
        /// The most files and directories, which take memory of the kernel's own beyond that.
        inodes_max: u64,
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
    /// What the kernel tells of the node, read-only, with the network devices of the container and no
    /// others.
    Sysfs,
    /// The processes of the container's own pid namespace.
    Proc,
    /// POSIX message queues of the IPC namespace, as at `/dev/mqueue`.
    Queues,
    /// The cgroup tree from the container's cgroup downwards, read-only.
    Cgroup,
    /// A file that tells of a container's own limits what the kernel's tells of the node, read-only: of
    /// [`LaunchPlan::view`], or of the nearest container above that has a view. Left out where this
    /// kernel has no FUSE.
    ///
    /// [`LaunchPlan::view`]: super::LaunchPlan::view
    View(ViewFile),
    /// Nothing: a device that reads as empty over a file, an empty directory over a directory. Left
    /// out where the target does not exist.
    Mask,
    /// What is there already, read-only. Left out where the target does not exist.
    ReadOnly,
}

/// Bytes that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// When a volume is given to the container's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handover {
    /// At each start; what lies in it stays whose it is.
    Always,
    /// While it is nobody's: others may have it at the same time.
    WhileNew,
}

/// What a container sees of the node's mounts beneath a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MountsBeneath {
    /// None: the directories that they stand on.
    Hidden,
    /// All of them, those that come and go later as well (a slave in `mount_namespaces(7)`). Those that
    /// come later are as the node mounted them, whatever this mount forbids.
    Followed,
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
    /// The device files.
    pub nodes: Vec<DeviceNode>,
    /// Symbolic links as (name, where it points to).
    pub links: Vec<(String, String)>,
    /// Empty directories, to be mounted on or to hold devices, each after the one that it is in.
    pub directories: Vec<String>,
}

/// A device file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// The path in `/dev`.
    pub name: String,
    /// What kind it is.
    pub kind: DeviceKind,
    /// Its permissions, as in `0o666`.
    pub mode: u32,
    /// The driver.
    pub major: u32,
    /// The device of this driver.
    pub minor: u32,
}
