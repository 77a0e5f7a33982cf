//! `cargo xtask bench allocation`: the allocation cycle, by agents, frameworks and case.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::report::{self, Figure};

/// Which sizes and cases; all of the reference's section 6.8 where nothing is said.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Numbers of agents, separated by commas [default: 1000,10000,50000].
    #[arg(long, value_name = "N,…")]
    agents: Option<String>,
    /// Numbers of frameworks, separated by commas [default: 1,50,200,1000,6000].
    #[arg(long, value_name = "N,…")]
    frameworks: Option<String>,
    /// plain, one-role, reserved, quota, filters, suppressed, dirty; all where not given.
    #[arg(long, value_name = "NAME,…")]
    case: Option<String>,
    /// drf, random or priority: by which all are put in order [default: drf].
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// How many cycles; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    #[command(flatten)]
    report: report::Args,
}

/// Builds and runs it, and shows its figures.
pub(super) fn run(args: &Args) -> Result<()> {
    let mut command = crate::release::cargo()?;
    command.args(["bench", "--quiet", "--package", "master-core"]);
    command.args(["--bench", "allocation", "--"]);
    command.args(["--rounds", &args.rounds.to_string()]);
    for (name, value) in [
        ("--agents", &args.agents),
        ("--frameworks", &args.frameworks),
        ("--case", &args.case),
        ("--policy", &args.policy),
    ] {
        if let Some(value) = value {
            command.args([name, value]);
        }
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("run cargo bench")?;
    let stdout = child.stdout.take().context("read the benchmark")?;
    let mut figures = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let figure = Figure::parse(&line.context("read the benchmark")?)?;
        figures.push(figure);
    }
    let status = child.wait().context("wait for the benchmark")?;
    report::print(&args.report, &figures)?;
    if !status.success() {
        bail!("the benchmark failed: {status}");
    }
    Ok(())
}
