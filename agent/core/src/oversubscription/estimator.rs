//! Estimator: how much of what containers were given they leave unused, and for how long.
//!
//! Per container that is not revocable: its allocation, less the most that it took in the last while,
//! less a margin. One that is not known for that long yet leaves nothing. The sum is never more than
//! what the node has, less what is in use of it and the margin.
//!
//! Processors can be taken back in a moment, memory cannot: memory is looked at for longer, and its
//! margin is twice as wide. What is told falls at once and rises only when it would be higher for
//! [`RISES`] looks in a row, and by a step that is worth it.

use alloc::collections::BTreeMap;
use core::time::Duration;

use model::{ContainerId, Instant};

use crate::allocation::Allocation;

/// Looks in a row that must agree before more is told.
pub const RISES: u32 = 3;
/// What is told is a multiple of these: a tenth of a processor, and 32 MB.
pub const CPUS_MILLI_STEP: u64 = 100;
/// As above, in bytes.
pub const MEMORY_BYTES_STEP: u64 = 32 << 20;
/// The parts of which a window forgets the oldest.
const BLOCKS: usize = 4;
/// Looks in such a part: at Mesos' interval of 15 s a window is of 5 minutes for processors …
const CPU_LOOKS: u32 = 5;
/// … and of 20 minutes for memory.
const MEMORY_LOOKS: u32 = 20;

/// The part of an allocation that is kept free, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin(pub u8);

/// What a container took, when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Processor time since it began.
    pub cpu: Duration,
    /// Memory that it would miss, in bytes: what of files can be read again is not counted.
    pub memory_bytes: u64,
}

/// How much may be given out a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Processors, in thousandths.
    pub cpus_milli: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// Estimates by usage.
#[derive(Debug)]
pub struct Estimator {
    margin: Margin,
    /// What the node has.
    node: Estimate,
    last: Option<Instant>,
    known: BTreeMap<ContainerId, Known>,
    cpus: Steady,
    memory: Steady,
}

/// A container that was looked at before.
#[derive(Debug)]
struct Known {
    cpu: Duration,
    cpus: Window,
    memory: Window,
}

/// The most of a while.
#[derive(Debug)]
struct Window {
    looks_each: u32,
    most: [u64; BLOCKS],
    at: usize,
    looks: u32,
}

/// A value that does not follow every move.
#[derive(Debug)]
struct Steady {
    step: u64,
    told: u64,
    rising: u64,
    looks: u32,
}

impl Margin {
    const fn of(self, amount: u64, times: u64) -> u64 {
        amount
            .saturating_mul(self.0 as u64)
            .saturating_mul(times)
            .div_ceil(100)
    }
}

impl Estimator {
    /// Nothing is known of containers yet, and nothing is estimated.
    #[must_use]
    pub fn new(margin: Margin, node: Estimate) -> Self {
        Self {
            margin,
            node,
            last: None,
            known: BTreeMap::new(),
            cpus: Steady::new(CPUS_MILLI_STEP),
            memory: Steady::new(MEMORY_BYTES_STEP),
        }
    }

    /// What was told last.
    #[must_use]
    pub fn told(&self) -> Estimate {
        Estimate {
            cpus_milli: self.cpus.told,
            memory_bytes: self.memory.told,
        }
    }

    /// Takes a look at all outermost containers; those that were given nothing, as an operator's, take
    /// of what is free.
    pub fn look(
        &mut self,
        now: Instant,
        used: &BTreeMap<ContainerId, Used>,
        given: &BTreeMap<ContainerId, Allocation>,
    ) -> Estimate {
        let passed = self.last.map(|last| now.since(last));
        self.last = Some(now);
        self.known.retain(|id, _| used.contains_key(id));
        let (mut unused, mut taken) = (Estimate::default(), Estimate::default());
        for (id, used) in used {
            let given = given.get(id).copied().unwrap_or_default();
            if given.revocable.any() {
                continue;
            }
            let known = self.known.entry(id.clone()).or_insert_with(|| Known {
                // It began since the last look; before the first, nobody knows.
                cpu: passed.map_or(used.cpu, |_| Duration::ZERO),
                cpus: Window::new(CPU_LOOKS),
                memory: Window::new(MEMORY_LOOKS),
            });
            let since = used.cpu.saturating_sub(known.cpu);
            known.cpu = used.cpu;
            known.cpus.note(milli(since, passed.unwrap_or_default()));
            known.memory.note(used.memory_bytes);
            let cpus = known.cpus.leaves(given.cpus_milli, self.margin, 1);
            let memory = known.memory.leaves(given.memory_bytes, self.margin, 2);
            unused.cpus_milli = unused.cpus_milli.saturating_add(cpus.unused);
            taken.cpus_milli = taken.cpus_milli.saturating_add(cpus.taken);
            unused.memory_bytes = unused.memory_bytes.saturating_add(memory.unused);
            taken.memory_bytes = taken.memory_bytes.saturating_add(memory.taken);
        }
        let free = |all: u64, taken: u64, times| {
            all.saturating_sub(taken)
                .saturating_sub(self.margin.of(all, times))
        };
        let cpus = free(self.node.cpus_milli, taken.cpus_milli, 1).min(unused.cpus_milli);
        let memory = free(self.node.memory_bytes, taken.memory_bytes, 2).min(unused.memory_bytes);
        self.cpus.follow(cpus);
        self.memory.follow(memory);
        self.told()
    }
}

