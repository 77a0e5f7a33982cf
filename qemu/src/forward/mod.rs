//! Forwardings: which ports of the nodes are reached on the host, so that a task which holds a port
//! is reached at its node's address and that port.
//!
//! A node that the master does not list keeps its forwardings: a new leader learns of tasks only as
//! their nodes come back to it.

mod watch;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::cluster::AGENT_PORT;

pub use watch::{Forwarder, serve};

/// The most ports of one node that are forwarded: each is a socket that QEMU listens on.
pub const PORTS_MAX: usize = 1024;

/// The ports of each node, by its name.
pub type Ports = BTreeMap<String, BTreeSet<u16>>;

/// What of a master's state matters here.
#[derive(Debug, Deserialize)]
pub struct MasterState {
    slaves: Vec<Agent>,
    frameworks: Vec<Framework>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    id: String,
    hostname: String,
}

#[derive(Debug, Deserialize)]
struct Framework {
    #[serde(default)]
    tasks: Vec<Holder>,
    #[serde(default)]
    executors: Vec<Holder>,
}

/// A task, or an executor, which has no state of its own.
#[derive(Debug, Deserialize)]
struct Holder {
    slave_id: String,
    state: Option<String>,
    #[serde(default)]
    resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
struct Resources {
    ports: Option<String>,
}

/// What has to happen for one node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Forwardings that end.
    pub end: Vec<u16>,
    /// Forwardings that begin.
    pub begin: Vec<u16>,
    /// Ports past the bound, which are not forwarded.
    pub past_bound: usize,
}

impl MasterState {
    /// The ports that tasks and executors hold on every node that is listed.
    #[must_use]
    pub fn held(&self) -> Ports {
        let mut held: Ports = BTreeMap::new();
        for agent in &self.slaves {
            held.entry(agent.hostname.clone()).or_default();
        }
        let frameworks = self.frameworks.iter();
        for holder in frameworks.flat_map(|all| all.tasks.iter().chain(&all.executors)) {
            let agent = self.slaves.iter().find(|agent| agent.id == holder.slave_id);
            let ports = agent.and_then(|agent| held.get_mut(&agent.hostname));
            if let (Some(ports), Some(ranges), true) =
                (ports, &holder.resources.ports, holder.is_live())
            {
                ports.extend(in_ranges(ranges));
            }
        }
        held
    }
}

impl Holder {
    fn is_live(&self) -> bool {
        match &self.state {
            None => true,
            Some(state) => !has_ended(state),
        }
    }
}

/// Whether a task in this state holds nothing any more.
#[must_use]
pub fn has_ended(state: &str) -> bool {
    !matches!(
        state,
        "TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING" | "TASK_KILLING" | "TASK_UNREACHABLE"
    )
}

/// The ports in `[31000-31002, 31005-31005]`; what is no range of ports is passed over.
fn in_ranges(text: &str) -> impl Iterator<Item = u16> {
    let inside = text.trim_matches(['[', ']']);
    let ranges = inside.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    ranges.flatten()
}

/// How a node comes from the ports that are forwarded to those that are to be. The agent's own port
/// is forwarded for ever.
#[must_use]
pub fn change(forwarded: &BTreeSet<u16>, held: &BTreeSet<u16>) -> Change {
    let held = held.iter().copied().filter(|port| *port != AGENT_PORT);
    let all: Vec<u16> = held.collect();
    let wanted: BTreeSet<u16> = all.iter().copied().take(PORTS_MAX).collect();
    Change {
        end: forwarded.difference(&wanted).copied().collect(),
        begin: wanted.difference(forwarded).copied().collect(),
        past_bound: all.len() - wanted.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: &str, expected: &str) {
        let state: MasterState = serde_json::from_str(state).unwrap();
        assert_eq!(format!("{:?}", state.held()), expected);
    }

    #[test]
    fn ports_of_live_tasks_and_of_executors_are_held_on_their_node() {
        check(
            r#"{"slaves": [{"id": "S0", "hostname": "node1"}, {"id": "S1", "hostname": "node2"}],
                "frameworks": [{"tasks": [
                    {"slave_id": "S0", "state": "TASK_RUNNING",
                     "resources": {"cpus": 1.0, "ports": "[31000-31001, 31005-31005]"}},
                    {"slave_id": "S0", "state": "TASK_FINISHED", "resources": {"ports": "[31009-31009]"}},
                    {"slave_id": "S9", "state": "TASK_RUNNING", "resources": {"ports": "[31010-31010]"}},
                    {"slave_id": "S0", "state": "TASK_RUNNING", "resources": {"cpus": 1.0}}],
                  "executors": [{"slave_id": "S1", "resources": {"ports": "[80-80]"}}]}]}"#,
            r#"{"node1": {31000, 31001, 31005}, "node2": {80}}"#,
        );
    }

    #[test]
    fn an_agent_without_tasks_is_listed_and_an_unknown_one_is_not() {
        check(
            r#"{"slaves": [{"id": "S0", "hostname": "node1"}], "frameworks": []}"#,
            r#"{"node1": {}}"#,
        );
    }

    #[test]
    fn what_is_no_range_of_ports_is_passed_over() {
        let read = |text| in_ranges(text).collect::<Vec<u16>>();
        assert!(read("[]").is_empty());
        assert_eq!(read("[5-3, x-y, 70000-70001, 9-10]"), [9, 10]);
        assert_eq!(read("[65535-65535]"), [65535]);
    }

    #[test]
    fn a_change_is_the_difference_without_the_agents_port_and_within_the_bound() {
        let forwarded = BTreeSet::from([1, 2]);
        let held = BTreeSet::from([2, 3, AGENT_PORT]);
        let expected = Change {
            end: vec![1],
            begin: vec![3],
            past_bound: 0,
        };
        assert_eq!(change(&forwarded, &held), expected);
        let many: BTreeSet<u16> = (10_000..20_000).collect();
        let bounded = change(&BTreeSet::new(), &many);
        assert_eq!(bounded.begin.len(), PORTS_MAX);
        assert_eq!(bounded.past_bound, 10_000 - PORTS_MAX);
    }
}
