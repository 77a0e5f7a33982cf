//! Events: what happens to the cluster, one after the other, and what each may cost.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use qemu::Cluster;

use super::ground::Ground;

/// After which time without its leader ZooKeeper lets another lead, in seconds: what the masters of a
/// QEMU cluster are told.
const SESSION_TIMEOUT: f64 = 5.0;
/// How long pymesos waits for the answer to a call that a sleeper took, in seconds, before it looks for
/// another master.
const CLIENT_PATIENCE: f64 = 10.0;
/// How long servers of ZooKeeper that were killed stay away.
const DEAD_FOR: Duration = Duration::from_secs(20);
/// How long a leader sleeps.
const ASLEEP_FOR: Duration = Duration::from_secs(30);
/// How long is watched what becomes of it.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// A short cut of the network: nobody is given up for it.
const CUT_SHORT: Duration = Duration::from_secs(10);
/// A long one: longer than the master waits for a node.
const CUT_LONG: Duration = Duration::from_secs(180);
/// How long an agent may take to be executed again: one that stands still is given time.
const AGAIN_TIME_MAX: Duration = Duration::from_secs(180);
/// How long a kernel may take to panic.
const CRASH_TIME_MAX: Duration = Duration::from_secs(30);

/// Which tasks an event may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// None: each goes on, or ends as it would have.
    Nothing,
    /// Those of this node, whose kernel is gone.
    Node(usize),
}

/// One event.
pub(super) struct Event {
    pub(super) name: &'static str,
    /// In a few words.
    pub(super) what: &'static str,
    pub(super) cost: Cost,
    /// Whether it takes minutes.
    pub(super) is_long: bool,
    /// How soon after its begin offers come, in seconds, where somebody promised that.
    pub(super) offers_in: Option<f64>,
    /// How soon after it everything is as before.
    pub(super) settles_in: Duration,
    /// Makes it happen, and undoes it where that is part of it.
    pub(super) act: fn(&mut Ground) -> Result<()>,
}

/// All of them, in order.
pub(super) const EVENTS: [Event; 12] = [
    Event {
        name: "leader_killed",
        what: "SIGKILL to the leading master",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: Some(SESSION_TIMEOUT + 1.0),
        settles_in: Duration::from_secs(60),
        act: |ground| {
            ground.cluster.kill_leader()?;
            sleep(WATCHED_FOR);
            Ok(())
        },
    },
    Event {
        name: "leader_asleep",
        what: "SIGSTOP to the leading master for 30 s",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: Some(SESSION_TIMEOUT + 1.0 + CLIENT_PATIENCE),
        settles_in: Duration::from_secs(60),
        act: |ground| {
            let sleeper = ground.cluster.leader_beside("")?;
            Cluster::signal_master(sleeper, Signal::SIGSTOP)?;
            sleep(ASLEEP_FOR);
            let leader = ground.cluster.leader_beside(&sleeper.name);
            Cluster::signal_master(sleeper, Signal::SIGCONT)?;
            let leader = leader?;
            sleep(WATCHED_FOR);
            let after = ground.cluster.leader_beside("")?;
            ensure!(
                leader.name == after.name,
                "{} led, and {} since the sleeper woke",
                leader.name,
                after.name
            );
            Ok(())
        },
    },
    Event {
        name: "zookeeper_killed",
        what: "SIGKILL to one server of ZooKeeper, which is started again later",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(60),
        act: |ground| zookeepers_gone(ground, 1),
    },
    Event {
        name: "zookeepers_killed",
        what: "SIGKILL to two servers of ZooKeeper, so that none serves for 20 s",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(90),
        act: |ground| zookeepers_gone(ground, 2),
    },
    Event {
        name: "framework_restarts",
        what: "SIGKILL to the framework, which starts again",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(60),
        act: Ground::restart_framework,
    },
    Event {
        name: "nodes_cut_briefly",
        what: "each node's network cut for 10 s",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(60),
        act: |ground| cut_all(ground, CUT_SHORT),
    },
    Event {
        name: "node_cut_for_long",
        what: "a node's network cut for 3 min",
        cost: Cost::Nothing,
        is_long: true,
        offers_in: None,
        settles_in: Duration::from_secs(90),
        act: |ground| cut(ground, 2, CUT_LONG),
    },
    Event {
        name: "agents_fail",
        what: "a fatal signal to PID 1 of a node, a panic in another, and a stall in the third",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(90),
        act: |ground| {
            let kinds = ["signal", "panic", "stall"];
            let nodes = 1..=kinds.len();
            let before = nodes.map(|node| executed_again(ground, node));
            let before: Vec<f64> = before.collect::<Result<_>>()?;
            for (node, kind) in (1..).zip(kinds) {
                fail(ground, node, kind)?;
            }
            let begun = Instant::now();
            for (node, before) in (1..).zip(before) {
                // While it begins again it does not answer.
                while !executed_again(ground, node).is_ok_and(|times| times > before) {
                    ensure!(begun.elapsed() < AGAIN_TIME_MAX, "node{node} goes on");
                    sleep(Duration::from_millis(200));
                }
            }
            Ok(())
        },
    },
    Event {
        name: "agents_upgraded",
        what: "each node's agent upgraded in place, one after the other, and one told to take a broken program",
        cost: Cost::Nothing,
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(60),
        act: |ground| {
            let state = ground.cluster.state();
            let first = &state.nodes[0].name;
            let builds = &mut ground.builds;
            builds.upgrade_to_a_broken_one(&state.master, first)?;
            let mut nodes = state.nodes.iter();
            nodes.try_for_each(|node| builds.upgrade(&state.master, &node.name))
        },
    },
    Event {
        name: "kernel_crash",
        what: "a node's kernel panics, and it boots again",
        cost: Cost::Node(1),
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(120),
        act: |ground| {
            ground.cluster.monitor(1)?.inject_nmi()?;
            let begun = Instant::now();
            while !ground.cluster.console_text(1)?.contains("Kernel panic") {
                ensure!(begun.elapsed() < CRASH_TIME_MAX, "the kernel goes on");
                sleep(Duration::from_millis(100));
            }
            // It would start again by itself ten seconds later.
            ground.cluster.kill_node(1)?;
            Ok(ground.cluster.start_node_again(1)?)
        },
    },
    Event {
        name: "power_cut",
        what: "a node loses power, and boots again",
        cost: Cost::Node(2),
        is_long: false,
        offers_in: None,
        settles_in: Duration::from_secs(120),
        act: |ground| {
            ground.cluster.kill_node(2)?;
            Ok(ground.cluster.start_node_again(2)?)
        },
    },
    Event {
        name: "power_cut_for_long",
        what: "a node loses power for 3 min",
        cost: Cost::Node(3),
        is_long: true,
        offers_in: None,
        settles_in: Duration::from_secs(120),
        act: |ground| {
            ground.cluster.kill_node(3)?;
            sleep(CUT_LONG);
            Ok(ground.cluster.start_node_again(3)?)
        },
    },
];