/// Processors at work, in thousandths.
fn milli(cpu: Duration, passed: Duration) -> u64 {
    let thousandths = cpu.as_nanos().saturating_mul(1000);
    let milli = thousandths.checked_div(passed.as_nanos()).unwrap_or(0);
    u64::try_from(milli).unwrap_or(u64::MAX)
}

/// What a container leaves of its allocation.
struct Left {
    unused: u64,
    taken: u64,
}

impl Window {
    const fn new(looks_each: u32) -> Self {
        Self {
            looks_each,
            most: [0; BLOCKS],
            at: 0,
            looks: 0,
        }
    }

    fn note(&mut self, value: u64) {
        if self.looks > 0 && self.looks.is_multiple_of(self.looks_each) {
            self.at = (self.at + 1) % BLOCKS;
            if let Some(block) = self.most.get_mut(self.at) {
                *block = 0;
            }
        }
        if let Some(block) = self.most.get_mut(self.at) {
            *block = value.max(*block);
        }
        self.looks = self.looks.saturating_add(1);
    }

    fn leaves(&self, given: u64, margin: Margin, times: u64) -> Left {
        let most = self.most.into_iter().fold(0, u64::max);
        let whole = self.looks_each.saturating_mul(BLOCKS as u32);
        match self.looks > whole {
            true => Left {
                unused: given
                    .saturating_sub(most)
                    .saturating_sub(margin.of(given, times)),
                taken: most,
            },
            // It may take all of it the next moment.
            false => Left {
                unused: 0,
                taken: most.max(given),
            },
        }
    }
}

impl Steady {
    const fn new(step: u64) -> Self {
        Self {
            step,
            told: 0,
            rising: 0,
            looks: 0,
        }
    }

    fn follow(&mut self, value: u64) {
        let value = value - value % self.step;
        let worth = self.told + (self.told / 10).max(2 * self.step);
        if value >= worth {
            self.rising = match self.looks {
                0 => value,
                _ => self.rising.min(value),
            };
            self.looks += 1;
            if self.looks < RISES {
                return;
            }
            self.told = self.rising;
        } else {
            self.told = self.told.min(value);
        }
        self.looks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const NODE: Estimate = Estimate {
        cpus_milli: 8_000,
        memory_bytes: 8 << 30,
    };
    const INTERVAL: Duration = Duration::from_secs(15);

    /// A node whose containers take what they are told to.
    struct Bench {
        estimator: Estimator,
        now: Instant,
        used: BTreeMap<ContainerId, Used>,
        given: BTreeMap<ContainerId, Allocation>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                estimator: Estimator::new(Margin(10), NODE),
                now: Instant::ZERO,
                used: BTreeMap::new(),
                given: BTreeMap::new(),
            }
        }

        fn give(&mut self, name: &str, cpus_milli: u64, mib: u64) {
            let id = ContainerId::new(name).expect("an id");
            let allocation = Allocation {
                cpus_milli,
                memory_bytes: mib << 20,
                ..Allocation::default()
            };
            self.given.insert(id, allocation);
        }

