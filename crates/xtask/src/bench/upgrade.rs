//! `cargo xtask bench upgrade`: how long an agent on this host does not answer while another build takes
//! its place, or a fatal signal has it executed again, and how soon it is registered then.
//!
//! Somebody asks all the time, each time by a new connection to the same port; the agent's uptime tells
//! which process answers. Tasks run beside it, which keep their processes and every line of their output.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::report::{self, Figure};
use crate::builds::Builds;
use crate::daemon::Daemon;
use crate::lab;
use crate::replay::node::{Node, Program};
use crate::witness::{self, Seen};

/// The most that an upgrade may keep others waiting, in milliseconds (issue 6).
const PAUSE_BUDGET_MS: f64 = 200.0;
/// The most from a fatal signal until the agent is registered, in milliseconds (issue 6).
const REGISTERED_BUDGET_MS: f64 = 500.0;
/// How long a process is left alone before the next takes its place: their uptimes tell them apart.
const REST: Duration = Duration::from_secs(2);
/// How long nobody asks after an answer.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// So often an agent is executed again within ten minutes, and then no more.
const SIGNALS_MAX: u32 = 5;
/// What tasks do.
const SCRIPT: &str = "echo begun; i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done";

/// How often, and beside what.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Upgrades; fatal signals are 5 at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tasks that run meanwhile.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=200))]
    tasks: u32,
    /// Take the programs of the last release build instead of building them.
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    report: report::Args,
}

/// Runs it; fails where a task notices.
pub(super) fn run(args: &Args) -> Result<()> {
    lab::install(&["musl-tools", "busybox-static"])?;
    if !args.no_build {
        eprintln!("bench: building the programs");
        lab::build()?;
    }
    let agent = lab::program("tepui-agent")?;
    let program = Program::find(Some(&agent)).map_err(anyhow::Error::msg)?;
    let mut builds = Builds::new()?;
    let folder = tempfile::tempdir().context("make a folder for the master")?;
    let port = Daemon::free_port()?;
    let work_dir = format!("--work_dir={}", folder.path().display());
    let flags = [work_dir.as_str(), "--allocation_interval=100ms"];
    let daemon = Daemon::start(&lab::program("tepui-master")?, port, &flags)?;
    let flags = [
        "--hostname=localhost".to_owned(),
        format!(
            "--resources=cpus:16;mem:{};disk:1024",
            64 * (args.tasks + 1)
        ),
        format!("--{}", builds.setting()),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let node = runtime.block_on(Node::start(&program, daemon.address(), &flags))?;
    let bench = Bench {
        master: daemon.address().to_string(),
        agent: node.address.to_string(),
        node: &node,
    };
    let before = bench.start_tasks(args.tasks)?;
    let mut figures = Vec::new();
    let mut measured = Vec::new();
    for _ in 0..args.rounds {
        let (master, id) = (&bench.master, &node.id);
        measured.push(bench.watched(|| builds.upgrade(master, id))?);
    }
    figures.extend(told(
        "upgrade",
        args.tasks,
        &measured,
        Some(PAUSE_BUDGET_MS),
        None,
    ));
    measured.clear();
    for _ in 0..args.rounds.min(SIGNALS_MAX) {
        let process = Pid::from_raw(node.process().cast_signed());
        let signal = || kill(process, Signal::SIGSEGV).context("send a signal");
        measured.push(bench.watched(signal)?);
    }
    let registered = Some(REGISTERED_BUDGET_MS);
    figures.extend(told(
        "fatal signal",
        args.tasks,
        &measured,
        None,
        registered,
    ));
    bench.untouched(&before)?;
    report::print(&args.report, &figures)
}

/// An agent with its master.
struct Bench<'a> {
    master: String,
    agent: String,
    node: &'a Node,
}

/// What was seen of one execution.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The longest time from one answer to the next.
    pause: Duration,
    /// From the last answer of the process before to the first of one that is registered.
    registered: Duration,
}

/// One answer of the agent.
#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    /// How long this process has been there, in seconds.
    uptime: f64,
    is_registered: bool,
}

