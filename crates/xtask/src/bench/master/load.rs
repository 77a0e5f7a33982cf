//! Load: scheduler calls, and status updates with their acknowledgements, as fast as they go.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::Bench;
use super::framework::{Caller, Framework};

/// How many agents there are meanwhile.
const AGENTS: usize = 1000;
/// Connections, and the budget in calls a second.
const RECONCILE: [(usize, f64); 2] = [(1, 20_000.0), (8, 40_000.0)];
/// The budget in updates a second.
const UPDATES: f64 = 20_000.0;
/// Tasks of each agent, each of which has one update under way.
const TASKS: &str = "2";
/// How many connections acknowledge.
const ACKNOWLEDGERS: usize = 4;
/// How many acknowledgements are sent at once, as Mesos' own library does: pipelined.
const PIPELINED_MAX: usize = 64;
/// How long a load runs before its rate is taken.
const WARM_UP: Duration = Duration::from_secs(1);

/// RECONCILE of nothing that is there, and of a task that nobody knows, which gets an update.
pub(super) fn reconcile(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "RECONCILE calls, one after the other on each connection",
        "the way of one call: read, parse, one step of the loop, answer",
    );
    let agents = bench.agents(AGENTS);
    let cluster = bench.cluster(agents, &[])?;
    let framework = Framework::subscribe(cluster.address()?, None)?;
    let caller = framework.caller().clone();
    framework.drain();
    for (of, tasks) in [
        ("of all, with no task", &[][..]),
        ("of one unknown task", &["x"]),
    ] {
        for (connections, budget) in RECONCILE {
            let request: Arc<[u8]> = caller.reconcile(tasks).into();
            let rate = call_rate(&caller, &request, connections, bench.time())?;
            let about = [
                ("row", "reconcile".into()),
                ("of", of.into()),
                ("agents", agents.into()),
                ("connections", connections.into()),
            ];
            let budget = (agents == AGENTS).then_some(budget);
            bench.figure(&about, rate, "calls/s", budget);
        }
    }
    Ok(())
}

fn call_rate(
    caller: &Caller,
    request: &Arc<[u8]>,
    connections: usize,
    time: Duration,
) -> Result<f64> {
    let count = Arc::new(AtomicU32::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let start = |_| -> Result<JoinHandle<Result<()>>> {
        let mut connection = caller.connect()?;
        let (request, count) = (Arc::clone(request), Arc::clone(&count));
        let is_over = Arc::clone(&is_over);
        Ok(std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                connection.exchange(&request)?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }))
    };
    let threads: Vec<_> = (0..connections).map(start).collect::<Result<_>>()?;
    let rate = rate_of(&count, time);
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        join(thread)?;
    }
    Ok(rate)
}

/// How fast a count grows.
fn rate_of(count: &AtomicU32, time: Duration) -> f64 {
    std::thread::sleep(WARM_UP);
    let (before, begin) = (count.load(Ordering::Relaxed), Instant::now());
    std::thread::sleep(time);
    let grown = count.load(Ordering::Relaxed).wrapping_sub(before);
    f64::from(grown) / begin.elapsed().as_secs_f64()
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// Every task says that it runs as soon as its framework has acknowledged that it said so before.
pub(super) fn updates(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "status updates, each sent on to its framework, acknowledged, and that sent on to its agent",
        "two small messages read and two written for each, by four processes' threads",
    );
    let agents = bench.agents(AGENTS);
    let cluster = bench.cluster(agents, &["--tasks", TASKS, "--repeat"])?;
    let mut framework = Framework::subscribe(cluster.address()?, Some("fleet"))?;
    let caller = framework.caller().clone();
    let count = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    let mut queues = Vec::new();
    for _ in 0..ACKNOWLEDGERS {
        let (queue, requests) = mpsc::channel();
        let mut connection = caller.connect()?;
        let count = Arc::clone(&count);
        queues.push(queue);
        threads.push(std::thread::spawn(move || -> Result<()> {
            while let Ok(first) = requests.recv() {
                let mut batch: Vec<u8> = first;
                let mut sent = 1;
                while sent < PIPELINED_MAX
                    && let Ok(next) = requests.try_recv()
                {
                    batch.extend(next);
                    sent += 1;
                }
                connection.send(&batch)?;
                for _ in 0..sent {
                    connection.answer()?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        }));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let reader = std::thread::spawn(move || -> Result<Framework> {
        for queue in queues.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let update = framework.next()?.update;
            let status = update.and_then(|update| update.status);
            if let Some(request) = status.and_then(|status| caller.acknowledge(status)) {
                queue.send(request).context("hand on an acknowledgement")?;
            }
        }
        Ok(framework)
    });
    let before = cluster.master()?.processor_time()?;
    let rate = rate_of(&count, bench.time());
    let used = cluster.master()?.processor_time()? - before;
    is_over.store(true, Ordering::Relaxed);
    // It stays subscribed as long as something is acknowledged.
    let _subscribed = join(reader)?;
    for thread in threads {
        join(thread)?;
    }
    let about = [("row", "updates".into()), ("agents", agents.into())];
    let budget = (agents == AGENTS).then_some(UPDATES);
    bench.figure(&about, rate, "updates/s", budget);
    let share = used.as_secs_f64() / (WARM_UP + bench.time()).as_secs_f64();
    let about = [
        ("row", "updates, the master".into()),
        ("agents", agents.into()),
    ];
    bench.figure(&about, share, "processors", None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{self, Fleet};

    #[test]
    fn tasks_that_repeat_themselves_answer_each_acknowledgement_with_an_update() {
        let runtime = fleet::runtime(2).unwrap();
        let config = master::flags::Config {
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 0,
            registry: master::flags::RegistryKind::InMemory,
            ..Default::default()
        };
        let server = runtime.block_on(master::Server::start(&config)).unwrap();
        let args = fleet::Args {
            agents: 2,
            tasks: "1".parse().unwrap(),
            repeat: true,
            ..fleet::Args::of(server.address())
        };
        let fleet = runtime.block_on(async {
            let fleet = Fleet::start(&args).unwrap();
            fleet.counts().wait_for(args.agents).await;
            fleet
        });
        let mut framework = Framework::subscribe(server.address(), Some("fleet")).unwrap();
        let caller = framework.caller().clone();
        let mut calls = caller.connect().unwrap();
        let mut left = 20;
        while left > 0 {
            let status = framework.next().unwrap().update.and_then(|u| u.status);
            if let Some(request) = status.and_then(|status| caller.acknowledge(status)) {
                calls.exchange(&request).unwrap();
                left -= 1;
            }
        }
        runtime.block_on(async {
            fleet.stop().await;
            server.shutdown().await.unwrap();
        });
    }
}
