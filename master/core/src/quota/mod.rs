//! Quota: what roles are guaranteed, and what they may have at most.
//!
//! Quota is set on roles at the top of their tree and counts for all beneath. A change is in force
//! when the registry has it; then offers are taken back that stand against it, so that the allocator
//! can give by the new rules what is free (reference, section 6.6).

mod check;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use model::resources::{InvalidResource, Limits, Quantities, Resource, Role};
use model::{AgentId, OfferId, Resources};

use crate::Master;
use crate::agents::AgentState;
use crate::allocator::Allocator;
use crate::event::{Answer, ClusterEntry, Offer, QuotaConfig, RequestId, Text};
use crate::frameworks::Framework;
use crate::registry::Rescind;

/// The quota of a role at the top of its tree, which counts for all beneath.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// What is kept for it where it lacks that much.
    pub guarantees: Quantities,
    /// What it may have at most.
    pub limits: Limits,
}

impl Quota {
    /// Whether it is that of a role for which nobody has set any.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }

    /// In the older form the guarantees are the limits as well.
    fn of_guarantee(guarantee: &[Resource]) -> Self {
        let resources: Resources = guarantee.iter().cloned().collect();
        let guarantees = resources.quantities();
        let limits = guarantees.iter().map(|(name, n)| (name.clone(), *n));
        Self {
            limits: limits.collect(),
            guarantees,
        }
    }
}

/// The quotas in force, by role. One that was cleared stays listed, as in Mesos, while this master
/// leads.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    by_role: Arc<BTreeMap<Role, Quota>>,
    /// The sum of the guarantees.
    guaranteed: Quantities,
}

impl Quotas {
    /// The quotas, shared with whoever looked at them before.
    #[must_use]
    pub const fn by_role(&self) -> &Arc<BTreeMap<Role, Quota>> {
        &self.by_role
    }

    fn get(&self, role: &Role) -> Quota {
        self.by_role.get(role).cloned().unwrap_or_default()
    }

    /// Puts a quota in force, or forgets the role's.
    fn set(&mut self, role: &Role, quota: Option<Quota>) {
        self.guaranteed.subtract_all(&self.get(role).guarantees);
        let by_role = Arc::make_mut(&mut self.by_role);
        match quota {
            Some(quota) => {
                self.guaranteed.add_all(&quota.guarantees);
                by_role.insert(role.clone(), quota);
            }
            None => drop(by_role.remove(role)),
        }
    }
}

impl Master {
    pub(crate) fn update_quota(
        &mut self,
        request: RequestId,
        configs: &[QuotaConfig],
        force: bool,
    ) {
        match self.check_quotas(configs, force) {
            Ok(quotas) => {
                let entry = |(role, quota): &(Role, Quota)| ClusterEntry::Quota {
                    role: role.clone(),
                    quota: Some(quota.clone()),
                };
                let entries = quotas.iter().map(entry).collect();
                let roles = quotas.into_iter().map(|(role, _)| role).collect();
                self.store_cluster_then(entries, Some(request), Rescind::ForQuotas(roles));
            }
            Err(fault) => self.answer(request, Answer::BadRequest(fault)),
        }
    }

    fn check_quotas(
        &self,
        configs: &[QuotaConfig],
        force: bool,
    ) -> Result<Vec<(Role, Quota)>, String> {
        let quotas: Vec<_> = configs
            .iter()
            .map(check::config)
            .collect::<Result<_, _>>()?;
        let limited = quotas
            .iter()
            .filter(|(_, quota)| !force && !quota.limits.is_empty());
        let offered = limited.clone().next().map(|_| self.offered_by_role());
        for (role, Quota { limits, .. }) in limited {
            // What the tree of a role has, offers aside: reservations, used or not, and what else is
            // in use.
            let mut consumed = self.allocator.charged(role.as_str());
            for offer in offered
                .iter()
                .filter_map(|o| o.get(role.as_str()))
                .flatten()
            {
                let counts = |r: &Resource| r.reservations.is_empty() && !r.revocable;
                consumed.subtract_all(&offer.resources.filter(counts).amounts());
            }
            if !limits.contains(&consumed) {
                return Err(format!(
                    "Invalid QuotaConfig: Role '{role}' is already consuming '{consumed}'; this is \
                     more than the requested limits '{limits}' (use 'force' flag to bypass this \
                     check)"
                ));
            }
        }
        let total = self.guaranteed_with(&quotas);
        let capacity = self.allocator.capacity();
        if force || capacity.contains(&total) {
            Ok(quotas)
        } else {
            Err(format!(
                "Invalid QuotaConfig: total quota guarantees '{total}' exceed cluster capacity \
                 '{capacity}' (use 'force' flag to bypass this check)"
            ))
        }
    }

    pub(crate) fn set_quota(
        &mut self,
        request: RequestId,
        role: Option<&Text>,
        guarantee: &Result<Vec<Resource>, InvalidResource>,
        force: bool,
    ) {
        match self.check_new_quota(role, guarantee, force) {
            Ok((role, quota)) => {
                let entries = vec![ClusterEntry::Quota {
                    role: role.clone(),
                    quota: Some(quota),
                }];
                self.store_cluster_then(entries, Some(request), Rescind::ForGuarantees(role));
            }
            Err(answer) => self.answer(request, answer),
        }
    }

