//! Who goes, when and for what, by tables of containers.

use alloc::format;
use alloc::string::{String, ToString};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::allocation::Revocable;

/// 20 % for processors, 10 % for memory, 30 % for disks.
const LIMITS: Limits = Waits {
    cpu: 2_000,
    memory: 1_000,
    io: 3_000,
};

/// A line for each container: what it was given (`rev` before it: to be given back), what it takes of
/// processors in a look (thousandths), has of memory (MB), moves of disks (kB a second), and how much
/// it waits for each (percent).
struct Bench {
    controller: Controller,
    now: Instant,
    readings: BTreeMap<ContainerId, Reading>,
    given: BTreeMap<ContainerId, Allocation>,
}

impl Bench {
    fn new() -> Self {
        Self {
            controller: Controller::new(LIMITS, Duration::ZERO),
            now: Instant::ZERO,
            readings: BTreeMap::new(),
            given: BTreeMap::new(),
        }
    }

    fn set(&mut self, table: &str) {
        self.given.clear();
        for line in table.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let id = ContainerId::new(name).expect("an id");
            let mut words = words.peekable();
            let is_revocable = words.next_if_eq(&"rev").is_some();
            let mut number = || {
                words
                    .next()
                    .and_then(|w| w.parse::<u64>().ok())
                    .expect("a number")
            };
            let allocation = Allocation {
                cpus_milli: number(),
                memory_bytes: number() << 20,
                revocable: Revocable {
                    cpus: is_revocable,
                    memory: is_revocable,
                },
            };
            self.given.insert(id.clone(), allocation);
            let seconds = u32::try_from(LOOK_EVERY.as_secs()).expect("some seconds");
            let reading = self.readings.entry(id).or_default();
            let cpus = u32::try_from(number()).expect("some processors");
            reading.cpu += LOOK_EVERY * cpus / 1000;
            reading.memory_bytes = number() << 20;
            reading.io_bytes += u64::from(seconds) * (number() << 10);
            let mut percent = || u32::try_from(number() * 100).expect("a percentage");
            reading.waits = Waits {
                cpu: percent(),
                memory: percent(),
                io: percent(),
            };
        }
        let given = &self.given;
        self.readings.retain(|id, _| given.contains_key(id));
    }

    /// So many looks at a table; a line for each correction. Victims leave it.
    fn look(&mut self, looks: u32, table: &str) -> String {
        let mut gone: Vec<ContainerId> = Vec::new();
        let mut text = String::new();
        for _ in 0..looks {
            self.now = self.now + LOOK_EVERY;
            let here = |line: &&str| {
                let name = line.split_whitespace().next();
                !gone.iter().any(|id| Some(id.as_str()) == name)
            };
            let table: Vec<&str> = table.lines().filter(here).collect();
            self.set(&table.join("\n"));
            if let Some(correction) = self.controller.look(self.now, &self.readings, &self.given) {
                let names: Vec<_> = correction.victims.iter().map(ContainerId::as_str).collect();
                text += &format!(
                    "{}s {} for {}: {}\n",
                    self.now.as_nanos() / 1_000_000_000,
                    names.join(" "),
                    correction.suffering.container,
                    correction.suffering.pressure.scarce.name(),
                );
                gone.extend(correction.victims);
            }
        }
        text
    }
}

fn check(looks: u32, table: &str, expected: &Expect) {
    expected.assert_eq(&Bench::new().look(looks, table));
}

