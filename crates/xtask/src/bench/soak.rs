//! `cargo xtask bench soak`: containers by the hundred on one node, and then thousands that come and
//! go, after which the node holds what it held before.
//!
//! Containers are launched by the agent's own API, several at a time: the way of a container is the same
//! as that of a task's, and no offer has to be waited for. What is held is told by the agent's metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image::Kernel;
use qemu::{AccelChoice, Cluster, Spec, http};
use serde_json::{Value, json};

use super::report::{self, Figure};
use crate::lab::{self, Programs};

/// Clients at the same time.
const CLIENTS: u64 = 8;
/// Of so many containers one has a network of its own.
const CONNECTED: u64 = 4;
/// The network that every node has.
const NETWORK: &str = "bridge";
/// The first of the node's ports for them, and how many.
const PORTS: (u64, u64) = (31_000, 900);
/// Cycles that come before the first count: what is made once is made by then.
const WARM_UP: u64 = 16;
/// How often is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// How long the agent may take to be as it was.
const CALM_MAX: Duration = Duration::from_secs(60);
/// How long a call may take: it is answered when the container runs, or has ended, and those before it go
/// first. Under software emulation, beside other work, a launch takes seconds.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// How long any answer may take beside it all (issue: "the node still answers within a second"); under
/// software emulation on a busy host more, so that this one is reported and not held.
const ANSWER_BUDGET_S: f64 = 1.0;

/// What must be as before. Threads may be fewer or more: the pool that blocks shrinks and grows.
const HELD: [&str; 11] = [
    "open_files",
    "children",
    "zombies",
    "mounts",
    "cgroups",
    "network_interfaces",
    "nftables_elements",
    "containers_running",
    "containers_waiting",
    "id_ranges",
    "cgroups_lingering",
];

/// How many, and where.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Containers that are started and end, one after another for each of 8 clients.
    #[arg(long, default_value_t = 10_000)]
    cycles: u64,
    /// Containers that run at once before that.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=1000))]
    containers: u64,
    /// A node that runs already, HOST:PORT; else one is booted.
    #[arg(long, value_name = "HOST:PORT")]
    agent: Option<String>,
    /// The kernel of the node: 6.12, or 6.1.
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// What runs the node: auto, kvm or tcg.
    #[arg(long, default_value_t)]
    accel: AccelChoice,
    /// Memory of the node, in MB.
    #[arg(long, default_value_t = 2048)]
    memory: u64,
    /// Processors of the node.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    cpus: u32,
    /// Take the programs of the last release build instead of building them.
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    report: report::Args,
}

/// Runs it; fails where something is left behind.
pub(super) fn run(args: &Args) -> Result<()> {
    let figures = match &args.agent {
        Some(agent) => soak(args, agent)?,
        None => {
            let cluster = boot(args)?;
            let address = cluster.node(1)?.address.clone();
            let figures = soak(args, &address);
            if figures.is_err() {
                eprintln!("the node's console is in {}", cluster.folder().display());
            }
            cluster.down(Duration::from_secs(10), &mut |_| ())?;
            figures?
        }
    };
    report::print(&args.report, &figures)
}

fn boot(args: &Args) -> Result<Cluster> {
    let programs = match args.no_build {
        true => Programs::Found,
        false => {
            lab::install(&lab::TOOLS)?;
            eprintln!("soak: building the programs");
            Programs::Built
        }
    };
    let spec = Spec {
        accel: args.accel,
        agents: 1,
        cpus: args.cpus,
        memory_mb: args.memory,
        port: 5058,
        prefix: "127.0.58".to_owned(),
        ..lab::spec("soak", args.kernel, programs)?
    };
    let say = &mut |phase: &qemu::Phase| eprintln!("soak: {phase}");
    Ok(Cluster::start(&spec, say)?)
}

fn soak(args: &Args, agent: &str) -> Result<Vec<Figure>> {
    let node = Node {
        address: agent,
        next: AtomicU64::new(0),
    };
    node.cycles(WARM_UP)?;
    let before = node.calm(None)?;
    let mut figures = Vec::new();
    if args.containers > 0 {
        eprintln!("soak: {} containers at once", args.containers);
        figures.extend(node.crowd(args.containers)?);
    }
    eprintln!("soak: {} cycles", args.cycles);
    let begun = Instant::now();
    node.cycles(args.cycles)?;
    let seconds = begun.elapsed().as_secs_f64();
    figures.push(figure(
        "cycles",
        args.cycles as f64 / seconds,
        "cycles/s",
        None,
    )?);
    let after = node.calm(Some(&before))?;
    eprint!("{}", table(&before, &after)?);
    for name in HELD {
        let left = after.of(name)? - before.of(name)?;
        figures.push(figure(&format!("left of {name}"), left, "", Some(0.0))?);
    }
    let grown = (after.of("agent_rss_bytes")? - before.of("agent_rss_bytes")?) / 1e6;
    figures.push(figure("agent's memory grown by", grown, "MB", None)?);
    let left: Vec<_> = figures
        .iter()
        .filter(|figure| figure.keeps_budget() == Some(false) && figure.budget() == Some(0.0))
        .collect();
    if !left.is_empty() {
        report::print(&args.report, &figures)?;
        bail!("something is left behind");
    }
    Ok(figures)
}

