//! Cgroup: from resources to controller values.
//!
//! A command task has the room of the executor that Mesos would have run beside it, so that
//! frameworks see no difference in what it gets and when it runs out (DESIGN, "Command tasks").

use model::sandbox::{CgroupLimits, CpuQuota, HugePages, IoMax, Nesting};

use super::{Class, TaskSpec};
use crate::allocation::Revocable;

/// What Mesos' command executor adds, in thousandths of a processor (reference, section 2.5).
pub(super) const EXECUTOR_CPUS_MILLI: u64 = 100;

/// What Mesos' command executor adds, in bytes.
const EXECUTOR_MEMORY_BYTES: u64 = 32 << 20;

/// The least memory limit that Mesos sets (reference, section 8.6).
pub const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// `cpu.weight` of one processor. 100 is the kernel's default, as 1024 shares were in version 1, so
/// that a container of one processor weighs as much as an unlimited neighbour (reference, 8.6).
pub(super) const WEIGHT_PER_CPU: u64 = 100;

/// The same of a processor that is given back when others need it (reference, section 8.6).
const WEIGHT_PER_REVOCABLE_CPU: u64 = 1;

/// The range of `cpu.weight` (the kernel's cgroup-v2.rst).
const WEIGHTS: (u64, u64) = (1, 10_000);

/// The period of `cpu.max` in Mesos (reference, section 8.6).
const PERIOD_US: u64 = 100_000;

/// The least quota that the kernel takes.
const QUOTA_US_MIN: u64 = 1_000;

/// How many processes and threads a container may have. Mesos sets no limit; without one a single
/// task can take every number of the node.
const PIDS_MAX: u64 = 4_096;

/// Whether `cpus` is a limit and not only a share (`--cgroups_enable_cfs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cfs {
    /// A share only.
    #[default]
    Off,
    /// A limit too.
    On,
}

/// Whether memory of containers may be written to the node's swap (`--cgroups_limit_swap`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Swap {
    /// None of it: a memory limit is what it says.
    #[default]
    Off,
    /// As much as there is.
    On,
}

/// How what a container asked for of memory is kept for it (`--container_memory_protection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protection {
    /// It is taken when nothing else is left: `memory.low`, as in Mesos.
    #[default]
    Low,
    /// It is never taken: `memory.min`. Whoever else needs it then is killed.
    Min,
}

/// The way from the request of memory to the limit, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling(u8);

impl Throttling {
    /// So many percent of it; `None` for none and for more than all.
    #[must_use]
    pub const fn percent(number: u8) -> Option<Self> {
        match number {
            1..=100 => Some(Self(number)),
            _ => None,
        }
    }

    /// Where a container is slowed down; `None` where request and limit are the same, or there is no
    /// limit to keep away from.
    fn mark(self, request: u64, limit: Option<u64>) -> Option<u64> {
        let way = limit?.checked_sub(request).filter(|way| *way > 0)?;
        let part = u128::from(way) * u128::from(self.0) / 100;
        Some(request.saturating_add(u64::try_from(part).unwrap_or(u64::MAX)))
    }
}

/// Whether revocable processors count for less than others (`--revocable_cpu_low_priority`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RevocableCpu {
    /// They come last.
    #[default]
    Low,
    /// They count as much.
    Same,
}

/// What the operator says of the limits of all containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Whether the share of the processor is a limit as well.
    pub cfs: Cfs,
    /// Whether they may swap.
    pub swap: Swap,
    /// How what they asked for of memory is kept.
    pub protection: Protection,
    /// Where between request and limit of memory they are slowed down (`--container_memory_throttling`).
    pub throttling: Option<Throttling>,
    /// What each may read from and write to the disk of the work directory.
    pub io: Option<IoMax>,
    /// What revocable processors count for.
    pub revocable_cpu: RevocableCpu,
}

