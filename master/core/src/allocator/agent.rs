//! One agent as the allocator sees it: what it has, and who holds what of it.
//!
//! Shared resources are there for everyone: holding one does not take it from what is available.
//! What is available and its sums are kept as a run of the allocator gives them out, so that it looks at
//! integers first and moves resources without searching.

use alloc::borrow::Cow;
use alloc::sync::Arc;

use model::resources::{Resource, Role, Scalar, Value};
use model::{AgentId, Resources};

use super::accounts::is_chargeable;
use super::amounts::{Amounts, Names};
use super::bits::Bits;
use super::holders::{Holder, Holders};
use super::picks::{Picks, is_rationed};
use super::shares::{ClientId, NodeId, Shares};
use crate::event::AgentAttributes;

/// An agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) active: bool,
    /// Whether it stands among the candidates of the next run.
    pub(super) is_listed: bool,
    /// What offer constraints look at.
    pub(super) attributes: Arc<AgentAttributes>,
    /// Whether it is in another region than the master.
    pub(super) is_remote: bool,
    /// Whether frameworks may have many roles there.
    pub(super) knows_many_roles: bool,
    /// Whether roles may be nested there.
    pub(super) knows_nested_roles: bool,
    /// Who was offered it and gave something back, since everyone who could take it had it last.
    pub(super) had: Bits,
    total: Arc<Resources>,
    has_gpus: bool,
    /// Total less allocations; without allocation roles, as the total.
    available: Resources,
    /// The scalars of what is available.
    scalars: Amounts,
    /// What is available and would be charged to a role.
    free: Amounts,
    /// Whether nothing available is reserved, revocable or shared.
    is_plain: bool,
    /// Whether something available is not reserved.
    is_open: bool,
    /// Whether more is held than it has: nothing is available until that is over.
    is_short: bool,
    holders: Holders,
    /// The node of a role that something here is reserved for, as it was found last.
    top: Option<Top>,
}

/// A role's node.
#[derive(Debug)]
struct Top {
    role: Role,
    node: Option<NodeId>,
    /// As long as no node comes or goes.
    generation: u64,
}

/// What a change of an allocation comes to.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// By how much the client holds more, or less.
    pub(super) amounts: Amounts,
    /// Whether it held nothing of the agent before, or holds nothing after.
    pub(super) is_edge: bool,
}

/// What was given out comes to.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) holding: Holding,
    /// How much less of the agent is available that would be charged to a role.
    pub(super) free: Amounts,
}

impl Agent {
    /// An agent of which nobody holds anything; nothing of it is given out yet.
    pub(super) fn new(names: &mut Names, id: AgentId, total: Resources) -> Self {
        let mut agent = Self {
            id,
            active: false,
            is_listed: false,
            attributes: Arc::default(),
            is_remote: false,
            knows_many_roles: true,
            knows_nested_roles: true,
            had: Bits::default(),
            total: Arc::default(),
            has_gpus: false,
            available: Resources::new(),
            scalars: Amounts::default(),
            free: Amounts::default(),
            is_plain: true,
            is_open: false,
            is_short: false,
            holders: Holders::default(),
            top: None,
        };
        agent.set_total(names, total);
        agent
    }

    /// What it has.
    pub(super) const fn total(&self) -> &Arc<Resources> {
        &self.total
    }

    /// What may be given out.
    pub(super) const fn available(&self) -> &Resources {
        &self.available
    }

    /// The scalars of what may be given out.
    pub(super) const fn scalars(&self) -> &Amounts {
        &self.scalars
    }

    /// What is available and would be charged to a role.
    pub(super) const fn free(&self) -> &Amounts {
        &self.free
    }

    /// Whether nothing that is available is reserved, revocable or shared.
    pub(super) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether something that is available is not reserved.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether it has GPUs, free or not.
    pub(super) const fn has_gpus(&self) -> bool {
        self.has_gpus
    }

