//! Filters: what a framework refused of an agent, and for how long it is not offered again.
//!
//! A filter stands against an offer that it contains; when the agent has more of anything, the
//! offer goes out (reference, section 1.7).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use model::resources::Role;
use model::{AgentId, FrameworkId, Instant, Resources};

/// Who refused, in which role, and of which agent.
type Key = (FrameworkId, Role, AgentId);

type OfRole = BTreeMap<AgentId, Vec<Filter>>;

/// All filters, and when they end.
#[derive(Debug, Default)]
pub(super) struct Filters {
    filters: BTreeMap<FrameworkId, BTreeMap<Role, OfRole>>,
    /// Who refused something of an agent, and in which role.
    refusers: BTreeMap<AgentId, BTreeSet<(FrameworkId, Role)>>,
    ends: BTreeSet<(Instant, Key)>,
    counts: BTreeMap<Role, usize>,
}

#[derive(Debug)]
struct Filter {
    refused: Resources,
    until: Instant,
}

impl Filters {
    /// Adds a filter; those that it makes superfluous go.
    pub(super) fn add(&mut self, key: Key, refused: Resources, until: Instant) {
        let (framework, role, agent) = &key;
        let of_key = self
            .filters
            .entry(framework.clone())
            .or_default()
            .entry(role.clone())
            .or_default()
            .entry(agent.clone())
            .or_default();
        let before = of_key.len();
        for old in of_key.extract_if(.., |old| {
            old.until <= until && refused.contains(&old.refused)
        }) {
            self.ends.remove(&(old.until, key.clone()));
        }
        of_key.push(Filter { refused, until });
        // Another filter may end when one did that is gone.
        self.ends
            .extend(of_key.iter().map(|filter| (filter.until, key.clone())));
        let count = self.counts.entry(role.clone()).or_default();
        *count = count.saturating_add(of_key.len()).saturating_sub(before);
        let refusers = self.refusers.entry(agent.clone()).or_default();
        refusers.insert((framework.clone(), role.clone()));
    }

    /// Whether the framework refused this much, and that still counts.
    pub(super) fn refuse(
        &self,
        now: Instant,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        offer: &Resources,
    ) -> bool {
        let of_role = self.filters.get(framework).and_then(|all| all.get(role));
        let of_key = of_role.and_then(|all| all.get(agent));
        of_key.is_some_and(|of_key| {
            of_key
                .iter()
                .any(|filter| filter.until > now && filter.refused.contains(offer))
        })
    }

    /// Drops the filters that have ended, and tells whose agents may be offered again.
    pub(super) fn expire(&mut self, now: Instant) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        while self.ends.first().is_some_and(|(end, _)| *end <= now)
            && let Some((_, key)) = self.ends.pop_first()
        {
            let (framework, role, agent) = &key;
            self.take(framework, role, agent, |filter| filter.until <= now);
            agents.insert(key.2);
        }
        agents
    }

    /// When the next filter ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// How many filters there are in each role that has any.
    pub(super) const fn counts(&self) -> &BTreeMap<Role, usize> {
        &self.counts
    }

    /// Drops the filters of a framework in the roles for which `drop` holds.
    pub(super) fn remove_framework(
        &mut self,
        framework: &FrameworkId,
        drop: impl Fn(&Role) -> bool,
    ) {
        let Some(of_framework) = self.filters.get(framework) else {
            return;
        };
        let keys: Vec<(Role, AgentId)> = of_framework
            .iter()
            .filter(|(role, _)| drop(role))
            .flat_map(|(role, agents)| agents.keys().map(|agent| (role.clone(), agent.clone())))
            .collect();
        for (role, agent) in keys {
            self.take(framework, &role, &agent, |_| true);
        }
    }

    /// Drops the filters against offers of an agent.
    pub(super) fn remove_agent(&mut self, agent: &AgentId) {
        for (framework, role) in self.refusers.remove(agent).unwrap_or_default() {
            self.take(&framework, &role, agent, |_| true);
        }
    }

    /// Takes those filters of a key out for which `drop` holds.
    fn take(
        &mut self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        drop: impl Fn(&Filter) -> bool,
    ) {
        let Some(of_framework) = self.filters.get_mut(framework) else {
            return;
        };
        let Some(of_role) = of_framework.get_mut(role) else {
            return;
        };
        let Some(of_key) = of_role.get_mut(agent) else {
            return;
        };
        let mut dropped = 0_usize;
        for filter in of_key.extract_if(.., |filter| drop(filter)) {
            let key = (framework.clone(), role.clone(), agent.clone());
            self.ends.remove(&(filter.until, key));
            dropped = dropped.saturating_add(1);
        }
        if let Some(count) = self.counts.get_mut(role) {
            *count = count.saturating_sub(dropped);
            if *count == 0 {
                self.counts.remove(role);
            }
        }
        if !of_key.is_empty() {
            return;
        }
        of_role.remove(agent);
        if of_role.is_empty() {
            of_framework.remove(role);
        }
        if of_framework.is_empty() {
            self.filters.remove(framework);
        }
        if let Some(refusers) = self.refusers.get_mut(agent) {
            refusers.remove(&(framework.clone(), role.clone()));
            if refusers.is_empty() {
                self.refusers.remove(agent);
            }
        }
    }
}