/// What a container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Processors, in thousandths: its share.
    pub cpus_milli: u64,
    /// Memory in bytes: what it has for sure.
    pub memory_bytes: u64,
    /// How many processors it may take where others leave them (`TaskInfo.limits`), in thousandths.
    pub cpus_milli_max: Option<Ceiling>,
    /// How much memory it may take (`TaskInfo.limits`), in bytes.
    pub memory_bytes_max: Option<Ceiling>,
    /// What it may keep on the disk, in bytes; 0 where it did not ask for any.
    pub disk_bytes: u64,
    /// Huge pages.
    pub huge_pages: HugePages,
    /// What of it is given back when others need it.
    pub revocable: Revocable,
}

/// A limit that stands apart from what was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    /// This much.
    At(u64),
    /// None, which the text `Infinity` says.
    Unlimited,
}

impl Ceiling {
    fn plus(self, more: u64) -> Self {
        match self {
            Self::At(value) => Self::At(value.saturating_add(more)),
            Self::Unlimited => Self::Unlimited,
        }
    }
}

/// The values for a container of this demand.
#[must_use]
pub fn limits(demand: Demand, rules: Rules) -> CgroupLimits {
    let weight = match (demand.revocable.cpus, rules.revocable_cpu) {
        (true, RevocableCpu::Low) => WEIGHT_PER_REVOCABLE_CPU,
        (true, RevocableCpu::Same) | (false, _) => WEIGHT_PER_CPU,
    };
    let weight = demand.cpus_milli.saturating_mul(weight) / 1000;
    let quota = |cpus_milli: u64| CpuQuota {
        quota_us: (cpus_milli.saturating_mul(PERIOD_US) / 1000).max(QUOTA_US_MIN),
        period_us: PERIOD_US,
    };
    let memory_bytes = demand.memory_bytes.max(MEMORY_BYTES_MIN);
    let memory_bytes_kept = match demand.revocable.memory {
        // It is the first to be taken.
        true => 0,
        false => memory_bytes,
    };
    let memory_bytes_max = match demand.memory_bytes_max {
        None => Some(memory_bytes),
        // A limit below the request is refused by the master; the request counts then.
        Some(Ceiling::At(bytes)) => Some(bytes.max(memory_bytes)),
        Some(Ceiling::Unlimited) => None,
    };
    CgroupLimits {
        cpu_weight: weight.clamp(WEIGHTS.0, WEIGHTS.1),
        // Nobody asks for a share of a disk: who has more of the processor has more of that.
        io_weight: weight.clamp(WEIGHTS.0, WEIGHTS.1),
        io_max: rules.io,
        swap_bytes_max: match rules.swap {
            Swap::Off => Some(0),
            Swap::On => None,
        },
        cpu_quota: match (demand.cpus_milli_max, rules.cfs) {
            (Some(Ceiling::At(cpus_milli)), _) => Some(quota(cpus_milli)),
            (None, Cfs::On) => Some(quota(demand.cpus_milli)),
            (Some(Ceiling::Unlimited), _) | (None, Cfs::Off) => None,
        },
        memory_bytes_min: match rules.protection {
            Protection::Low => 0,
            Protection::Min => memory_bytes_kept,
        },
        memory_bytes_low: memory_bytes_kept,
        memory_bytes_high: rules
            .throttling
            .and_then(|throttling| throttling.mark(memory_bytes, memory_bytes_max)),
        memory_bytes_max,
        // The node's are set aside for those who ask: a container that does not has none.
        huge_pages: demand.huge_pages,
        pids_max: PIDS_MAX,
    }
}

/// The score of a container's processes, when the kernel looks for memory: what is revocable goes
/// before anything else (the kernel's `OOM_SCORE_ADJ_MAX`).
pub(super) const fn oom_score_adj(revocable: Revocable) -> i16 {
    match revocable.any() {
        true => 1000,
        false => 0,
    }
}

/// The values for a container; none where it is bounded with its parent.
pub(super) fn of(task: &TaskSpec<'_>, rules: Rules) -> Option<CgroupLimits> {
    match task.class {
        Class::Task => Some(limits(with_executor(task.demand), rules)),
        Class::Executor | Class::Pod => Some(limits(task.demand, rules)),
        Class::Nested => task.wishes.own_limits.then(|| limits(task.demand, rules)),
        Class::Debug => None,
    }
}

