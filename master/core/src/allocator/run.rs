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

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use model::Resources;
use model::resources::{Resource, Role};

use super::Allocation;
use super::accounts::AccountId;
use super::agent::{Agent, Holding};
use super::amounts::{Amounts, Names};
use super::filters::AgentSlot;
use super::hierarchical::{Hierarchical, Policy};
use super::picks::Picks;
use super::shares::{Client, ClientId, NodeId, Place, ROOT, Taker};
use super::slots::index;
use crate::event::Capability;

/// Roles whose guarantees are not met, whose turn it is first.
type Unmet = BTreeSet<(Place, AccountId)>;

/// How many agents are looked at ahead: what is read of them fits into the first cache.
const AHEAD: usize = 16;

/// No allocation.
const NONE: u32 = u32::MAX;

/// What a run has given out so far.
#[derive(Debug, Default)]
struct Given {
    allocations: Vec<Allocation>,
    /// Of each agent the last allocation, and of each allocation to whom it went and the one before it
    /// of its agent; kept only where there are two rounds, of which the second adds to the first.
    last: Vec<u32>,
    before: Vec<(ClientId, u32)>,
    /// Shared resources go out once in a run, though nobody's holding them takes them away.
    shared: BTreeMap<AgentSlot, Resources>,
}

/// What was given of one agent, for the shares.
type Held = Vec<(ClientId, Holding)>;

/// Room for what a visit of an agent reckons with; the memory is used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    picks: Picks,
    held: Held,
}

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
        slot: AgentSlot,
        agent: &Agent,
        (id, client): (ClientId, &Client),
        resources: Resources,
    ) {
        if resources.iter().any(|resource| resource.shared) {
            let given = self.shared.entry(slot).or_default();
            given.add_all(&resources.shared().unallocate());
        }
        if let Some(last) = self.last.get_mut(index(slot)) {
            let mut next = *last;
            while let Some((to, before)) = self.before.get(index(next)) {
                if *to == id
                    && let Some(earlier) = self.allocations.get_mut(index(next))
                {
                    earlier.resources.add_all(&resources);
                    return;
                }
                next = *before;
            }
            let number = u32::try_from(self.allocations.len()).unwrap_or(NONE);
            self.before.push((id, core::mem::replace(last, number)));
        }
        self.allocations.push(Allocation {
            framework_id: client.framework_id.clone(),
            role: client.role.clone(),
            agent_id: agent.id.clone(),
            resources,
        });
    }

    /// Whether a resource of an agent has gone out in this run, so that it does not again.
    fn is_given(&self, slot: AgentSlot, resource: &Resource) -> bool {
        let mut given = self.shared.get(&slot).into_iter().flatten();
        resource.shared && given.any(|given| given.is_same_as(resource))
    }

    /// What of an agent may go out still.
    fn left<'a>(&self, slot: AgentSlot, agent: &'a Agent) -> Cow<'a, Resources> {
        match self.shared.contains_key(&slot) {
            true => Cow::Owned(agent.available().filter(|r| !self.is_given(slot, r))),
            false => Cow::Borrowed(agent.available()),
        }
    }
}

/// Whether a framework can use a resource in a role.
fn is_usable(resource: &Resource, role: &Role, taker: &Taker) -> bool {
    let capabilities = taker.capabilities;
    resource.is_allocatable_to(role)
        && (!resource.revocable || capabilities.has(Capability::RevocableResources))
        && (!resource.shared || capabilities.has(Capability::SharedResources))
        && (!resource.is_refined() || capabilities.has(Capability::ReservationRefinement))
}

impl Policy {
    /// Whether an agent is for a framework at all.
    fn suits(&self, agent: &Agent, client: &Client) -> bool {
        let taker = &client.taker;
        let may_have_gpus =
            !self.filter_gpu_resources || taker.capabilities.has(Capability::GpuResources);
        let may_be_remote = taker.capabilities.has(Capability::RegionAware);
        (may_have_gpus || !agent.has_gpus())
            && (may_be_remote || !agent.is_remote)
            && (agent.knows_many_roles || !taker.capabilities.has(Capability::MultiRole))
            && (agent.knows_nested_roles || !client.role.as_str().contains('/'))
            && !taker.constraints.exclude(&client.role, &agent.attributes)
    }
}

