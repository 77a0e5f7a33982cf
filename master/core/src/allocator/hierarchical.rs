//! The allocator: hierarchical dominant resource fairness, a whole agent at a time.
//!
//! An agent becomes a candidate when something about it changed that may lead to an offer:
//! resources came back, a filter ended, a framework wants more. A run visits the candidates in
//! random order and offers each to whoever has the least share and does not refuse it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Quantities, Role, Scalar, Value};
use model::{AgentId, FrameworkId, Instant, Resources};

use super::filters::Filters;
use super::shares::Shares;
use super::{Allocation, Allocator, Demand};
use crate::event::{Capabilities, Capability};
use crate::random::Random;

/// What does not change while the allocator runs.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Any one of these amounts makes an offer worth while.
    pub min_allocatable: Vec<Quantities>,
    /// Agents with GPUs are for frameworks that ask for them.
    pub filter_gpu_resources: bool,
    /// What was refused is not offered again before the next multiple of this.
    pub batch_interval: Duration,
}

/// The hierarchical allocator.
#[derive(Debug)]
pub struct Hierarchical {
    policy: Policy,
    random: Random,
    frameworks: BTreeMap<FrameworkId, Framework>,
    agents: BTreeMap<AgentId, Agent>,
    filters: Filters,
    shares: Shares,
    candidates: BTreeSet<AgentId>,
    /// Since when there are candidates.
    wanted_since: Option<Instant>,
}

#[derive(Debug)]
struct Framework {
    active: bool,
    demand: Demand,
}

#[derive(Debug)]
struct Agent {
    active: bool,
    total: Resources,
    /// Total less allocations; without allocation roles, as the total.
    available: Resources,
    allocations: BTreeMap<(FrameworkId, Role), Resources>,
}

impl Agent {
    /// Total less allocations; nothing where these do not fit into the total, until they do again.
    fn update_available(&mut self) {
        let mut held = Resources::new();
        for allocation in self.allocations.values() {
            held.add_all(allocation);
        }
        self.available = if self.total.contains(&held) {
            self.total.minus(&held)
        } else {
            Resources::new()
        };
    }
}

impl Hierarchical {
    /// An allocator that knows nothing yet.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            random: Random::new(seed),
            frameworks: BTreeMap::new(),
            agents: BTreeMap::new(),
            filters: Filters::default(),
            shares: Shares::default(),
            candidates: BTreeSet::new(),
            wanted_since: None,
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
            .flat_map(|agent| &agent.allocations)
            .map(|((framework, role), resources)| (framework, role, resources))
    }

    fn want(&mut self, now: Instant, agent: &AgentId) {
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

    /// The roles and frameworks that would take an offer now, whose turn it is first.
    fn order(&self) -> Vec<(Role, FrameworkId)> {
        let mut wanting: BTreeMap<&Role, Vec<&FrameworkId>> = BTreeMap::new();
        for (id, framework) in &self.frameworks {
            if framework.active {
                for role in framework
                    .demand
                    .roles
                    .difference(&framework.demand.suppressed)
                {
                    wanting.entry(role).or_default().push(id);
                }
            }
        }
        let order = self.shares.order(&wanting).into_iter();
        order.map(|(role, id)| (role.clone(), id.clone())).collect()
    }

    /// What of an agent a framework in a role may be offered now; nothing where it is not worth an
    /// offer or was refused.
    fn offer(
        &self,
        now: Instant,
        agent_id: &AgentId,
        role: &Role,
        framework_id: &FrameworkId,
    ) -> Option<Resources> {
        let agent = self
            .agents
            .get(agent_id)
            .filter(|a| !a.available.is_empty())?;
        let demand = &self.frameworks.get(framework_id)?.demand;
        let has_gpus = agent.total.scalar("gpus") > Scalar::ZERO;
        if self.policy.filter_gpu_resources
            && has_gpus
            && !demand.capabilities.has(Capability::GpuResources)
        {
            return None;
        }
        let offer = usable(&agent.available, role, demand.capabilities);
        let key = (framework_id.clone(), role.clone(), agent_id.clone());
        let worth_while = !offer.is_empty() && self.is_allocatable(&offer, role, demand);
        (worth_while && !self.filters.refuse(now, &key, &offer)).then_some(offer)
    }

    fn is_allocatable(&self, offer: &Resources, role: &Role, demand: &Demand) -> bool {
        let alternatives = demand
            .min_allocatable
            .get(role)
            .unwrap_or(&self.policy.min_allocatable);
        let quantities = offer.quantities();
        alternatives.is_empty() || alternatives.iter().any(|min| quantities.contains(min))
    }

    fn give(&mut self, agent_id: &AgentId, role: &Role, id: &FrameworkId, resources: &Resources) {
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let key = (id.clone(), role.clone());
        agent.allocations.entry(key).or_default().add_all(resources);
        agent.update_available();
        self.shares.allocated(role, id, &resources.quantities());
    }
}

