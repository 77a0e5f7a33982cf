//! Plan: what the recordings do not say of their clusters, from `cluster.json` beside them.
//!
//! ```json
//! {"scenarios": {"partition": {"agent_ping_timeout_ms": 1000, "max_agent_ping_timeouts": 2}},
//!  "steps": {"scheduler-json/partition/agents-killed": {"kill_agents": true}}}
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::case::Case;

/// What is known of the clusters beyond the recordings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// By the scenario's name.
    #[serde(default)]
    scenarios: BTreeMap<String, Flags>,
    /// By the case's name.
    #[serde(default)]
    steps: BTreeMap<String, Step>,
}

/// Settings of a scenario's master.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flags {
    pub(super) agent_ping_timeout_ms: Option<u64>,
    pub(super) max_agent_ping_timeouts: Option<u32>,
}

/// What happens to the agents just before a step.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) kill_agents: bool,
}

impl Plan {
    /// Reads the folder's plan; without one nothing happens to agents.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("cluster.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// The settings of the master of these cases.
    pub(super) fn flags(&self, cases: &[Case]) -> Flags {
        let found = cases
            .iter()
            .find_map(|case| self.scenarios.get(&case.scenario));
        found.copied().unwrap_or_default()
    }

    /// What happens before a case.
    pub(super) fn step(&self, case: &Case) -> Step {
        self.steps.get(&case.name).copied().unwrap_or_default()
    }

    /// Whether the case can only be replayed where this tool holds the agents.
    pub(super) fn needs_agents(&self, cases: &[Case], case: &Case) -> bool {
        let steered = |case: &Case| self.step(case).kill_agents;
        let by_executor = |case: &Case| {
            let status = "/update/status/source";
            let mut events = case.events().map(super::case::Event::value);
            events.any(|event| {
                event
                    .pointer(status)
                    .is_some_and(|s| s == "SOURCE_EXECUTOR")
            })
        };
        by_executor(case) || cases.iter().any(steered)
    }
}
