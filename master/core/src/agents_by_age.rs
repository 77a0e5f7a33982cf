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

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn agent(number: usize) -> AgentId {
        AgentId::new(&format!("S{number}")).expect("an id")
    }

    const fn seconds(number: u64) -> WallTime {
        WallTime(number * 1_000_000_000)
    }

    #[test]
    fn past_the_bound_the_oldest_is_forgotten_of_which_no_write_is_on_its_way() {
        let mut agents = AgentsByAge::default();
        for number in 0..COUNT_MAX + 2 {
            agents.insert(agent(number), seconds(number as u64));
        }
        // It was heard of again, and is not the oldest any more.
        agents.insert(agent(0), seconds(200_000));
        let now = seconds(200_000);
        let is_busy = |id: &AgentId| *id == agent(1);
        assert_eq!(agents.outdated(now, is_busy), Some(agent(2)));
        assert_eq!(agents.outdated(now, is_busy), Some(agent(3)));
        assert_eq!(agents.outdated(now, is_busy), None);
        assert_eq!(agents.get(&agent(2)), None);
        assert_eq!(agents.iter().count(), COUNT_MAX);
    }

    #[test]
    fn one_is_forgotten_after_its_time() {
        let mut agents = AgentsByAge::default();
        agents.insert(agent(0), seconds(1));
        agents.insert(agent(1), seconds(2));
        let age = AGE_MAX.as_secs();
        assert_eq!(agents.outdated(seconds(1 + age), |_| false), None);
        assert_eq!(agents.outdated(seconds(2 + age), |_| false), Some(agent(0)));
        assert_eq!(agents.outdated(seconds(2 + age), |_| false), None);
        // A clock that was set back makes nobody old.
        assert_eq!(agents.outdated(seconds(0), |_| false), None);
    }
}
