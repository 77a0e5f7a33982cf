//! `cargo xtask chaos`: lets things go wrong around a framework at work, and looks at what it is told.
//!
//! A cluster of nodes in QEMU runs the tasks of pymesos. Events follow each other: after each one
//! everything has to come back to what it was within a bound, no task may be lost that the event does
//! not take with it, and none may run twice or end twice.

mod counter;
mod events;
mod ground;
mod journal;
mod judge;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use image::Kernel;
use qemu::Spec;

use crate::builds::Builds;
use crate::lab::{self, Programs};
use crate::witness::{self, Seen};
use events::{Cost, EVENTS, Event};
use ground::Ground;

/// How long the first tasks may take to run.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// Slots whose task ends by itself have none for a moment.
const SLOTS_PER_TURN: usize = 3;
/// How often is looked whether everything is as before.
const POLL: Duration = Duration::from_millis(250);
/// How long everything has to stay so.
const CALM: Duration = Duration::from_secs(2);
/// The least room for tasks that a node leaves.
const SLOTS_MAX: usize = 45;

/// What to let happen.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out events that take minutes, and do not judge how soon offers come
    #[arg(long)]
    short: bool,
    /// Only events whose names hold this; may be given several times
    #[arg(long, value_name = "SUBSTRING")]
    only: Vec<String>,
    /// How often the list is gone through
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Tasks at a time
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(3..=SLOTS_MAX as i64))]
    tasks: u8,
    /// Take the programs of the last release build instead of building them
    #[arg(long)]
    no_build: bool,
    /// List the events, and let none happen
    #[arg(long)]
    list: bool,
}

/// What came of one event.
struct Outcome {
    /// From the event's begin to the first offers after it.
    first_offer: Option<f64>,
    /// From the event's end to when everything was as before.
    settled: Option<Duration>,
    lost: usize,
    faults: Vec<String>,
}

/// Lets them happen; fails where a promise is broken.
pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen = |event: &&Event| {
        let is_asked_for = args.only.iter().any(|only| event.name.contains(only));
        (args.only.is_empty() || is_asked_for) && !(args.short && event.is_long)
    };
    let events: Vec<&Event> = EVENTS.iter().filter(chosen).collect();
    if events.is_empty() {
        bail!("no event has such a name: cargo xtask chaos --list");
    }
    if args.list {
        for event in events {
            println!("{:<24} {}", event.name, event.what);
        }
        return Ok(());
    }
    let programs = match args.no_build {
        true => Programs::Found,
        false => Programs::Built,
    };
    let spec = lab::spec("chaos", Kernel::default(), programs)?;
    let builds = Builds::new()?;
    let spec = Spec {
        agents: 3,
        masters: 3,
        zookeepers: 3,
        zookeeper_port: 6963,
        memory_mb: 512,
        port: 5963,
        prefix: "127.0.63".to_owned(),
        master_flags: vec!["--allocation_interval=500ms".to_owned()],
        append: vec![
            "unknown_nmi_panic".to_owned(),
            "tepui.failure_test=true".to_owned(),
            format!("tepui.{}", builds.setting()),
        ],
        ..spec
    };
    let mut ground = Ground::start(&spec, builds, args.tasks.into())?;
    let begun = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    match settle(&mut ground, now(), START_TIME_MAX)? {
        Ok(time) => println!("{} tasks run after {:.1} s", args.tasks, time.as_secs_f64()),
        Err(why) => bail!("the tasks do not come up: {why}"),
    }
    println!("                         first offer    settled   tasks lost");
    for event in events
        .iter()
        .cycle()
        .take(events.len() * usize::from(args.rounds))
    {
        let outcome = happen(&mut ground, event, args.short)?;
        let seconds = |time: Option<f64>| match time {
            Some(time) => format!("{time:.1} s"),
            None => "-".to_owned(),
        };
        let verdict = match outcome.faults.is_empty() {
            true => "ok",
            false => "FAILED",
        };
        println!(
            "{verdict:<7} {:<24} {:>6} {:>10} {:>8}   {}",
            event.name,
            seconds(outcome.first_offer),
            seconds(outcome.settled.map(|time| time.as_secs_f64())),
            outcome.lost,
            event.what,
        );
        for fault in &outcome.faults {
            println!("        {fault}");
        }
        match outcome.faults.is_empty() {
            true => passed += 1,
            false => failed += 1,
        }
    }
    let launched = judge::tasks(&ground.journal.lines).len();
    ground.stop()?;
    println!("{launched} tasks, {:.0} s", begun.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    match failed {
        0 => Ok(()),
        _ => bail!("what was promised did not hold: see target/chaos"),
    }
}

