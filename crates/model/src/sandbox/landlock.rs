//! Landlock: what of its own mounts a container's processes may use, and whom they reach beside that.

use alloc::string::String;
use alloc::vec::Vec;

/// A ruleset. It is in force for a container's init and all that runs beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlock {
    /// What may be done to files. Empty where files are left to mounts and permissions: whoever is
    /// restricted here can make no mounts at all.
    pub files: Vec<FileRule>,
    /// Which abstract UNIX sockets can be connected to.
    pub sockets: Scope,
    /// Which processes can be signalled.
    pub signals: Scope,
    /// The TCP ports that may be bound by number; all where unset.
    pub ports: Option<Vec<u16>>,
}

/// What may be done to a file, or to all that is beneath a directory; rules add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// The path inside; passed over where there is nothing.
    pub place: String,
    /// What may be done.
    pub rights: FileRights,
}

/// What may be done to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileRights {
    /// Read, list and execute.
    Read,
    /// The same, and write to what is there.
    Write,
    /// The same, and speak to drivers.
    Devices,
    /// Everything but device files of disks.
    Change,
}

/// Whom something reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What runs under the same ruleset.
    Container,
    /// Whoever is in the namespace.
    Namespace,
}