/// Cuts one node off, and gives it back.
fn cut(ground: &Ground, number: usize, time: Duration) -> Result<()> {
    let name = || format!("node{number}");
    let mut monitor = ground.cluster.monitor(number)?;
    monitor.set_link(false).with_context(name)?;
    sleep(time);
    monitor.set_link(true).with_context(name)
}

/// Cuts all nodes off, one after the other so that each time some are there.
fn cut_all(ground: &Ground, time: Duration) -> Result<()> {
    for number in 1..=ground.cluster.state().nodes.len() {
        cut(ground, number, time)?;
    }
    Ok(())
}

/// Has a node's agent fail in this way (`--failure_test`).
fn fail(ground: &Ground, number: usize, kind: &str) -> Result<()> {
    let node = ground.cluster.node(number)?;
    // It may be gone before it has answered.
    match qemu::http::post(&node.address, &format!("/failure?kind={kind}"), "") {
        Ok((202, _)) | Err(_) => Ok(()),
        Ok((status, _)) => bail!("{}: {kind} is answered {status}", node.name),
    }
}

/// How often a node's agent was executed again lately, as it tells itself.
fn executed_again(ground: &Ground, number: usize) -> Result<f64> {
    let node = ground.cluster.node(number)?;
    let (status, body) = qemu::http::get(&node.address, "/state")?;
    ensure!(status == 200, "{}: /state is answered {status}", node.name);
    let state: serde_json::Value = serde_json::from_slice(&body)?;
    // One that never was tells nothing of it.
    Ok(state["tepui_history"]["executed_again_lately"]
        .as_f64()
        .unwrap_or(0.0))
}

/// Kills this many servers of ZooKeeper, and starts them again.
fn zookeepers_gone(ground: &mut Ground, number: usize) -> Result<()> {
    for server in 1..=number {
        ground.cluster.kill_zookeeper(server)?;
    }
    sleep(DEAD_FOR);
    for server in 1..=number {
        ground.cluster.start_zookeeper_again(server)?;
    }
    Ok(())
}
