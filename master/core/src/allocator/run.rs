//! A run of the allocator: agents visited in random order, each offered to whose turn it is.
//!
//! Where guarantees are not met, a first round gives those roles what they lack; the second gives the
//! rest to everyone, as far as limits allow and without what the guarantees still lack (reference,
//! section 6.3). A role beneath one with quota shares in its guarantees and limits.
//!
//! In the second round an agent goes first to those who did not give something of it back, in their
//! order; to the others, in their order, only where none of the first can take it, and then all begin
//! anew. So whoever keeps declining has each agent once while it goes round: a framework that wants
//! offers sees each agent that suits it within twice as many offers of the agent as there are
//! frameworks that want some.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::Resources;
use model::resources::{Resource, Role};

use super::accounts::AccountId;
use super::agent::{Agent, Holding};
use super::amounts::Amounts;
use super::filters::AgentSlot;
use super::hierarchical::{Hierarchical, Policy};
use super::shares::{Client, ClientId, Rank, Taker};
use super::{Allocation, rations};
use crate::event::Capability;

/// Roles whose guarantees are not met, whose turn it is first.
type Unmet = BTreeSet<(Rank, Arc<str>, AccountId)>;

/// What a run has given out so far.
#[derive(Debug, Default)]
struct Given {
    allocations: Vec<Allocation>,
    /// Where in the list an agent's first allocation stands, while there is a second round to come.
    places: BTreeMap<(ClientId, AgentSlot), usize>,
    /// Shared resources go out once in a run, though nobody's holding them takes them away.
    shared: BTreeMap<AgentSlot, Resources>,
}

/// What was given of one agent, for the shares.
type Held = Vec<(ClientId, Holding)>;

/// To whom an agent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// Those who have not given it back.
    Others,
    /// Those who have.
    Again,
}

/// Whether an agent is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    /// Nothing is left that is worth while.
    Over,
    /// Something is left, all of it reserved, and not all of it was before.
    Narrowed,
    /// Something is left that nobody takes.
    Asked,
}

impl Given {
    fn add(
        &mut self,
        agent: AgentSlot,
        of: &Agent,
        (id, client): (ClientId, &Client),
        offer: &Resources,
    ) {
        if offer.iter().any(|resource| resource.shared) {
            let given = self.shared.entry(agent).or_default();
            given.add_all(&offer.filter(|resource| resource.shared));
        }
        let resources = offer.allocate(&client.role);
        if !self.places.is_empty()
            && let Some(earlier) = self.places.get(&(id, agent))
            && let Some(earlier) = self.allocations.get_mut(*earlier)
        {
            earlier.resources.add_all(&resources);
            return;
        }
        self.allocations.push(Allocation {
            framework_id: client.framework_id.clone(),
            role: client.role.clone(),
            agent_id: of.id.clone(),
            resources,
        });
    }

