//! A run of the allocator: agents visited in random order, each offered to whose turn it is.
//!
//! Where guarantees are not met, a first round gives those roles what they lack; the second gives the
//! rest to everyone, as far as limits allow and without what the guarantees still lack (reference,
//! section 6.3). A role beneath one with quota shares in its guarantees and limits.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use model::resources::{Quantities, Resource, Role};
use model::{AgentId, FrameworkId, Instant, Resources};

use super::agent::Agent;
use super::hierarchical::{Framework, Hierarchical, Policy};
use super::shares::{Rank, Turn};
use super::{Allocation, Demand, rations};
use crate::event::Capability;

/// Roles whose guarantees are not met, whose turn it is first.
type Unmet = BTreeSet<(Rank, Arc<str>)>;

/// What a run has given out so far.
#[derive(Debug, Default)]
struct Given {
    allocations: Vec<Allocation>,
    /// Where in the list an agent's first allocation stands, while there is a second round to come.
    places: BTreeMap<(FrameworkId, Role, AgentId), usize>,
    /// Shared resources go out once in a run, though nobody's holding them takes them away.
    shared: BTreeMap<AgentId, Resources>,
}

/// What was given of one agent, for the shares.
type Held = Vec<(Role, FrameworkId, Quantities)>;

impl Given {
    fn add(&mut self, agent_id: &AgentId, role: &Role, id: &FrameworkId, offer: &Resources) {
        let shared = offer.filter(|resource| resource.shared);
        if !shared.is_empty() {
            let given = self.shared.entry(agent_id.clone()).or_default();
            given.add_all(&shared);
        }
        let key = (id.clone(), role.clone(), agent_id.clone());
        if let Some(earlier) = self.places.get(&key)
            && let Some(earlier) = self.allocations.get_mut(*earlier)
        {
            earlier.resources.add_all(&offer.allocate(role));
            return;
        }
        self.allocations.push(Allocation {
            framework_id: id.clone(),
            role: role.clone(),
            agent_id: agent_id.clone(),
            resources: offer.allocate(role),
        });
    }

    /// From now on, what goes to who got something of the same agent already is one with that.
    fn note_places(&mut self) {
        for (place, given) in self.allocations.iter().enumerate() {
            let Allocation {
                framework_id,
                role,
                agent_id,
                ..
            } = given.clone();
            self.places.insert((framework_id, role, agent_id), place);
        }
    }

    /// What of an agent may go out still.
    fn left(&self, agent_id: &AgentId, agent: &Agent) -> Resources {
        match self.shared.get(agent_id) {
            Some(given) => {
                let is_given = |r: &Resource| r.shared && given.iter().any(|g| g.is_same_as(r));
                agent.available().filter(|resource| !is_given(resource))
            }
            None => agent.available().clone(),
        }
    }
}

/// What of the available resources a framework can use in a role; what quota has a say in comes last,
/// as Mesos lists them.
fn usable(available: &Resources, role: &Role, demand: &Demand) -> Resources {
    let capabilities = demand.capabilities;
    let usable = available.filter(|r| {
        r.is_allocatable_to(role)
            && (!r.revocable || capabilities.has(Capability::RevocableResources))
            && (!r.shared || capabilities.has(Capability::SharedResources))
            && (!r.is_refined() || capabilities.has(Capability::ReservationRefinement))
    });
    let mut sorted: Vec<_> = usable.iter().cloned().collect();
    sorted.sort_by_key(rations::is_rationed);
    sorted.into_iter().collect()
}

impl Policy {
    /// Whether an agent is for a framework at all.
    fn suits(&self, agent: &Agent, role: &Role, demand: &Demand) -> bool {
        let may_have_gpus =
            !self.filter_gpu_resources || demand.capabilities.has(Capability::GpuResources);
        (may_have_gpus || !agent.has_gpus()) && !demand.constraints.exclude(role, &agent.attributes)
    }

    /// Whether an offer is worth while.
    fn is_allocatable(&self, offer: &Resources, role: &Role, demand: &Demand) -> bool {
        match demand.min_allocatable.get(role) {
            Some(own) => is_enough(offer, own),
            None => self.is_minimum(offer),
        }
    }

    /// The same, for a role without minimum of its own.
    fn is_minimum(&self, offer: &Resources) -> bool {
        is_enough(offer, &self.min_allocatable)
    }
}

fn is_enough(offer: &Resources, alternatives: &[Quantities]) -> bool {
    if offer.is_empty() || alternatives.is_empty() {
        return !offer.is_empty();
    }
    let quantities = offer.quantities();
    alternatives.iter().any(|min| quantities.contains(min))
}

