//! One agent as the allocator sees it: what it has, and who holds what of it.
//!
//! Shared resources are there for everyone: holding one does not take it from what is available.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use model::resources::{Quantities, Role, Scalar};
use model::{FrameworkId, Resources};

use super::accounts::chargeable;
use crate::event::AgentAttributes;

/// An agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) active: bool,
    /// What offer constraints look at.
    pub(super) attributes: Arc<AgentAttributes>,
    total: Resources,
    /// Total less allocations; without allocation roles, as the total.
    available: Resources,
    allocations: BTreeMap<(FrameworkId, Role), Resources>,
    /// The sum of the allocations, shared resources aside.
    held: Resources,
}

impl Agent {
    /// An agent of which nobody holds anything; nothing of it is given out yet.
    pub(super) fn new(total: Resources) -> Self {
        Self {
            active: false,
            attributes: Arc::default(),
            available: total.clone(),
            total,
            allocations: BTreeMap::new(),
            held: Resources::new(),
        }
    }

    /// What it has.
    pub(super) const fn total(&self) -> &Resources {
        &self.total
    }

    /// What may be given out.
    pub(super) const fn available(&self) -> &Resources {
        &self.available
    }

    /// What is available and would be charged to a role.
    pub(super) fn free(&self) -> Quantities {
        chargeable(&self.available)
    }

    /// Whether it has GPUs, free or not.
    pub(super) fn has_gpus(&self) -> bool {
        self.total.scalar("gpus") > Scalar::ZERO
    }

    /// Who holds what.
    pub(super) const fn allocations(&self) -> &BTreeMap<(FrameworkId, Role), Resources> {
        &self.allocations
    }

    /// It has this from now on.
    pub(super) fn set_total(&mut self, total: Resources) {
        self.total = total;
        self.update_available();
    }

    /// A framework holds more; by how much, is given back.
    pub(super) fn hold(&mut self, id: &FrameworkId, role: &Role, more: &Resources) -> Quantities {
        let key = (id.clone(), role.clone());
        let held = self.allocations.entry(key).or_default();
        let before = held.quantities();
        held.add_all(more);
        let added = held.quantities().minus(&before);
        self.held.add_all(&exclusive(more));
        self.update_available();
        added
    }

    /// A framework holds less; what it really held of that, and by how much its scalars shrank, is
    /// given back.
    pub(super) fn release(
        &mut self,
        id: &FrameworkId,
        role: &Role,
        less: &Resources,
    ) -> (Resources, Quantities) {
        let key = (id.clone(), role.clone());
        let Some(held) = self.allocations.get_mut(&key) else {
            return (Resources::new(), Quantities::new());
        };
        let before = held.clone();
        held.subtract_all(less);
        let released = before.minus(held);
        let shrank = before.quantities().minus(&held.quantities());
        if held.is_empty() {
            self.allocations.remove(&key);
        }
        self.held.subtract_all(&exclusive(&released));
        self.update_available();
        (released, shrank)
    }

    /// Total less allocations; nothing where these do not fit into the total, until they do again.
    fn update_available(&mut self) {
        self.available = if self.total.contains(&self.held) {
            self.total.minus(&self.held)
        } else {
            Resources::new()
        };
    }
}

fn exclusive(resources: &Resources) -> Resources {
    resources.filter(|resource| !resource.shared)
}
