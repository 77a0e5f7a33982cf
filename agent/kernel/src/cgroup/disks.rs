//! Disks: by whose weights the kernel shares them out between groups.
//!
//! `io.weight` is there wherever the kernel was built with iocost, and means nothing until that is
//! turned on for a disk; `io.bfq.weight` is there once BFQ is loaded, and means nothing to a disk of
//! another scheduler (cgroup-v2.rst, "IO"; bfq-iosched.rst).

use std::fs;
use std::path::Path;

/// Who goes by the weight of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// The scheduler of a disk's queue.
    Bfq,
    /// The controller iocost, for a disk at least.
    Cost,
    /// Nobody: each process gets what it is fast enough to ask for.
    None,
}

impl Sharing {
    /// What is so on this machine, whose cgroups are mounted there.
    pub(super) fn of(mount: &Path) -> Self {
        let costs = fs::read_to_string(mount.join("io.cost.qos")).unwrap_or_default();
        Self::by(schedulers().iter().map(String::as_str), &costs)
    }

    fn by<'a>(mut schedulers: impl Iterator<Item = &'a str>, costs: &str) -> Self {
        if schedulers.any(|names| names.split_whitespace().any(|name| name == "[bfq]")) {
            return Self::Bfq;
        }
        let is_on = |line: &str| line.split_whitespace().any(|word| word == "enable=1");
        match costs.lines().any(is_on) {
            true => Self::Cost,
            false => Self::None,
        }
    }

    /// The file of a group that holds its weight, and the greatest that it takes.
    pub(super) const fn file(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Bfq => Some(("io.bfq.weight", 1_000)),
            Self::Cost => Some(("io.weight", 10_000)),
            Self::None => None,
        }
    }
}

/// What each disk says of its queue: all schedulers that it may have, the one that it has in brackets.
fn schedulers() -> Vec<String> {
    let Ok(disks) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    disks
        .flatten()
        .filter_map(|disk| fs::read_to_string(disk.path().join("queue/scheduler")).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_counts_where_a_disk_goes_by_it() {
        let cost_off = "254:0 enable=0 ctrl=auto rpct=0.00 rlat=25000 wpct=0.00 wlat=25000\n";
        let cost_on = "254:0 enable=0\n254:16 enable=1 ctrl=auto rpct=0.00\n";
        for (schedulers, costs, sharing) in [
            (&["none mq-deadline [bfq]\n"][..], "", Sharing::Bfq),
            (&["[none] bfq\n", "[bfq] none\n"], cost_on, Sharing::Bfq),
            (&["[none] bfq\n", "[none]\n"], cost_off, Sharing::None),
            (&["[mq-deadline] none\n"], cost_on, Sharing::Cost),
            (&[], "", Sharing::None),
        ] {
            assert_eq!(
                Sharing::by(schedulers.iter().copied(), costs),
                sharing,
                "{schedulers:?}"
            );
        }
    }
}
