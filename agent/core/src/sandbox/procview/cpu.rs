//! Processors: `/proc/cpuinfo`, `/proc/stat` and the list of those that are online.
//!
//! Those that a container sees are numbered from 0 without a gap, whichever of the node's it runs on.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use model::sandbox::ViewFacts;

use super::{TICKS, cpus, value};

/// The node's text with as many processors as the container sees.
pub(super) fn cpuinfo(facts: &ViewFacts) -> String {
    let seen = cpus(facts);
    let mut text = String::new();
    let mut number = 0_u32;
    for line in facts.node.lines() {
        let name = line.split(':').next().unwrap_or_default().trim_end();
        if name == "processor" {
            number = number.saturating_add(1);
        }
        // Each processor begins with its number; what stands before the first is the machine's.
        if number > seen {
            continue;
        }
        match name {
            "processor" => text += &format!("processor\t: {}", number - 1),
            // A package of its own, as far as counts go.
            "siblings" | "cpu cores" => text += &at_most(line, seen),
            _ => text += line,
        }
        text.push('\n');
    }
    text
}

/// A line `name : number` with a number that is not higher.
fn at_most(line: &str, most: u32) -> String {
    let Some((name, number)) = line.split_once(':') else {
        return line.to_string();
    };
    match number.trim().parse::<u32>() {
        Ok(number) => format!("{name}: {}", number.min(most)),
        Err(_) => line.to_string(),
    }
}

/// As the kernel prints a list of processors.
pub(super) fn online(facts: &ViewFacts) -> String {
    match cpus(facts) {
        1 => "0\n".to_string(),
        several => format!("0-{}\n", several - 1),
    }
}

/// `fs/proc/stat.c`. A cgroup keeps one account for all processors, which is spread over those that the
/// container sees; there is none of interrupts and switches. The time of boot is when its clocks began,
/// since the kernel counts the starts of processes from there.
pub(super) fn stat(facts: &ViewFacts) -> String {
    let seen = u64::from(cpus(facts));
    let ticks = |key| value(&facts.cpu_stat, key) / (1_000_000 / TICKS);
    let (user, system) = (ticks("user_usec"), ticks("system_usec"));
    let nice = ticks("nice_usec").min(user);
    let idle = of(facts.idle);
    let line = |name: &str, share: &dyn Fn(u64) -> u64| {
        let [user, nice, system, idle] = [user - nice, nice, system, idle].map(share);
        format!("{name} {user} {nice} {system} {idle} 0 0 0 0 0 0\n")
    };
    // Two spaces stand after the first name only.
    let mut text = line("cpu ", &|sum| sum);
    for number in 0..seen {
        // The first ones have what cannot be divided.
        let share = |sum: u64| sum / seen + u64::from(number < sum % seen);
        text += &line(&format!("cpu{number}"), &share);
    }
    let boot = match facts.begun {
        Some(begun) => begun.as_secs(),
        None => value(&facts.node, "btime"),
    };
    let running = facts.load.running.min(facts.tasks);
    text += &format!("intr 0\nctxt 0\nbtime {boot}\nprocesses {}\n", facts.tasks);
    text += &format!("procs_running {running}\nprocs_blocked 0\n");
    text + "softirq 0 0 0 0 0 0 0 0 0 0 0\n"
}

fn of(time: Duration) -> u64 {
    let ticks = time.as_millis() / u128::from(1000 / TICKS);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;
    use expect_test::expect;
    use model::sandbox::CpuQuota;

    const CPUINFO: &str = "\
processor\t: 0
model name\t: AMD EPYC
siblings\t: 3
cpu cores\t: 3
power management:

processor\t: 1
model name\t: AMD EPYC
siblings\t: 3
cpu cores\t: 3
power management:

processor\t: 3
model name\t: AMD EPYC
siblings\t: 3
cpu cores\t: 3
power management:

";

    fn two() -> ViewFacts {
        ViewFacts {
            cpu_quota: Some(CpuQuota {
                quota_us: 150_000,
                period_us: 100_000,
            }),
            ..facts()
        }
    }

    #[test]
    fn as_many_processors_are_described_as_are_seen() {
        let text = cpuinfo(&ViewFacts {
            node: CPUINFO.into(),
            ..two()
        });
        expect![[r#"
            processor	: 0
            model name	: AMD EPYC
            siblings	: 2
            cpu cores	: 2
            power management:

            processor	: 1
            model name	: AMD EPYC
            siblings	: 2
            cpu cores	: 2
            power management:

        "#]]
        .assert_eq(&text);
        assert_eq!(online(&two()), "0-1\n");
        assert_eq!(online(&facts()), "0\n");
    }

    #[test]
    fn processor_time_is_the_containers_and_the_parts_make_up_the_sum() {
        let text = stat(&ViewFacts {
            node: "cpu  1 2 3\nintr 975857 0 0\nbtime 1796048731\nprocesses 48355\n".into(),
            cpu_stat: "usage_usec 30010000\nuser_usec 20010000\nsystem_usec 10000000\n".into(),
            ..two()
        });
        expect![[r#"
            cpu  2001 0 1000 7025 0 0 0 0 0 0
            cpu0 1001 0 500 3513 0 0 0 0 0 0
            cpu1 1000 0 500 3512 0 0 0 0 0 0
            intr 0
            ctxt 0
            btime 1796048731
            processes 7
            procs_running 2
            procs_blocked 0
            softirq 0 0 0 0 0 0 0 0 0 0 0
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_container_with_clocks_of_its_own_booted_when_they_began() {
        let text = stat(&ViewFacts {
            node: "btime 1796048731\n".into(),
            begun: Some(Duration::from_millis(1_796_050_000_999)),
            ..two()
        });
        assert!(text.contains("\nbtime 1796050000\n"), "{text}");
    }

    #[test]
    fn a_node_whose_processors_are_told_of_otherwise_keeps_its_text() {
        let text = cpuinfo(&ViewFacts {
            node: "vendor_id       : IBM/S390\n# processors    : 4\n".into(),
            ..two()
        });
        assert_eq!(text, "vendor_id       : IBM/S390\n# processors    : 4\n");
    }
}