    /// What of an agent may go out still.
    fn left(&self, slot: AgentSlot, agent: &Agent) -> Resources {
        match self.shared.get(&slot) {
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
fn usable(available: &Resources, role: &Role, taker: &Taker) -> Resources {
    let capabilities = taker.capabilities;
    let mut usable = available.filter(|r| {
        r.is_allocatable_to(role)
            && (!r.revocable || capabilities.has(Capability::RevocableResources))
            && (!r.shared || capabilities.has(Capability::SharedResources))
            && (!r.is_refined() || capabilities.has(Capability::ReservationRefinement))
    });
    usable.sort_by_key(rations::is_rationed);
    usable
}

impl Policy {
    /// Whether an agent is for a framework at all.
    fn suits(&self, agent: &Agent, client: &Client) -> bool {
        let taker = &client.taker;
        let may_have_gpus =
            !self.filter_gpu_resources || taker.capabilities.has(Capability::GpuResources);
        (may_have_gpus || !agent.has_gpus())
            && !taker.constraints.exclude(&client.role, &agent.attributes)
    }
}

/// Whether so much is worth an offer: one of the alternatives, or anything where there are none.
fn is_enough(scalars: &Amounts, alternatives: &[Amounts]) -> bool {
    alternatives.is_empty() || alternatives.iter().any(|least| scalars.contains(least))
}

impl Hierarchical {
    /// Gives out what can be given out of these agents.
    pub(super) fn run(&mut self, mut candidates: Vec<AgentSlot>) -> Vec<Allocation> {
        let mut given = Given::default();
        self.shares.refresh();
        if self.shares.wanting().is_empty() {
            return given.allocations;
        }
        self.random.shuffle(&mut candidates);
        let mut unmet = self.unmet();
        if !unmet.is_empty() {
            for slot in &candidates {
                self.meet_guarantees(*slot, &mut unmet, &mut given);
            }
            self.note_places(&mut given);
            self.random.shuffle(&mut candidates);
        }
        for slot in &candidates {
            self.share_out(*slot, &mut given);
        }
        given.allocations
    }

    /// From now on, what goes to who got something of the same agent already is one with that.
    fn note_places(&self, given: &mut Given) {
        for (place, allocation) in given.allocations.iter().enumerate() {
            let Allocation {
                framework_id,
                role,
                agent_id,
                ..
            } = allocation;
            let client = self.shares.find(role, framework_id);
            if let (Some(client), Some(slot)) = (client, self.slot(agent_id)) {
                given.places.insert((client, slot), place);
            }
        }
    }

    /// Roles whose guarantees are not met and in which someone wants something.
    fn unmet(&self) -> Unmet {
        let unmet = self.accounts.unmet();
        unmet
            .filter_map(|(id, top)| Some((self.shares.rank(top)?, top.clone(), id)))
            .collect()
    }

    /// Whether a client finds so much worth while.
    fn is_allocatable(minimum: &[Amounts], client: &Client, scalars: &Amounts) -> bool {
        let own = client.taker.minimum.as_deref();
        is_enough(scalars, own.unwrap_or(minimum))
    }

    /// Gives an agent to roles whose guarantees are not met.
    fn meet_guarantees(&mut self, slot: AgentSlot, unmet: &mut Unmet, given: &mut Given) {
        let Some(agent) = self.agents.get_mut(slot) else {
            return;
        };
        let mut held = Held::new();
        for (_, top, account) in unmet.iter() {
            for id in self.shares.turns_beneath(top) {
                let shortfall = self.accounts.shortfall(*account);
                if agent.free().at_most(&shortfall).is_empty() {
                    break;
                }
                let Some(client) = self.shares.client(id) else {
                    continue;
                };
                if !self.policy.suits(agent, client) {
                    continue;
                }
                let left = usable(&given.left(slot, agent), &client.role, &client.taker);
                let scalars = self.names.scalars(&left);
                if left.is_empty() || !Self::is_allocatable(&self.minimum, client, &scalars) {
                    continue;
                }
                let tools = (&mut self.random, &mut self.names);
                let offer = rations::guaranteed(&self.accounts, tools, &left, *account);
                let Some(offer) = offer else {
                    continue;
                };
                let scalars = self.names.scalars(&offer);
                if Self::is_allocatable(&self.minimum, client, &scalars)
                    && !self.filters.refuse(slot, id, &offer)
                {
                    let both = (id, client.account);
                    let names = &mut self.names;
                    let holding = self.accounts.give(names, agent, both, &offer);
                    given.add(slot, agent, (id, client), &offer);
                    held.push((id, holding));
                }
            }
        }
        for (id, holding) in held {
            let Some(client) = self.shares.client(id) else {
                continue;
            };
            let (top, account): (Arc<str>, _) = (Arc::from(client.role.top()), client.account);
            if let Some(rank) = self.shares.rank(&top) {
                unmet.remove(&(rank, top.clone(), account));
            }
            self.shares.allocated(id, &holding.amounts, holding.is_edge);
            if self.accounts.is_unmet(account)
                && let Some(rank) = self.shares.rank(&top)
            {
                unmet.insert((rank, top, account));
            }
        }
    }

    /// Gives an agent to whoever takes it, one after the other: what one may not have, reserved for
    /// another, is left for that one.
    fn share_out(&mut self, slot: AgentSlot, given: &mut Given) {
        let Some(agent) = self.agents.get(slot) else {
            return;
        };
        // Nobody is asked about what is nobody's worth while: there may be very many to ask.
        if !self.is_worth_while(agent) {
            return;
        }
        let mut held = Held::new();
        self.filters
            .refusers(slot, agent.available(), &mut self.passed);
        let wanting = self.shares.wanting();
        let mut visit = Visit::Asked;
        if wanting.any_without(&self.passed, &agent.had) {
            visit = self.offer_to(Tier::Others, slot, given, &mut held);
        }
        let Some(agent) = self.agents.get(slot) else {
            return;
        };
        if visit != Visit::Over && self.shares.wanting().any_within(&agent.had, &self.passed) {
            let before = held.len();
            self.offer_to(Tier::Again, slot, given, &mut held);
            if before == 0
                && !held.is_empty()
                && let Some(agent) = self.agents.get_mut(slot)
            {
                // It has been round.
                agent.had.clear();
            }
        }
        for (id, holding) in held {
            self.shares.allocated(id, &holding.amounts, holding.is_edge);
        }
    }

    /// Whether somebody may find what is left of an agent worth while.
    fn is_worth_while(&self, agent: &Agent) -> bool {
        if agent.available().is_empty() {
            return false;
        }
        if !self.own_minimum.is_empty() {
            return true;
        }
        if !is_enough(agent.scalars(), &self.minimum) {
            return false;
        }
        // Where guarantees are not met, nobody may have more of what is not reserved than this.
        match self.accounts.surplus().filter(|_| agent.is_plain()) {
            Some(surplus) => is_enough(&agent.scalars().at_most(&surplus), &self.minimum),
            None => true,
        }
    }

    /// Asks those of a tier, from the one whose turn it is.
    fn offer_to(
        &mut self,
        tier: Tier,
        slot: AgentSlot,
        given: &mut Given,
        held: &mut Held,
    ) -> Visit {
        loop {
            let Some(agent) = self.agents.get(slot) else {
                return Visit::Over;
            };
            let Some(tops) = tops(agent) else {
                match self.offer_beneath("", tier, slot, given, held) {
                    Visit::Narrowed => continue,
                    visit @ (Visit::Over | Visit::Asked) => return visit,
                }
            };
            for top in tops {
                if self.offer_beneath(top.as_str(), tier, slot, given, held) == Visit::Over {
                    return Visit::Over;
                }
            }
            return Visit::Asked;
        }
    }

    /// Asks those beneath a role, or all with the empty path.
    fn offer_beneath(
        &mut self,
        top: &str,
        tier: Tier,
        slot: AgentSlot,
        given: &mut Given,
        held: &mut Held,
    ) -> Visit {
        let Some(agent) = self.agents.get_mut(slot) else {
            return Visit::Over;
        };
        for id in self.shares.turns_beneath(top) {
            if self.passed.contains(id) || agent.had.contains(id) != (tier == Tier::Again) {
                continue;
            }
            let Some(client) = self.shares.client(id) else {
                continue;
            };
            let minimum = &self.minimum;
            if !Self::is_allocatable(minimum, client, agent.scalars())
                || !self.policy.suits(agent, client)
            {
                continue;
            }
            let both = (id, client.account);
            if agent.is_plain() {
                match self.accounts.fair_bound(client.account, agent.scalars()) {
                    None => {
                        // Who refused just this was passed over.
                        let mut offer = agent.take_available();
                        offer.sort_by_key(rations::is_rationed);
                        given.add(slot, agent, (id, client), &offer);
                        held.push((id, self.accounts.give_all(agent, both, offer)));
                        return Visit::Over;
                    }
                    Some(bound) if !Self::is_allocatable(minimum, client, &bound) => continue,
                    Some(_) => {}
                }
            }
            let left = usable(&given.left(slot, agent), &client.role, &client.taker);
            let tools = (&mut self.random, &mut self.names);
            let offer = rations::fair(&self.accounts, tools, left, client.account);
            let scalars = self.names.scalars(&offer);
            if offer.is_empty()
                || !Self::is_allocatable(minimum, client, &scalars)
                || self.filters.refuse(slot, id, &offer)
            {
                continue;
            }
            let was_open = has_unreserved(agent.available());
            let names = &mut self.names;
            held.push((id, self.accounts.give(names, agent, both, &offer)));
            given.add(slot, agent, (id, client), &offer);
            let left = given.left(slot, agent);
            let is_scrap = !is_enough(&names.scalars(&left), minimum);
            if left.is_empty() || (self.own_minimum.is_empty() && is_scrap) {
                return Visit::Over;
            }
            self.filters.refusers(slot, &left, &mut self.passed);
            if was_open && !has_unreserved(&left) {
                return Visit::Narrowed;
            }
        }
        Visit::Asked
    }
}

fn has_unreserved(resources: &Resources) -> bool {
    resources
        .iter()
        .any(|resource| resource.reservations.is_empty())
}

/// The roles whose trees alone can have any of what is available, where all of it is reserved.
fn tops(agent: &Agent) -> Option<Vec<Role>> {
    if has_unreserved(agent.available()) {
        return None;
    }
    let reserved = agent.available().iter();
    let roles: BTreeSet<&Role> = reserved.filter_map(Resource::reservation_role).collect();
    let is_top = |role: &&&Role| !roles.iter().any(|other| other.is_ancestor_of(role));
    let tops = roles.iter().filter(is_top);
    Some(tops.map(|role| (*role).clone()).collect())
}