    fn check_new_quota(
        &self,
        role: Option<&Text>,
        guarantee: &Result<Vec<Resource>, InvalidResource>,
        force: bool,
    ) -> Result<(Role, Quota), Answer> {
        let (role, quota) = check::request(role, guarantee, |role| self.has_quota(role))
            .map_err(Answer::BadRequest)?;
        let change = [(role, quota)];
        let total = self.guaranteed_with(&change);
        let capacity = self.allocator.capacity();
        if !force && !capacity.contains(&total) {
            return Err(Answer::Conflict(format!(
                "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total \
                 quota guarantees '{total}' exceed cluster capacity '{capacity}'"
            )));
        }
        let [change] = change;
        Ok(change)
    }

    pub(crate) fn remove_quota(&mut self, request: RequestId, role: &Text, path: Option<&Text>) {
        let known = Role::new(role).ok().filter(|role| self.has_quota(role));
        let Some(role) = known else {
            let path = path.map(|path| format!(" for path '{path}'"));
            let why = format!(
                "Failed to remove quota{}: Role '{role}' has no quota set",
                path.unwrap_or_default()
            );
            self.answer(request, Answer::BadRequest(why));
            return;
        };
        let entries = vec![ClusterEntry::Quota { role, quota: None }];
        self.store_cluster(entries, Some(request));
    }

    /// Whether quota is listed for a role, or will be.
    fn has_quota(&self, role: &Role) -> bool {
        let listed = self.quotas.by_role.contains_key(role);
        self.registrar
            .cluster_entries()
            .fold(listed, |listed, entry| match entry {
                ClusterEntry::Quota { role: of, quota } if of == role => quota.is_some(),
                _ => listed,
            })
    }

    /// The sum of all guarantees with these quotas in force, and those on their way.
    fn guaranteed_with(&self, changes: &[(Role, Quota)]) -> Quantities {
        let mut changed: BTreeMap<&Role, Option<&Quota>> = BTreeMap::new();
        for entry in self.registrar.cluster_entries() {
            if let ClusterEntry::Quota { role, quota } = entry {
                changed.insert(role, quota.as_ref());
            }
        }
        changed.extend(changes.iter().map(|(role, quota)| (role, Some(quota))));
        let mut total = self.quotas.guaranteed.clone();
        for role in changed.keys() {
            total.subtract_all(&self.quotas.get(role).guarantees);
        }
        for quota in changed.into_values().flatten() {
            total.add_all(&quota.guarantees);
        }
        total
    }

    /// The offers of each role at the top of its tree. One pass for all roles: a request may name a
    /// hundred thousand of them.
    fn offered_by_role(&self) -> BTreeMap<&str, Vec<&Arc<Offer>>> {
        let mut by_role: BTreeMap<&str, Vec<&Arc<Offer>>> = BTreeMap::new();
        for offer in self.offers.values() {
            by_role.entry(offer.role.top()).or_default().push(offer);
        }
        by_role
    }

    /// Puts a quota in force that is durable.
    pub(crate) fn apply_quota(&mut self, role: &Role, quota: Option<Quota>) {
        let in_force = quota.clone().unwrap_or_default();
        self.allocator.set_quota(self.now, role, &in_force);
        self.quotas.set(role, quota);
    }

    /// Takes offers back until each of these roles is within its limits, and then until what was
    /// taken from others and what it has would meet its guarantees. As in Mesos, what nobody has
    /// counts for nothing here.
    pub(crate) fn rescind_for_quotas(&mut self, roles: &[Role]) {
        let mut offered = self.offered_by_role();
        let own: Vec<(&Role, Vec<Arc<Offer>>)> = roles
            .iter()
            .map(|role| (role, offered.remove(role.as_str()).unwrap_or_default()))
            .map(|(role, own)| (role, own.into_iter().cloned().collect()))
            .collect();
        for (role, own) in own {
            let Quota { guarantees, limits } = self.quotas.get(role);
            for offer in own {
                if limits.contains(&self.allocator.charged(role.as_str())) {
                    break;
                }
                self.rescind(&offer.id);
            }
            let mut had = self.allocator.charged(role.as_str());
            if had.contains(&guarantees) {
                continue;
            }
            let offers = self.offers.values();
            let others = offers.filter(|offer| offer.role.top() != role.as_str());
            for offer in others.cloned().collect::<Vec<_>>() {
                if had.contains(&guarantees) {
                    break;
                }
                had.add_all(&offer.resources.amounts());
                self.rescind(&offer.id);
            }
        }
    }

    /// Takes all offers of one agent after the other back, until they would meet the guarantees of a
    /// role and there is an agent for each of its frameworks.
    pub(crate) fn rescind_for_guarantees(&mut self, role: &Role) {
        let Quota { guarantees, .. } = self.quotas.get(role);
        let frameworks = self.frameworks.values();
        let takes = |f: &&Framework| f.stream().is_some() && f.roles().contains(role);
        let wanted = frameworks.filter(takes).count();
        let mut rescinded = Quantities::new();
        let agents: Vec<(AgentId, Vec<OfferId>)> = self
            .agents
            .values()
            .filter(|agent| matches!(agent.state, AgentState::Connected { .. }))
            .filter(|agent| !agent.offers.is_empty())
            .map(|agent| (agent.id.clone(), agent.offers.iter().cloned().collect()))
            .collect();
        for (visited, (_, offers)) in agents.into_iter().enumerate() {
            if rescinded.contains(&guarantees) && visited >= wanted {
                break;
            }
            for offer_id in offers {
                if let Some(Offer { resources, .. }) = self.offers.get(&offer_id).map(|o| &**o) {
                    rescinded.add_all(&resources.amounts());
                }
                self.rescind(&offer_id);
            }
        }
    }
}