/// What was held before and after, a kind a line.
fn table(before: &Held, after: &Held) -> Result<String> {
    let mut text = format!("soak: {:<22} {:>8} {:>8}\n", "held", "before", "after");
    for name in HELD {
        let (before, after) = (before.of(name)?, after.of(name)?);
        let left = match after > before {
            true => "  LEFT BEHIND",
            false => "",
        };
        text.push_str(&format!("soak: {name:<22} {before:>8} {after:>8}{left}\n"));
    }
    Ok(text)
}

/// How far a run is, in words: the rate so far, and what is left at that.
fn progress(done: u64, count: u64, taken: Duration) -> String {
    let rate = done as f64 / taken.as_secs_f64().max(0.001);
    let left = (count - done) as f64 / rate.max(0.001);
    format!("{done} of {count}, {rate:.1}/s, {left:.0} s left")
}

fn figure(name: &str, value: f64, unit: &str, budget: Option<f64>) -> Result<Figure> {
    let line = json!({
        "figure": "soak", "of": name, "value": value, "unit": unit, "budget": budget,
    });
    Figure::parse(&line.to_string())
}

/// What the agent told of itself.
#[derive(Debug, PartialEq)]
struct Held(BTreeMap<String, f64>);

impl Held {
    fn of(&self, name: &str) -> Result<f64> {
        let value = self.0.get(&format!("mesos_tepui_{name}"));
        let value = value.copied();
        value.with_context(|| format!("the agent's metrics have no tepui/{name}"))
    }
}

struct Node<'a> {
    address: &'a str,
    /// The number of the next container.
    next: AtomicU64,
}

