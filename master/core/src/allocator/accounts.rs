//! Accounts: what each tree of roles has been charged with, against its guarantees and limits.
//!
//! Quota is set on roles at the top, and counts for all beneath. A role is charged with what is
//! reserved for it, used or not, and with what else it is offered or uses, other than revocable
//! resources. What is guaranteed and not yet charged is the headroom that the others have to leave
//! (reference, section 6.3). All sums are kept as things change: a run of the allocator adds nothing
//! up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use model::resources::{Limits, Quantities, Resource, Role};
use model::{FrameworkId, Resources};

use super::agent::Agent;
use crate::quota::Quota;

/// The accounts of all roles at the top.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: BTreeMap<Arc<str>, Account>,
    /// Roles whose guarantees are not met.
    unmet: BTreeSet<Arc<str>>,
    /// What those roles lack.
    required: Quantities,
    /// What nobody has on any agent: neither reserved nor revocable.
    free: Quantities,
    /// What all agents have that is not revocable.
    capacity: Quantities,
}

#[derive(Debug, Default)]
struct Account {
    quota: Quota,
    /// Reserved for the role or one beneath it.
    reserved: Quantities,
    /// Not reserved and not revocable, offered or in use.
    held: Quantities,
}

impl Account {
    fn charged(&self) -> Quantities {
        self.reserved.plus(&self.held)
    }

    fn shortfall(&self) -> Quantities {
        if self.quota.guarantees.is_empty() {
            return Quantities::new();
        }
        self.quota.guarantees.minus(&self.charged())
    }

    fn is_empty(&self) -> bool {
        self.quota.is_default() && self.reserved.is_empty() && self.held.is_empty()
    }
}

/// Whether a role is charged with a resource when it gets it.
pub(super) const fn is_chargeable(resource: &Resource) -> bool {
    resource.reservations.is_empty() && !resource.revocable
}

/// What a role is charged with when it gets these resources.
pub(super) fn chargeable(resources: &Resources) -> Quantities {
    resources.filter(is_chargeable).amounts()
}

impl Accounts {
    /// A role at the top has this quota from now on.
    pub(super) fn set_quota(&mut self, role: &Role, quota: &Quota) {
        self.change(role.as_str(), |account| account.quota = quota.clone());
    }

    /// An agent has these resources.
    pub(super) fn add_total(&mut self, total: &Resources) {
        self.capacity
            .add_all(&total.filter(|r| !r.revocable).quantities());
        for (role, reserved) in total.reservations() {
            let amounts = reserved.amounts();
            self.change(role.top(), |account| account.reserved.add_all(&amounts));
        }
    }

    /// An agent does not have these resources any more.
    pub(super) fn subtract_total(&mut self, total: &Resources) {
        let left = total.filter(|r| !r.revocable).quantities();
        self.capacity.subtract_all(&left);
        for (role, reserved) in total.reservations() {
            let amounts = reserved.amounts();
            self.change(role.top(), |account| {
                account.reserved.subtract_all(&amounts)
            });
        }
    }

    /// A framework gets resources of an agent: the role is charged. By how much the framework holds
    /// more is given back.
    pub(super) fn give(
        &mut self,
        agent: &mut Agent,
        id: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) -> Quantities {
        let free = agent.free();
        let added = agent.hold(id, role, resources);
        self.set_free(&free, &agent.free());
        let amounts = chargeable(resources);
        self.change(role.top(), |account| account.held.add_all(&amounts));
        added
    }

    /// A framework gives resources of an agent back, as far as it holds them. By how much it holds
    /// less is given back.
    pub(super) fn take(
        &mut self,
        agent: &mut Agent,
        id: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) -> Quantities {
        let free = agent.free();
        let (released, shrank) = agent.release(id, role, resources);
        self.set_free(&free, &agent.free());
        let amounts = chargeable(&released);
        self.change(role.top(), |account| account.held.subtract_all(&amounts));
        shrank
    }

    /// What nobody has of an agent changes.
    pub(super) fn set_free(&mut self, before: &Quantities, after: &Quantities) {
        self.free.subtract_all(before);
        self.free.add_all(after);
    }

    /// What the tree of a role is charged with.
    pub(super) fn charged(&self, top: &str) -> Quantities {
        let account = self.accounts.get(top);
        account.map(Account::charged).unwrap_or_default()
    }

    /// The roles whose guarantees are not met.
    pub(super) const fn unmet(&self) -> &BTreeSet<Arc<str>> {
        &self.unmet
    }

    /// What a role lacks of its guarantees.
    pub(super) fn shortfall(&self, top: &str) -> Quantities {
        let account = self.accounts.get(top);
        account.map(Account::shortfall).unwrap_or_default()
    }

    /// How much more a role may have, where it has limits.
    pub(super) fn allowance(&self, top: &str) -> Option<Limits> {
        let account = self.accounts.get(top)?;
        if account.quota.limits.is_empty() {
            return None;
        }
        let mut limits = account.quota.limits.clone();
        limits.subtract_all(&account.charged());
        Some(limits)
    }

    /// What may be given out beyond guarantees, where some of these are not met.
    pub(super) fn surplus(&self) -> Option<Quantities> {
        (!self.required.is_empty()).then(|| self.free.minus(&self.required))
    }

    /// What all agents have that is not revocable.
    pub(super) const fn capacity(&self) -> &Quantities {
        &self.capacity
    }

    fn change(&mut self, top: &str, change: impl FnOnce(&mut Account)) {
        if !self.accounts.contains_key(top) {
            self.accounts.insert(Arc::from(top), Account::default());
        }
        let Some(account) = self.accounts.get_mut(top) else {
            return;
        };
        self.required.subtract_all(&account.shortfall());
        change(account);
        let shortfall = account.shortfall();
        self.required.add_all(&shortfall);
        if account.is_empty() {
            self.accounts.remove(top);
        }
        if shortfall.is_empty() {
            self.unmet.remove(top);
        } else {
            self.unmet.insert(Arc::from(top));
        }
    }
}
