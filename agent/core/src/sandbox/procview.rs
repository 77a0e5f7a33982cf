//! The view of `/proc`: a container's own limits where the kernel's files tell of the node.
//!
//! A program that sizes itself by `/proc/meminfo` or by the number of processors takes what it may have,
//! and not what the node has. A container with limits of its own has a view of its own; one without
//! sees that of the container that it is nested in, whose limits bind it. Texts have the form of this
//! node's kernel: what the node has no line for, a view has none for either.
//!
//! What follows the processes and not the limits stays the kernel's: sched_getaffinity(2) (by which
//! `nproc` counts) and sysinfo(2) (by which busybox' `free` does) are calls, and no files.

mod cpu;
mod disk;
mod memory;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::sandbox::{Content, Load, Mount, Shares, View, ViewFacts, ViewFile};

use super::{Class, NodeFacts, TaskSpec, cgroup};

/// `USER_HZ`: in what `/proc/stat` counts.
const TICKS: u64 = 100;

/// The view of a container, where it has one of its own.
pub(super) fn of(task: &TaskSpec<'_>, node: &NodeFacts<'_>) -> Option<View> {
    let shares = node.view.filter(|_| has_own(task.class, task))?;
    Some(View {
        shares,
        cpus_milli_apart: match task.class {
            Class::Task => cgroup::EXECUTOR_CPUS_MILLI,
            Class::Executor | Class::Pod | Class::Nested | Class::Debug => 0,
        },
    })
}

fn has_own(class: Class, task: &TaskSpec<'_>) -> bool {
    match class {
        Class::Task | Class::Executor | Class::Pod => true,
        Class::Nested => task.wishes.own_limits,
        Class::Debug => false,
    }
}

/// The files of the view that a container sees, its own or that of a container above. A debugging
/// process sees what its container sees.
pub(super) fn mounts(node: &NodeFacts<'_>) -> Vec<Mount> {
    let files = ViewFile::ALL.into_iter().filter(|_| node.view.is_some());
    let mount = |file: ViewFile| Mount {
        target: file.path().into(),
        content: Content::View(file),
    };
    files.map(mount).collect()
}

/// What a file says.
#[must_use]
pub fn text(file: ViewFile, facts: &ViewFacts) -> String {
    match file {
        ViewFile::Meminfo => memory::meminfo(facts),
        ViewFile::Swaps => memory::swaps(facts),
        ViewFile::Cpuinfo => cpu::cpuinfo(facts),
        ViewFile::Stat => cpu::stat(facts),
        ViewFile::OnlineCpus => cpu::online(facts),
        ViewFile::Diskstats => disk::diskstats(facts),
        ViewFile::Uptime => {
            format!("{} {}\n", hundredths(facts.age), hundredths(facts.idle))
        }
        ViewFile::Loadavg => loadavg(facts),
    }
}

/// How many processors a container sees: the limit rounded up; without one, what the operator says.
#[must_use]
pub fn cpus(facts: &ViewFacts) -> u32 {
    let apart = facts.view.cpus_milli_apart;
    let milli = match (facts.cpu_quota, facts.cpu_weight, facts.view.shares) {
        (Some(cpu), _, _) => cpu.quota_us.saturating_mul(1000) / cpu.period_us.max(1),
        (None, Some(weight), Shares::Share) => weight.saturating_mul(1000) / cgroup::WEIGHT_PER_CPU,
        (None, None, _) | (None, _, Shares::Node) => return facts.cpus.max(1),
    };
    let whole = milli.saturating_sub(apart).div_ceil(1000);
    let whole = u32::try_from(whole).unwrap_or(u32::MAX);
    whole.clamp(1, facts.cpus.max(1))
}

