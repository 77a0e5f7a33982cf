//! Cgroup: from resources to controller values.
//!
//! A command task has the room of the executor that Mesos would have run beside it, so that
//! frameworks see no difference in what it gets and when it runs out (DESIGN, "Command tasks").

use model::sandbox::{CgroupLimits, CpuQuota};

/// What Mesos' command executor adds, in thousandths of a processor (reference, section 2.5).
const EXECUTOR_CPUS_MILLI: u64 = 100;

/// What Mesos' command executor adds, in bytes.
const EXECUTOR_MEMORY_BYTES: u64 = 32 << 20;

/// The least memory limit that Mesos sets (reference, section 8.6).
pub const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// `cpu.weight` of one processor. 100 is the kernel's default, as 1024 shares were in version 1, so
/// that a container of one processor weighs as much as an unlimited neighbour (reference, 8.6).
const WEIGHT_PER_CPU: u64 = 100;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cfs {
    /// A share only.
    Off,
    /// A limit too.
    On,
}

/// The values for a command task with these resources of its own.
pub(super) fn limits(cpus_milli: u64, memory_bytes: u64, cfs: Cfs) -> CgroupLimits {
    let cpus_milli = cpus_milli.saturating_add(EXECUTOR_CPUS_MILLI);
    let weight = cpus_milli.saturating_mul(WEIGHT_PER_CPU) / 1000;
    let quota_us = cpus_milli.saturating_mul(PERIOD_US) / 1000;
    CgroupLimits {
        cpu_weight: weight.clamp(WEIGHTS.0, WEIGHTS.1),
        cpu_quota: match cfs {
            Cfs::Off => None,
            Cfs::On => Some(CpuQuota {
                quota_us: quota_us.max(QUOTA_US_MIN),
                period_us: PERIOD_US,
            }),
        },
        memory_bytes_max: memory_bytes
            .saturating_add(EXECUTOR_MEMORY_BYTES)
            .max(MEMORY_BYTES_MIN),
        pids_max: PIDS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use expect_test::{Expect, expect};

    fn check(tasks: &[(u64, u64)], expected: &Expect) {
        let mut text = String::new();
        for &(cpus_milli, mib) in tasks {
            let limits = limits(cpus_milli, mib << 20, Cfs::On);
            let quota = limits.cpu_quota.map(|cpu| (cpu.quota_us, cpu.period_us));
            text += &format!(
                "cpus={cpus_milli}m mem={mib}MB: weight={} max={quota:?} memory={}MB\n",
                limits.cpu_weight,
                limits.memory_bytes_max >> 20,
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
        assert_eq!(limits(1_000, 0, Cfs::Off).cpu_quota, None);
        assert_eq!(
            limits(u64::MAX, u64::MAX, Cfs::On).memory_bytes_max,
            u64::MAX
        );
    }
}
