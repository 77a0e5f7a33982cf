//! Noisy neighbours: what a task with a quarter of the processor keeps beside three that take all they can.
//!
//! On one booted node with one processor, all four tasks with the same share. The fair part of a task is
//! what it does beside three of its own kind: what the machine loses by turning from one to the next (the
//! emulator empties its address cache each time, a disk moves) is lost to it then too, and is nobody's
//! doing. What is judged is how much of that is left beside three that are greedy; how much it is of a
//! quarter of what the task does alone is told beside it. Bound by the kernel's scheduler, reclaim and block
//! layer. Budget: 90 %.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use image::Kernel;

use crate::attack::watch;
use crate::lab::framework::{Framework, Launch, probe_task, resources};
use crate::lab::server::Server;
use crate::lab::{Lab, Programs, Wanted};

/// What must be left of the fair part.
const KEPT_MIN: f64 = 0.9;
const OTHERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);
/// Of a task: thousandths of a processor, MB of memory and of disk.
const NEEDS: [u64; 3] = [250, 96, 128];
/// How long those who came new take to be at full work.
const SETTLE: Duration = Duration::from_secs(2);

/// How long to measure.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How long each time alone and each beside the others is
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..))]
    seconds: u64,
    /// How often each is measured; the medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// The kernel: 6.12, or 6.1
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// Take the programs of the last release build instead of building them
    #[arg(long)]
    no_build: bool,
    /// Only cases whose names hold this
    #[arg(long, value_name = "SUBSTRING", default_value = "")]
    only: String,
    /// Only report, whatever the figures: on a machine that has other work
    #[arg(long)]
    report: bool,
}

/// A resource: what the measured task does with it, and what greedy ones do.
struct Case {
    name: &'static str,
    work: &'static str,
    noise: &'static str,
    unit: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        name: "processor, three that spin",
        work: "work cpu",
        noise: "spin 1 3600",
        unit: "rounds",
    },
    Case {
        name: "processor, 16 processes each",
        work: "work cpu",
        noise: "spin 16 3600",
        unit: "rounds",
    },
    Case {
        name: "memory, three that spin",
        work: "work memory 48",
        noise: "spin 16 3600",
        unit: "pages",
    },
    Case {
        name: "memory, three that thrash",
        work: "work memory 48",
        noise: "work thrash 96",
        unit: "pages",
    },
    Case {
        name: "disk, eight writers each",
        work: "work io 8",
        noise: "work io 8 8",
        unit: "blocks",
    },
];

/// The figures of a case, in units a second.
struct Figures {
    alone: f64,
    beside_equals: f64,
    beside_greedy: f64,
}

impl Figures {
    /// How much of its fair part it kept.
    fn kept(&self) -> f64 {
        self.beside_greedy / self.beside_equals
    }

    /// The same of a quarter of what it does alone.
    fn of_a_quarter(&self) -> f64 {
        self.beside_greedy / (self.alone / (OTHERS + 1) as f64)
    }
}

/// Measures all, and fails below the budget.
pub(super) fn run(args: &Args) -> Result<()> {
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| case.name.contains(&args.only))
        .collect();
    ensure!(!cases.is_empty(), "no case has {:?} in its name", args.only);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let server = runtime.block_on(Server::start())?;
    let lab = Lab::start(&Wanted {
        name: "neighbour",
        kernel: args.kernel,
        port: 5963,
        cpus: 1,
        memory_mb: 1024,
        disk_mb: 2048,
        append: Vec::new(),
        programs: match args.no_build {
            true => Programs::Found,
            false => Programs::Built,
        },
    })?;
    server.put("/probe", "application/octet-stream", lab.program("probe")?);
    let figures = runtime.block_on(measure(args, &cases, &lab, &server))?;
    println!(
        "{:<30} {:>12} {:>12} {:>12}   {:>13} {:>13}",
        "", "alone", "with equals", "with greedy", "of fair part", "of a quarter"
    );
    let mut worst = f64::INFINITY;
    for (case, figures) in cases.iter().zip(&figures) {
        println!(
            "{:<30} {:>10.0}/s {:>10.0}/s {:>10.0}/s   {:>11.1} % {:>11.1} %  ({})",
            case.name,
            figures.alone,
            figures.beside_equals,
            figures.beside_greedy,
            figures.kept() * 100.0,
            figures.of_a_quarter() * 100.0,
            case.unit
        );
        worst = worst.min(figures.kept());
    }
    ensure!(
        args.report || worst >= KEPT_MIN,
        "a task kept {:.1} % of its fair part, less than {:.0} %",
        worst * 100.0,
        KEPT_MIN * 100.0
    );
    Ok(())
}

