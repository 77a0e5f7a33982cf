//! QoS controller: which revocable containers end, since others wait for what they take.
//!
//! A container that is not revocable suffers when its processes wait for a resource for more of the
//! time than [`Limits`] say (PSI, the kernel's accounting/psi.rst), and it is not the one to blame: of
//! processors it takes less than it was given, of memory it has room below its allocation. That has to
//! hold for [`SUSTAINED`]. Then the revocable container goes that takes most of it; if that does not
//! help, two, then four and so on, [`COOL_DOWN`] apart, as the averages take that long to show it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;

use model::{ContainerId, Instant};

use crate::allocation::Allocation;

/// How often is looked, where there is something to revoke: the kernel's averages change as often.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long others suffer before anyone goes for it.
pub const SUSTAINED: Duration = Duration::from_secs(6);
/// The least time between two corrections: the length of the shortest average.
pub const COOL_DOWN: Duration = Duration::from_secs(10);
/// After so long without a need, the next correction is of one container again.
const FORGET: Duration = Duration::from_secs(60);
/// Whoever takes less of a processor gives nothing back that would help, in thousandths …
const CPUS_MILLI_MIN: u64 = 10;
/// … or of memory, in bytes …
const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// … or of disks, in bytes a second.
const IO_BYTES_S_MIN: u64 = 64 << 10;

/// What processes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scarce {
    /// Memory, which has to be taken from something else first.
    Memory,
    /// Processors.
    Cpu,
    /// Disks.
    Io,
}

impl Scarce {
    /// All of them, what does most harm first.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Io];

    /// Its name, as the kernel's files begin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Io => "io",
        }
    }
}

/// A figure for each of what can be scarce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// Of processors.
    pub cpu: u32,
    /// Of memory.
    pub memory: u32,
    /// Of disks.
    pub io: u32,
}

impl Waits {
    /// The figure of one of them.
    #[must_use]
    pub const fn of(self, scarce: Scarce) -> u32 {
        match scarce {
            Scarce::Cpu => self.cpu,
            Scarce::Memory => self.memory,
            Scarce::Io => self.io,
        }
    }

    /// Whether any of them is more than its limit.
    #[must_use]
    pub fn exceed(self, limits: Limits) -> bool {
        let mut all = Scarce::ALL.into_iter();
        all.any(|scarce| self.of(scarce) > limits.of(scarce))
    }
}

/// How much others may wait: some of their processes, in hundredths of a percent of the last 10 s.
pub type Limits = Waits;

/// What one container takes and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Processor time since it began.
    pub cpu: Duration,
    /// Memory in use, in bytes.
    pub memory_bytes: u64,
    /// What it read from disks and wrote to them since it began, in bytes.
    pub io_bytes: u64,
    /// How much some of its processes waited, in hundredths of a percent of the last 10 s.
    pub waits: Waits,
}

/// Who suffers, and what from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffering {
    /// The container.
    pub container: ContainerId,
    /// What it waits for, and how much.
    pub pressure: Pressure,
}

/// What somebody waits for, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// What for.
    pub scarce: Scarce,
    /// How much, in hundredths of a percent of the last 10 s.
    pub waited: u32,
    /// How much it may be, in the same.
    pub limit: u32,
}

impl fmt::Display for Pressure {
    /// The message of whatever ends for it, which begins as Mesos' does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scarce,
            waited,
            limit,
        } = self;
        write!(
            f,
            "Container preempted by QoS correction: {} pressure of a container that is not revocable \
             was {}.{:02}% over the last 10secs, more than {}.{:02}%",
            scarce.name(),
            waited / 100,
            waited % 100,
            limit / 100,
            limit % 100,
        )
    }
}

/// What is to end, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// These containers, who takes most first.
    pub victims: Vec<ContainerId>,
    /// For this.
    pub suffering: Suffering,
}

/// Watches who waits, and decides who goes.
#[derive(Debug)]
pub struct Controller {
    limits: Limits,
    /// The least time between two corrections.
    pause: Duration,
    last: Option<(Instant, BTreeMap<ContainerId, Reading>)>,
    /// Since when somebody waits too much, by what for.
    since: BTreeMap<Scarce, Instant>,
    corrected: Option<Corrected>,
}

#[derive(Debug, Clone, Copy)]
struct Corrected {
    at: Instant,
    victims: usize,
}

/// What a container took a second since the last look.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    cpus_milli: u64,
    io_bytes: u64,
}

impl Controller {
    /// One that knows nothing yet; `pause` is `--qos_correction_interval_min`.
    #[must_use]
    pub fn new(limits: Limits, pause: Duration) -> Self {
        Self {
            limits,
            pause: pause.max(COOL_DOWN),
            last: None,
            since: BTreeMap::new(),
            corrected: None,
        }
    }

