//! Accounts: what each tree of roles has been charged with, against its guarantees and limits.
//!
//! Quota is set on roles at the top, and counts for all beneath. A role is charged with what is
//! reserved for it, used or not, and with what else it is offered or uses, other than revocable
//! resources. What is guaranteed and not yet charged is the headroom that the others have to leave
//! (reference, section 6.3). All sums are kept as things change: a run of the allocator adds nothing
//! up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use model::Resources;
use model::resources::{Quantities, Resource, Role};

use super::agent::{Agent, Holding};
use super::amounts::{Amounts, Bounds, Names};
use super::shares::ClientId;
use super::slots::Slots;
use crate::quota::Quota;

/// The number of an account.
pub(super) type AccountId = u32;

/// The accounts of all roles at the top.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: Slots<Account>,
    by_top: BTreeMap<Arc<str>, AccountId>,
    /// Roles whose guarantees are not met.
    unmet: BTreeSet<AccountId>,
    /// What those roles lack.
    required: Amounts,
    /// What nobody has on any agent: neither reserved nor revocable.
    free: Amounts,
    /// What all agents have that is not revocable.
    capacity: Quantities,
}

#[derive(Debug)]
struct Account {
    top: Arc<str>,
    /// How many clients are charged to it.
    users: usize,
    guarantees: Amounts,
    limits: Bounds,
    /// Reserved for the role or one beneath it.
    reserved: Amounts,
    /// Not reserved and not revocable, offered or in use.
    held: Amounts,
}

/// How much a role may have: what its limits leave, and no more than what is free beyond the
/// guarantees that are not met.
#[derive(Debug)]
pub(super) struct Room<'a> {
    /// With what the role is charged with.
    limits: Option<(&'a Bounds, Amounts)>,
    /// What is free, and what of it is owed.
    surplus: Option<(&'a Amounts, &'a Amounts)>,
}

impl Room<'_> {
    /// Whether everything may be had.
    pub(super) const fn is_boundless(&self) -> bool {
        self.limits.is_none() && self.surplus.is_none()
    }

    /// What the limits leave of a name.
    pub(super) fn allowance(&self, name: usize) -> i64 {
        let Some((limits, charged)) = &self.limits else {
            return i64::MAX;
        };
        let limit = limits.iter().find(|(number, _)| *number == name);
        limit.map_or(i64::MAX, |(_, bound)| {
            bound.saturating_sub(charged.get(name)).max(0)
        })
    }

    /// What is free of a name beyond guarantees that are not met.
    pub(super) fn surplus(&self, name: usize) -> i64 {
        self.surplus.map_or(i64::MAX, |(free, owed)| {
            free.get(name).saturating_sub(owed.get(name)).max(0)
        })
    }

    /// The most that may be had of a name.
    pub(super) fn of(&self, name: usize) -> i64 {
        self.allowance(name).min(self.surplus(name))
    }

    /// Whether so much may be had.
    pub(super) fn holds(&self, scalars: &Amounts) -> bool {
        self.is_boundless() || scalars.iter().all(|(name, amount)| amount <= self.of(name))
    }
}

impl Account {
    fn new(top: &str) -> Self {
        Self {
            top: Arc::from(top),
            users: 0,
            guarantees: Amounts::default(),
            limits: Bounds::new(),
            reserved: Amounts::default(),
            held: Amounts::default(),
        }
    }

    fn charged(&self) -> Amounts {
        let mut charged = self.reserved.clone();
        charged.add_all(&self.held);
        charged
    }

    fn shortfall(&self) -> Amounts {
        if self.guarantees.is_empty() {
            return Amounts::default();
        }
        self.guarantees.minus(&self.charged())
    }

    fn is_needless(&self) -> bool {
        self.users == 0
            && self.guarantees.is_empty()
            && self.limits.is_empty()
            && self.reserved.is_empty()
            && self.held.is_empty()
    }
}

/// Whether a role is charged with a resource when it gets it.
pub(super) const fn is_chargeable(resource: &Resource) -> bool {
    resource.reservations.is_empty() && !resource.revocable
}

impl Accounts {
    /// The account of a role at the top, for one more client.
    pub(super) fn open(&mut self, top: &str) -> AccountId {
        let id = self.find_or_make(top);
        if let Some(account) = self.accounts.get_mut(id) {
            account.users = account.users.saturating_add(1);
        }
        id
    }

    /// A client is gone.
    pub(super) fn close(&mut self, id: AccountId) {
        self.change(id, |account| {
            account.users = account.users.saturating_sub(1);
        });
    }

    /// A role at the top has this quota from now on.
    pub(super) fn set_quota(&mut self, names: &mut Names, role: &Role, quota: &Quota) {
        let guarantees = names.vector(&quota.guarantees);
        let limits = names.bounds(&quota.limits);
        let id = self.find_or_make(role.as_str());
        self.change(id, |account| {
            account.guarantees = guarantees;
            account.limits = limits;
        });
    }