    /// Who holds what.
    pub(super) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter()
    }

    /// The node of a role, where there is one.
    pub(super) fn find_node(&mut self, shares: &Shares, role: &Role) -> Option<NodeId> {
        let generation = shares.generation();
        if let Some(top) = &self.top
            && top.generation == generation
            && top.role == *role
        {
            return top.node;
        }
        let node = shares.node(role.as_str());
        let role = role.clone();
        self.top = Some(Top {
            role,
            node,
            generation,
        });
        node
    }

    /// What a client holds.
    pub(super) fn held_by(&self, client: ClientId) -> Option<&Resources> {
        self.holders.get(client)
    }

    /// Reads here and there in what a visit reads, and gives back something that depends on it all.
    pub(super) fn glance(&self) -> usize {
        let first = |text: &str| text.bytes().next().map_or(0, usize::from);
        let mut seen = first(self.id.as_str());
        // These lie apart from each other in it.
        for amounts in [&self.scalars, &self.free] {
            seen = seen.wrapping_add(usize::from(amounts.get(0) == 0));
        }
        seen = seen.wrapping_add(usize::from(self.holders.get(0).is_none()));
        seen = seen.wrapping_add(usize::from(self.had.is_empty()));
        for resource in self.available.iter() {
            seen = seen.wrapping_add(resource.reservation_role().map_or(0, |r| first(r.as_str())));
            if let Value::Ranges(ranges) = &resource.value {
                let first = ranges.as_slice().first();
                seen = seen.wrapping_add(usize::from(first.is_some_and(|range| range.begin == 0)));
            }
        }
        seen
    }

    /// It has this from now on.
    pub(super) fn set_total(&mut self, names: &mut Names, mut total: Resources) {
        names.intern(&mut total);
        self.has_gpus = total.scalar("gpus") > Scalar::ZERO;
        self.total = Arc::new(total);
        self.reckon(names);
    }

    /// A client holds more.
    pub(super) fn hold(
        &mut self,
        names: &mut Names,
        client: ClientId,
        more: &Resources,
    ) -> Holding {
        let holding = self.add(names, client, Cow::Borrowed(more));
        let less = exclusive(more);
        if !self.is_short && self.available.contains(&less) {
            self.available.subtract_all(&less);
            self.scalars.subtract_all(&names.scalars(&less));
            let free = names.amounts(&less, is_chargeable);
            self.free.subtract_all(&free);
            self.look();
        } else {
            self.reckon(names);
        }
        holding
    }

    /// A client of a role holds all that was available, where that was plain. What goes to it is given
    /// back, and what that comes to.
    pub(super) fn give_all(&mut self, client: ClientId, role: &Role) -> (Resources, Given) {
        let mut offer = core::mem::take(&mut self.available);
        list(&mut offer);
        let allocated = offer.allocate(role);
        let is_edge = self.holders.add(client, offer);
        let amounts = core::mem::take(&mut self.scalars);
        let free = core::mem::take(&mut self.free);
        self.is_open = false;
        let holding = Holding { amounts, is_edge };
        (allocated, Given { holding, free })
    }

    /// A client of a role holds what was picked for it. What goes to it is given back, and what that
    /// comes to.
    pub(super) fn give(
        &mut self,
        names: &mut Names,
        (client, role): (ClientId, &Role),
        picks: &Picks,
    ) -> (Resources, Given) {
        let mut offer = match picks.is_all_of(&self.available) {
            true => core::mem::take(&mut self.available),
            false => self
                .available
                .carve(|at, resource| picks.part(at, resource)),
        };
        list(&mut offer);
        let allocated = offer.allocate(role);
        let (free, holding) = match picks.sums() {
            Some((free, amounts)) => {
                self.scalars.subtract_all(&amounts);
                let is_edge = self.holders.add(client, offer);
                (free, Holding { amounts, is_edge })
            }
            None => {
                let free = names.amounts(&offer, is_chargeable);
                let less = names.scalars(&exclusive(&offer));
                self.scalars.subtract_all(&less);
                (free, self.add(names, client, Cow::Owned(offer)))
            }
        };
        self.free.subtract_all(&free);
        self.look();
        (allocated, Given { holding, free })
    }

    /// A client holds less; what it really held of that is given back, and what it comes to.
    pub(super) fn release(
        &mut self,
        names: &mut Names,
        client: ClientId,
        less: &Resources,
    ) -> (Resources, Holding) {
        let Some(held) = self.holders.get_mut(client) else {
            return (Resources::new(), Holding::default());
        };
        let is_edge = less.contains(held);
        let (released, amounts) = if is_edge {
            let released = self.holders.remove(client).unwrap_or_default();
            let amounts = names.scalars(&released);
            (released, amounts)
        } else {
            let before = held.clone();
            held.subtract_all(less);
            let amounts = names.scalars(&before).minus(&names.scalars(held));
            (before.minus(held), amounts)
        };
        self.reckon(names);
        (released, Holding { amounts, is_edge })
    }

    /// Adds to what a client holds.
    fn add(&mut self, names: &mut Names, client: ClientId, more: Cow<'_, Resources>) -> Holding {
        if more.iter().any(|resource| resource.shared) {
            let scalars = |names: &mut Names, held: Option<&Resources>| {
                held.map(|held| names.scalars(held)).unwrap_or_default()
            };
            let before = scalars(names, self.holders.get(client));
            let is_edge = self.holders.add(client, more.into_owned());
            let amounts = scalars(names, self.holders.get(client)).minus(&before);
            return Holding { amounts, is_edge };
        }
        let amounts = names.scalars(&more);
        let is_edge = self.holders.add(client, more.into_owned());
        Holding { amounts, is_edge }
    }

    /// Total less allocations; nothing where these do not fit into the total.
    fn reckon(&mut self, names: &mut Names) {
        let mut left = Resources::clone(&self.total);
        // Where less may be revoked than is held, as an estimate may have it, nothing is left of that
        // alone.
        self.is_short = !self.holders.iter().all(|(_, held)| {
            let held = exclusive(held);
            let fits = left.contains(&lasting(&held));
            left.subtract_all(&held);
            fits
        });
        self.available = match self.is_short {
            true => Resources::new(),
            false => left,
        };
        self.scalars = names.scalars(&self.available);
        self.free = names.amounts(&self.available, is_chargeable);
        self.look();
    }

    /// Notes what sort of resources are available.
    fn look(&mut self) {
        let is_plain = |r: &Resource| is_chargeable(r) && !r.shared;
        self.is_plain = self.available.iter().all(is_plain);
        let is_open = |r: &Resource| r.reservations.is_empty();
        self.is_open = self.available.iter().any(is_open);
    }
}

/// Puts an offer into the order in which Mesos lists it: what quota has a say in comes last.
fn list(offer: &mut Resources) {
    if !offer.iter().is_sorted_by_key(is_rationed) {
        offer.sort_by_key(is_rationed);
    }
}

/// The resources that nobody takes back.
fn lasting(resources: &Resources) -> Cow<'_, Resources> {
    match resources.iter().any(|resource| resource.revocable) {
        true => Cow::Owned(resources.filter(|resource| !resource.revocable)),
        false => Cow::Borrowed(resources),
    }
}

/// The resources of which holding one takes it from the others.
fn exclusive(resources: &Resources) -> Cow<'_, Resources> {
    match resources.iter().any(|resource| resource.shared) {
        true => Cow::Owned(resources.non_shared()),
        false => Cow::Borrowed(resources),
    }
}