    /// How much others may wait.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes a look at all outermost containers. `None`: everything may stay.
    pub fn look(
        &mut self,
        now: Instant,
        readings: &BTreeMap<ContainerId, Reading>,
        given: &BTreeMap<ContainerId, Allocation>,
    ) -> Option<Correction> {
        let rates = self.rates(now, readings);
        self.last = Some((now, readings.clone()));
        let rates = rates?;
        let all: Vec<Suffering> = Scarce::ALL
            .into_iter()
            .filter_map(|scarce| self.worst(scarce, readings, &rates, given))
            .collect();
        self.since
            .retain(|scarce, _| all.iter().any(|one| one.pressure.scarce == *scarce));
        for one in &all {
            self.since.entry(one.pressure.scarce).or_insert(now);
        }
        if let Some(corrected) = self.corrected {
            if now < corrected.at + self.pause {
                return None;
            }
            if all.is_empty() && now > corrected.at + FORGET {
                self.corrected = None;
            }
        }
        all.into_iter().find_map(|suffering| {
            let scarce = suffering.pressure.scarce;
            let since = self.since.get(&scarce)?;
            if now < *since + SUSTAINED {
                return None;
            }
            let number = self
                .corrected
                .map_or(1, |one| one.victims.saturating_mul(2));
            let mut victims = takers(scarce, readings, &rates, given);
            victims.truncate(number);
            if victims.is_empty() {
                return None;
            }
            self.corrected = Some(Corrected {
                at: now,
                victims: number.min(victims.len()),
            });
            Some(Correction { victims, suffering })
        })
    }

    /// Unset at the first look.
    fn rates(
        &self,
        now: Instant,
        readings: &BTreeMap<ContainerId, Reading>,
    ) -> Option<BTreeMap<ContainerId, Rate>> {
        let (then, before) = self.last.as_ref()?;
        let passed = now.since(*then);
        if passed.is_zero() {
            return None;
        }
        let rate = |(id, reading): (&ContainerId, &Reading)| {
            let before = before.get(id)?;
            let cpu = reading.cpu.saturating_sub(before.cpu);
            let io = reading.io_bytes.saturating_sub(before.io_bytes);
            let a_second = |amount: u128| {
                let amount = amount.saturating_mul(1_000_000_000) / passed.as_nanos();
                u64::try_from(amount).unwrap_or(u64::MAX)
            };
            let rate = Rate {
                cpus_milli: a_second(cpu.as_micros()) / 1000,
                io_bytes: a_second(io.into()),
            };
            Some((id.clone(), rate))
        };
        Some(readings.iter().filter_map(rate).collect())
    }

    /// Of those who wait for something without being to blame, the one that waits most.
    fn worst(
        &self,
        scarce: Scarce,
        readings: &BTreeMap<ContainerId, Reading>,
        rates: &BTreeMap<ContainerId, Rate>,
        given: &BTreeMap<ContainerId, Allocation>,
    ) -> Option<Suffering> {
        let limit = self.limits.of(scarce);
        let suffers = readings.iter().filter(|(id, reading)| {
            let (Some(given), Some(rate)) = (given.get(*id), rates.get(*id)) else {
                return false;
            };
            let is_blameless = match scarce {
                Scarce::Cpu => rate.cpus_milli < given.cpus_milli,
                // At its limit a container takes from itself.
                Scarce::Memory => reading.memory_bytes < given.memory_bytes / 10 * 9,
                Scarce::Io => true,
            };
            !given.revocable.any() && is_blameless && reading.waits.of(scarce) > limit
        });
        let (id, reading) = suffers.max_by_key(|(_, reading)| reading.waits.of(scarce))?;
        Some(Suffering {
            container: id.clone(),
            pressure: Pressure {
                scarce,
                waited: reading.waits.of(scarce),
                limit,
            },
        })
    }
}

/// The revocable containers that take something of what is scarce, who takes most first.
fn takers(
    scarce: Scarce,
    readings: &BTreeMap<ContainerId, Reading>,
    rates: &BTreeMap<ContainerId, Rate>,
    given: &BTreeMap<ContainerId, Allocation>,
) -> Vec<ContainerId> {
    let revocable = readings.iter().filter(|(id, _)| {
        let given = given.get(*id);
        given.is_some_and(|given| given.revocable.any())
    });
    let takes = revocable.filter_map(|(id, reading)| {
        let rate = rates.get(id).copied().unwrap_or_default();
        let (amount, least) = match scarce {
            Scarce::Cpu => (rate.cpus_milli, CPUS_MILLI_MIN),
            Scarce::Memory => (reading.memory_bytes, MEMORY_BYTES_MIN),
            Scarce::Io => (rate.io_bytes, IO_BYTES_S_MIN),
        };
        (amount >= least).then(|| (Reverse(amount), id.clone()))
    });
    let mut takes: Vec<_> = takes.collect();
    takes.sort();
    takes.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests;