    /// An agent has these resources.
    pub(super) fn add_total(&mut self, names: &mut Names, total: &Resources) {
        self.capacity
            .add_all(&total.filter(|r| !r.revocable).quantities());
        for (role, reserved) in total.reservations() {
            let amounts = names.amounts(&reserved, |_| true);
            let id = self.find_or_make(role.top());
            self.change(id, |account| account.reserved.add_all(&amounts));
        }
    }

    /// An agent does not have these resources any more.
    pub(super) fn subtract_total(&mut self, names: &mut Names, total: &Resources) {
        let left = total.filter(|r| !r.revocable).quantities();
        self.capacity.subtract_all(&left);
        for (role, reserved) in total.reservations() {
            let amounts = names.amounts(&reserved, |_| true);
            let id = self.find_or_make(role.top());
            self.change(id, |account| account.reserved.subtract_all(&amounts));
        }
    }

    /// A client gets resources of an agent, and its role is charged. What that comes to is given
    /// back.
    pub(super) fn give(
        &mut self,
        names: &mut Names,
        agent: &mut Agent,
        (client, account): (ClientId, AccountId),
        resources: &Resources,
    ) -> Holding {
        let free = agent.free().clone();
        let holding = agent.hold(names, client, resources);
        self.set_free(&free, agent.free());
        let amounts = names.amounts(resources, is_chargeable);
        self.change(account, |account| account.held.add_all(&amounts));
        holding
    }

    /// A role is charged with what a client of it got of what was free.
    pub(super) fn charge(&mut self, account: AccountId, free: &Amounts) {
        self.free.subtract_all(free);
        self.change(account, |account| account.held.add_all(free));
    }

    /// A client gives resources of an agent back, as far as it holds them. What that comes to is given
    /// back.
    pub(super) fn take(
        &mut self,
        names: &mut Names,
        agent: &mut Agent,
        (client, account): (ClientId, AccountId),
        resources: &Resources,
    ) -> Holding {
        let free = agent.free().clone();
        let (released, holding) = agent.release(names, client, resources);
        self.set_free(&free, agent.free());
        let amounts = names.amounts(&released, is_chargeable);
        self.change(account, |account| account.held.subtract_all(&amounts));
        holding
    }

    /// What nobody has of an agent changes.
    pub(super) fn set_free(&mut self, before: &Amounts, after: &Amounts) {
        self.free.subtract_all(before);
        self.free.add_all(after);
    }

    /// What the tree of a role is charged with.
    pub(super) fn charged(&self, top: &str) -> Amounts {
        let account = self.by_top.get(top).and_then(|id| self.accounts.get(*id));
        account.map(Account::charged).unwrap_or_default()
    }

    /// The roles whose guarantees are not met.
    pub(super) fn unmet(&self) -> impl Iterator<Item = (AccountId, &Arc<str>)> {
        let unmet = self.unmet.iter();
        unmet.filter_map(|id| Some((*id, &self.accounts.get(*id)?.top)))
    }

    /// Whether a role's guarantees are not met.
    pub(super) fn is_unmet(&self, id: AccountId) -> bool {
        self.unmet.contains(&id)
    }

    /// What a role lacks of its guarantees.
    pub(super) fn shortfall(&self, id: AccountId) -> Amounts {
        let account = self.accounts.get(id);
        account.map(Account::shortfall).unwrap_or_default()
    }

    /// What is lacking of all guarantees.
    pub(super) const fn required(&self) -> &Amounts {
        &self.required
    }

    /// What may be given out beyond guarantees, where some of these are not met.
    pub(super) fn surplus(&self) -> Option<Amounts> {
        (!self.required.is_empty()).then(|| self.free.minus(&self.required))
    }

    /// How much a role may have beyond its guarantees.
    pub(super) fn room(&self, id: AccountId) -> Room<'_> {
        let account = self.accounts.get(id);
        let limited = account.filter(|account| !account.limits.is_empty());
        Room {
            limits: limited.map(|account| (&account.limits, account.charged())),
            surplus: (!self.required.is_empty()).then_some((&self.free, &self.required)),
        }
    }

    /// What all agents have that is not revocable.
    pub(super) const fn capacity(&self) -> &Quantities {
        &self.capacity
    }

    fn find_or_make(&mut self, top: &str) -> AccountId {
        if let Some(id) = self.by_top.get(top) {
            return *id;
        }
        let account = Account::new(top);
        let top = account.top.clone();
        let id = self.accounts.insert(account);
        self.by_top.insert(top, id);
        id
    }

    fn change(&mut self, id: AccountId, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        let before = account.shortfall();
        change(account);
        let shortfall = account.shortfall();
        if before != shortfall {
            self.required.subtract_all(&before);
            self.required.add_all(&shortfall);
            if shortfall.is_empty() {
                self.unmet.remove(&id);
            } else {
                self.unmet.insert(id);
            }
        }
        if account.is_needless() {
            self.by_top.remove(&account.top);
            self.accounts.remove(id);
        }
    }
}
