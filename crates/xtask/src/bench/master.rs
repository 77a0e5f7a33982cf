//! `cargo xtask bench master`: the master's figures, at the API of the program that ships.
//!
//! The master is its release build in a process of its own, with a registry on disk; agents are a fleet
//! in another; this process is the load: scheduler calls in protobuf over HTTP/1.1, connections that
//! stay open, and on each of them one call after the other. All three share the machine, as did the
//! measurements of Mesos that the budgets are set against.

mod cluster;
mod connection;
mod framework;
mod load;
mod machine;
mod memory;
mod offers;
mod reading;
mod whole;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::report::{self, Figure};
use crate::measure::PROGRAMS;

/// The target that the programs of a cluster are built for.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Which rows, and of what size; the sizes of the budgets where nothing is said.
#[derive(clap::Args)]
pub(super) struct Args {
    /// These rows only.
    #[arg(long, value_name = "ROW,…", value_delimiter = ',')]
    only: Vec<Row>,
    /// Agents, in every row; without a budget then where the budget is for another number.
    #[arg(long)]
    agents: Option<usize>,
    /// Tasks of all agents together, in the rows that have any.
    #[arg(long)]
    tasks: Option<usize>,
    /// How long a rate is taken, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The master's program; its release build where none is given.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    #[command(flatten)]
    report: report::Args,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Row {
    /// From SUBSCRIBE to the offers of all agents in hand.
    Subscribe,
    /// Offers a second to one framework that declines and revives.
    Offers,
    /// RECONCILE calls a second.
    Reconcile,
    /// GET /master/state.
    State,
    /// What an idle agent costs.
    Memory,
    /// From the first agent's link to the last one's admission.
    Registration,
    /// Status updates a second, each acknowledged.
    Updates,
    /// Scheduler calls while many clients read the state.
    Polling,
    /// A new leader after a crash.
    Failover,
}

impl Row {
    const ALL: [Self; 9] = [
        Self::Subscribe,
        Self::Offers,
        Self::Reconcile,
        Self::State,
        Self::Memory,
        Self::Registration,
        Self::Updates,
        Self::Polling,
        Self::Failover,
    ];

    fn take(self, bench: &mut Bench<'_>) -> Result<()> {
        match self {
            Self::Subscribe => offers::subscribe(bench),
            Self::Offers => offers::rate(bench),
            Self::Reconcile => load::reconcile(bench),
            Self::State => reading::state(bench),
            Self::Memory => memory::agent(bench),
            Self::Registration => whole::registration(bench),
            Self::Updates => load::updates(bench),
            Self::Polling => reading::polling(bench),
            Self::Failover => whole::failover(bench),
        }
    }
}

/// What all rows use, and the figures so far.
struct Bench<'a> {
    args: &'a Args,
    program: PathBuf,
    folder: PathBuf,
    machine: String,
    figures: Vec<Figure>,
}

/// Builds and runs it, and shows its figures.
pub(super) fn run(args: &Args) -> Result<()> {
    crate::release::run(|| take(args))
}

fn take(args: &Args) -> Result<()> {
    let root = crate::image::root()?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => {
            build()?;
            root.join("target").join(PROGRAMS).join("tepui-master")
        }
    };
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).context("make a folder to work in")?;
    let mut bench = Bench {
        args,
        program,
        folder,
        machine: machine::text(),
        figures: Vec::new(),
    };
    eprintln!("{}", bench.machine);
    let rows = match args.only.as_slice() {
        [] => &Row::ALL,
        only => only,
    };
    for row in rows {
        row.take(&mut bench)
            .with_context(|| format!("take the row {row:?}"))?;
    }
    report::print(&args.report, &bench.figures)
}

fn build() -> Result<()> {
    let mut command = crate::release::cargo()?;
    command.args(["build", "--quiet", "--release", "--package", "master"]);
    let status = command
        .args(["--target", TARGET])
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the master does not build: {status}");
    Ok(())
}

impl Bench<'_> {
    /// A cluster of so many agents, with these options of the fleet's.
    fn cluster(&self, agents: usize, options: &[&str]) -> Result<cluster::Cluster> {
        cluster::Cluster::with_agents(&self.program, &self.folder, agents, options)
    }

    /// How many agents a row has that was meant for so many.
    fn agents(&self, meant: usize) -> usize {
        self.args.agents.unwrap_or(meant)
    }

    /// How long a rate is taken.
    const fn time(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    /// Says what is taken now, and what should bound it.
    fn begin(&self, what: &str, bound: &str) {
        eprintln!("{what}; bound by {bound}");
    }

    /// Keeps a figure; it has a budget only where it is of the size that the budget is for.
    fn figure(&mut self, about: &[(&str, Value)], value: f64, unit: &str, budget: Option<f64>) {
        let mut fields = about.to_vec();
        fields.push(("machine", self.machine.as_str().into()));
        let figure = Figure::new(&fields, value, unit, budget);
        eprintln!("  {}", figure.line());
        self.figures.push(figure);
    }
}

/// The value below which so great a part of the samples lies; they are not empty.
fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    let place = (samples.len() as f64 * part).ceil() as usize;
    samples[place.clamp(1, samples.len()) - 1]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_sample_that_so_great_a_part_does_not_exceed() {
        let mut samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (part, value) in [(0.5, 100.0), (0.99, 198.0), (1.0, 200.0), (0.0, 1.0)] {
            assert_eq!(percentile(&mut samples, part), value, "{part}");
        }
        assert_eq!(percentile(&mut [7.0], 0.99), 7.0);
    }
}
