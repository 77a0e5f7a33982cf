//! Benchmarks: each a program of its own, built for speed, with its budget beside it.

mod allocation;
mod fairness;
mod launch;
mod master;
mod neighbour;
mod report;
mod runtimes;
mod soak;
mod unpack;
mod upgrade;

use std::process::Command;

use anyhow::{Context, Result, bail};

/// What to measure, and its options.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// One run of the allocator, by agents, frameworks and what stands in its way.
    Allocation(allocation::Args),
    /// Many frameworks on few agents: time to launch all, waits, and shares against ideal fairness.
    Fairness(fairness::Args),
    /// What a task keeps of processor, memory and disk beside three that take all they can.
    Neighbour(neighbour::Args),
    /// The master that ships: offers, calls, registration, memory, failover, at its API.
    Master(master::Args),
    /// A command task's launch, and the memory it adds, beside bwrap, crun and runc.
    Launch(launch::Args),
    /// Containers that come and go by the thousand, and what is left of them.
    Soak(soak::Args),
    /// Pulling and unpacking an image of 1 GB, beside skopeo and umoci.
    Unpack(unpack::Args),
    /// How long an agent does not answer while it is upgraded or a fatal signal comes, and until it is registered.
    Upgrade(upgrade::Args),
}

/// Builds and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Allocation(args) => allocation::run(args),
        What::Fairness(args) => fairness::run(args),
        What::Neighbour(args) => neighbour::run(args),
        What::Master(args) => master::run(args),
        What::Launch(args) => launch::run(args),
        What::Soak(args) => soak::run(args),
        What::Unpack(args) => unpack::run(args),
        What::Upgrade(args) => upgrade::run(args),
    }
}

/// Runs a benchmark to its end.
fn finish(command: &mut Command) -> Result<()> {
    let status = command.status().context("run cargo bench")?;
    match status.success() {
        true => Ok(()),
        false => bail!("the benchmark failed: {status}"),
    }
}
