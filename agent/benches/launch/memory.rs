//! The memory that a container takes beyond its task's own.

use std::fs;
use std::time::{Duration, Instant};

use agent_kernel::process;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::figures::Figure;
use crate::world::{Network, World};
use crate::{Outcome, stamped};

/// DESIGN.md, "Numbers to reach".
const BUDGET_MB: f64 = 0.5;

/// What several containers take together, each part by its number.
#[derive(Debug, Default)]
struct Taken {
    /// Of the init, its share of what is shared counted in.
    init: u64,
    /// Of the task.
    task: u64,
    /// What the kernel charges to the group, of which the two are the greater part.
    group: u64,
}

/// Starts containers that stay, and tells the mean of what each takes.
pub(crate) fn measure(world: &World, containers: usize) -> Outcome<()> {
    if containers == 0 {
        return Ok(());
    }
    let before = available()?;
    let mut running = Vec::new();
    for _ in 0..containers {
        let prepared = world.prepare(Network::Node, true)?;
        let launched = world.spawn(&prepared)?;
        running.push((prepared, launched));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    for (prepared, _) in &running {
        while stamped(&prepared.sandbox.join("stdout")).is_err() {
            if Instant::now() > deadline {
                return Err("a task that was started never ran".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let after = available()?;
    let mut taken = Taken::default();
    for (_, launched) in &running {
        taken.init += pss(launched.pid)?;
        for child in children(launched.pid)? {
            taken.task += pss(child)?;
        }
        let group = launched
            .cgroup
            .as_ref()
            .map(|group| group.path().join("memory.current"));
        let charged = group.and_then(|file| fs::read_to_string(file).ok());
        taken.group += charged
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
    }
    for (prepared, launched) in &running {
        process::signal(&launched.pidfd, Signal::SIGKILL)?;
        world.end(prepared, launched)?;
    }
    let figure = |name: &str, bytes: f64, budget: Option<f64>| Figure {
        about: vec![("figure", json!("memory")), ("of", json!(name))],
        value: bytes / 1e6,
        unit: "MB",
        budget,
    };
    #[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
    let mean = |bytes: u64| bytes as f64 / containers as f64;
    // Whatever else the machine did in the meantime is in this figure, too.
    let gone = before.saturating_sub(after);
    for figure in [
        figure("init, PSS", mean(taken.init), Some(BUDGET_MB)),
        figure("task itself, PSS", mean(taken.task), None),
        figure("group, as the kernel charges it", mean(taken.group), None),
        figure("node, available memory lost", mean(gone), None),
    ] {
        figure.print();
    }
    Ok(())
}

fn available() -> Outcome<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo")?, "MemAvailable:")
}

fn pss(pid: process::Pid) -> Outcome<u64> {
    kilobytes(
        &fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?,
        "Pss:",
    )
}

fn kilobytes(text: &str, name: &str) -> Outcome<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let number = number.ok_or_else(|| format!("no {name} in {text:?}"))?;
    Ok(number.trim().parse::<u64>()? * 1024)
}

fn children(pid: process::Pid) -> Outcome<Vec<process::Pid>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?)
}
