//! The allocator: hierarchical dominant resource fairness, a whole agent at a time.
//!
//! An agent becomes a candidate when something about it changed that may lead to an offer:
//! resources came back, a filter ended, a framework wants more. A run visits the candidates in
//! random order and offers each to whoever has the least share and does not refuse it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Conversion, ConversionFault, Quantities, Role};
use model::{AgentId, FrameworkId, Instant, Resources};

use super::accounts::Accounts;
use super::agent::Agent;
use super::filters::Filters;
use super::shares::Shares;
use super::{Allocation, Allocator, Demand};
use crate::event::AgentAttributes;
use crate::quota::Quota;
use crate::random::Random;

/// What does not change while the allocator runs.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Any one of these amounts makes an offer worth while.
    pub min_allocatable: Vec<Quantities>,
    /// Agents with GPUs are for frameworks that ask for them.
    pub filter_gpu_resources: bool,
    /// Resources of these names do not count for anyone's share.
    pub fair_sharing_excluded: BTreeSet<Arc<str>>,
    /// What was refused is not offered again before the next multiple of this.
    pub batch_interval: Duration,
}

/// The hierarchical allocator.
#[derive(Debug)]
pub struct Hierarchical {
    pub(super) policy: Policy,
    pub(super) random: Random,
    pub(super) frameworks: BTreeMap<FrameworkId, Framework>,
    /// Those that have minimums of their own.
    pub(super) own_minimum: BTreeSet<FrameworkId>,
    pub(super) agents: BTreeMap<AgentId, Agent>,
    pub(super) filters: Filters,
    pub(super) shares: Shares,
    pub(super) accounts: Accounts,
    candidates: BTreeSet<AgentId>,
    /// Since when there are candidates.
    wanted_since: Option<Instant>,
    pause: Option<Pause>,
}

#[derive(Debug)]
pub(super) struct Framework {
    active: bool,
    pub(super) demand: Demand,
}

/// Why nothing is given out: a master that has just begun to lead does not know who has what.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    agents: usize,
}

impl Hierarchical {
    /// An allocator that knows nothing yet.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            frameworks: BTreeMap::new(),
            own_minimum: BTreeSet::new(),
            agents: BTreeMap::new(),
            filters: Filters::default(),
            shares: Shares::new(policy.fair_sharing_excluded.clone()),
            accounts: Accounts::default(),
            candidates: BTreeSet::new(),
            wanted_since: None,
            pause: None,
            policy,
        }
    }

    /// What a framework wants.
    #[must_use]
    pub fn demand(&self, id: &FrameworkId) -> Option<&Demand> {
        self.frameworks.get(id).map(|framework| &framework.demand)
    }

    /// What of an agent is offered or in use, by framework and role.
    pub fn allocations(
        &self,
        agent: &AgentId,
    ) -> impl Iterator<Item = (&FrameworkId, &Role, &Resources)> {
        self.agents
            .get(agent)
            .into_iter()
            .flat_map(|agent| agent.allocations())
            .map(|((framework, role), resources)| (framework, role, resources))
    }

    pub(super) fn want(&mut self, now: Instant, agent: &AgentId) {
        if self.agents.get(agent).is_some_and(|agent| agent.active) {
            self.candidates.insert(agent.clone());
            self.wanted_since.get_or_insert(now);
        }
    }

    fn want_all(&mut self, now: Instant) {
        let active = self.agents.iter().filter(|(_, agent)| agent.active);
        self.candidates = active.map(|(id, _)| id.clone()).collect();
        if !self.candidates.is_empty() {
            self.wanted_since.get_or_insert(now);
        }
    }

    /// The next instant at which refused resources may be offered again.
    fn next_batch(&self, now: Instant) -> Instant {
        let interval = u64::try_from(self.policy.batch_interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1_000_000);
        let batches = (now.as_nanos() / interval).saturating_add(1);
        Instant::from_nanos(batches.saturating_mul(interval))
    }

    /// Lets a framework stand in line for the roles in which it wants something.
    fn line_up(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        for role in &framework.demand.roles {
            self.shares.subscribe(role, id);
            if framework.active && !framework.demand.suppressed.contains(role) {
                self.shares.want(role, id);
            } else {
                self.shares.ignore(role, id);
            }
        }
    }

    /// What the tree of a role is charged with: reservations, and what else is offered to it or in
    /// use, other than revocable resources.
    #[must_use]
    pub fn charged(&self, top: &str) -> Quantities {
        self.accounts.charged(top)
    }

    /// What all agents have that is not revocable.
    #[must_use]
    pub const fn capacity(&self) -> &Quantities {
        self.accounts.capacity()
    }

    /// Whether a framework is subscribed to a role or holds something in it.
    #[must_use]
    pub fn is_known(&self, role: &Role) -> bool {
        self.shares.is_known(role)
    }

    /// How many filters stand against offers for each role that has any.
    #[must_use]
    pub const fn filter_counts(&self) -> &BTreeMap<Role, usize> {
        self.filters.counts()
    }
}

