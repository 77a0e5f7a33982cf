//! One agent as the allocator sees it: what it has, and who holds what of it.
//!
//! Shared resources are there for everyone: holding one does not take it from what is available.
//! Sums of what is available are kept, so that a run of the allocator looks at integers first.

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::{Resource, Scalar};
use model::{AgentId, Resources};

use super::accounts::is_chargeable;
use super::amounts::{Amounts, Names};
use super::bits::Bits;
use super::shares::ClientId;
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
    /// Who was offered it and gave something back, since everyone who could take it had it last.
    pub(super) had: Bits,
    total: Resources,
    has_gpus: bool,
    /// Total less allocations; without allocation roles, as the total.
    available: Resources,
    /// The scalars of what is available.
    scalars: Amounts,
    /// What is available and would be charged to a role.
    free: Amounts,
    /// Whether nothing available is reserved, revocable or shared.
    is_plain: bool,
    /// By client.
    allocations: Vec<(ClientId, Resources)>,
    /// The sum of the allocations where there are several, shared resources aside; else nothing.
    held: Resources,
}

/// What a change of an allocation comes to.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// By how much the client holds more, or less.
    pub(super) amounts: Amounts,
    /// Whether it held nothing of the agent before, or holds nothing after.
    pub(super) is_edge: bool,
}

impl Agent {
    /// An agent of which nobody holds anything; nothing of it is given out yet.
    pub(super) fn new(names: &mut Names, id: AgentId, total: Resources) -> Self {
        let mut agent = Self {
            id,
            active: false,
            is_listed: false,
            attributes: Arc::default(),
            had: Bits::default(),
            total: Resources::new(),
            has_gpus: false,
            available: Resources::new(),
            scalars: Amounts::default(),
            free: Amounts::default(),
            is_plain: true,
            allocations: Vec::new(),
            held: Resources::new(),
        };
        agent.set_total(names, total);
        agent
    }

    /// What it has.
    pub(super) const fn total(&self) -> &Resources {
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

    /// Whether it has GPUs, free or not.
    pub(super) const fn has_gpus(&self) -> bool {
        self.has_gpus
    }

    /// Who holds what.
    pub(super) fn allocations(&self) -> &[(ClientId, Resources)] {
        &self.allocations
    }

    /// What a client holds.
    pub(super) fn held_by(&self, client: ClientId) -> Option<&Resources> {
        let at = self.place(client).ok()?;
        self.allocations.get(at).map(|(_, held)| held)
    }

    /// It has this from now on.
    pub(super) fn set_total(&mut self, names: &mut Names, total: Resources) {
        self.has_gpus = total.scalar("gpus") > Scalar::ZERO;
        self.total = total;
        self.update_available(names);
    }

    /// A client holds more.
    pub(super) fn hold(
        &mut self,
        names: &mut Names,
        client: ClientId,
        more: &Resources,
    ) -> Holding {
        let (at, is_edge) = self.open(client);
        let Some((_, held)) = self.allocations.get_mut(at) else {
            return Holding::default();
        };
        let has_shared = more.iter().any(|resource| resource.shared);
        let amounts = if has_shared {
            let before = names.scalars(held);
            held.add_all(more);
            names.scalars(held).minus(&before)
        } else {
            held.add_all(more);
            names.scalars(more)
        };
        self.add_held(more, at, is_edge);
        self.update_available(names);
        Holding { amounts, is_edge }
    }

    /// Takes out all that is available, where that is plain, to be held by a client at once
    /// ([`Self::hold_all`]).
    pub(super) const fn take_available(&mut self) -> Resources {
        core::mem::replace(&mut self.available, Resources::new())
    }

    /// A client holds all that was available. What it comes to is given back, and how much of it was
    /// free.
    pub(super) fn hold_all(&mut self, client: ClientId, offer: Resources) -> (Holding, Amounts) {
        let (at, is_edge) = self.open(client);
        self.add_held(&offer, at, is_edge);
        if let Some((_, held)) = self.allocations.get_mut(at) {
            if held.is_empty() {
                *held = offer;
            } else {
                held.add_all(&offer);
            }
        }
        let amounts = core::mem::take(&mut self.scalars);
        let free = core::mem::take(&mut self.free);
        (Holding { amounts, is_edge }, free)
    }

    /// A client holds less; what it really held of that is given back, and what it comes to.
    pub(super) fn release(
        &mut self,
        names: &mut Names,
        client: ClientId,
        less: &Resources,
    ) -> (Resources, Holding) {
        let Ok(at) = self.place(client) else {
            return (Resources::new(), Holding::default());
        };
        let Some((_, held)) = self.allocations.get_mut(at) else {
            return (Resources::new(), Holding::default());
        };
        let before = held.clone();
        held.subtract_all(less);
        let is_edge = held.is_empty();
        let (released, amounts) = if is_edge {
            let amounts = names.scalars(&before);
            (before, amounts)
        } else {
            let amounts = names.scalars(&before).minus(&names.scalars(held));
            (before.minus(held), amounts)
        };
        if is_edge {
            self.allocations.remove(at);
        }
        if self.allocations.len() <= 1 {
            self.held = Resources::new();
        } else {
            self.held.subtract_all(&exclusive(&released));
        }
        self.update_available(names);
        (released, Holding { amounts, is_edge })
    }

    fn place(&self, client: ClientId) -> Result<usize, usize> {
        self.allocations
            .binary_search_by_key(&client, |(id, _)| *id)
    }

    /// Where a client's allocation stands, and whether it is new.
    fn open(&mut self, client: ClientId) -> (usize, bool) {
        match self.place(client) {
            Ok(at) => (at, false),
            Err(at) => {
                self.allocations.insert(at, (client, Resources::new()));
                (at, true)
            }
        }
    }

    /// Adds to the sum of the allocations what the one at a place is about to have more, or has.
    fn add_held(&mut self, more: &Resources, at: usize, is_new: bool) {
        match self.allocations.as_slice() {
            [] | [_] => {}
            // The first of the two was no sum yet.
            [one, other] if is_new => {
                let (_, first) = if at == 0 { other } else { one };
                self.held = exclusive(first);
                self.held.add_all(&exclusive(more));
            }
            _ => self.held.add_all(&exclusive(more)),
        }
    }

    /// Total less allocations; nothing where these do not fit into the total, until they do again.
    fn update_available(&mut self, names: &mut Names) {
        let alone = match self.allocations.as_slice() {
            [(_, held)] => Some(exclusive(held)),
            _ => None,
        };
        let held = alone.as_ref().unwrap_or(&self.held);
        self.available = if held.is_empty() {
            self.total.clone()
        } else if self.total.contains(held) {
            self.total.minus(held)
        } else {
            Resources::new()
        };
        self.scalars = names.scalars(&self.available);
        self.free = names.amounts(&self.available, is_chargeable);
        let is_plain = |r: &Resource| is_chargeable(r) && !r.shared;
        self.is_plain = self.available.iter().all(is_plain);
    }
}

fn exclusive(resources: &Resources) -> Resources {
    resources.filter(|resource| !resource.shared)
}