        /// So many looks, with these processors at work and this memory in use.
        fn look(&mut self, looks: u32, taken: &[(&str, u64, u64)]) -> (u64, u64) {
            for _ in 0..looks {
                self.now = self.now + INTERVAL;
                for (name, cpus_milli, mib) in taken {
                    let id = ContainerId::new(name).expect("an id");
                    let used = self.used.entry(id).or_default();
                    let cpus = u32::try_from(*cpus_milli).expect("some processors");
                    used.cpu += INTERVAL * cpus / 1000;
                    used.memory_bytes = mib << 20;
                }
                self.estimator.look(self.now, &self.used, &self.given);
            }
            let told = self.estimator.told();
            (told.cpus_milli, told.memory_bytes >> 20)
        }
    }

    #[test]
    fn what_a_container_leaves_unused_is_told_once_it_is_known_for_long_enough() {
        let mut bench = Bench::new();
        bench.give("a", 4_000, 2_048);
        let idle = [("a", 500, 256)];
        assert_eq!(bench.look(20, &idle), (0, 0));
        // A tenth of 4 cpus is kept, and the half that it takes.
        assert_eq!(bench.look(RISES, &idle), (3_100, 0));
        // A fifth of 2048 MB is kept, and 256 MB: 1382 MB, in parts of 32.
        assert_eq!(bench.look(80, &idle), (3_100, 1_376));
    }

    #[test]
    fn more_use_is_followed_at_once_and_less_when_it_has_lasted() {
        let mut bench = Bench::new();
        bench.give("a", 4_000, 2_048);
        bench.look(100, &[("a", 500, 256)]);
        assert_eq!(bench.look(1, &[("a", 3_000, 1_500)]), (600, 128));
        assert_eq!(bench.look(10, &[("a", 500, 256)]), (600, 128));
        assert_eq!(bench.look(20, &[("a", 500, 256)]), (3_100, 128));
        assert_eq!(bench.look(60, &[("a", 500, 256)]), (3_100, 1_376));
    }

    #[test]
    fn what_nobody_was_given_and_what_is_taken_beyond_an_allocation_are_not_told() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(100, &[("operators", 7_000, 7_000)]), (0, 0));
        bench.give("a", 4_000, 2_048);
        // 8 cpus, of which 7 are in use; a tenth of all is kept.
        let taken = [("operators", 7_000, 7_000), ("a", 0, 0)];
        assert_eq!(bench.look(100, &taken), (200, 0));
    }

    #[test]
    fn a_new_container_counts_as_if_it_took_all_of_its_own() {
        let mut bench = Bench::new();
        bench.give("a", 4_000, 2_048);
        bench.look(100, &[("a", 0, 0)]);
        bench.give("b", 4_000, 4_096);
        assert_eq!(bench.look(1, &[("a", 0, 0), ("b", 0, 0)]), (3_200, 1_632));
        assert_eq!(bench.look(30, &[("a", 0, 0), ("b", 0, 0)]).0, 7_200);
    }

    #[test]
    fn revocable_containers_leave_nothing_and_take_nothing() {
        let mut bench = Bench::new();
        bench.give("a", 4_000, 2_048);
        bench.give("r", 3_000, 1_024);
        let id = ContainerId::new("r").expect("an id");
        bench.given.get_mut(&id).expect("it").revocable.cpus = true;
        let taken = [("a", 500, 256), ("r", 3_000, 1_024)];
        assert_eq!(bench.look(100, &taken), (3_100, 1_376));
    }

    proptest! {
        /// Whatever containers do, what is told fits beside what they take, moves in steps, and rises
        /// after looks that agree.
        #[test]
        fn an_estimate_never_is_more_than_what_is_left_and_does_not_flap(
            moves in prop::collection::vec((0u8..4, 0u64..4_000, 0u64..4_096, 1u32..12), 1..60),
        ) {
            let mut bench = Bench::new();
            let names = ["a", "b", "c", "d"];
            for name in &names[..3] {
                bench.give(name, 2_000, 2_048);
            }
            let mut taken: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
            let (mut before, mut changed) = ((0, 0), (0u32, 0u32));
            for (who, cpus, mib, looks) in moves {
                taken.insert(names[usize::from(who)], (cpus, mib));
                for _ in 0..looks {
                    let all: Vec<_> = taken.iter().map(|(name, (c, m))| (*name, *c, *m)).collect();
                    let told = bench.look(1, &all);
                    let (cpus, mib) = all.iter().fold((0, 0), |s, one| (s.0 + one.1, s.1 + one.2));
                    prop_assert!(told.0 <= 8_000u64.saturating_sub(cpus));
                    prop_assert!(told.1 <= 8_192u64.saturating_sub(mib));
                    prop_assert!(told.0.is_multiple_of(100) && told.1.is_multiple_of(32));
                    changed = (changed.0 + 1, changed.1 + 1);
                    if told.0 > before.0 {
                        prop_assert!(changed.0 >= RISES && told.0 - before.0 >= 200);
                    }
                    if told.1 > before.1 {
                        prop_assert!(changed.1 >= RISES && told.1 - before.1 >= 64);
                    }
                    if told.0 != before.0 { changed.0 = 0; }
                    if told.1 != before.1 { changed.1 = 0; }
                    before = told;
                }
            }
        }
    }
}
