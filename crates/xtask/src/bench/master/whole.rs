//! Whole clusters: all agents that come in, and all that come back to a new leader.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::cluster::Cluster;
use super::framework::Framework;

/// Agents, and the budget in s.
const REGISTRATION: (usize, f64) = (10_000, 5.0);
/// Agents, their tasks, and the budget in s.
const FAILOVER: (usize, usize, f64) = (10_000, 100_000, 10.0);
/// How long a subscription to a new leader is tried, and how often.
const SUBSCRIBE_TIME_MAX: Duration = Duration::from_secs(5);
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// From the fleet's start to the admission of its last agent.
pub(super) fn registration(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "registration of all agents with one master",
        "handshakes, and one line of the registry for each agent, in group commits",
    );
    let (meant, budget) = REGISTRATION;
    let agents = bench.agents(meant);
    let mut cluster = Cluster::start(&bench.program, &bench.folder)?;
    let took = cluster.join(agents, &[])?;
    let used = cluster.master()?.processor_time()?;
    let about = |what: &str| [("row", what.into()), ("agents", agents.into())];
    let budget = (agents == meant).then_some(budget);
    bench.figure(&about("registration"), took.as_secs_f64(), "s", budget);
    let about = about("registration, the master");
    bench.figure(&about, used.as_secs_f64(), "processor s", None);
    Ok(())
}

/// A master is killed, and another started in its place: from its start to the registration of all
/// agents, and to the state of every task in the framework's hands.
pub(super) fn failover(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "a new leader: all agents registered again, and all tasks reconciled",
        "handshakes, and the work for each task: to read it, keep it, tell its state",
    );
    let (meant, tasks, budget) = FAILOVER;
    let agents = bench.agents(meant);
    let tasks = bench.args.tasks.unwrap_or(tasks);
    let each = tasks.div_ceil(agents);
    let mut cluster = bench.cluster(agents, &["--tasks", &each.to_string()])?;
    let framework = Framework::subscribe(cluster.address()?, Some("fleet"))?;
    cluster.kill_master();
    drop(framework);

    let begin = Instant::now();
    cluster.start_master(&bench.program)?;
    let mut framework = subscribe(&cluster, begin)?;
    cluster.wait_for_all()?;
    let registered = begin.elapsed();
    let caller = framework.caller();
    caller.connect()?.exchange(&caller.reconcile(&[]))?;
    let mut left = each * agents;
    while left > 0 {
        if framework.next()?.update.is_some() {
            left -= 1;
        }
    }
    let reconciled = begin.elapsed();
    let budget = (agents == meant && tasks == FAILOVER.1).then_some(budget);
    for (what, time, budget) in [
        ("failover, agents registered", registered, None),
        ("failover, tasks reconciled", reconciled, budget),
    ] {
        let about = [
            ("row", what.into()),
            ("agents", agents.into()),
            ("tasks", tasks.into()),
        ];
        bench.figure(&about, time.as_secs_f64(), "s", budget);
    }
    Ok(())
}

/// Subscribes as soon as the new leader takes it.
fn subscribe(cluster: &Cluster, begin: Instant) -> Result<Framework> {
    loop {
        match Framework::subscribe(cluster.address()?, Some("fleet")) {
            Err(_) if begin.elapsed() < SUBSCRIBE_TIME_MAX => std::thread::sleep(AGAIN_AFTER),
            outcome => return outcome.context("subscribe to the new leader"),
        }
    }
}
