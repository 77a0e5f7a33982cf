//! Disk: from the resource `disk` to bounds of a container's files.
//!
//! A container may have what it asked for. One that asked for nothing may have what the agent offers
//! to nobody, so that it cannot take what others were promised; in Mesos nothing bounds it. Files are
//! bounded in number as they are in size: with a part of the disk comes the same part of its inodes.

use model::sandbox::DiskQuota;

use super::Demand;

/// The least number of files and directories; a program's own few are no matter of how much it stores.
const INODES_MIN: u64 = 1_024;

/// The part of the disk that containers have that asked for none, where all of it is offered.
const UNASKED_PART: u64 = 10;

/// What Mesos leaves a container beyond its limit where it is ended at the limit, so that it is ended
/// and not stopped (`--xfs_kill_containers`).
const HEADROOM_BYTES: u64 = 10 << 20;

/// What becomes of containers that keep more than they asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskPolicy {
    /// Nothing; it is counted (`--no-enforce_container_disk_quota`).
    Counted,
    /// They cannot write, where the file system keeps limits; else they are ended.
    #[default]
    Bounded,
    /// They are ended (`--xfs_kill_containers`).
    Ended,
}

/// The disk that sandboxes are on, and who looks after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskFacts {
    /// Its size.
    pub bytes: u64,
    /// How many files it can hold.
    pub inodes: u64,
    /// How much of it is offered.
    pub offered_bytes: u64,
    /// What becomes of those that pass a limit.
    pub policy: DiskPolicy,
}

/// The bounds of a container with all that are nested in it.
#[must_use]
pub fn disk_quota(demand: Demand, disk: DiskFacts) -> DiskQuota {
    let asked = match demand.disk_bytes {
        0 => None,
        bytes => Some(bytes),
    };
    let unasked = || {
        let left = disk.bytes.saturating_sub(disk.offered_bytes);
        left.max(disk.bytes / UNASKED_PART)
    };
    let bytes_max = match disk.policy {
        DiskPolicy::Counted => return DiskQuota::default(),
        DiskPolicy::Bounded => asked.unwrap_or_else(unasked),
        DiskPolicy::Ended => {
            asked.map_or_else(unasked, |bytes| bytes.saturating_add(HEADROOM_BYTES))
        }
    };
    bounded(bytes_max, disk)
}

/// The bounds of a persistent volume.
#[must_use]
pub fn volume_quota(bytes: u64, disk: DiskFacts) -> DiskQuota {
    match disk.policy {
        DiskPolicy::Counted => DiskQuota::default(),
        DiskPolicy::Bounded | DiskPolicy::Ended => bounded(bytes, disk),
    }
}

fn bounded(bytes_max: u64, disk: DiskFacts) -> DiskQuota {
    let part = u128::from(bytes_max) * u128::from(disk.inodes);
    let part = part.checked_div(u128::from(disk.bytes));
    let inodes = part.map(|inodes| u64::try_from(inodes).unwrap_or(u64::MAX));
    DiskQuota {
        bytes_max: Some(bytes_max),
        // A file system that makes inodes as it needs them may say that it has none.
        inodes_max: inodes
            .filter(|_| disk.inodes > 0)
            .map(|inodes| inodes.max(INODES_MIN)),
    }
}

/// Whether a container is to be ended that keeps so much: the limit that it passed.
#[must_use]
pub fn passed(
    demand: Demand,
    used_bytes: u64,
    policy: DiskPolicy,
    hard: HardLimits,
) -> Option<u64> {
    let ends = match (policy, hard) {
        (DiskPolicy::Ended, _) | (DiskPolicy::Bounded, HardLimits::Missing) => true,
        (DiskPolicy::Bounded, HardLimits::Kept) | (DiskPolicy::Counted, _) => false,
    };
    let limit = demand.disk_bytes;
    (ends && limit > 0 && used_bytes > limit).then_some(limit)
}

/// Whether the file system itself keeps limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardLimits {
    /// It does.
    Kept,
    /// It does not, and the agent looks now and then.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn asking(disk_bytes: u64) -> Demand {
        Demand {
            disk_bytes,
            ..Demand::default()
        }
    }

    const fn disk(policy: DiskPolicy) -> DiskFacts {
        DiskFacts {
            bytes: 100 * GIB,
            inodes: 3_276_800,
            offered_bytes: 95 * GIB,
            policy,
        }
    }

    #[test]
    fn a_container_has_what_it_asked_for_and_the_same_part_of_the_inodes() {
        let quota = disk_quota(asking(GIB), disk(DiskPolicy::Bounded));
        assert_eq!(quota.bytes_max, Some(GIB));
        assert_eq!(quota.inodes_max, Some(32_768));
        let little = disk_quota(asking(1 << 20), disk(DiskPolicy::Bounded));
        assert_eq!(little.inodes_max, Some(INODES_MIN));
        let killed = disk_quota(asking(GIB), disk(DiskPolicy::Ended));
        assert_eq!(killed.bytes_max, Some(GIB + HEADROOM_BYTES));
        let counted = disk_quota(asking(GIB), disk(DiskPolicy::Counted));
        assert_eq!(counted, DiskQuota::default());
        assert_eq!(
            volume_quota(GIB, disk(DiskPolicy::Ended)).bytes_max,
            Some(GIB)
        );
    }

    #[test]
    fn one_that_asked_for_nothing_takes_nothing_that_is_offered() {
        let quota = disk_quota(asking(0), disk(DiskPolicy::Bounded));
        assert_eq!(quota.bytes_max, Some(10 * GIB), "a tenth is more");
        let half = DiskFacts {
            offered_bytes: 50 * GIB,
            ..disk(DiskPolicy::Bounded)
        };
        assert_eq!(disk_quota(asking(0), half).bytes_max, Some(50 * GIB));
        let unknown = DiskFacts { inodes: 0, ..half };
        assert_eq!(disk_quota(asking(0), unknown).inodes_max, None);
    }

    #[test]
    fn containers_are_ended_where_nothing_else_keeps_them_or_the_operator_says_so() {
        use DiskPolicy::{Bounded, Counted, Ended};
        for (policy, hard, expected) in [
            (Counted, HardLimits::Missing, None),
            (Bounded, HardLimits::Kept, None),
            (Bounded, HardLimits::Missing, Some(GIB)),
            (Ended, HardLimits::Kept, Some(GIB)),
        ] {
            assert_eq!(passed(asking(GIB), GIB + 1, policy, hard), expected);
            assert_eq!(passed(asking(GIB), GIB, policy, hard), None);
            assert_eq!(passed(asking(0), u64::MAX, policy, hard), None);
        }
    }
}
