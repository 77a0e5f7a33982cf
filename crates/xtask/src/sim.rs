//! `cargo xtask sim`: runs the simulated world of `tests` over many seeds, or one with its trace.

use std::time::Instant;

use anyhow::{Result, bail};
use tests::world::{self, Scenario};

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
}

/// Runs the simulator; fails at the first seed that breaks a rule.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(seed) = args.seed {
        return repeat(seed);
    }
    let begun = Instant::now();
    let (mut faults, mut ended) = (0, 0);
    for seed in args.from..args.from.saturating_add(args.seeds) {
        let report = world::run(&Scenario::of_seed(seed));
        if let Some(violation) = report.violations.first() {
            bail!("seed {seed}: {violation}\nreplay: cargo xtask sim --seed {seed}");
        }
        faults += report.faults;
        ended += report.tasks_ended;
        if (seed + 1).is_multiple_of(500) {
            let rate = (seed - args.from + 1) as f64 / begun.elapsed().as_secs_f64();
            println!(
                "{} seeds, {faults} faults, {ended} tasks, {rate:.0} seeds/s",
                seed + 1
            );
        }
    }
    println!(
        "{} seeds without a violation: {faults} faults, {ended} tasks ended",
        args.seeds
    );
    Ok(())
}

fn repeat(seed: u64) -> Result<()> {
    let scenario = Scenario::of_seed(seed);
    println!("{scenario:?}");
    let report = world::run(&scenario);
    for line in &report.trace {
        println!("{line}");
    }
    match report.violations.first() {
        Some(violation) => bail!("seed {seed}: {violation}"),
        None => Ok(()),
    }
}