async fn measure(args: &Args, cases: &[&Case], lab: &Lab, server: &Server) -> Result<Vec<Figures>> {
    let mut framework = Framework::subscribe(lab.master, "neighbour").await?;
    let mut all = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let id = format!("measured-{number}");
        framework
            .start(task(server, &id, case.work), PATIENCE)
            .await?;
        let output = format!(
            "/frameworks/{}/executors/{id}/runs/latest/stdout",
            framework.id()
        );
        let (mut alone, mut equals, mut greedy) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..args.rounds {
            rest(&mut framework, SETTLE).await?;
            alone.push(rate(&mut framework, lab.node, &output, args.seconds).await?);
            for (kind, work, rates) in [
                ("equal", case.work, &mut equals),
                ("greedy", case.noise, &mut greedy),
            ] {
                let names: Vec<String> = (0..OTHERS)
                    .map(|other| format!("{kind}-{number}-{round}-{other}"))
                    .collect();
                for name in &names {
                    framework.start(task(server, name, work), PATIENCE).await?;
                }
                rest(&mut framework, SETTLE).await?;
                rates.push(rate(&mut framework, lab.node, &output, args.seconds).await?);
                for name in &names {
                    end(&mut framework, name).await?;
                }
            }
        }
        end(&mut framework, &id).await?;
        all.push(Figures {
            alone: median(alone),
            beside_equals: median(equals),
            beside_greedy: median(greedy),
        });
    }
    Ok(all)
}

fn task(server: &Server, id: &str, words: &str) -> Launch {
    let mut task = probe_task(server, id, &format!("exec ./probe {words}"), &[]);
    task["resources"] = resources(NEEDS[0], NEEDS[1], NEEDS[2]);
    Launch {
        task,
        is_pod: false,
        needs: NEEDS,
    }
}

async fn rest(framework: &mut Framework, time: Duration) -> Result<()> {
    let end = std::time::Instant::now() + time;
    while std::time::Instant::now() < end {
        framework.turn().await?;
    }
    Ok(())
}

async fn end(framework: &mut Framework, task: &str) -> Result<()> {
    framework.kill(task).await?;
    let begun = std::time::Instant::now();
    while framework.end(task).is_none() {
        ensure!(begun.elapsed() < PATIENCE, "{task} does not end");
        framework.turn().await?;
    }
    Ok(())
}

/// Units a second, by the task's own clock, over a time from now on.
async fn rate(
    framework: &mut Framework,
    node: SocketAddr,
    output: &str,
    seconds: u64,
) -> Result<f64> {
    let first = newest(node, output).await?;
    rest(framework, Duration::from_secs(seconds)).await?;
    let last = newest(node, output).await?;
    ensure!(last.0 > first.0, "the task said nothing for {seconds} s");
    Ok((last.1 - first.1) / ((last.0 - first.0) / 1000.0))
}

/// The newest line that the task wrote: milliseconds, and units done.
async fn newest(node: SocketAddr, output: &str) -> Result<(f64, f64)> {
    let (mut offset, mut text) = (0, String::new());
    loop {
        let more = watch::read(node, output, offset).await?;
        if more.is_empty() {
            break;
        }
        offset += more.len() as u64;
        text.push_str(&more);
    }
    let whole = &text[..text.rfind('\n').map_or(0, |end| end)];
    let line = whole.lines().next_back().unwrap_or_default();
    let numbers = line.split_once(' ');
    let (at, done) = numbers.with_context(|| format!("the task said {line:?}"))?;
    Ok((at.parse()?, done.parse()?))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_of_what_is_left_beside_equals() {
        let figures = Figures {
            alone: 400.0,
            beside_equals: 80.0,
            beside_greedy: 76.0,
        };
        assert!((figures.kept() - 0.95).abs() < 1e-9);
        assert!((figures.of_a_quarter() - 0.76).abs() < 1e-9);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    }
}