impl Node<'_> {
    fn call(&self, call: &Value) -> Result<Value> {
        let what = call["type"].as_str().unwrap_or_default();
        let answer = self.call_if_there(call)?;
        answer.with_context(|| format!("{what}: there is no such container"))
    }

    /// The same of a container that may be gone: of those that are nested in none no end is kept.
    fn call_if_there(&self, call: &Value) -> Result<Option<Value>> {
        let what = call["type"].as_str().unwrap_or_default();
        let answer = http::post_within(self.address, "/api/v1", &call.to_string(), ANSWER_MAX);
        let (status, body) = answer.with_context(|| format!("{what} at {}", self.address))?;
        match (status, body.is_empty()) {
            (404, _) => Ok(None),
            (200, true) => Ok(Some(Value::Null)),
            (200, false) => Ok(Some(serde_json::from_slice(&body)?)),
            _ => bail!("{what}: {status} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// A new container; its id. One of four has a network of its own, with a port of the node.
    fn launch(&self, command: &str) -> Result<Value> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = json!({ "value": format!("soak-{}-{number}", std::process::id()) });
        let scalar = |name: &str, value: f64| {
            json!({
                "name": name, "type": "SCALAR", "scalar": { "value": value },
            })
        };
        let mut launch = json!({
            "container_id": id,
            "command": { "value": command },
            "resources": [scalar("cpus", 0.01), scalar("mem", 32.0)],
        });
        if number.is_multiple_of(CONNECTED) {
            // No more run at once than there are.
            let port = PORTS.0 + number / CONNECTED % PORTS.1;
            let range = json!({ "begin": port, "end": port });
            launch["resources"]
                .as_array_mut()
                .context("resources")?
                .push(json!({
                    "name": "ports", "type": "RANGES", "ranges": { "range": [range] },
                }));
            launch["container"] = json!({ "type": "MESOS", "network_infos": [{
                "name": NETWORK,
                "port_mappings": [{ "host_port": port, "container_port": 80 }],
            }]});
        }
        self.call(&json!({ "type": "LAUNCH_CONTAINER", "launch_container": launch }))?;
        Ok(id)
    }

    /// Its status at its end, as wait(2) has it, where it had not ended before it was asked for; then it
    /// is forgotten.
    fn end(&self, id: &Value) -> Result<Option<i64>> {
        let waited = self.call_if_there(&json!({
            "type": "WAIT_CONTAINER", "wait_container": { "container_id": id },
        }))?;
        self.call_if_there(&json!({
            "type": "REMOVE_CONTAINER", "remove_container": { "container_id": id },
        }))?;
        let Some(waited) = waited else {
            return Ok(None);
        };
        let status = waited["wait_container"]["exit_status"].as_i64();
        let status = status.context("a container that ended has no status")?;
        Ok(Some(status))
    }

    fn kill(&self, id: &Value) -> Result<()> {
        let kill = json!({ "container_id": id, "signal": 9 });
        self.call(&json!({ "type": "KILL_CONTAINER", "kill_container": kill }))
            .map(drop)
    }

    /// Does the same several times, by several clients.
    fn each<T: Send>(&self, count: u64, work: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
        let left = AtomicU64::new(count);
        let take = || {
            let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
            taken.is_ok()
        };
        let (begun, all_done) = (Instant::now(), AtomicU64::new(0));
        let told = AtomicU64::new(0);
        let tell = || {
            let done = all_done.fetch_add(1, Ordering::Relaxed) + 1;
            let taken = begun.elapsed();
            let period = taken.as_secs() / PROGRESS_EVERY.as_secs();
            // Whoever comes first in a period.
            if told.fetch_max(period, Ordering::Relaxed) < period {
                eprintln!("soak: {}", progress(done, count, taken));
            }
        };
        let client = || -> Result<Vec<T>> {
            let mut done = Vec::new();
            while take() {
                done.push(work()?);
                tell();
            }
            Ok(done)
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            let mut all = Vec::new();
            for client in clients {
                let done = client.join();
                all.extend(done.map_err(|_| anyhow::anyhow!("a client panicked"))??);
            }
            Ok(all)
        })
    }

    fn cycles(&self, count: u64) -> Result<()> {
        self.each(count, || {
            let id = self.launch("exit 7")?;
            let status = self.end(&id)?;
            let is_right = status.is_none_or(|status| status == 7 << 8);
            ensure!(is_right, "a container ended with {status:?}");
            Ok(())
        })
        .map(drop)
    }

    /// So many at once, then all of them are killed; how fast, and how fast the agent answered.
    fn crowd(&self, count: u64) -> Result<Vec<Figure>> {
        let begun = Instant::now();
        let ids = self.each(count, || self.launch("sleep 100000"))?;
        let started = begun.elapsed().as_secs_f64();
        self.all_run(count)?;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let asked = Instant::now();
            let (status, _) = http::get(self.address, "/slave(1)/state")?;
            ensure!(status == 200, "/state: {status}");
            slowest = slowest.max(asked.elapsed());
        }
        let begun = Instant::now();
        let queue = std::sync::Mutex::new(ids);
        self.each(count, || {
            let id = queue.lock().map(|mut ids| ids.pop());
            let id = id.ok().flatten().context("an id")?;
            self.kill(&id)?;
            let status = self.end(&id)?;
            let is_right = status.is_none_or(|status| status == 9);
            ensure!(is_right, "a killed container ended with {status:?}");
            Ok(())
        })?;
        let ended = begun.elapsed().as_secs_f64();
        let beside = format!("slowest of 20 answers beside {count} containers");
        Ok(vec![
            figure("containers started", count as f64 / started, "/s", None)?,
            figure("containers killed", count as f64 / ended, "/s", None)?,
            figure(&beside, slowest.as_secs_f64(), "s", Some(ANSWER_BUDGET_S))?,
        ])
    }

    /// Waits until the agent tells that so many run: readers get its state a moment after its answers.
    fn all_run(&self, count: u64) -> Result<()> {
        let deadline = Instant::now() + CALM_MAX;
        loop {
            let running = self.held()?.of("containers_running")?;
            if running >= count as f64 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{running} of {count} containers run"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn held(&self) -> Result<Held> {
        let (status, body) = http::get(self.address, "/metrics").context("ask for the metrics")?;
        ensure!(status == 200, "/metrics: {status}");
        let text = String::from_utf8_lossy(&body);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let numbers =
            lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(Held(numbers.collect()))
    }

    /// What the agent holds when it has come to rest: no more than before, or twice the same.
    fn calm(&self, before: Option<&Held>) -> Result<Held> {
        let deadline = Instant::now() + CALM_MAX;
        let of = |held: &Held| HELD.map(|name| held.of(name).unwrap_or(f64::NAN));
        let mut last = self.held()?;
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = self.held()?;
            let is_calm = match before {
                Some(before) => of(&now)
                    .iter()
                    .zip(of(before))
                    .all(|(now, was)| *now <= was),
                None => of(&now) == of(&last),
            };
            if is_calm || Instant::now() > deadline {
                return Ok(now);
            }
            last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_told_in_the_table() {
        let held = |mounts| {
            let names = HELD.iter().map(|name| format!("mesos_tepui_{name}"));
            let mut all: BTreeMap<_, _> = names.map(|name| (name, 3.0)).collect();
            all.insert("mesos_tepui_mounts".to_owned(), mounts);
            Held(all)
        };
        let table = table(&held(3.0), &held(4.0)).unwrap();
        assert_eq!(table.lines().count(), 1 + HELD.len());
        let left: Vec<_> = table
            .lines()
            .filter(|line| line.ends_with("BEHIND"))
            .collect();
        assert!(left.len() == 1 && left[0].contains("mounts"), "{table}");
    }

    #[test]
    fn progress_tells_what_is_left_at_the_rate_so_far() {
        let told = progress(250, 1000, Duration::from_secs(50));
        assert_eq!(told, "250 of 1000, 5.0/s, 150 s left");
    }

    #[test]
    fn what_is_not_told_is_no_zero() {
        let held = Held([("mesos_tepui_mounts".to_owned(), 7.0)].into());
        assert_eq!(held.of("mounts").unwrap(), 7.0);
        let error = held.of("cgroups").unwrap_err().to_string();
        assert!(error.contains("tepui/cgroups"), "{error}");
    }
}
