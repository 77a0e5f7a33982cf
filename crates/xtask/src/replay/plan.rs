//! Plan: the cluster that recordings expect.
//!
//! As it stands in INDEX.md of the recordings, a cluster is a master with its registry in memory and
//! an allocation each second, and two agents. The notes of the recordings tell what differs: the
//! flags the master ran with, that it does not lead, that the agents were killed just before a step;
//! and the answers, how many agents there are. What `cluster.json` in the folder says goes before.
//!
//! ```json
//! {"flags": {"offer_timeout": "30secs"},
//!  "scenarios": {"partition": {"flags": {"agent_ping_timeout": "1secs"}, "agents": [
//!      {"resources": "cpus:2;mem:1024", "attributes": {"rack": "a"}, "hostname": "n1"}, {}]}},
//!  "credentials": {"alice": "secret1"},
//!  "steps": {"scheduler-json/partition/agents-killed": {"kill_agents": true},
//!            "scheduler-json/partition/back": {"cut": [1], "back": [2], "unregister": [3]}}}
//! ```
//!
//! `scenarios` goes by the name of a scenario or of a group, `steps` by that of a case; agents are
//! counted from 1. `agents` may be a number. Keys that this tool does not know are passed over, and
//! named.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::case::{Case, Event};
use super::{ids, request};

/// Flags of a master by their names, without the hyphens.
pub(super) type Flags = BTreeMap<String, String>;

/// What is known of the clusters beyond the recordings.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Plan {
    /// For every scenario.
    #[serde(default)]
    flags: Flags,
    /// By principal, the secrets that `--credentials` holds.
    #[serde(default)]
    credentials: BTreeMap<String, String>,
    /// By the scenario's name, or its group's.
    #[serde(default)]
    scenarios: BTreeMap<String, Scenario>,
    /// By the case's name.
    #[serde(default)]
    steps: BTreeMap<String, Step>,
}

/// What agents had in the recordings, where nothing else is said.
const RESOURCES: &str = "cpus:4;mem:4096;disk:10240;ports:[31000-32000]";

/// The keys of `cluster.json`.
const KEYS: [&str; 4] = ["flags", "credentials", "scenarios", "steps"];

#[derive(Debug, Clone, Default, Deserialize)]
struct Scenario {
    #[serde(default)]
    flags: Flags,
    agents: Option<Agents>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Agents {
    Number(usize),
    List(Vec<Agent>),
}

/// An agent, where it differs from that of INDEX.md.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Agent {
    /// As in `--resources`.
    pub(super) resources: Option<String>,
    /// Texts by name.
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) hostname: Option<String>,
}

impl Agent {
    /// What a real one is started with, to be as it was recorded.
    pub(super) fn flags(&self) -> Vec<String> {
        let hostname = self.hostname.as_deref().unwrap_or("localhost");
        let resources = self.resources.as_deref().unwrap_or(RESOURCES);
        let mut flags = vec![
            format!("--hostname={hostname}"),
            format!("--resources={resources}"),
            // Mesos was recorded without an isolator of disks: its statistics say nothing of them.
            "--container_disk_watch_interval=1hrs".to_owned(),
        ];
        let attributes = self.attributes.iter();
        let attributes: Vec<String> = attributes.map(|(k, v)| format!("{k}:{v}")).collect();
        if !attributes.is_empty() {
            flags.push(format!("--attributes={}", attributes.join(";")));
        }
        flags
    }
}

/// What happens to the agents just before a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Step {
    /// All of them are gone from one moment to the next.
    #[serde(default)]
    pub(super) kill_agents: bool,
    /// The links of these end; their tasks go on.
    #[serde(default)]
    pub(super) cut: Vec<usize>,
    /// These register again, with all that they have.
    #[serde(default)]
    pub(super) back: Vec<usize>,
    /// These say that they will not come back.
    #[serde(default)]
    pub(super) unregister: Vec<usize>,
}

impl Step {
    /// Whether agents come or go, other than by their death.
    pub(super) fn moves_agents(&self) -> bool {
        !(self.cut.is_empty() && self.back.is_empty() && self.unregister.is_empty())
    }

