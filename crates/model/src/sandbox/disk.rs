//! Disk: how much a container may keep on the node's disk.

/// Bounds of all files of a container together; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DiskQuota {
    /// What they take, in bytes.
    pub bytes_max: Option<u64>,
    /// How many files and directories there are.
    pub inodes_max: Option<u64>,
}