impl Allocator for Hierarchical {
    fn set_framework(&mut self, now: Instant, id: &FrameworkId, demand: Demand) {
        if demand.min_allocatable.is_empty() {
            self.own_minimum.remove(id);
        } else {
            self.own_minimum.insert(id.clone());
        }
        let active = match self.frameworks.get_mut(id) {
            Some(framework) => {
                let before = core::mem::replace(&mut framework.demand, demand);
                let left: BTreeSet<&Role> =
                    before.roles.difference(&framework.demand.roles).collect();
                self.filters
                    .remove_framework(id, |role| left.contains(role));
                for role in left {
                    self.shares.unsubscribe(role, id);
                }
                framework.active
            }
            None => {
                let framework = Framework {
                    active: false,
                    demand,
                };
                self.frameworks.insert(id.clone(), framework);
                false
            }
        };
        self.line_up(id);
        if active {
            self.want_all(now);
        }
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        self.deactivate_framework(id);
        self.own_minimum.remove(id);
        if let Some(framework) = self.frameworks.remove(id) {
            for role in &framework.demand.roles {
                self.shares.unsubscribe(role, id);
            }
        }
    }

    fn activate_framework(&mut self, now: Instant, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = true;
            self.line_up(id);
            self.want_all(now);
        }
    }

    fn deactivate_framework(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = false;
            self.line_up(id);
            self.filters.remove_framework(id, |_| true);
        }
    }

    fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let Demand {
                roles: all,
                suppressed,
                ..
            } = &mut framework.demand;
            let affected = all.iter().filter(|r| roles.is_empty() || roles.contains(r));
            for role in affected {
                suppressed.insert(role.clone());
                self.shares.ignore(role, id);
            }
        }
    }

    fn revive(&mut self, now: Instant, id: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let affected = |role: &Role| roles.is_empty() || roles.contains(role);
            framework.demand.suppressed.retain(|role| !affected(role));
            self.filters.remove_framework(id, affected);
            self.line_up(id);
            self.want_all(now);
        }
    }

    fn set_agent(&mut self, now: Instant, id: &AgentId, total: Resources) {
        self.change_total(id, total);
        if self
            .pause
            .is_some_and(|pause| pause.agents <= self.agents.len())
        {
            self.pause = None;
        }
        self.want(now, id);
    }

    fn describe_agent(&mut self, id: &AgentId, attributes: Arc<AgentAttributes>) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.attributes = attributes;
        }
    }

    fn remove_agent(&mut self, id: &AgentId) {
        let Some(mut agent) = self.agents.remove(id) else {
            return;
        };
        for ((framework, role), resources) in agent.allocations().clone() {
            let shrank = self
                .accounts
                .take(&mut agent, &framework, &role, &resources);
            self.shares.recovered(&role, &framework, &shrank);
        }
        self.accounts.set_free(&agent.free(), &Quantities::new());
        self.accounts.subtract_total(agent.total());
        self.shares.subtract_total(&agent.total().quantities());
        self.filters.remove_agent(id);
        self.candidates.remove(id);
    }

    fn activate_agent(&mut self, now: Instant, id: &AgentId) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.active = true;
            self.want(now, id);
        }
    }

    fn deactivate_agent(&mut self, id: &AgentId) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.active = false;
            self.candidates.remove(id);
        }
    }

    fn clear_filters(&mut self, now: Instant, agent: &AgentId) {
        self.filters.remove_agent(agent);
        self.want(now, agent);
    }

    fn hold(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        let Some(agent) = self.agents.get_mut(agent) else {
            return;
        };
        for (role, resources) in resources.allocations() {
            let resources = resources.unallocate();
            let added = self.accounts.give(agent, framework, &role, &resources);
            self.shares.allocated(&role, framework, &added);
        }
    }

    fn update_allocation(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        role: &Role,
        conversions: &[Conversion],
    ) {
        self.convert_allocation(framework, agent, role, conversions);
    }

    fn update_available(
        &mut self,
        now: Instant,
        agent: &AgentId,
        conversions: &[Conversion],
    ) -> Result<(), ConversionFault> {
        self.convert_available(now, agent, conversions)
    }

    fn recover(
        &mut self,
        now: Instant,
        framework: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refused: Option<Duration>,
    ) {
        let next_batch = self.next_batch(now);
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        for (role, resources) in resources.allocations() {
            let resources = resources.unallocate();
            let shrank = self.accounts.take(agent, framework, &role, &resources);
            self.shares.recovered(&role, framework, &shrank);
            let takes_offers = self.frameworks.get(framework).is_some_and(|f| f.active);
            if let Some(refused) = refused.filter(|_| takes_offers) {
                let until = (now + refused).max(next_batch);
                let key = (framework.clone(), role, agent_id.clone());
                self.filters.add(key, resources, until);
            }
        }
        self.want(now, agent_id);
    }

    fn set_quota(&mut self, now: Instant, role: &Role, quota: &Quota) {
        self.accounts.set_quota(role, quota);
        self.want_all(now);
    }

    fn set_weight(&mut self, now: Instant, role: &Role, weight: f64) {
        self.shares.set_weight(role, weight);
        self.want_all(now);
    }

    fn pause(&mut self, until: Instant, agents: usize) {
        if agents > self.agents.len() {
            self.pause = Some(Pause { until, agents });
        }
    }

    fn allocate(&mut self, now: Instant) -> Vec<Allocation> {
        for agent in self.filters.expire(now) {
            self.want(now, &agent);
        }
        if self.pause.is_some_and(|pause| pause.until > now) {
            return Vec::new();
        }
        self.pause = None;
        self.wanted_since = None;
        let candidates = core::mem::take(&mut self.candidates);
        self.run(now, candidates.into_iter().collect())
    }

    fn deadline(&self) -> Option<Instant> {
        let ends = self.filters.next_end();
        let wanted = self.wanted_since.into_iter().chain(ends).min()?;
        let paused = self.pause.map_or(Instant::ZERO, |pause| pause.until);
        Some(wanted.max(paused))
    }
}
