//! `cargo xtask attack`: tries what must not work, from inside containers on a booted node.
//!
//! The attacks are rows of `tests/attack/*.toml`, or the shell scripts of a folder. A neighbour runs on the
//! same node all the time: it holds secrets, and must not notice anything. After each attack the node has to
//! answer and the neighbour's work to go on, within bounds that are told beside what was measured.

mod images;
mod judge;
mod rows;
mod suite;
pub(crate) mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use image::Kernel;

use crate::image::root;
use crate::lab::server::Server;
use crate::lab::{Lab, Programs, Wanted};
use judge::Verdict;
use rows::{Row, Shape};
use suite::{Done, Suite};
use watch::Bounds;

/// What to try, and within which bounds.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder of shell scripts to run instead of the suite; one that ends with 0 has done what is forbidden
    folder: Option<PathBuf>,
    /// Run the folder's scripts in an image, too, where root may write
    #[arg(long)]
    image: bool,
    /// Run the folder's scripts as `docker run` would, with its usual capabilities, too
    #[arg(long)]
    docker: bool,
    /// How long each script of the folder may run
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    time: u64,
    /// Only attacks whose names hold this; may be given several times
    #[arg(long, value_name = "SUBSTRING")]
    only: Vec<String>,
    /// How long the node may take to answer, under software emulation and beside others' work
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    answer: u64,
    /// How long the neighbour may say nothing; it has something to say twice a second
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    beat: u64,
    /// How many attacks run at a time, of those that are no floods
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..))]
    at_once: u8,
    /// The kernel: 6.12, or 6.1
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// Take the programs of the last release build instead of building them
    #[arg(long)]
    no_build: bool,
    /// Show what every attack printed, not only those that fail
    #[arg(long)]
    verbose: bool,
    /// List the attacks, and run none
    #[arg(long)]
    list: bool,
}

/// Attacks; fails where one works, or the node or the neighbour suffers.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut rows = match &args.folder {
        Some(folder) => rows::of_scripts(folder, &shapes(args), args.time)?,
        None => rows::read(&root()?.join("tests/attack"))?,
    };
    if !args.only.is_empty() {
        rows.retain(|row| args.only.iter().any(|only| row.name.contains(only)));
    }
    if rows.is_empty() {
        bail!("no attack has such a name: cargo xtask attack --list");
    }
    if args.list {
        for row in &rows {
            println!("{:<34} tries {}", row.name, row.tries);
        }
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let server = runtime.block_on(Server::start())?;
    let lab = Lab::start(&Wanted {
        name: "attack",
        kernel: args.kernel,
        port: 5962,
        cpus: 2,
        memory_mb: 1024,
        disk_mb: 2048,
        append: vec![
            // As an operator has it who wants what frameworks were not offered out of their reach.
            "tepui.enforce_container_ports=true".to_owned(),
            format!("tepui.docker_insecure_registries={}", server.name()),
        ],
        programs: match args.no_build {
            true => Programs::Found,
            false => Programs::Built,
        },
    })?;
    let done = runtime.block_on(attack(args, &lab, server, rows));
    if !matches!(done, Ok(0)) {
        lab.show_logs();
    }
    match done? {
        0 => Ok(()),
        failed => bail!("{failed} of the attacks were not withstood"),
    }
}

fn shapes(args: &Args) -> Vec<Shape> {
    let mut shapes = vec![Shape::Task];
    if args.image {
        shapes.push(Shape::Image);
    }
    if args.docker {
        shapes.push(Shape::Docker);
    }
    shapes
}

/// Runs all; how many failed.
async fn attack(args: &Args, lab: &Lab, server: Server, rows: Vec<Row>) -> Result<usize> {
    let bounds = Bounds {
        answer: Duration::from_secs(args.answer),
        beat: Duration::from_secs(args.beat),
    };
    let begun = Instant::now();
    let mut suite = Suite::start(lab, server, bounds).await?;
    println!(
        "the neighbour is up after {:.1} s; an answer of the node may take {} s, the neighbour's next line {} s",
        begun.elapsed().as_secs_f64(),
        args.answer,
        args.beat
    );
    let (alone, together): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.alone);
    let mut count = Count::default();
    suite
        .run(&together, usize::from(args.at_once), &mut |done| {
            count.tell(&done, args.verbose);
        })
        .await?;
    suite
        .run(&alone, 1, &mut |done| count.tell(&done, args.verbose))
        .await?;
    for (name, fault) in suite.finish(lab).await {
        count.all(&name, fault.as_deref());
    }
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    if count.known + count.untried > 0 {
        println!(
            "{} are known to work and {} could not be tried, for the reasons given; neither is counted below",
            count.known, count.untried
        );
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(count.failed)
}

#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
    known: usize,
    untried: usize,
}

impl Count {
    fn tell(&mut self, done: &Done, verbose: bool) {
        let (word, why) = match &done.verdict {
            Verdict::Passed(why) => {
                self.passed += 1;
                ("ok", why)
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                ("FAILED", why)
            }
            Verdict::Known(why) => {
                self.known += 1;
                ("known", why)
            }
            Verdict::Untried(why) => {
                self.untried += 1;
                ("untried", why)
            }
        };
        println!(
            "{word:<7} {:<34} {:<8} {:>5.1} s  answer {:>5.2} s  neighbour {:>4.1} s  {why}",
            done.name,
            done.shape.name(),
            done.took.as_secs_f64(),
            done.seen.answer.as_secs_f64(),
            done.seen.beat.as_secs_f64(),
        );
        if verbose || word == "FAILED" {
            println!("        tries {}", done.tries);
            for line in done.said.lines().take(20) {
                println!("        | {line}");
            }
        }
    }

    fn all(&mut self, name: &str, fault: Option<&str>) {
        match fault {
            None => {
                self.passed += 1;
                println!("ok      {name}");
            }
            Some(fault) => {
                self.failed += 1;
                println!("FAILED  {name}: {fault}");
            }
        }
    }
}
