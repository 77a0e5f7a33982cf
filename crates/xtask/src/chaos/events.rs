//! Events: what happens to the cluster, one after the other, and what each may cost.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ground::Ground;

/// A short cut of the network: nobody is given up for it.
const CUT_SHORT: Duration = Duration::from_secs(10);
/// A long one: longer than the master waits for a node.
const CUT_LONG: Duration = Duration::from_secs(180);
/// How long QEMU may take to end after the guest's kernel has panicked: it waits for ten seconds of its own.
const CRASH_TIME_MAX: Duration = Duration::from_secs(120);

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
    /// How soon after it everything is as before.
    pub(super) settles_in: Duration,
    /// Makes it happen, and undoes it where that is part of it.
    pub(super) act: fn(&mut Ground) -> Result<()>,
}

/// All of them, in order.
pub(super) const EVENTS: [Event; 6] = [
    Event {
        name: "framework_restarts",
        what: "SIGKILL to the framework, which starts again",
        cost: Cost::Nothing,
        is_long: false,
        settles_in: Duration::from_secs(60),
        act: Ground::restart_framework,
    },
    Event {
        name: "nodes_cut_briefly",
        what: "each node's network cut for 10 s",
        cost: Cost::Nothing,
        is_long: false,
        settles_in: Duration::from_secs(60),
        act: |ground| cut_all(ground, CUT_SHORT),
    },
    Event {
        name: "node_cut_for_long",
        what: "a node's network cut for 3 min",
        cost: Cost::Nothing,
        is_long: true,
        settles_in: Duration::from_secs(90),
        act: |ground| cut(ground, 2, CUT_LONG),
    },
    Event {
        name: "kernel_crash",
        what: "a node's kernel panics, and it boots again",
        cost: Cost::Node(1),
        is_long: false,
        settles_in: Duration::from_secs(120),
        act: |ground| {
            ground.cluster.monitor(1)?.inject_nmi()?;
            let process = ground.cluster.node(1)?.process();
            anyhow::ensure!(process.ends_within(CRASH_TIME_MAX), "the kernel goes on");
            Ok(ground.cluster.start_node_again(1)?)
        },
    },
    Event {
        name: "power_cut",
        what: "a node loses power, and boots again",
        cost: Cost::Node(2),
        is_long: false,
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
