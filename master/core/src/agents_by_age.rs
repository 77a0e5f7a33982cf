//! Agents that do not answer, or are gone, and since when: by id, and the oldest first.
//!
//! The list is bounded in length and age; what falls out of it is forgotten in the registry too.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use model::AgentId;

use crate::event::WallTime;

/// Mesos' `--registry_max_agent_count`.
const COUNT_MAX: usize = 102_400;

/// Mesos' `--registry_max_agent_age`.
const AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// Agents that were given up.
#[derive(Debug, Default)]
pub(crate) struct AgentsByAge {
    since: BTreeMap<AgentId, WallTime>,
    by_age: BTreeSet<(WallTime, AgentId)>,
}

impl AgentsByAge {
    pub(crate) fn insert(&mut self, agent: AgentId, since: WallTime) {
        self.remove(&agent);
        self.by_age.insert((since, agent.clone()));
        self.since.insert(agent, since);
    }

    pub(crate) fn remove(&mut self, agent: &AgentId) -> Option<WallTime> {
        let since = self.since.remove(agent)?;
        self.by_age.remove(&(since, agent.clone()));
        Some(since)
    }

    pub(crate) fn get(&self, agent: &AgentId) -> Option<&WallTime> {
        self.since.get(agent)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AgentId, WallTime)> {
        self.since.iter().map(|(agent, since)| (agent, *since))
    }

    /// Takes the oldest agent out, where there are too many or it is too old. One about which a write
    /// is on its way stays until the next time: what that makes of it must not be undone.
    pub(crate) fn outdated(
        &mut self,
        now: WallTime,
        is_busy: impl Fn(&AgentId) -> bool,
    ) -> Option<AgentId> {
        let (since, agent) = self.by_age.iter().find(|(_, agent)| !is_busy(agent))?;
        let age = Duration::from_nanos(now.0.saturating_sub(since.0));
        if self.since.len() <= COUNT_MAX && age <= AGE_MAX {
            return None;
        }
        let agent = agent.clone();
        self.remove(&agent);
        Some(agent)
    }
}
