//! The allocator: a tree of roles in the order of a policy, a whole agent at a time.
//!
//! An agent becomes a candidate when something about it changed that may lead to an offer:
//! resources came back, a filter ended, a framework wants more. A run visits the candidates in
//! random order and offers each to whose turn it is and who does not refuse it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Conversion, ConversionFault, Quantities, Role};
use model::{AgentId, FrameworkId, Instant, Resources};

use super::accounts::{AccountId, Accounts};
use super::agent::Agent;
use super::amounts::{Amounts, Names};
use super::bits::Bits;
use super::filters::{AgentSlot, Filters};
use super::holders::Holder;
use super::run::Scratch;
use super::shares::{ClientId, Shares, Taker};
use super::slots::Slots;
use super::sorter::Sorters;
use super::{Allocation, Allocator, Demand};
use crate::agents::AgentCapability;
use crate::event::AgentAttributes;
use crate::quota::Quota;
use crate::random::Random;

/// So that what sorters draw and the order of agents have nothing to do with each other.
const SHARES_SEED: u64 = 0x5a5a_0f0f_3c3c_9696;

/// What does not change while the allocator runs.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whose turn it is.
    pub sorters: Sorters,
    /// Any one of these amounts makes an offer worth while.
    pub min_allocatable: Vec<Quantities>,
    /// Agents with GPUs are for frameworks that ask for them.
    pub filter_gpu_resources: bool,
    /// The master's region: agents of another are for frameworks that know of regions.
    pub region: Option<Arc<str>>,
    /// Resources of these names do not count for anyone's share.
    pub fair_sharing_excluded: BTreeSet<Arc<str>>,
    /// What was refused is not offered again before the next multiple of this.
    pub batch_interval: Duration,
}

/// The hierarchical allocator.
#[derive(Debug)]
pub struct Hierarchical {
    pub(super) policy: Policy,
    /// The policy's minimum as vectors.
    pub(super) minimum: Vec<Amounts>,
    pub(super) random: Random,
    pub(super) names: Names,
    frameworks: BTreeMap<FrameworkId, Framework>,
    /// Those that have minimums of their own.
    pub(super) own_minimum: BTreeSet<FrameworkId>,
    pub(super) agents: Slots<Agent>,
    pub(super) slots: BTreeMap<AgentId, AgentSlot>,
    pub(super) filters: Filters,
    pub(super) shares: Shares,
    pub(super) accounts: Accounts,
    /// Room for whom a visit of an agent passes over, and for what it reckons with.
    pub(super) passed: Bits,
    pub(super) scratch: Scratch,
    candidates: Candidates,
    /// How many agents are active.
    active: usize,
    /// Since when there are candidates.
    wanted_since: Option<Instant>,
    pause: Option<Pause>,
}

#[derive(Debug)]
struct Framework {
    active: bool,
    demand: Demand,
    /// By the roles to which it is subscribed.
    clients: BTreeMap<Role, ClientId>,
}

/// Which agents the next run visits.
#[derive(Debug)]
enum Candidates {
    /// These, each of which is marked as listed.
    Some(Vec<AgentSlot>),
    All,
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
        let mut names = Names::default();
        let mut excluded = Bits::default();
        for name in &policy.fair_sharing_excluded {
            excluded.insert(u32::try_from(names.number(name)).unwrap_or(u32::MAX));
        }
        let minimum = policy.min_allocatable.iter();
        Self {
            minimum: minimum.map(|amounts| names.vector(amounts)).collect(),
            random: Random::new(seed),
            frameworks: BTreeMap::new(),
            own_minimum: BTreeSet::new(),
            agents: Slots::default(),
            slots: BTreeMap::new(),
            filters: Filters::default(),
            shares: Shares::new(policy.sorters, seed ^ SHARES_SEED, excluded),
            accounts: Accounts::default(),
            passed: Bits::default(),
            scratch: Scratch::default(),
            candidates: Candidates::Some(Vec::new()),
            active: 0,
            wanted_since: None,
            pause: None,
            names,
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
        let agent = self.slot(agent).and_then(|slot| self.agents.get(slot));
        let allocations = agent.into_iter().flat_map(Agent::holders);
        allocations.filter_map(|(client, resources)| {
            let client = self.shares.client(*client)?;
            Some((&client.framework_id, &client.role, resources))
        })
    }

    /// What an agent has.
    #[must_use]
    pub fn total(&self, agent: &AgentId) -> Option<&Arc<Resources>> {
        let agent = self.agents.get(self.slot(agent)?)?;
        Some(agent.total())
    }

    pub(super) fn slot(&self, agent: &AgentId) -> Option<AgentSlot> {
        self.slots.get(agent).copied()
    }

    pub(super) fn want(&mut self, now: Instant, agent: &AgentId) {
        if let Some(slot) = self.slot(agent) {
            self.want_slot(now, slot);
        }
    }

