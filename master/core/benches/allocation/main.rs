//! The allocation cycle: how long one run of the allocator takes in which every agent is offered.
//!
//! Question: how does a cycle grow with agents and with frameworks, and with what stands in its way:
//! reservations, quota, filters, suppressed frameworks? Bound by memory reads: each agent is visited
//! once, and who is next is found in an order that is kept. The figure is the time that the processor
//! spends on it, so that whatever else the machine does has little part in it; a run has one thread.
//!
//!     cargo xtask bench allocation [--agents N,…] [--frameworks N,…] [--case NAME,…] [--policy NAME]
//!
//! Prints one JSON object a line; the command above makes a table of them.

mod case;

use std::process::ExitCode;
use std::time::Duration;

use case::{Case, World};
use master_core::allocator::Sorter;
use nix::time::{ClockId, clock_gettime};

/// The longest that a cycle may take at [`AGENTS`] and [`FRAMEWORKS`], in milliseconds.
const BUDGET_MS: f64 = 100.0;
const AGENTS: usize = 50_000;
const FRAMEWORKS: usize = 1000;
/// The policies, for roles and frameworks alike; the budget is for the first.
const POLICIES: [(&str, Sorter); 3] = [
    ("drf", Sorter::Drf),
    ("random", Sorter::Random),
    ("priority", Sorter::Priority),
];

fn main() -> ExitCode {
    match bench(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is measured.
struct Options {
    agents: Vec<usize>,
    frameworks: Vec<usize>,
    cases: Vec<Case>,
    policy: (&'static str, Sorter),
    rounds: usize,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        agents: vec![1000, 10_000, AGENTS],
        frameworks: vec![1, 50, 200, FRAMEWORKS, 6000],
        cases: Case::ALL.to_vec(),
        policy: POLICIES[0],
        rounds: 5,
    };
    // Cargo adds this one to the arguments of every benchmark.
    let mut given = arguments.iter().filter(|text| *text != "--bench");
    while let Some(name) = given.next() {
        let value = given.next().ok_or(format!("{name} lacks its value"))?;
        let numbers = || {
            let parts = value.split(',').map(str::parse::<usize>);
            let parts = parts.collect::<Result<Vec<_>, _>>();
            parts.map_err(|error| format!("{name} {value:?}: {error}"))
        };
        match name.as_str() {
            "--agents" => options.agents = numbers()?,
            "--frameworks" => options.frameworks = numbers()?,
            "--rounds" => options.rounds = value.parse().map_err(|e| format!("{name}: {e}"))?,
            "--case" => {
                let cases = value.split(',').map(Case::parse);
                options.cases = cases.collect::<Result<_, _>>()?;
            }
            "--policy" => {
                let found = POLICIES.into_iter().find(|(name, _)| name == value);
                options.policy = found.ok_or_else(|| {
                    let names = POLICIES.map(|(name, _)| name).join(", ");
                    format!("no policy {value:?}; there are {names}")
                })?;
            }
            other => return Err(format!("no option {other}")),
        }
    }
    Ok(options)
}

fn bench(arguments: Vec<String>) -> Result<(), String> {
    let options = options(&arguments)?;
    let mut is_late = false;
    for case in &options.cases {
        for agents in &options.agents {
            for frameworks in &options.frameworks {
                let (policy, sorter) = options.policy;
                let (cycle, offers) = cycle(*case, sorter, (*agents, *frameworks), options.rounds)?;
                let has_budget =
                    sorter == Sorter::Drf && (*agents, *frameworks) == (AGENTS, FRAMEWORKS);
                let budget = has_budget.then_some(BUDGET_MS);
                is_late |= budget.is_some_and(|budget| cycle > budget);
                let budget = budget.map_or("null".to_owned(), |budget| budget.to_string());
                println!(
                    "{{\"bench\":\"allocation\",\"case\":\"{}\",\"policy\":\"{policy}\",\"agents\":{agents},\
                     \"frameworks\":{frameworks},\"offers\":{offers},\"unit\":\"ms\",\
                     \"value\":{cycle:.3},\"budget\":{budget}}}",
                    case.name()
                );
            }
        }
    }
    match is_late {
        false => Ok(()),
        true => Err(format!(
            "a cycle at {AGENTS} agents and {FRAMEWORKS} frameworks took more than {BUDGET_MS} ms"
        )),
    }
}

/// The median of some cycles in milliseconds, and how many offers one of them gave.
fn cycle(
    case: Case,
    sorter: Sorter,
    (agents, frameworks): (usize, usize),
    rounds: usize,
) -> Result<(f64, usize), String> {
    let mut world = World::new(case, sorter, agents, frameworks);
    let mut times = Vec::new();
    let mut offers = 0;
    for _ in 0..rounds.max(1) {
        world.prepare();
        let begin = spent()?;
        let given = world.allocate();
        times.push((spent()? - begin).as_secs_f64() * 1000.0);
        offers = given.len();
        world.take_back(given);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], offers))
}

/// How long the processor has worked on this thread.
fn spent() -> Result<Duration, String> {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    let spent = spent.map_err(|error| format!("read the clock of the thread: {error}"))?;
    Ok(spent.into())
}
