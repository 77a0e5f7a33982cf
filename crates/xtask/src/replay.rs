//! `cargo xtask replay`: runs recorded exchanges against a master and compares what it answers.
//!
//! Every scenario gets a cluster of its own in this process, unless `--master` names one; where the
//! recording is of an agent's own API, with real agents beside it (`node`). A recording
//! is a JSON file: `name`, `group`, `scenario` and `seq`; `request`; `response`; the events before
//! and after it. What is compared, and what is not, stands in `compare`.

mod case;
mod cast;
mod cluster;
mod compare;
mod differences;
mod http;
mod ids;
pub(crate) mod node;
mod plan;
mod request;
mod scenario;
mod streams;

/// A scheduler's side of the HTTP API, for other tools.
pub(crate) mod client {
    pub(crate) use super::http::exchange;
    pub(crate) use super::request::unrecorded;
    pub(crate) use super::streams::{Acknowledged, Stream, Unrecorded};
}

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::Semaphore;

use differences::Differences;
use node::Program;
use plan::Plan;
use scenario::Outcome;

/// How many scenarios run at a time; they mostly wait.
const SCENARIOS_MAX: usize = 8;

/// Options of `cargo xtask replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the recordings
    folder: PathBuf,
    /// Replay against this master instead of one in this process
    #[arg(long, value_name = "ADDRESS")]
    master: Option<SocketAddr>,
    /// The program of agents, for recordings of their own API [default: the one beside this]
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
    /// Only cases of this group; may be given several times
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Only scenarios with a case of which the name holds this
    #[arg(long, value_name = "SUBSTRING")]
    only: Option<String>,
    /// A file that lists cases which are to be answered otherwise, each with the reason
    #[arg(long, value_name = "FILE")]
    differences: Option<PathBuf>,
    /// Print one JSON object instead of lines and a table
    #[arg(long)]
    json: bool,
}

/// How many cases went which way.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Answered otherwise, as it is listed.
    listed: usize,
}

/// Replays; fails where a case does.
pub(crate) fn run(args: &Args) -> Result<()> {
    let plan = Plan::read(&args.folder)?;
    let mut cases = case::read(&args.folder)?;
    cases.retain(|case| args.group.is_empty() || args.group.contains(&case.group));
    let mut scenarios = case::scenarios(cases);
    if let Some(only) = &args.only {
        scenarios.retain(|cases| cases.iter().any(|case| case.name.contains(only.as_str())));
    }
    if scenarios.is_empty() {
        bail!(
            "no case of this group and name in {}",
            args.folder.display()
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let listed = match &args.differences {
        Some(file) => Differences::read(file)?,
        None => Differences::default(),
    };
    let mut outcomes = runtime.block_on(replay(scenarios, plan, args))?;
    for (_, name, outcome) in &mut outcomes {
        if matches!(outcome, Outcome::Failed(_)) && listed.has(name) {
            *outcome = Outcome::Listed;
        }
    }
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut total = Count::default();
    for (group, _, outcome) in &outcomes {
        counts.entry(group).or_default().add(outcome);
        total.add(outcome);
    }
    if args.json {
        print_json(&outcomes, &counts, total);
    } else {
        print_lines(&outcomes, &counts, total);
    }
    if total.failed > 0 {
        bail!(
            "{} cases were answered otherwise than recorded",
            total.failed
        );
    }
    Ok(())
}

/// A case's group and name, and how it went.
type Replayed = (String, String, Outcome);

async fn replay(scenarios: Vec<Vec<case::Case>>, plan: Plan, args: &Args) -> Result<Vec<Replayed>> {
    let master = args.master;
    let program = Arc::new(Program::find(args.agent.as_deref()));
    // One master serves one scenario at a time.
    let room = Arc::new(Semaphore::new(master.map_or(SCENARIOS_MAX, |_| 1)));
    let plan = Arc::new(plan);
    let mut running = Vec::new();
    for cases in scenarios {
        let (room, plan) = (Arc::clone(&room), Arc::clone(&plan));
        let program = Arc::clone(&program);
        running.push(tokio::spawn(async move {
            let _place = room.acquire_owned().await?;
            let group = cases
                .first()
                .map(|case| case.group.clone())
                .unwrap_or_default();
            let outcomes = scenario::run(&cases, &plan, master, &program).await?;
            let named = outcomes
                .into_iter()
                .map(|(name, o)| (group.clone(), name, o));
            anyhow::Ok(named.collect::<Vec<_>>())
        }));
    }
    let mut outcomes = Vec::new();
    for scenario in running {
        outcomes.extend(scenario.await.context("a scenario panicked")??);
    }
    Ok(outcomes)
}

impl Count {
    const fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Listed => self.listed += 1,
        }
    }
}

fn print_lines(outcomes: &[Replayed], counts: &BTreeMap<&str, Count>, total: Count) {
    for (_, name, outcome) in outcomes {
        if let Outcome::Failed(difference) = outcome {
            println!("{name}: {difference}");
        }
    }
    println!(
        "{:<16}{:>8}{:>8}{:>8}{:>8}",
        "group", "passed", "failed", "skipped", "listed"
    );
    for (group, count) in counts {
        println!(
            "{group:<16}{:>8}{:>8}{:>8}{:>8}",
            count.passed, count.failed, count.skipped, count.listed
        );
    }
    println!(
        "{} passed, {} failed, {} skipped, {} differ as listed",
        total.passed, total.failed, total.skipped, total.listed
    );
}

fn print_json(outcomes: &[Replayed], counts: &BTreeMap<&str, Count>, total: Count) {
    let count = |count: &Count| json!({"passed": count.passed, "failed": count.failed, "skipped": count.skipped, "listed": count.listed});
    let failed = outcomes
        .iter()
        .filter_map(|(_, name, outcome)| match outcome {
            Outcome::Failed(difference) => Some(json!({"name": name, "difference": difference})),
            Outcome::Passed | Outcome::Skipped | Outcome::Listed => None,
        });
    let groups: BTreeMap<_, _> = counts.iter().map(|(group, c)| (*group, count(c))).collect();
    println!(
        "{}",
        json!({"failed": failed.collect::<Vec<_>>(), "groups": groups, "total": count(&total)})
    );
}