    fn want_slot(&mut self, now: Instant, slot: AgentSlot) {
        let Some(agent) = self.agents.get_mut(slot).filter(|agent| agent.active) else {
            return;
        };
        self.wanted_since.get_or_insert(now);
        if let Candidates::Some(listed) = &mut self.candidates
            && !agent.is_listed
        {
            agent.is_listed = true;
            listed.push(slot);
        }
    }

    fn want_all(&mut self, now: Instant) {
        if self.active > 0 {
            self.candidates = Candidates::All;
            self.wanted_since.get_or_insert(now);
        }
    }

    /// Takes the active candidates of this run.
    fn take_candidates(&mut self) -> Vec<AgentSlot> {
        match core::mem::replace(&mut self.candidates, Candidates::Some(Vec::new())) {
            Candidates::All => {
                let mut active = Vec::with_capacity(self.active);
                for (slot, agent) in self.agents.iter_mut() {
                    agent.is_listed = false;
                    if agent.active {
                        active.push(slot);
                    }
                }
                active
            }
            Candidates::Some(mut listed) => {
                // A slot stands here twice where another agent has it now.
                listed.retain(|slot| {
                    let agent = self.agents.get_mut(*slot);
                    agent.is_some_and(|agent| core::mem::take(&mut agent.is_listed) && agent.active)
                });
                listed
            }
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

    /// A framework in a role, made where it is new, and the account that it is charged to.
    pub(super) fn open(&mut self, role: &Role, id: &FrameworkId) -> (ClientId, AccountId) {
        let number = self.shares.open(role, id);
        let Some(client) = self.shares.client_mut(number) else {
            return (number, u32::MAX);
        };
        if client.account == u32::MAX {
            client.account = self.accounts.open(role.top());
        }
        (number, client.account)
    }

    /// Drops a framework that left a role and holds nothing there.
    pub(super) fn forget_idle(&mut self, client: ClientId) {
        if let Some(gone) = self.shares.forget_idle(client) {
            self.accounts.close(gone.account);
            self.filters.remove_client(client);
            // Whoever gets the number is another.
            for (_, agent) in self.agents.iter_mut() {
                agent.had.remove(client);
            }
        }
    }

    /// Lets a framework stand in line for the roles in which it wants something.
    fn line_up(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        for (role, client) in &framework.clients {
            if framework.active && !framework.demand.suppressed.contains(role) {
                self.shares.want(*client);
            } else {
                self.shares.ignore(*client);
            }
        }
    }

    /// Subscribes a framework to its roles, and takes it out of those that it left.
    fn subscribe(&mut self, id: &FrameworkId, demand: &Demand) {
        let mut clients = BTreeMap::new();
        for role in &demand.roles {
            let (client, _) = self.open(role, id);
            let own = demand.min_allocatable.get(role);
            let taker = Taker {
                capabilities: demand.capabilities,
                constraints: Arc::clone(&demand.constraints),
                minimum: own.map(|own| own.iter().map(|one| self.names.vector(one)).collect()),
            };
            self.shares.subscribe(client, taker);
            clients.insert(role.clone(), client);
        }
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        let before = core::mem::replace(&mut framework.clients, clients);
        for (role, client) in before {
            if !demand.roles.contains(&role) {
                self.leave(client);
            }
        }
    }

    fn leave(&mut self, client: ClientId) {
        self.filters.remove_client(client);
        self.shares.unsubscribe(client);
        self.forget_idle(client);
    }

    /// What the tree of a role is charged with: reservations, and what else is offered to it or in
    /// use, other than revocable resources.
    #[must_use]
    pub fn charged(&self, top: &str) -> Quantities {
        self.names.quantities(&self.accounts.charged(top))
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

/// What is allocated in each role, without the mark that says so.
fn by_role(resources: &Resources) -> Vec<(Role, Resources)> {
    let mut roles = resources.iter().map(|resource| &resource.allocation_role);
    if let Some(Some(first)) = roles.next()
        && roles.all(|role| role.as_ref() == Some(first))
    {
        return vec![(first.clone(), resources.unallocate())];
    }
    let by_role = resources.allocations().into_iter();
    by_role
        .map(|(role, resources)| (role, resources.unallocate()))
        .collect()
}

impl Allocator for Hierarchical {
    fn set_framework(&mut self, now: Instant, id: &FrameworkId, demand: Demand) {
        if demand.min_allocatable.is_empty() {
            self.own_minimum.remove(id);
        } else {
            self.own_minimum.insert(id.clone());
        }
        let framework = self
            .frameworks
            .entry(id.clone())
            .or_insert_with(|| Framework {
                active: false,
                demand: Demand::default(),
                clients: BTreeMap::new(),
            });
        framework.demand = demand.clone();
        let is_active = framework.active;
        self.subscribe(id, &demand);
        self.line_up(id);
        if is_active {
            self.want_all(now);
        }
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        self.deactivate_framework(id);
        self.own_minimum.remove(id);
        if let Some(framework) = self.frameworks.remove(id) {
            for client in framework.clients.into_values() {
                self.leave(client);
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
            for client in framework.clients.values() {
                self.filters.remove_client(*client);
            }
            self.line_up(id);
        }
    }

    fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let affected = |role: &Role| roles.is_empty() || roles.contains(role);
            for (role, client) in &framework.clients {
                if affected(role) {
                    framework.demand.suppressed.insert(role.clone());
                    self.shares.ignore(*client);
                }
            }
        }
    }

    fn revive(&mut self, now: Instant, id: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let affected = |role: &Role| roles.is_empty() || roles.contains(role);
            framework.demand.suppressed.retain(|role| !affected(role));
            for (role, client) in &framework.clients {
                if affected(role) {
                    self.filters.remove_client(*client);
                }
            }
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

    fn describe_agent(
        &mut self,
        id: &AgentId,
        attributes: Arc<AgentAttributes>,
        capabilities: &[i32],
    ) {
        if let Some(agent) = self.slot(id).and_then(|slot| self.agents.get_mut(slot)) {
            let region = self.policy.region.as_ref();
            agent.is_remote = attributes.is_outside(region);
            agent.attributes = attributes;
            let has = |capability| capabilities.contains(&(capability as i32));
            agent.knows_many_roles = has(AgentCapability::MultiRole);
            agent.knows_nested_roles = has(AgentCapability::HierarchicalRole);
        }
    }

    fn remove_agent(&mut self, id: &AgentId) {
        let Some(slot) = self.slots.remove(id) else {
            return;
        };
        self.filters.remove_agent(slot);
        let Some(mut agent) = self.agents.remove(slot) else {
            return;
        };
        self.active = self.active.saturating_sub(agent.active.into());
        let holders: Vec<Holder> = agent.holders().cloned().collect();
        for (client, resources) in holders {
            let account = self.shares.client(client).map_or(u32::MAX, |c| c.account);
            let both = (client, account);
            let names = &mut self.names;
            let less = self.accounts.take(names, &mut agent, both, &resources);
            self.shares.recovered(client, &less.amounts, less.is_edge);
            self.forget_idle(client);
        }
        self.accounts.set_free(agent.free(), &Amounts::default());
        self.shares
            .subtract_total(&self.names.scalars(agent.total()));
        self.accounts.subtract_total(&mut self.names, agent.total());
    }

    fn activate_agent(&mut self, now: Instant, id: &AgentId) {
        if let Some(slot) = self.slot(id)
            && let Some(agent) = self.agents.get_mut(slot)
        {
            self.active = self.active.saturating_add((!agent.active).into());
            agent.active = true;
            self.want_slot(now, slot);
        }
    }

    fn deactivate_agent(&mut self, id: &AgentId) {
        if let Some(agent) = self.slot(id).and_then(|slot| self.agents.get_mut(slot)) {
            self.active = self.active.saturating_sub(agent.active.into());
            agent.active = false;
        }
    }

    fn clear_filters(&mut self, now: Instant, agent: &AgentId) {
        if let Some(slot) = self.slot(agent) {
            self.filters.remove_agent(slot);
            self.want_slot(now, slot);
        }
    }

    fn hold(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        let Some(slot) = self.slot(agent) else {
            return;
        };
        for (role, resources) in by_role(resources) {
            let client = self.open(&role, framework);
            let Some(agent) = self.agents.get_mut(slot) else {
                return;
            };
            let names = &mut self.names;
            let more = self.accounts.give(names, agent, client, &resources);
            self.shares.allocated(client.0, &more.amounts, more.is_edge);
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
        let takes_offers = self.frameworks.get(framework).is_some_and(|f| f.active);
        let Some(slot) = self.slot(agent_id) else {
            return;
        };
        for (role, resources) in by_role(resources) {
            let Some(number) = self.shares.find(&role, framework) else {
                continue;
            };
            let Some(agent) = self.agents.get_mut(slot) else {
                return;
            };
            let Some(client) = self.shares.client(number) else {
                continue;
            };
            let both = (number, client.account);
            if let Some(refused) = refused.filter(|_| takes_offers && client.is_subscribed()) {
                let until = (now + refused).max(next_batch);
                self.filters.add(slot, number, &role, &resources, until);
                agent.had.insert(number);
            }
            let names = &mut self.names;
            let less = self.accounts.take(names, agent, both, &resources);
            self.shares.recovered(number, &less.amounts, less.is_edge);
            self.forget_idle(number);
        }
        self.want_slot(now, slot);
    }

    fn set_quota(&mut self, now: Instant, role: &Role, quota: &Quota) {
        self.accounts.set_quota(&mut self.names, role, quota);
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
            self.want_slot(now, agent);
        }
        if self.pause.is_some_and(|pause| pause.until > now) {
            return Vec::new();
        }
        self.pause = None;
        self.wanted_since = None;
        let candidates = self.take_candidates();
        self.run(candidates)
    }

    fn deadline(&self) -> Option<Instant> {
        let ends = self.filters.next_end();
        let wanted = self.wanted_since.into_iter().chain(ends).min()?;
        let paused = self.pause.map_or(Instant::ZERO, |pause| pause.until);
        Some(wanted.max(paused))
    }
}
