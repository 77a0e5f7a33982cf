//! Reading: the state, and calls while many read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::connection::Connection;
use super::framework::Framework;
use super::{Bench, milliseconds, percentile};

/// Agents, and the budget in ms.
const STATE: (usize, f64) = (1000, 3.0);
/// How often it is read; the median counts.
const READS: usize = 200;
/// Agents, their tasks, and the budget of calls in ms.
const POLLING: (usize, usize, f64) = (10_000, 50_000, 10.0);
/// How many clients read.
const CLIENTS: usize = 50;
/// How long a caller rests between two calls.
const PAUSE: Duration = Duration::from_millis(2);

const REQUEST: &[u8] = b"GET /master/state HTTP/1.1\r\nHost: master\r\n\r\n";

/// One client that reads, alone, of a state that stays and of one that changes before each reading.
pub(super) fn state(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "GET /master/state, one after the other",
        "the size of the answer; where something has changed, by making it anew",
    );
    let (meant, budget) = STATE;
    let agents = bench.agents(meant);
    let cluster = bench.cluster(agents, &[])?;
    let mut reader = Connection::open(cluster.address()?)?;
    let framework = Framework::subscribe(cluster.address()?, None)?;
    let caller = framework.caller().clone();
    framework.drain();
    let mut calls = caller.connect()?;
    let change = caller.reconcile(&["x"]);
    for (case, is_changed) in [("unchanged", false), ("changed before each", true)] {
        let (mut samples, mut bytes) = (Vec::new(), 0);
        for _ in 0..READS {
            if is_changed {
                calls.exchange(&change)?;
            }
            let begin = Instant::now();
            bytes = reader.exchange(REQUEST)?;
            samples.push(milliseconds(begin.elapsed()));
        }
        let about = [
            ("row", "state".into()),
            ("case", case.into()),
            ("agents", agents.into()),
            ("kB", (bytes >> 10).into()),
        ];
        let budget = (agents == meant).then_some(budget);
        bench.figure(&about, percentile(&mut samples, 0.5), "ms", budget);
    }
    Ok(())
}

/// How long a scheduler's calls take while many clients read the state of a large cluster.
pub(super) fn polling(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "scheduler calls while 50 clients read /master/state",
        "the turn that the call's thread gets beside those that write the state",
    );
    let (meant, tasks, budget) = POLLING;
    let agents = bench.agents(meant);
    let tasks = bench.args.tasks.unwrap_or(tasks);
    let each = tasks.div_ceil(agents).to_string();
    let cluster = bench.cluster(agents, &["--tasks", &each])?;
    let framework = Framework::subscribe(cluster.address()?, Some("fleet"))?;
    let caller = framework.caller().clone();
    framework.drain();
    let is_over = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU32::new(0));
    let mut readers = Vec::new();
    for _ in 0..CLIENTS {
        let mut connection = Connection::open(cluster.address()?)?;
        let (is_over, reads) = (Arc::clone(&is_over), Arc::clone(&reads));
        readers.push(std::thread::spawn(move || -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                connection.exchange(REQUEST)?;
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }));
    }
    let mut calls = caller.connect()?;
    let request = caller.reconcile(&["fleet-0-0"]);
    let mut samples = Vec::new();
    // A rate of so slow a thing takes its time.
    let time = bench.time() * 3;
    let begin = Instant::now();
    while begin.elapsed() < time {
        let call = Instant::now();
        calls.exchange(&request)?;
        samples.push(milliseconds(call.elapsed()));
        std::thread::sleep(PAUSE);
    }
    let rate = f64::from(reads.load(Ordering::Relaxed)) / begin.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    let about = |what: &str| {
        [
            ("row", format!("polling, {what}").into()),
            ("agents", agents.into()),
            ("tasks", tasks.into()),
            ("clients", CLIENTS.into()),
        ]
    };
    let budget = (agents == meant && tasks == POLLING.1).then_some(budget);
    bench.figure(
        &about("99 % of calls"),
        percentile(&mut samples, 0.99),
        "ms",
        budget,
    );
    bench.figure(
        &about("median of calls"),
        percentile(&mut samples, 0.5),
        "ms",
        None,
    );
    bench.figure(&about("documents"), rate, "documents/s", None);
    drop(calls);
    for reader in readers {
        reader.join().map_err(|_| anyhow!("a thread panicked"))??;
    }
    Ok(())
}
