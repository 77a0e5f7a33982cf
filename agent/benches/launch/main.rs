//! A command task's launch beside bwrap, crun and runc: in one run, with the same namespaces, limits
//! and mounts.
//!
//! Question: how long does it take from the launch call to the first instruction of the task's own
//! program, and what memory does a container take beyond its task? The launch is the agent's own: a
//! plan of agent-core, carried out by agent-kernel with the agent's program as launcher. Bound by the
//! kernel making namespaces and mounts. Programs take turns, so that whatever else the machine does
//! hits all of them.
//!
//! As PID 1 it measures the machine that it was booted on, and powers it off; its options come by the
//! kernel's command line. `cargo xtask bench launch` does both.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_kernel::power;

mod figures;
mod guest;
mod memory;
mod oci;
mod rate;
mod rivals;
mod world;

use figures::Figure;
use rivals::Rival;
use world::{Network, World};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The task's program: this one under another name.
pub(crate) const STAMP: &str = "stamp";

/// What to measure, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Launches of each program and network.
    rounds: usize,
    /// Containers that run at once while their memory is taken.
    containers: usize,
    /// Launches whose rate is taken; 0 takes none.
    rate: usize,
    /// The agent's program.
    agent: String,
    /// Where the other runtimes are unpacked.
    runtimes: String,
    /// Where everything is made.
    folder: String,
}

impl Options {
    /// Reads `name=value` words; others are somebody else's.
    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Outcome<Self> {
        let mut options = Self {
            rounds: 100,
            containers: 20,
            rate: 0,
            agent: guest::DISK_AT.to_owned() + "/tepui-agent",
            runtimes: guest::DISK_AT.to_owned() + "/runtimes",
            folder: guest::DISK_AT.to_owned() + "/bench",
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "bench.rounds" => options.rounds = value.parse()?,
                "bench.containers" => options.containers = value.parse()?,
                "bench.rate" => options.rate = value.parse()?,
                "bench.agent" => value.clone_into(&mut options.agent),
                "bench.runtimes" => value.clone_into(&mut options.runtimes),
                "bench.folder" => value.clone_into(&mut options.folder),
                _ => {}
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let own = arguments.next().unwrap_or_default();
    if own.ends_with(STAMP) {
        return stamp(arguments.next().as_deref());
    }
    let is_init = std::process::id() == 1;
    let done = match is_init {
        true => guest::prepare().and_then(|line| bench(&Options::of(line.split_whitespace())?)),
        false => {
            let words: Vec<String> = arguments.collect();
            Options::of(words.iter().map(String::as_str)).and_then(|options| bench(&options))
        }
    };
    if let Err(error) = &done {
        eprintln!("error: {}", chain(error.as_ref()));
    }
    if is_init {
        println!("bench: over");
        power::sync();
        let reason = power::off();
        eprintln!("power off: {reason}");
        loop {
            // PID 1 must not end: the kernel would call it a panic.
            std::thread::park();
        }
    }
    ExitCode::from(u8::from(done.is_err()))
}

/// The task: says when it began, and stays where it is told to.
fn stamp(stays: Option<&str>) -> ExitCode {
    // The other clocks may be those of a time namespace.
    println!("{}", since_epoch().as_nanos());
    if stays.is_some() {
        loop {
            std::thread::park();
        }
    }
    ExitCode::SUCCESS
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn bench(options: &Options) -> Outcome<()> {
    let world = World::make(options)?;
    launches(&world, options)?;
    memory::measure(&world, options.containers)?;
    if options.rate > 0 {
        rate::measure(&world, options.rate)?;
    }
    fs::remove_dir_all(&world.folder)?;
    Ok(())
}

/// All programs in turn, on the node's network and on one of their own.
fn launches(world: &World, options: &Options) -> Outcome<()> {
    for network in [Network::Node, Network::Own] {
        let mut rivals = Vec::new();
        for rival in Rival::ALL {
            // The first of each is left out of account: caches are cold, places are made.
            match rival.launch(world, network) {
                Ok(_) => rivals.push((rival, Vec::new())),
                Err(error) if rival == Rival::Tepui => return Err(error),
                Err(error) => eprintln!("{} is left out: {}", rival.name(), chain(error.as_ref())),
            }
        }
        for _ in 0..options.rounds {
            for (rival, times) in &mut rivals {
                times.push(rival.launch(world, network)?);
            }
        }
        figures::of_launches(network, &rivals)
            .iter()
            .for_each(Figure::print);
    }
    Ok(())
}

/// A file's last word, where it is a time since the epoch.
pub(crate) fn stamped(file: &Path) -> Outcome<Duration> {
    let text = fs::read_to_string(file)?;
    let number = text.trim().lines().next_back().unwrap_or_default();
    let nanoseconds = number.parse();
    let nanoseconds = nanoseconds.map_err(|_| format!("{} holds {text:?}", file.display()))?;
    Ok(Duration::from_nanos(nanoseconds))
}

pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