/// What of the available resources a framework with these capabilities can use in a role: reserved
/// ones first, then what is not scalar, as Mesos lists them.
fn usable(available: &Resources, role: &Role, capabilities: Capabilities) -> Resources {
    let usable = available.filter(|r| {
        r.is_allocatable_to(role)
            && (!r.revocable || capabilities.has(Capability::RevocableResources))
            && (!r.shared || capabilities.has(Capability::SharedResources))
            && (!r.is_refined() || capabilities.has(Capability::ReservationRefinement))
    });
    let mut sorted: Vec<_> = usable.iter().cloned().collect();
    sorted.sort_by_key(|r| {
        (
            r.reservations.is_empty(),
            matches!(r.value, Value::Scalar(_)),
        )
    });
    sorted.into_iter().collect()
}

impl Allocator for Hierarchical {
    fn set_framework(&mut self, now: Instant, id: &FrameworkId, demand: Demand) {
        let active = match self.frameworks.get_mut(id) {
            Some(framework) => {
                let left: BTreeSet<Role> = framework
                    .demand
                    .roles
                    .difference(&demand.roles)
                    .cloned()
                    .collect();
                self.filters
                    .remove(|(f, role, _)| f == id && left.contains(role));
                framework.demand = demand;
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
        if active {
            self.want_all(now);
        }
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        self.deactivate_framework(id);
        self.frameworks.remove(id);
        self.shares.forget(id);
    }

    fn activate_framework(&mut self, now: Instant, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = true;
            self.want_all(now);
        }
    }

    fn deactivate_framework(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = false;
            self.filters.remove(|(f, ..)| f == id);
        }
    }

    fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let demand = &mut framework.demand;
            let affected = demand
                .roles
                .iter()
                .filter(|r| roles.is_empty() || roles.contains(r));
            demand.suppressed.extend(affected.cloned());
        }
    }

    fn revive(&mut self, now: Instant, id: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let affected = |role: &Role| roles.is_empty() || roles.contains(role);
            framework.demand.suppressed.retain(|role| !affected(role));
            self.filters
                .remove(|(f, role, _)| f == id && affected(role));
            self.want_all(now);
        }
    }

    fn set_agent(&mut self, now: Instant, id: &AgentId, total: Resources) {
        self.shares.add_total(&total.quantities());
        match self.agents.get_mut(id) {
            Some(agent) => {
                self.shares.subtract_total(&agent.total.quantities());
                agent.total = total;
                agent.update_available();
            }
            None => {
                let agent = Agent {
                    active: false,
                    available: total.clone(),
                    total,
                    allocations: BTreeMap::new(),
                };
                self.agents.insert(id.clone(), agent);
            }
        }
        self.want(now, id);
    }

    fn remove_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.remove(id) else {
            return;
        };
        self.shares.subtract_total(&agent.total.quantities());
        for ((framework, role), resources) in &agent.allocations {
            self.shares
                .recovered(role, framework, &resources.quantities());
        }
        self.filters.remove(|(.., agent)| agent == id);
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
        self.filters.remove(|(.., of)| of == agent);
        self.want(now, agent);
    }

    fn hold(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        for (role, resources) in resources.allocations() {
            self.give(agent, &role, framework, &resources.unallocate());
        }
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
            let key = (framework.clone(), role.clone());
            if let Some(held) = agent.allocations.get_mut(&key) {
                let mut returned = held.quantities();
                held.subtract_all(&resources);
                returned.subtract_all(&held.quantities());
                if held.is_empty() {
                    agent.allocations.remove(&key);
                }
                self.shares.recovered(&role, framework, &returned);
            }
            let takes_offers = self.frameworks.get(framework).is_some_and(|f| f.active);
            if let Some(refused) = refused.filter(|_| takes_offers) {
                let until = (now + refused).max(next_batch);
                let key = (framework.clone(), role, agent_id.clone());
                self.filters.add(key, resources, until);
            }
        }
        agent.update_available();
        self.want(now, agent_id);
    }

    fn allocate(&mut self, now: Instant) -> Vec<Allocation> {
        for agent in self.filters.expire(now) {
            self.want(now, &agent);
        }
        self.wanted_since = None;
        let mut candidates: Vec<AgentId> =
            core::mem::take(&mut self.candidates).into_iter().collect();
        self.random.shuffle(&mut candidates);

        let mut allocations = Vec::new();
        let mut order = self.order();
        for agent_id in candidates {
            let before = allocations.len();
            // An agent may go to several, one after the other: what one may not have, reserved for
            // another, is left for that one.
            for (role, framework_id) in &order {
                if let Some(offer) = self.offer(now, &agent_id, role, framework_id) {
                    self.give(&agent_id, role, framework_id, &offer);
                    allocations.push(Allocation {
                        framework_id: framework_id.clone(),
                        role: role.clone(),
                        agent_id: agent_id.clone(),
                        resources: offer.allocate(role),
                    });
                }
            }
            if allocations.len() > before {
                order = self.order();
            }
        }
        allocations
    }

    fn deadline(&self) -> Option<Instant> {
        let ends = self.filters.next_end();
        self.wanted_since.into_iter().chain(ends).min()
    }
}
