//! `cargo xtask sim`: runs the simulated world of `tests` over many seeds, or one with its trace, or
//! with bugs planted in it, which it has to see.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;
use tests::planted::Planted;
use tests::world::{self, Report, Scenario};

/// Seeds between two lines of progress.
const PROGRESS_EVERY: u64 = 500;

/// Options of `cargo xtask sim`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Repeat one seed and print its trace
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Break the world in this way
    #[arg(long, value_name = "BUG", value_parser = bugs())]
    plant: Option<String>,
    /// Check that every planted bug is seen, each within its number of seeds
    #[arg(long, conflicts_with_all = ["seed", "seeds", "from", "plant"])]
    planted: bool,
}

fn bugs() -> PossibleValuesParser {
    PossibleValuesParser::new(Planted::ALL.map(Planted::name))
}

/// Runs the simulator; fails at the first seed that breaks a rule.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.planted {
        return see_planted();
    }
    let planted = args.plant.as_deref().and_then(Planted::named);
    match args.seed {
        Some(seed) => repeat(seed, planted),
        None => seeds(args.from, args.seeds, planted),
    }
}

fn simulate(seed: u64, planted: Option<Planted>) -> Report {
    world::run(&Scenario {
        planted,
        ..Scenario::of_seed(seed)
    })
}

/// The command that repeats a seed.
fn replay(seed: u64, planted: Option<Planted>) -> String {
    let plant = planted.map(|bug| format!(" --plant {}", bug.name()));
    format!("cargo xtask sim --seed {seed}{}", plant.unwrap_or_default())
}

/// What so many seeds had in them.
#[derive(Default)]
struct Sum {
    seeds: u64,
    faults: usize,
    ended: usize,
    /// The lowest seed that broke a rule, and which.
    broken: Option<(u64, String)>,
}

impl Sum {
    fn add(&mut self, seed: u64, report: &Report, begun: Instant) {
        self.seeds += 1;
        self.faults += report.faults;
        self.ended += report.tasks_ended;
        if let Some(violation) = report.violations.first()
            && self
                .broken
                .as_ref()
                .is_none_or(|(lowest, _)| seed < *lowest)
        {
            self.broken = Some((seed, violation.clone()));
        }
        if self.seeds.is_multiple_of(PROGRESS_EVERY) {
            let rate = self.seeds as f64 / begun.elapsed().as_secs_f64();
            println!(
                "{} seeds, {} faults, {} tasks, {rate:.0} seeds/s",
                self.seeds, self.faults, self.ended
            );
        }
    }
}

/// Runs seeds on all processors, until one breaks a rule.
fn seeds(from: u64, count: u64, planted: Option<Planted>) -> Result<()> {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let end = from.saturating_add(count);
    let sum = Mutex::new(Sum::default());
    let lock = || {
        sum.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let work = || {
        while lock().broken.is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let report = simulate(seed, planted);
            lock().add(seed, &report, begun);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let sum = lock();
    if let Some((seed, violation)) = &sum.broken {
        bail!(
            "seed {seed}: {violation}\nreplay: {}",
            replay(*seed, planted)
        );
    }
    println!(
        "{} seeds without a violation: {} faults, {} tasks ended",
        sum.seeds, sum.faults, sum.ended
    );
    Ok(())
}

fn repeat(seed: u64, planted: Option<Planted>) -> Result<()> {
    let report = simulate(seed, planted);
    println!("{:?}", Scenario::of_seed(seed));
    for line in &report.trace {
        println!("{line}");
    }
    match report.violations.first() {
        Some(violation) => bail!("seed {seed}: {violation}"),
        None => Ok(()),
    }
}

/// Plants one bug after the other; fails where one is not seen.
fn see_planted() -> Result<()> {
    let (mut seen, mut missed) = (0, 0);
    for bug in Planted::ALL {
        let within = bug.seen_within();
        let broken = (0..within).find_map(|seed| {
            let report = simulate(seed, Some(bug));
            let violation = report.violations.into_iter().next()?;
            Some((seed, violation))
        });
        match broken {
            Some((seed, violation)) => {
                seen += 1;
                let name = bug.name();
                println!("{name}: seen at seed {seed} of {within}: {violation}");
            }
            None => {
                missed += 1;
                println!("{}: not seen within {within} seeds", bug.name());
            }
        }
    }
    println!("{seen} passed, {missed} failed");
    match missed {
        0 => Ok(()),
        _ => bail!("{missed} planted bugs are not seen"),
    }
}