#[test]
fn who_takes_most_of_what_another_waits_for_goes_first_and_more_when_that_does_not_help() {
    // Waits are what the kernel says of the last 10 s, so that one end has time to be seen.
    check(
        40,
        "web   1000 512   600 200 0   50 0 0
         r1 rev 500 64   100 100 0    0 0 0
         r2 rev 500 64   300  10 0    0 0 0
         r3 rev 500 64   200  10 0    0 0 0
         r4 rev 500 64     5  10 0    0 0 0",
        &expect![[r#"
            10s r2 for web: cpu
            20s r3 r1 for web: cpu
        "#]],
    );
    check(
        8,
        "web   1000 512   600 200 0   0 40 0
         r1 rev 500 64   100 100 0    0 0 0
         r2 rev 500 64   300  10 0    0 0 0",
        &expect![[r#"
            10s r1 for web: memory
        "#]],
    );
    check(
        8,
        "web   1000 512   600 200 0      0 0 40
         r1 rev 500 64   100 100 100    0 0 0
         r2 rev 500 64   300  10 9000   0 0 0",
        &expect![[r#"
            10s r2 for web: io
        "#]],
    );
}

#[test]
fn nobody_goes_for_who_waits_by_its_own_fault_or_for_who_is_revocable_itself() {
    // It takes all that it was given, and is near its limit.
    check(
        40,
        "web    1000 512   1000 500 0   90 90 0
         r1 rev  500 64     300 100 0   0 0 0",
        &expect![""],
    );
    check(
        40,
        "web    1000 512   100 100 0   0 0 0
         r1 rev  500 64    300 100 0   90 90 90",
        &expect![""],
    );
    // Under its limits, or without anybody who takes it.
    check(
        40,
        "web    1000 512   100 100 0   20 10 30
         r1 rev  500 64    300 100 9000   0 0 0",
        &expect![""],
    );
    check(
        40,
        "web    1000 512   100 100 0   90 0 90
         db     1000 512   100 100 0   90 0 90
         r1 rev  500 64      0 100 0   0 0 0",
        &expect![""],
    );
}

#[test]
fn a_short_wait_harms_nobody() {
    let calm = "web    1000 512   100 100 0   0 0 0
                r1 rev  500 64    300 100 0   0 0 0";
    let busy = "web    1000 512   100 100 0   90 0 0
                r1 rev  500 64    300 100 0   0 0 0";
    let mut bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(bench.look(3, busy), "");
        assert_eq!(bench.look(1, calm), "");
    }
}

#[test]
fn after_a_calm_while_one_is_enough_again() {
    let table = "web    1000 512   100 100 0   90 0 0
                 r1 rev  500 64    300 100 0   0 0 0
                 r2 rev  500 64    200 100 0   0 0 0
                 r3 rev  500 64    100 100 0   0 0 0";
    let mut bench = Bench::new();
    assert_eq!(bench.look(5, table), "10s r1 for web: cpu\n");
    let calm = table.replace("90 0 0", "0 0 0");
    assert_eq!(bench.look(40, &calm), "");
    assert_eq!(bench.look(4, table), "98s r1 for web: cpu\n");
}

#[test]
fn a_status_says_which_pressure_and_which_limit() {
    let pressure = Pressure {
        scarce: Scarce::Memory,
        waited: 2_345,
        limit: 1_000,
    };
    assert_eq!(
        pressure.to_string(),
        "Container preempted by QoS correction: memory pressure of a container that is not revocable \
         was 23.45% over the last 10secs, more than 10.00%"
    );
}

#[test]
fn one_thing_that_is_scarce_is_enough_for_a_closer_look() {
    let limits = Limits {
        cpu: 50,
        memory: 10,
        io: 50,
    };
    assert!(!limits.exceed(limits));
    let scarce = Waits {
        memory: 11,
        ..limits
    };
    assert!(scarce.exceed(limits));
}

proptest! {
    /// Whatever is read, only revocable containers go, each once, never too soon after another, and
    /// only while somebody else waits too much.
    #[test]
    fn only_the_revocable_go_and_only_for_somebody_who_waits(
        looks in prop::collection::vec(
            prop::collection::vec((0u32..9_999, 0u32..9_999, 0u32..9_999, 0u64..4_000), 6),
            1..60,
        ),
    ) {
        let mut bench = Bench::new();
        let mut last: Option<Instant> = None;
        for looked in looks {
            bench.now = bench.now + LOOK_EVERY;
            for (number, (cpu, memory, io, milli)) in looked.iter().enumerate() {
                let id = ContainerId::new(&format!("c{number}")).expect("an id");
                let is_revocable = number % 2 == 0;
                bench.given.insert(id.clone(), Allocation {
                    cpus_milli: 2_000,
                    memory_bytes: 64 << 20,
                    revocable: Revocable { cpus: is_revocable, memory: false },
                });
                let reading = bench.readings.entry(id).or_default();
                reading.cpu += Duration::from_millis(*milli);
                reading.memory_bytes = milli << 14;
                reading.io_bytes += milli << 10;
                reading.waits = Waits { cpu: *cpu, memory: *memory, io: *io };
            }
            let found = bench.controller.look(bench.now, &bench.readings, &bench.given);
            if let Some(correction) = found {
                let is_revocable = |id: &ContainerId| bench.given[id].revocable.any();
                prop_assert!(!correction.victims.is_empty());
                prop_assert!(correction.victims.iter().all(is_revocable));
                prop_assert!(!is_revocable(&correction.suffering.container));
                let Pressure { scarce, waited, limit } = correction.suffering.pressure;
                prop_assert_eq!(bench.readings[&correction.suffering.container].waits.of(scarce), waited);
                prop_assert!(waited > limit);
                let mut victims = correction.victims.clone();
                victims.dedup();
                prop_assert_eq!(victims.len(), correction.victims.len());
                prop_assert!(last.is_none_or(|last| bench.now >= last + COOL_DOWN));
                last = Some(bench.now);
            }
        }
    }
}
