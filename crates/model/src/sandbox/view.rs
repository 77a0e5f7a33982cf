//! View: what a container sees of the machine in `/proc`, which is its own limits.

use alloc::string::String;
use core::time::Duration;

use super::CpuQuota;

/// What a container's own view is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// How many processors it sees that has a share of them and no limit.
    pub shares: Shares,
    /// What of its limit is for an executor that it is only reported with, in thousandths of a
    /// processor.
    pub cpus_milli_apart: u64,
}

/// How many processors a container sees that has a share of them and no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shares {
    /// All of the node that it may run on: nothing keeps it from them while others leave them.
    Node,
    /// Its share, rounded up.
    Share,
}

/// A file of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViewFile {
    /// `/proc/meminfo`.
    Meminfo,
    /// `/proc/cpuinfo`.
    Cpuinfo,
    /// `/proc/stat`.
    Stat,
    /// `/proc/uptime`.
    Uptime,
    /// `/proc/loadavg`.
    Loadavg,
    /// `/proc/swaps`.
    Swaps,
    /// `/proc/diskstats`.
    Diskstats,
    /// `/sys/devices/system/cpu/online`.
    OnlineCpus,
}

impl ViewFile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Meminfo,
        Self::Cpuinfo,
        Self::Stat,
        Self::Uptime,
        Self::Loadavg,
        Self::Swaps,
        Self::Diskstats,
        Self::OnlineCpus,
    ];

    /// Where it is, on a node and in a container.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Meminfo => "/proc/meminfo",
            Self::Cpuinfo => "/proc/cpuinfo",
            Self::Stat => "/proc/stat",
            Self::Uptime => "/proc/uptime",
            Self::Loadavg => "/proc/loadavg",
            Self::Swaps => "/proc/swaps",
            Self::Diskstats => "/proc/diskstats",
            Self::OnlineCpus => "/sys/devices/system/cpu/online",
        }
    }
}

/// What a file of a view is made of, as far as that file needs it. Texts are the kernel's, empty where
/// it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewFacts {
    /// What the view is made by.
    pub view: View,
    /// The same file of the node.
    pub node: String,
    /// How many processors of the node it may run on.
    pub cpus: u32,
    /// The least limit of processor time in force, of its own or of what it is nested in.
    pub cpu_quota: Option<CpuQuota>,
    /// `cpu.weight`.
    pub cpu_weight: Option<u64>,
    /// `cpu.stat`.
    pub cpu_stat: String,
    /// The least memory limit in force, in bytes, of its own or of what it is nested in.
    pub memory_bytes_max: Option<u64>,
    /// `memory.current`, in bytes.
    pub memory_bytes: Option<u64>,
    /// `memory.stat`.
    pub memory_stat: String,
    /// `memory.swap.max`, in bytes; 0 where it has no swap, `None` where that is the node's.
    pub swap_bytes_max: Option<u64>,
    /// `memory.swap.current`, in bytes.
    pub swap_bytes: u64,
    /// `io.stat`.
    pub io_stat: String,
    /// `pids.current`: processes and their threads.
    pub tasks: u64,
    /// How long ago it started.
    pub age: Duration,
    /// When its clocks began, after the Unix epoch; `None` where they are the node's.
    pub begun: Option<Duration>,
    /// How many of its tasks ran lately.
    pub load: Load,
    /// How long its processors had nothing to do, all of them together.
    pub idle: Duration,
}

/// The load averages, by the kernel's arithmetic (`kernel/sched/loadavg.c`): fixed-point numbers of
/// which 2048 is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Over 1, 5 and 15 minutes.
    pub averages: [u64; 3],
    /// How many tasks ran, or waited for a disk, when that was last counted.
    pub running: u64,
}

impl Load {
    /// One, in its numbers.
    pub const ONE: u64 = 1 << 11;
    /// How often tasks are counted.
    pub const EVERY: Duration = Duration::from_secs(5);
    /// What is kept of each average when they are: 1/exp(5 s / 1, 5, 15 min).
    const KEPT: [u64; 3] = [1884, 2014, 2037];

    /// The averages of what ran so many thousandths of a task all the time.
    #[must_use]
    pub const fn steady(milli: u64) -> Self {
        let average = milli.saturating_mul(Self::ONE) / 1000;
        Self {
            averages: [average; 3],
            running: milli.div_ceil(1000),
        }
    }

    /// [`Self::EVERY`] later, with this many tasks that run.
    #[must_use]
    pub fn step(self, running: u64) -> Self {
        let active = running.saturating_mul(Self::ONE);
        let mut averages = self.averages;
        for (average, kept) in averages.iter_mut().zip(Self::KEPT) {
            let sum = average
                .saturating_mul(kept)
                .saturating_add(active.saturating_mul(Self::ONE - kept));
            // Rounded up on the way up, or the average would never get there.
            let up = if active >= *average { Self::ONE - 1 } else { 0 };
            *average = sum.saturating_add(up) / Self::ONE;
        }
        Self { averages, running }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_reach_what_runs_steadily_and_leave_it_at_the_kernels_pace() {
        let mut load = Load::default();
        for _ in 0..12 {
            load = load.step(2);
        }
        // After a minute 1 - 1/e of 2, after five and fifteen less.
        let hundredths = load.averages.map(|average| average * 100 / Load::ONE);
        assert_eq!(hundredths, [126, 36, 12]);
        for _ in 0..3000 {
            load = load.step(2);
        }
        assert_eq!(load.averages, [2 * Load::ONE; 3]);
        for _ in 0..3000 {
            load = load.step(0);
        }
        assert_eq!(load.averages[0], 0);
        assert_eq!(Load::steady(1500).averages, [3072; 3]);
        let huge = Load::steady(u64::MAX).step(u64::MAX);
        assert_eq!(huge.running, u64::MAX);
    }
}