impl Hierarchical {
    /// Gives out what can be given out of these agents.
    pub(super) fn run(&mut self, now: Instant, mut candidates: Vec<AgentId>) -> Vec<Allocation> {
        let mut given = Given::default();
        self.shares.refresh();
        self.random.shuffle(&mut candidates);
        let mut unmet = self.unmet();
        if !unmet.is_empty() {
            for agent_id in &candidates {
                self.meet_guarantees(now, agent_id, &mut unmet, &mut given);
            }
            given.note_places();
            self.random.shuffle(&mut candidates);
        }
        for agent_id in &candidates {
            self.share_out(now, agent_id, &mut given);
        }
        given.allocations
    }

    /// Roles whose guarantees are not met and in which someone wants something.
    fn unmet(&self) -> Unmet {
        let unmet = self.accounts.unmet().iter();
        unmet
            .filter_map(|top| Some((self.shares.rank(top)?, top.clone())))
            .collect()
    }

    /// Gives an agent to roles whose guarantees are not met.
    fn meet_guarantees(
        &mut self,
        now: Instant,
        agent_id: &AgentId,
        unmet: &mut Unmet,
        given: &mut Given,
    ) {
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let mut held = Held::new();
        for (_, top) in unmet.iter() {
            for (role, id) in self.shares.turns_beneath(top).flat_map(Turn::pairs) {
                if agent.available().is_empty() || !self.accounts.unmet().contains(top) {
                    break;
                }
                let Some(Framework { demand, .. }) = self.frameworks.get(id) else {
                    continue;
                };
                let left = usable(&given.left(agent_id, agent), role, demand);
                if !self.policy.suits(agent, role, demand)
                    || !self.policy.is_allocatable(&left, role, demand)
                {
                    continue;
                }
                let offer = rations::guaranteed(&self.accounts, &mut self.random, &left, top);
                if let Some(offer) = offer
                    && self.policy.is_allocatable(&offer, role, demand)
                    && !self.filters.refuse(now, id, role, agent_id, &offer)
                {
                    let added = self.accounts.give(agent, id, role, &offer);
                    given.add(agent_id, role, id, &offer);
                    held.push((role.clone(), id.clone(), added));
                }
            }
        }
        for (role, id, added) in held {
            let top: Arc<str> = Arc::from(role.top());
            if let Some(rank) = self.shares.rank(&top) {
                unmet.remove(&(rank, top.clone()));
            }
            self.shares.allocated(&role, &id, &added);
            if self.accounts.unmet().contains(&top)
                && let Some(rank) = self.shares.rank(&top)
            {
                unmet.insert((rank, top));
            }
        }
    }

    /// Gives an agent to whoever takes it, one after the other: what one may not have, reserved for
    /// another, is left for that one.
    fn share_out(&mut self, now: Instant, agent_id: &AgentId, given: &mut Given) {
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let mut left = given.left(agent_id, agent);
        // Nobody is asked about what is nobody's worth while: there may be very many to ask.
        if self.own_minimum.is_empty() && !self.policy.is_minimum(&left) {
            return;
        }
        let mut held = Held::new();
        let tops = tops(&left);
        let turns = tops.iter().flat_map(|top| self.shares.turns_beneath(top));
        for (role, id) in turns.flat_map(Turn::pairs) {
            if left.is_empty() {
                break;
            }
            let Some(Framework { demand, .. }) = self.frameworks.get(id) else {
                continue;
            };
            // Who refused all that is left refuses any part of it.
            if !self.policy.suits(agent, role, demand)
                || self.filters.refuse(now, id, role, agent_id, &left)
            {
                continue;
            }
            let usable = usable(&left, role, demand);
            let offer = rations::fair(&self.accounts, &mut self.random, usable, role.top());
            if self.policy.is_allocatable(&offer, role, demand)
                && !self.filters.refuse(now, id, role, agent_id, &offer)
            {
                let added = self.accounts.give(agent, id, role, &offer);
                given.add(agent_id, role, id, &offer);
                held.push((role.clone(), id.clone(), added));
                left = given.left(agent_id, agent);
            }
        }
        for (role, id, added) in held {
            self.shares.allocated(&role, &id, &added);
        }
    }
}

/// The trees of roles that can have any of these resources: all of them, or where everything is
/// reserved, those for which it is.
fn tops(left: &Resources) -> Vec<Arc<str>> {
    if left.iter().any(|resource| resource.reservations.is_empty()) {
        return vec![Arc::from("")];
    }
    let roles: BTreeSet<&Role> = left.iter().filter_map(Resource::reservation_role).collect();
    let is_top = |role: &&&Role| !roles.iter().any(|other| other.is_ancestor_of(role));
    let tops = roles.iter().filter(is_top);
    tops.map(|role| Arc::from(role.as_str())).collect()
}