/// Whether so much is worth an offer: one of the alternatives, or anything where there are none.
fn is_enough(scalars: &Amounts, alternatives: &[Amounts]) -> bool {
    alternatives.is_empty() || alternatives.iter().any(|least| scalars.contains(least))
}

impl Picks {
    /// Picks what a framework can use in a role of what an agent has left.
    fn gather_for(
        &mut self,
        names: &Names,
        given: &Given,
        (slot, agent): (AgentSlot, &Agent),
        client: &Client,
    ) {
        self.gather(names, agent.available(), |resource| {
            is_usable(resource, &client.role, &client.taker) && !given.is_given(slot, resource)
        });
    }

    /// What would be offered; the resources stay where they are.
    fn preview(&self, agent: &Agent) -> Resources {
        let mut available = agent.available().clone();
        available.carve(|at, resource| self.part(at, resource))
    }
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
            given.last = vec![NONE; self.agents.slots()];
            for few in candidates.chunks(AHEAD) {
                self.look_ahead(few);
                for slot in few {
                    self.meet_guarantees(*slot, &mut unmet, &mut given);
                }
            }
            self.random.shuffle(&mut candidates);
        }
        for few in candidates.chunks(AHEAD) {
            self.look_ahead(few);
            for slot in few {
                self.share_out(*slot, &mut given);
            }
        }
        given.allocations
    }

    /// Has the memory of some agents brought near at once. They are visited in random order: for each by
    /// itself a visit would wait a dozen times, and memory is what bounds a run.
    fn look_ahead(&self, few: &[AgentSlot]) {
        let agents = few.iter().filter_map(|slot| self.agents.get(*slot));
        let seen = agents.map(Agent::glance).fold(0, usize::wrapping_add);
        core::hint::black_box(seen);
    }

    /// Roles whose guarantees are not met and in which someone wants something.
    fn unmet(&self) -> Unmet {
        let unmet = self.accounts.unmet();
        unmet
            .filter_map(|(id, top)| Some((self.shares.place(self.shares.node(top)?)?, id)))
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
        let Scratch { picks, held } = &mut self.scratch;
        'roles: for (place, account) in unmet.iter() {
            let Some(top) = place.node else {
                continue;
            };
            for id in self.shares.turns_beneath(top) {
                // There are many roles to ask, and most agents go to the first of them.
                if !agent.free().overlaps(self.accounts.required()) {
                    break 'roles;
                }
                if !agent.free().overlaps(&self.accounts.shortfall(*account)) {
                    break;
                }
                let Some(client) = self.shares.client(id) else {
                    continue;
                };
                if !self.policy.suits(agent, client) {
                    continue;
                }
                picks.gather_for(&self.names, given, (slot, agent), client);
                if picks.is_empty()
                    || !Self::is_allocatable(&self.minimum, client, &picks.scalars())
                    || !picks.guarantee(&mut self.random, &self.accounts, *account)
                    || !Self::is_allocatable(&self.minimum, client, &picks.scalars())
                    || (self.filters.has(slot, id)
                        && self.filters.refuse(slot, id, &picks.preview(agent)))
                {
                    continue;
                }
                let both = (id, &client.role);
                let (offer, gift) = agent.give(&mut self.names, both, picks);
                self.accounts.charge(client.account, &gift.free);
                given.add(slot, agent, (id, client), offer);
                held.push((id, gift.holding));
            }
        }
        for (id, holding) in held.drain(..) {
            let Some(client) = self.shares.client(id) else {
                continue;
            };
            let (top, account) = (self.shares.top(client), client.account);
            if let Some(place) = self.shares.place(top) {
                unmet.remove(&(place, account));
            }
            self.shares.allocated(id, &holding.amounts, holding.is_edge);
            if self.accounts.is_unmet(account)
                && let Some(place) = self.shares.place(top)
            {
                unmet.insert((place, account));
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
        self.filters
            .refusers(slot, agent.available(), &mut self.passed);
        let wanting = self.shares.wanting();
        let mut visit = Visit::Asked;
        if wanting.any_without(&self.passed, &agent.had) {
            visit = self.offer_to(Tier::Others, slot, given);
        }
        let Some(agent) = self.agents.get(slot) else {
            return;
        };
        if visit != Visit::Over && self.shares.wanting().any_within(&agent.had, &self.passed) {
            let before = self.scratch.held.len();
            self.offer_to(Tier::Again, slot, given);
            if before == 0
                && !self.scratch.held.is_empty()
                && let Some(agent) = self.agents.get_mut(slot)
            {
                // It has been round.
                agent.had.clear();
            }
        }
        for (id, holding) in self.scratch.held.drain(..) {
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
    fn offer_to(&mut self, tier: Tier, slot: AgentSlot, given: &mut Given) -> Visit {
        loop {
            let Some(agent) = self.agents.get(slot) else {
                return Visit::Over;
            };
            if agent.is_open() {
                match self.offer_beneath(ROOT, tier, slot, given) {
                    Visit::Narrowed => continue,
                    visit @ (Visit::Over | Visit::Asked) => return visit,
                }
            }
            for top in self.tops(slot) {
                if self.offer_beneath(top, tier, slot, given) == Visit::Over {
                    return Visit::Over;
                }
            }
            return Visit::Asked;
        }
    }

    /// The roles whose trees alone can have any of what is available, where all of it is reserved.
    fn tops(&mut self, slot: AgentSlot) -> Vec<NodeId> {
        let Some(agent) = self.agents.get_mut(slot) else {
            return Vec::new();
        };
        let mut tops: Vec<Role> = Vec::new();
        for role in agent
            .available()
            .iter()
            .filter_map(Resource::reservation_role)
        {
            if !tops
                .iter()
                .any(|top| top == role || top.is_ancestor_of(role))
            {
                tops.retain(|top| !role.is_ancestor_of(top));
                tops.push(role.clone());
            }
        }
        let nodes = tops
            .iter()
            .filter_map(|role| agent.find_node(&self.shares, role));
        nodes.collect()
    }

    /// Asks those beneath a role, or all with the root.
    fn offer_beneath(
        &mut self,
        top: NodeId,
        tier: Tier,
        slot: AgentSlot,
        given: &mut Given,
    ) -> Visit {
        let Some(agent) = self.agents.get_mut(slot) else {
            return Visit::Over;
        };
        let Scratch { picks, held } = &mut self.scratch;
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
            if agent.is_plain() && self.accounts.room(client.account).holds(agent.scalars()) {
                // Who refused just this was passed over.
                let (offer, gift) = agent.give_all(id, &client.role);
                self.accounts.charge(client.account, &gift.free);
                given.add(slot, agent, (id, client), offer);
                held.push((id, gift.holding));
                return Visit::Over;
            }
            picks.gather_for(&self.names, given, (slot, agent), client);
            picks.share(&mut self.random, &self.accounts, client.account);
            if picks.is_empty()
                || !Self::is_allocatable(minimum, client, &picks.scalars())
                || (self.filters.has(slot, id)
                    && self.filters.refuse(slot, id, &picks.preview(agent)))
            {
                continue;
            }
            let was_open = agent.is_open();
            let both = (id, &client.role);
            let (offer, gift) = agent.give(&mut self.names, both, picks);
            self.accounts.charge(client.account, &gift.free);
            given.add(slot, agent, (id, client), offer);
            held.push((id, gift.holding));
            let left = given.left(slot, agent);
            let is_scrap = match &left {
                Cow::Borrowed(_) => !is_enough(agent.scalars(), minimum),
                Cow::Owned(left) => !is_enough(&self.names.scalars(left), minimum),
            };
            if left.is_empty() || (self.own_minimum.is_empty() && is_scrap) {
                return Visit::Over;
            }
            self.filters.refusers(slot, &left, &mut self.passed);
            if was_open && !agent.is_open() {
                return Visit::Narrowed;
            }
        }
        Visit::Asked
    }
}