fn happen(ground: &mut Ground, event: &Event, is_patient: bool) -> Result<Outcome> {
    let agents = ground.sight()?.agents;
    let before = seen(ground)?;
    let since = now();
    (event.act)(ground).with_context(|| event.name)?;
    let settled = settle(ground, since, event.settles_in)?;
    let lines = &ground.journal.lines;
    let mut faults = judge::faults(lines, &ground.counter.runs());
    match seen(ground) {
        Ok(after) => faults.extend(witness::faults(&before, &after)),
        Err(error) => faults.push(format!("{error:#}")),
    }
    let tasks = judge::tasks(lines);
    let lost = judge::lost(&tasks, since);
    let may_lose = match event.cost {
        Cost::Nothing => None,
        Cost::Node(number) => agents.get(&format!("node{number}")),
    };
    for (name, task) in &lost {
        // A launch that was on its way may be lost with the master or the agent that had it, if its
        // framework is told.
        if task.has_begun() && Some(&task.agent) != may_lose {
            let state = task.state.as_deref().unwrap_or("no state");
            faults.push(format!("{name} was lost: {state} on {}", task.agent));
        }
    }
    let settled = match settled {
        Ok(time) => Some(time),
        Err(why) => {
            faults.push(why);
            None
        }
    };
    let first_offer = judge::first_offer(lines, since, event.offers_in.is_some());
    match (first_offer, event.offers_in) {
        (None, _) => faults.push("no offer came".to_owned()),
        (Some(time), Some(most)) if time > most && !is_patient => {
            faults.push(format!("the first offer came after more than {most:.0} s"));
        }
        (Some(_), _) => {}
    }
    Ok(Outcome {
        first_offer,
        settled,
        lost: lost.len(),
        faults,
    })
}

/// What the nodes tell of their tasks.
fn seen(ground: &Ground) -> Result<Seen> {
    let nodes = &ground.cluster.state().nodes;
    witness::look(nodes.iter().map(|node| node.address.as_str()))
}

/// Waits until everything is as before and stays so: how long that took, or what was missing.
fn settle(
    ground: &mut Ground,
    since: f64,
    time_max: Duration,
) -> Result<std::result::Result<Duration, String>> {
    let begun = Instant::now();
    let mut calm: Option<Instant> = None;
    loop {
        ground.see_to_framework()?;
        ground.journal.read_on()?;
        let missing = missing(ground, since);
        match (&missing, calm) {
            (None, Some(at)) if at.elapsed() >= CALM => return Ok(Ok(at.duration_since(begun))),
            (None, Some(_)) => {}
            (None, None) => calm = Some(Instant::now()),
            (Some(_), _) => calm = None,
        }
        if let Some(missing) = missing
            && begun.elapsed() > time_max
        {
            let time = time_max.as_secs();
            return Ok(Err(format!("after {time} s: {missing}")));
        }
        std::thread::sleep(POLL);
    }
}

/// What is not as it was before.
fn missing(ground: &Ground, since: f64) -> Option<String> {
    let seen = match ground.sight() {
        Ok(seen) => seen,
        Err(error) => return Some(format!("{error:#}")),
    };
    let nodes = ground.cluster.state().nodes.len();
    if seen.agents.len() < nodes {
        let active = seen.agents.len();
        return Some(format!("{active} of {nodes} agents are active"));
    }
    if judge::first_offer(&ground.journal.lines, since, false).is_none() {
        return Some("no offer came".to_owned());
    }
    let tasks = judge::tasks(&ground.journal.lines);
    let least = ground.slots - ground.slots.div_ceil(SLOTS_PER_TURN);
    let running: Vec<&String> = judge::running(&tasks).collect();
    if running.len() < least {
        return Some(format!("{} tasks run, not {least}", running.len()));
    }
    // What one side believes to run runs for the other, but for what is on its way.
    let runs = |name: &String| {
        seen.tasks
            .get(name)
            .is_some_and(|state| state == "TASK_RUNNING")
    };
    let unknown = running.into_iter().find(|name| !runs(name));
    unknown.map(|name| format!("{name} runs for the framework and not for the master"))
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |time| time.as_secs_f64())
}
