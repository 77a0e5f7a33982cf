//! Cgroup: where a container's processes are counted and bounded.

use alloc::vec::Vec;

use super::{CpuSet, DeviceRule, HugePages};

/// A container's group in the cgroup tree, beneath that of the container that it is nested in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlan {
    /// The values of its files; `None` leaves the container within the bounds of its parent.
    pub limits: Option<CgroupLimits>,
    /// Whether containers nested in it may have limits of their own.
    pub nesting: Nesting,
    /// The processors that its processes run on; all that the one above has where unset.
    pub cpus: Option<CpuSet>,
    /// The device files that may be used; a container that is nested has those that the ones above it
    /// have, too.
    pub devices: Vec<DeviceRule>,
    /// The ports that may be bound by number, first and last of each range; all where unset.
    pub ports: Option<Vec<(u16, u16)>>,
}

/// Whether the groups of nested containers may have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// They share those of this container.
    Shared,
    /// They may: this container's own processes stand in a group beneath its own then, since a group
    /// that holds processes cannot hand controllers on (cgroups(7), "no internal processes").
    Limited,
}

/// Values for the files of a cgroup v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupLimits {
    /// `cpu.weight`.
    pub cpu_weight: u64,
    /// `cpu.max`; `None` leaves the processor unlimited.
    pub cpu_quota: Option<CpuQuota>,
    /// `memory.min` in bytes: what is never taken from this container, whatever others lack.
    pub memory_bytes_min: u64,
    /// `memory.low` in bytes: what is taken from this container last.
    pub memory_bytes_low: u64,
    /// `memory.high` in bytes, `None` for no such mark: beyond it the container is slowed down and its
    /// memory taken back, and nothing is killed.
    pub memory_bytes_high: Option<u64>,
    /// `memory.max` in bytes, `None` for no limit; `memory.oom.group` is 1 beside it.
    pub memory_bytes_max: Option<u64>,
    /// `memory.swap.max` in bytes, `None` for no limit.
    pub swap_bytes_max: Option<u64>,
    /// `hugetlb.SIZE.max`, and `hugetlb.SIZE.rsvd.max` beside it: of the pages that the node has set
    /// aside, a size of which it has none is left out.
    pub huge_pages: HugePages,
    /// `pids.max`.
    pub pids_max: u64,
    /// `io.weight`, where the kernel shares disks out by weight.
    pub io_weight: u64,
    /// `io.max`; `None` leaves the disk unlimited.
    pub io_max: Option<IoMax>,
}

/// How much may be read from and written to a disk in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoMax {
    /// The number of the disk's driver; a whole disk and no part of one.
    pub major: u32,
    /// The number within it.
    pub minor: u32,
    /// Bytes read; `None` for no limit.
    pub read_bytes_s: Option<u64>,
    /// Bytes written; the same.
    pub write_bytes_s: Option<u64>,
}

/// How much processor time in a period, both in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Processor time.
    pub quota_us: u64,
    /// Of each such period.
    pub period_us: u64,
}