impl Bench<'_> {
    /// Starts tasks; what is seen of them.
    fn start_tasks(&self, number: u32) -> Result<Seen> {
        let tepui = lab::program("tepui")?;
        for task in 1..=number {
            let name = format!("task{task}");
            let words = [
                "run", "--detach", "--name", &name, "--cpus", "0.1", "--mem", "32",
            ];
            let output = std::process::Command::new(&tepui)
                .args(words)
                .args(["--", SCRIPT])
                .env("TEPUI_MASTER", &self.master)
                .output()
                .context("start tepui")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "start a task: {said}");
        }
        let begun = Instant::now();
        loop {
            let seen = witness::look([self.agent.as_str()])?;
            if seen.len() == number as usize {
                return Ok(seen);
            }
            ensure!(begun.elapsed() < PATIENCE, "the tasks do not all run");
            thread::sleep(ASK_EVERY);
        }
    }

    /// That the tasks have not noticed.
    fn untouched(&self, before: &Seen) -> Result<()> {
        let after = witness::look([self.agent.as_str()])?;
        let mut faults = witness::faults(before, &after);
        if after.len() < before.len() {
            faults.push(format!("{} of {} tasks run", after.len(), before.len()));
        }
        ensure!(faults.is_empty(), "the tasks noticed: {faults:?}");
        Ok(())
    }

    /// Does something that has the agent executed, and asks it all the time until it is registered again.
    fn watched(&self, work: impl FnOnce() -> Result<()>) -> Result<Measured> {
        let (is_done, has_failed) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask_until(&is_done, &has_failed));
            // It was asked before.
            thread::sleep(REST);
            let worked = work();
            has_failed.store(worked.is_err(), Ordering::Relaxed);
            is_done.store(true, Ordering::Relaxed);
            let answers = asking.join().ok().context("ask the agent")?;
            worked?;
            measure(&answers?).context("the agent was not executed")
        })
    }

    /// Asks until the work is done, another process answers and it is registered, or the work was not done.
    fn ask_until(&self, is_done: &AtomicBool, has_failed: &AtomicBool) -> Result<Vec<Answer>> {
        let mut answers: Vec<Answer> = Vec::new();
        let begun = Instant::now();
        loop {
            // One that was under way when the program was executed is cut off; nobody is refused.
            match qemu::http::get(&self.agent, "/metrics/snapshot") {
                Ok((200, body)) => answers.push(answer(&body)?),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    bail!("a connection was refused")
                }
                Ok(_) | Err(_) => {}
            }
            let is_over = is_done.load(Ordering::Relaxed);
            if has_failed.load(Ordering::Relaxed) || (is_over && measure(&answers).is_some()) {
                return Ok(answers);
            }
            let (process, count) = (self.node.process(), answers.len());
            ensure!(
                begun.elapsed() < PATIENCE,
                "the agent (process {process}) is not registered again after {count} answers{}",
                if is_over {
                    ""
                } else {
                    ", and is still worked on"
                }
            );
            thread::sleep(ASK_EVERY);
        }
    }
}

fn answer(body: &[u8]) -> Result<Answer> {
    let figures: Value = serde_json::from_slice(body).context("read the agent's metrics")?;
    let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no {name}"));
    Ok(Answer {
        at: Instant::now(),
        uptime: figure("slave/uptime_secs")?,
        is_registered: figure("slave/registered")? == 1.0,
    })
}

/// What answers tell; nothing where the same process gave all of them, or the last is not registered yet.
fn measure(answers: &[Answer]) -> Option<Measured> {
    let pairs = || {
        answers
            .windows(2)
            .filter_map(|pair| pair.first().zip(pair.last()))
    };
    let (last, _) = pairs().find(|(one, next)| next.uptime < one.uptime)?;
    let mut after = answers.iter().filter(|answer| answer.at > last.at);
    let registered = after.find(|answer| answer.is_registered)?;
    Some(Measured {
        pause: pairs().map(|(one, next)| next.at - one.at).max()?,
        registered: registered.at - last.at,
    })
}

/// The median and the greatest of both times.
fn told(
    what: &str,
    tasks: u32,
    measured: &[Measured],
    pause_budget: Option<f64>,
    registered_budget: Option<f64>,
) -> Vec<Figure> {
    let taken = |of: fn(&Measured) -> Duration| {
        let all = measured.iter().map(of);
        let mut all: Vec<f64> = all.map(|time| 1000.0 * time.as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let times = [
        ("without an answer", taken(|one| one.pause), pause_budget),
        (
            "until registered",
            taken(|one| one.registered),
            registered_budget,
        ),
    ];
    let mut figures = Vec::new();
    for (time, all, budget) in times {
        let (Some(median), Some(max)) = (all.get(all.len() / 2), all.last()) else {
            continue;
        };
        for (part, value, budget) in [("p50", median, None), ("max", max, budget)] {
            let about = [
                ("case", json!(what)),
                ("time", json!(time)),
                ("of", json!(part)),
                ("rounds", json!(all.len())),
                ("tasks", json!(tasks)),
            ];
            figures.push(Figure::new(&about, *value, "ms", budget));
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_and_a_registration_are_read_from_what_was_answered() {
        let begun = Instant::now();
        let answer = |ms, uptime, is_registered| Answer {
            at: begun + Duration::from_millis(ms),
            uptime,
            is_registered,
        };
        let mut answers = vec![answer(0, 7.0, true), answer(5, 7.005, true)];
        assert!(measure(&answers).is_none(), "the same process");
        answers.push(answer(85, 0.02, false));
        assert!(measure(&answers).is_none(), "not registered yet");
        answers.push(answer(90, 0.025, false));
        answers.push(answer(105, 0.04, true));
        answers.push(answer(110, 0.045, true));
        let measured = measure(&answers).unwrap();
        assert_eq!(measured.pause, Duration::from_millis(80));
        assert_eq!(measured.registered, Duration::from_millis(100));
    }
}