/// As `kernel/sched/loadavg.c` and `fs/proc/loadavg.c` print it. Which number was given last nobody but
/// the container's own kernel namespace knows; it is 0.
fn loadavg(facts: &ViewFacts) -> String {
    let averages = facts.load.averages.map(|average| {
        // Rounded to the nearest hundredth, as there.
        let rounded = average.saturating_add(Load::ONE / 200);
        let (whole, part) = (rounded / Load::ONE, rounded % Load::ONE);
        format!("{whole}.{:02}", part * 100 / Load::ONE)
    });
    let [one, five, fifteen] = averages;
    let running = facts.load.running.min(facts.tasks);
    format!("{one} {five} {fifteen} {running}/{} 0\n", facts.tasks)
}

fn hundredths(time: core::time::Duration) -> String {
    format!("{}.{:02}", time.as_secs(), time.subsec_millis() / 10)
}

/// The number behind a key in a text of lines `key number`.
fn value(table: &str, key: &str) -> u64 {
    let mut lines = table.lines();
    let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use model::sandbox::CpuQuota;

    /// A container of one processor that started 100 s ago.
    pub(super) fn facts() -> ViewFacts {
        ViewFacts {
            view: View {
                shares: Shares::Node,
                cpus_milli_apart: 0,
            },
            node: String::new(),
            cpus: 4,
            cpu_quota: Some(CpuQuota {
                quota_us: 100_000,
                period_us: 100_000,
            }),
            cpu_weight: Some(100),
            cpu_stat: "usage_usec 30000000\nuser_usec 20000000\nsystem_usec 10000000\n".into(),
            memory_bytes_max: Some(64 << 20),
            memory_bytes: Some(16 << 20),
            memory_stat: String::new(),
            swap_bytes_max: Some(0),
            swap_bytes: 0,
            io_stat: String::new(),
            tasks: 7,
            age: Duration::from_millis(100_257),
            begun: None,
            load: Load {
                averages: [Load::ONE, Load::ONE / 2, 41],
                running: 2,
            },
            idle: Duration::from_millis(70_250),
        }
    }

    #[test]
    fn a_limit_is_rounded_up_and_a_share_is_the_node_unless_the_operator_says_otherwise() {
        let seen = |quota_milli: Option<u64>, weight, shares, apart| {
            cpus(&ViewFacts {
                cpu_quota: quota_milli.map(|milli| CpuQuota {
                    quota_us: milli * 100,
                    period_us: 100_000,
                }),
                cpu_weight: Some(weight),
                view: View {
                    shares,
                    cpus_milli_apart: apart,
                },
                ..facts()
            })
        };
        for (quota, weight, shares, apart, expected) in [
            (Some(1000), 100, Shares::Node, 0, 1),
            (Some(1001), 100, Shares::Node, 0, 2),
            (Some(100), 100, Shares::Node, 0, 1),
            (Some(9000), 100, Shares::Node, 0, 4),
            // A task of one processor: the limit holds a tenth for its executor.
            (Some(1100), 110, Shares::Node, 100, 1),
            (Some(2600), 260, Shares::Share, 100, 3),
            (None, 110, Shares::Node, 100, 4),
            (None, 110, Shares::Share, 100, 1),
            (None, 210, Shares::Share, 0, 3),
            (None, 1, Shares::Share, 100, 1),
            (None, 10_000, Shares::Share, 0, 4),
        ] {
            assert_eq!(
                seen(quota, weight, shares, apart),
                expected,
                "{quota:?} {weight} {shares:?} {apart}"
            );
        }
        let unknown = ViewFacts {
            cpus: 0,
            cpu_quota: None,
            cpu_weight: None,
            ..facts()
        };
        assert_eq!(cpus(&unknown), 1);
    }

    #[test]
    fn times_and_loads_are_printed_as_the_kernel_does() {
        assert_eq!(text(ViewFile::Uptime, &facts()), "100.25 70.25\n");
        assert_eq!(text(ViewFile::Loadavg, &facts()), "1.00 0.50 0.02 2/7 0\n");
    }

    #[test]
    fn a_key_is_found_by_its_whole_name() {
        let table = "anon 1\nanon_thp 2\nfile 3\n";
        assert_eq!((value(table, "anon"), value(table, "anon_thp")), (1, 2));
        assert_eq!((value(table, "fil"), value("", "anon")), (0, 0));
    }
}