    /// Whether anything happens.
    fn steers(&self) -> bool {
        *self != Self::default()
    }
}

/// The cluster of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) flags: Flags,
    /// Principals and their secrets; none where nobody authenticates.
    pub(super) credentials: BTreeMap<String, String>,
    pub(super) agents: Vec<Agent>,
}

impl Plan {
    /// Reads the folder's plan.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("cluster.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let parse = || format!("parse {}", path.display());
        let value: serde_json::Value = serde_json::from_slice(&text).with_context(parse)?;
        for key in value
            .as_object()
            .into_iter()
            .flat_map(|object| object.keys())
        {
            if !KEYS.contains(&key.as_str()) {
                eprintln!("{}: nothing is known of {key:?}", path.display());
            }
        }
        serde_json::from_value(value).with_context(parse)
    }

    /// The cluster that these cases of one scenario expect.
    pub(super) fn layout(&self, cases: &[Case]) -> Layout {
        let first = cases.first();
        let scenario = first
            .and_then(|case| {
                let by_name = self.scenarios.get(&case.scenario);
                by_name.or_else(|| self.scenarios.get(&case.group))
            })
            .cloned()
            .unwrap_or_default();
        let mut layout = Layout {
            flags: Flags::new(),
            credentials: BTreeMap::new(),
            agents: vec![Agent::default(); 2],
        };
        for note in cases.iter().filter_map(|case| case.notes.as_deref()) {
            layout.flags.extend(flags_in(note));
            layout.credentials.extend(credentials_in(note));
            if let Some(leader) = leader_in(note) {
                layout.flags.insert("leader".into(), leader);
                layout.agents.clear();
            }
        }
        if let Some(agents) = cases.iter().filter_map(agents_shown).max() {
            layout.agents.resize(agents, Agent::default());
        }
        match scenario.agents {
            Some(Agents::Number(agents)) => layout.agents.resize(agents, Agent::default()),
            Some(Agents::List(agents)) => layout.agents = agents,
            None => {}
        }
        layout.flags.extend(self.flags.clone());
        layout.credentials.extend(self.credentials.clone());
        layout.flags.extend(scenario.flags);
        layout
    }

    /// What happens before a case.
    pub(super) fn step(&self, case: &Case) -> Step {
        let noted = || Step {
            kill_agents: case.notes.as_deref().is_some_and(says_agents_were_killed),
            ..Step::default()
        };
        self.steps.get(&case.name).cloned().unwrap_or_else(noted)
    }

    /// Whether the case can only be replayed where this tool holds the agents.
    pub(super) fn needs_agents(&self, cases: &[Case], case: &Case) -> bool {
        let steered = |case: &Case| self.step(case).steers();
        let by_executor = |case: &Case| {
            let status = "/update/status/source";
            let mut events = case.events().map(Event::value);
            events.any(|event| {
                event
                    .pointer(status)
                    .is_some_and(|s| s == "SOURCE_EXECUTOR")
            })
        };
        by_executor(case) || cases.iter().any(steered)
    }
}

/// Whether agents, or offers of theirs, are in a case.
pub(super) fn shows_agents(case: &Case) -> bool {
    let of_agent = |id: &String| ids::is_agent(id) || ids::is_offer(id);
    let answered = Some(case.document());
    let mut shown = case.events().map(Event::value).chain(answered);
    request::ids(case).iter().any(of_agent)
        || shown.any(|value| request::ids_in(&value.to_string()).iter().any(of_agent))
}

/// The flags in a sentence such as "Master with --a --b=c".
fn flags_in(note: &str) -> Flags {
    let lower = note.to_ascii_lowercase();
    let speaks_of_it = [
        "master with --",
        "master runs with --",
        "master ran with --",
    ]
    .iter()
    .any(|start| lower.contains(start));
    if !speaks_of_it {
        return Flags::new();
    }
    note.split([' ', ','])
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.trim_end_matches(['.', ';', ')']))
        .map(|word| word.split_once('=').unwrap_or((word, "true")))
        // Their value is a file's name, and what the file holds follows in braces.
        .filter(|(name, _)| *name != "credentials")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The secrets in a sentence such as "--credentials {alice:secret1, bob:secret2}".
