//! The clocks of a container: when they begin, who shares them, and that nobody sets them.

use std::error::Error;
use std::time::Duration;

use model::sandbox::{
    Content, Enforcement, ExitStatus, Isolation, Mount, Namespace, Nesting, Run, Shares, User,
    View, ViewFile,
};
use nix::sys::signal::Signal;

use agent_kernel::process;

use crate::Outcome;
use crate::nested::{debug, nested, run_in};
use crate::world::{World, same};

/// Longer than any launch takes here, and shorter than any host has run that tests run on.
const YOUNG_S: f64 = 30.0;

/// When a process of this number started by the container's clocks, in hundredths of a second.
const STARTED: &str = "started() { cut -d' ' -f22 /proc/$1/stat; }";

/// Whether the container has clocks of its own; says so where it has not.
fn has(enforcement: &Enforcement) -> bool {
    let clocks = Isolation::Namespace(Namespace::Time);
    let mut missing = enforcement.missing.iter();
    match missing.find(|(isolation, _)| *isolation == clocks) {
        Some((_, why)) => println!("  left out: {why}"),
        None => return enforcement.enforced.contains(&clocks),
    }
    false
}

fn numbers(output: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    let words = output.split_whitespace();
    Ok(words.map(str::parse).collect::<Result<_, _>>()?)
}

pub(crate) fn the_clocks_of_a_container_begin_with_it(world: &World) -> Outcome {
    let plan = world.plan(&format!(
        "{STARTED}; cut -d' ' -f1 /proc/uptime; started 1; started self"
    ))?;
    let launched = world.spawn(&plan)?;
    let status = world.end(&plan, &launched)?;
    if !has(&launched.enforcement) {
        return Ok(());
    }
    let output = world.output(&plan)?;
    same(status, ExitStatus::Exited(0), &output)?;
    let numbers = numbers(&output)?;
    let [uptime, init, task] = numbers[..] else {
        return Err(output.into());
    };
    same(uptime < YOUNG_S, true, "the uptime")?;
    // The init began with the clocks and not before: its start would be a number without end.
    same(init <= task && task < YOUNG_S * 100.0, true, &output)
}

pub(crate) fn what_is_nested_counts_by_the_clocks_of_what_it_is_in(world: &World) -> Outcome {
    const SPACE: &str = "readlink /proc/self/ns/time; cut -d' ' -f1 /proc/uptime";
    let mut plan = world.plan("")?;
    plan.run = Run::Hold(User::default());
    plan.cgroup.nesting = Nesting::Limited;
    let pod = world.spawn(&plan)?;
    if !has(&pod.enforcement) {
        process::signal(&pod.pidfd, Signal::SIGTERM)?;
        world.end(&plan, &pod)?;
        return Ok(());
    }
    std::thread::sleep(Duration::from_millis(500));
    let (first, status) = run_in(world, &pod, &nested(world, &plan, SPACE)?)?;
    same(status, ExitStatus::Exited(0), &first)?;
    let (second, status) = run_in(world, &pod, &debug(world, &plan, SPACE)?)?;
    same(status, ExitStatus::Exited(0), &second)?;
    process::signal(&pod.pidfd, Signal::SIGTERM)?;
    world.end(&plan, &pod)?;
    let own = std::fs::read_link("/proc/self/ns/time")?;
    let mut spaces = Vec::new();
    for output in [&first, &second] {
        let (space, uptime) = output.split_once('\n').ok_or(output.as_str())?;
        same(own.to_string_lossy() == space, false, "the node's clocks")?;
        let uptime: f64 = uptime.trim().parse()?;
        same((0.5..YOUNG_S).contains(&uptime), true, output)?;
        spaces.push(space);
    }
    same(spaces[0], spaces[1], "both are the pod's")
}

pub(crate) fn a_view_and_the_clocks_agree(world: &World) -> Outcome {
    // What the tests' view says of its age is in nanoseconds.
    let mut plan = world.plan(&format!(
        "{STARTED}; started self; cut -d' ' -f1 /proc/uptime"
    ))?;
    plan.view = Some(View {
        shares: Shares::Node,
        cpus_milli_apart: 0,
    });
    plan.mounts.push(Mount {
        target: ViewFile::Uptime.path().into(),
        content: Content::View(ViewFile::Uptime),
    });
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let is_seen = launched.enforcement.enforced.contains(&Isolation::ProcView);
    if !has(&launched.enforcement) || !is_seen {
        println!("  left out: no clocks, or no view");
        return Ok(());
    }
    let output = world.output(&plan)?;
    let numbers = numbers(&output)?;
    let [started, age] = numbers[..] else {
        return Err(output.into());
    };
    let (started, age) = (started / 100.0, age / 1e9);
    same(started <= age && age < YOUNG_S, true, &output)
}

pub(crate) fn nobody_sets_the_clocks_of_a_container(world: &World) -> Outcome {
    let (output, _) = world.run(
        "echo 'monotonic 1000 0' >/proc/self/timens_offsets && echo set
         echo 'boottime 1000 0' >/proc/1/timens_offsets && echo set; echo over",
    )?;
    let lines: Vec<_> = output.lines().filter(|line| *line == "set").collect();
    same(lines.len(), 0, &output)?;
    same(output.contains("over"), true, &output)
}