/// Only a container that is no task by itself has others with limits of their own in it.
pub(super) const fn nesting(class: Class) -> Nesting {
    match class {
        Class::Executor | Class::Pod => Nesting::Limited,
        Class::Task | Class::Nested | Class::Debug => Nesting::Shared,
    }
}

fn with_executor(demand: Demand) -> Demand {
    let cpus_milli_max = demand.cpus_milli_max;
    let memory_bytes_max = demand.memory_bytes_max;
    Demand {
        cpus_milli: demand.cpus_milli.saturating_add(EXECUTOR_CPUS_MILLI),
        memory_bytes: demand.memory_bytes.saturating_add(EXECUTOR_MEMORY_BYTES),
        cpus_milli_max: cpus_milli_max.map(|limit| limit.plus(EXECUTOR_CPUS_MILLI)),
        memory_bytes_max: memory_bytes_max.map(|limit| limit.plus(EXECUTOR_MEMORY_BYTES)),
        ..demand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use expect_test::{Expect, expect};

    fn with(cfs: Cfs) -> Rules {
        Rules {
            cfs,
            ..Rules::default()
        }
    }

    fn check(tasks: &[(u64, u64)], expected: &Expect) {
        let mut text = String::new();
        for &(cpus_milli, mib) in tasks {
            let demand = Demand {
                cpus_milli,
                memory_bytes: mib << 20,
                ..Demand::default()
            };
            let limits = limits(with_executor(demand), with(Cfs::On));
            let quota = limits.cpu_quota.map(|cpu| (cpu.quota_us, cpu.period_us));
            text += &format!(
                "cpus={cpus_milli}m mem={mib}MB: weight={} max={quota:?} memory={}MB\n",
                limits.cpu_weight,
                limits.memory_bytes_max.unwrap_or(0) >> 20,
            );
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn resources_become_controller_values_within_the_kernels_ranges() {
        let tasks = [
            (0, 0),
            (10, 32),
            (500, 64),
            (1_000, 128),
            (64_000, 4_096),
            (200_000, 1 << 20),
        ];
        check(
            &tasks,
            &expect![[r#"
            cpus=0m mem=0MB: weight=10 max=Some((10000, 100000)) memory=32MB
            cpus=10m mem=32MB: weight=11 max=Some((11000, 100000)) memory=64MB
            cpus=500m mem=64MB: weight=60 max=Some((60000, 100000)) memory=96MB
            cpus=1000m mem=128MB: weight=110 max=Some((110000, 100000)) memory=160MB
            cpus=64000m mem=4096MB: weight=6410 max=Some((6410000, 100000)) memory=4128MB
            cpus=200000m mem=1048576MB: weight=10000 max=Some((20010000, 100000)) memory=1048608MB
        "#]],
        );
        let all = Demand {
            cpus_milli: u64::MAX,
            memory_bytes: u64::MAX,
            ..Demand::default()
        };
        assert_eq!(limits(all, with(Cfs::Off)).cpu_quota, None);
        let all = limits(with_executor(all), with(Cfs::On));
        assert_eq!(all.memory_bytes_max, Some(u64::MAX));
    }

    #[test]
    fn what_is_revocable_weighs_little_and_is_the_first_to_be_taken() {
        let all = Demand {
            cpus_milli: 8_000,
            memory_bytes: 64 << 20,
            ..Demand::default()
        };
        let revocable = |cpus, memory| Demand {
            revocable: Revocable { cpus, memory },
            ..all
        };
        let values = |demand, rules| {
            let limits = limits(demand, rules);
            assert_eq!(limits.cpu_weight, limits.io_weight);
            assert_eq!(limits.memory_bytes_max, Some(64 << 20));
            (limits.cpu_weight, limits.memory_bytes_low >> 20)
        };
        let usual = with(Cfs::Off);
        assert_eq!(values(all, usual), (800, 64));
        assert_eq!(values(revocable(true, false), usual), (8, 64));
        assert_eq!(values(revocable(false, true), usual), (800, 0));
        assert_eq!(values(revocable(true, true), usual), (8, 0));
        let same = Rules {
            revocable_cpu: RevocableCpu::Same,
            ..usual
        };
        assert_eq!(values(revocable(true, false), same), (800, 64));
        // However little it has, the kernel's least is what it weighs.
        let little = Demand {
            cpus_milli: 100,
            ..revocable(true, false)
        };
        assert_eq!(values(little, usual).0, 1);
        for (demand, score) in [
            (all, 0),
            (revocable(true, false), 1000),
            (revocable(false, true), 1000),
        ] {
            assert_eq!(oom_score_adj(demand.revocable), score);
        }
    }

    #[test]
    fn a_limit_apart_from_the_request_bounds_and_the_request_is_what_is_kept() {
        let demand = Demand {
            cpus_milli: 500,
            memory_bytes: 64 << 20,
            cpus_milli_max: Some(Ceiling::At(2_000)),
            memory_bytes_max: Some(Ceiling::At(128 << 20)),
            ..Demand::default()
        };
        let bounded = limits(demand, with(Cfs::Off));
        assert_eq!(bounded.cpu_weight, 50);
        assert_eq!(bounded.cpu_quota.map(|cpu| cpu.quota_us), Some(200_000));
        assert_eq!(bounded.memory_bytes_low, 64 << 20);
        assert_eq!(bounded.memory_bytes_max, Some(128 << 20));
        let unlimited = Demand {
            cpus_milli_max: Some(Ceiling::Unlimited),
            memory_bytes_max: Some(Ceiling::Unlimited),
            ..demand
        };
        let unlimited = limits(with_executor(unlimited), with(Cfs::On));
        assert_eq!(unlimited.cpu_quota, None);
        assert_eq!(unlimited.memory_bytes_max, None);
        assert_eq!(unlimited.memory_bytes_low, 96 << 20);
    }

    #[test]
    fn what_was_asked_for_is_kept_and_a_container_is_slowed_down_on_the_way_to_its_limit() {
        const MB: u64 = 1 << 20;
        let bursting = Demand {
            memory_bytes: 100 * MB,
            memory_bytes_max: Some(Ceiling::At(200 * MB)),
            ..Demand::default()
        };
        let rules = Rules {
            protection: Protection::Min,
            throttling: Throttling::percent(80),
            ..Rules::default()
        };
        let marks = |demand, rules| {
            let limits = limits(demand, rules);
            (limits.memory_bytes_min, limits.memory_bytes_high)
        };
        assert_eq!(marks(bursting, rules), (100 * MB, Some(180 * MB)));
        assert_eq!(marks(bursting, Rules::default()), (0, None));
        // Nothing lies between a request and the limit that it is, and nothing before no limit.
        for memory_bytes_max in [None, Some(Ceiling::Unlimited), Some(Ceiling::At(0))] {
            let demand = Demand {
                memory_bytes_max,
                ..bursting
            };
            assert_eq!(marks(demand, rules), (100 * MB, None));
        }
        assert_eq!(Throttling::percent(0), None);
        assert_eq!(Throttling::percent(101), None);
    }

    #[test]
    fn huge_pages_are_those_asked_for_and_else_none() {
        let none = limits(Demand::default(), Rules::default());
        assert!(none.huge_pages.iter().all(|(_, bytes)| bytes == 0));
        let demand = Demand {
            huge_pages: HugePages::of(|size| u64::from(size == "2MB") << 22),
            ..Demand::default()
        };
        let some = limits(with_executor(demand), Rules::default()).huge_pages;
        let some: Vec<_> = some.iter().filter(|(_, bytes)| *bytes > 0).collect();
        assert_eq!(some, [("2MB", 4 << 20)]);
    }
}