fn credentials_in(note: &str) -> BTreeMap<String, String> {
    note.split_once("--credentials {")
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(inside, _)| inside)
        .into_iter()
        .flat_map(|inside| inside.split(','))
        .filter_map(|pair| pair.trim().split_once(':'))
        .map(|(principal, secret)| (principal.to_owned(), secret.to_owned()))
        .collect()
}

/// Which master leads, in a sentence such as "A master that does not lead; the leader is
/// master@127.0.0.1:8000, host name localhost."
fn leader_in(note: &str) -> Option<String> {
    if !note.contains("master that does not lead") {
        return None;
    }
    let word_after = |text: &str| {
        let (_, rest) = note.split_once(text)?;
        let word = rest.split([' ', ',', ';']).next()?;
        Some(word.trim_end_matches('.').to_owned())
    };
    let Some(address) = word_after("the leader is master@") else {
        return Some("none".into());
    };
    let (ip, port) = address.rsplit_once(':')?;
    let hostname = word_after("host name ").unwrap_or_else(|| ip.to_owned());
    Some(format!("{hostname}:{port}"))
}

/// How many agents the cluster has, where the answer is the master's state.
fn agents_shown(case: &Case) -> Option<usize> {
    let answer = case.response.as_ref()?;
    let state: serde_json::Value = serde_json::from_slice(&answer.body()).ok()?;
    let counts = [
        "activated_slaves",
        "deactivated_slaves",
        "unreachable_slaves",
    ];
    let counts = counts.map(|key| state.get(key).and_then(serde_json::Value::as_f64));
    let [Some(active), Some(inactive), Some(unreachable)] = counts else {
        return None;
    };
    // Few enough to be whole numbers.
    (0..1000)
        .find(|count| f64::from(*count) == active + inactive + unreachable)
        .and_then(|count| usize::try_from(count).ok())
}

fn says_agents_were_killed(note: &str) -> bool {
    let note = note.to_ascii_lowercase();
    note.contains("agents were killed") && note.contains("just before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_tell_the_flags_of_a_master() {
        let pairs = |flags: Flags| flags.into_iter().collect::<Vec<_>>();
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (note, expected) in [
            ("Nothing of flags.", vec![]),
            ("The client was run with --verbose", vec![]),
            (
                "Both agents were killed (SIGKILL) just before; master runs with \
                 --agent_ping_timeout=1secs --max_agent_ping_timeouts=2. S1 is away.",
                vec![
                    flag("agent_ping_timeout", "1secs"),
                    flag("max_agent_ping_timeouts", "2"),
                ],
            ),
            (
                "Master with --authenticate_http and --credentials {alice:s1, bob:s2}.",
                vec![flag("authenticate_http", "true")],
            ),
        ] {
            assert_eq!(pairs(flags_in(note)), expected, "{note}");
        }
    }

    #[test]
    fn notes_tell_who_has_credentials() {
        let found = credentials_in("Master with --x and --credentials {alice:s1, bob:s2}.");
        let found: Vec<_> = found
            .iter()
            .map(|(who, secret)| (who.as_str(), secret.as_str()))
            .collect();
        assert_eq!(found, [("alice", "s1"), ("bob", "s2")]);
        assert!(credentials_in("no credentials").is_empty());
    }

    #[test]
    fn notes_tell_who_leads() {
        for (note, expected) in [
            ("A master that leads.", None),
            (
                "A master that does not lead and knows no leader.",
                Some("none"),
            ),
            (
                "A master that does not lead; the leader is master@10.0.0.1:8000, host name m1.",
                Some("m1:8000"),
            ),
            (
                "A master that does not lead; the leader is master@10.0.0.1:8000.",
                Some("10.0.0.1:8000"),
            ),
        ] {
            assert_eq!(leader_in(note).as_deref(), expected, "{note}");
        }
    }

    #[test]
    fn notes_tell_when_agents_die() {
        assert!(says_agents_were_killed(
            "Both agents were killed (SIGKILL) just before; more."
        ));
        assert!(!says_agents_were_killed("The task was killed just before."));
    }
}
