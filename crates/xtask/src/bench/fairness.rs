//! `cargo xtask bench fairness`: many frameworks on few agents, as in the reference's section 6.8: how
//! soon all tasks run, how long anyone waits for an offer, and how far shares are from ideal fairness.
//!
//! A run is a function of the seed: the clock is virtual, and the figures do not depend on the machine.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use tests::fairness::{Report, Sample, Scenario, Sorter, Sorters, run as simulate};

use super::report::{self, Figure};

/// The longest that launching everything may take, in seconds: that of Mesos' own benchmark.
const BUDGET_S: f64 = 30.0;

/// Who runs it, and how it is shown.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Whose turn it is among roles: drf, random or priority.
    #[arg(long, default_value = "drf", value_parser = sorter)]
    role_sorter: Sorter,
    /// Of chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A tenth of the agents and frameworks.
    #[arg(long)]
    short: bool,
    /// How many moments of the shares are shown.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    moments: u16,
    #[command(flatten)]
    report: report::Args,
}

fn sorter(text: &str) -> Result<Sorter, String> {
    let found = Sorter::ALL.iter().find(|(name, _)| *name == text);
    let found = found.map(|(_, sorter)| *sorter);
    found.ok_or_else(|| format!("there are {}", Sorter::ALL.map(|(name, _)| name).join(", ")))
}

/// Runs it, and shows its figures.
pub(super) fn run(args: &Args) -> Result<()> {
    let sorters = Sorters {
        roles: args.role_sorter,
        frameworks: Sorter::Drf,
    };
    let scenario = Scenario::reference(args.short, sorters, args.seed);
    let went = simulate(&scenario);
    report::print(&args.report, &figures(&went, usize::from(args.moments))?)?;
    for kind in &went.kinds {
        if kind.launched_all.is_none() {
            bail!("some {} tasks were never launched", kind.name);
        }
    }
    Ok(())
}

fn figures(went: &Report, moments: usize) -> Result<Vec<Figure>> {
    let mut all = Vec::new();
    let mut add = |what: &str, of: &str, value: f64, unit: &str, budget: Option<f64>| {
        let line = json!({"bench": "fairness", "what": what, "of": of, "value": value,
            "unit": unit, "budget": budget});
        all.push(Figure::parse(&line.to_string())?);
        anyhow::Ok(())
    };
    for kind in &went.kinds {
        let seconds = kind.launched_all.map_or(f64::MAX, |all| all.as_secs_f64());
        add(
            "time to launch all",
            kind.name,
            seconds,
            "s",
            Some(BUDGET_S),
        )?;
        let wait = kind.wait_max.as_secs_f64();
        add("longest wait for an offer", kind.name, wait, "s", None)?;
    }
    let percent = |part: f64| part * 100.0;
    let (mean, most) = (
        percent(went.misplaced_mean()),
        percent(went.misplaced_max()),
    );
    add(
        "in other hands than ideally, mean",
        "memory in use",
        mean,
        "%",
        None,
    )?;
    add(
        "in other hands than ideally, most",
        "memory in use",
        most,
        "%",
        None,
    )?;
    for sample in some(&went.samples, moments) {
        let at = Duration::from_millis(u64::try_from(sample.at.as_millis())?);
        for (kind, (share, ideal)) in went.kinds.iter().zip(&sample.shares) {
            let of = format!("{} after {at:?}", kind.name);
            add("share of all memory", &of, percent(*share), "%", None)?;
            add("ideal share of all memory", &of, percent(*ideal), "%", None)?;
        }
    }
    Ok(all)
}

/// So many of them, evenly, and the last.
fn some(samples: &[Sample], count: usize) -> impl Iterator<Item = &Sample> {
    let step = samples.len().div_ceil(count).max(1);
    let from_the_end = samples.iter().rev().step_by(step);
    from_the_end.collect::<Vec<_>>().into_iter().rev()
}
