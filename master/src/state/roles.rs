//! Roles: who is in them, what they have, and what operators set for them.
//!
//! A role is known while it has frameworks, reservations, a weight or a quota, or a role beneath that
//! has; what it has is counted with all beneath it.

use std::collections::{BTreeMap, BTreeSet};

use api::flat::resources;
use api::v1;
use api::v1::quota::QuotaStatus;
use master_core::authorization::Action;
use model::Resources;
use model::resources::{Quantities, Resource, Role, Scalar};
use serde_json::{Value, json};

use super::Snapshot;
use super::part::Part;
use super::view::View;
use crate::convert::quota;

/// The weight of a role for which nobody has set one.
const WEIGHT_DEFAULT: f64 = 1.0;

/// The resources that GET_ROLES tells of.
const STANDARD: [&str; 4] = ["cpus", "disk", "gpus", "mem"];

/// What a role has, with all beneath it.
#[derive(Default)]
pub(super) struct Holdings<'a> {
    /// Subscribed to this very role, or holding something in it.
    frameworks: BTreeSet<&'a str>,
    allocated: Quantities,
    offered: Quantities,
    reserved: Quantities,
    /// The part of the reservations that is in use.
    reserved_in_use: Quantities,
}

impl Holdings<'_> {
    /// What counts against the quota: reservations, used or not, and what else is in use.
    pub(super) fn consumed(&self) -> Quantities {
        self.allocated
            .plus(&self.reserved.minus(&self.reserved_in_use))
    }
}

/// The known roles, by name.
pub(super) fn known(view: &View) -> BTreeMap<String, Holdings<'_>> {
    let mut known = BTreeMap::new();
    for role in view.quotas.keys().chain(view.weights.keys()) {
        add(&mut known, role, |_| {});
    }
    for framework in &view.frameworks {
        let used = framework.used.allocations();
        let offered = framework.offered.allocations();
        let roles = framework.roles.iter().chain(used.keys());
        for role in roles.chain(offered.keys()) {
            add(&mut known, role, |_| {});
            if let Some(own) = known.get_mut(role.as_str()) {
                own.frameworks.insert(framework.id.as_str());
            }
        }
        add_parts(&mut known, &used, |role, part| role.allocated.add_all(part));
        add_parts(&mut known, &offered, |role, part| {
            role.offered.add_all(part);
        });
        let reserved = framework.used.reservations();
        add_parts(&mut known, &reserved, |role, part| {
            role.reserved_in_use.add_all(part);
        });
    }
    for agent in view.agents.iter() {
        let reserved = agent.total.reservations();
        add_parts(&mut known, &reserved, |role, part| {
            role.reserved.add_all(part);
        });
    }
    known.retain(|role, _| view.sight.may(Action::ViewRole, Some(role)));
    known
}

/// Changes a role and those above it.
fn add(
    known: &mut BTreeMap<String, Holdings<'_>>,
    role: &Role,
    change: impl Fn(&mut Holdings<'_>),
) {
    for path in role.paths() {
        match known.get_mut(path) {
            Some(holdings) => change(holdings),
            None => change(known.entry(path.to_owned()).or_default()),
        }
    }
}

fn add_parts(
    known: &mut BTreeMap<String, Holdings<'_>>,
    parts: &BTreeMap<Role, Resources>,
    change: impl Fn(&mut Holdings<'_>, &Quantities),
) {
    for (role, part) in parts {
        let amounts = part.amounts();
        add(known, role, |holdings| change(holdings, &amounts));
    }
}

fn weight(view: &View, role: &str) -> f64 {
    view.weights.get(role).copied().unwrap_or(WEIGHT_DEFAULT)
}

/// `/roles`.
pub(super) fn document(view: &View) -> Part<'_> {
    let roles = Part::list(known(view), |(name, holdings)| role(view, &name, &holdings));
    Part::object("roles", roles)
}

fn role(view: &View, name: &str, role: &Holdings<'_>) -> Value {
    let quota = view.quotas.get(name);
    let guarantees = quota.map(|quota| &quota.guarantees).into_iter().flatten();
    let limits = quota.map(|quota| &quota.limits).into_iter().flatten();
    json!({
        "name": name,
        "weight": weight(view, name),
        "quota": {
            "role": name,
            "guarantee": resources::amounts(guarantees),
            "limit": resources::amounts(limits),
            "consumed": resources::amounts(&role.consumed()),
        },
        "resources": resources::amounts(&role.allocated.plus(&role.offered)),
        "allocated": resources::amounts(&role.allocated),
        "offered": resources::amounts(&role.offered),
        "reserved": resources::amounts(&role.reserved),
        "frameworks": role.frameworks,
    })
}

impl Snapshot {
    /// The known roles, by name.
    pub(crate) fn roles(&self) -> impl Iterator<Item = v1::Role> {
        known(&self.view).into_iter().map(|(name, role)| {
            let has = role.allocated.plus(&role.offered);
            let standard = STANDARD.into_iter().map(|name| (name, has.get(name)));
            let standard = standard.filter(|(_, amount)| *amount > Scalar::ZERO);
            v1::Role {
                weight: weight(&self.view, &name),
                frameworks: role
                    .frameworks
                    .iter()
                    .map(|id| v1::FrameworkId {
                        value: (*id).to_owned(),
                    })
                    .collect(),
                resources: standard
                    .map(|(name, amount)| {
                        api::convert::to_resource(&Resource::scalar(name, amount))
                    })
                    .collect(),
                name,
            }
        })
    }

    /// The quotas that were set, in both forms.
    pub(crate) fn quotas(&self) -> QuotaStatus {
        let sight = &self.view.sight;
        let shown = |role: &Role| sight.may(Action::GetQuota, Some(role.as_str()));
        let quotas = || self.view.quotas.iter().filter(move |(role, _)| shown(role));
        QuotaStatus {
            infos: quotas()
                .map(|(role, of_role)| quota::info(role, of_role))
                .collect(),
            configs: quotas()
                .map(|(role, of_role)| quota::config(role, of_role))
                .collect(),
        }
    }

    /// The weights that were set.
    pub(crate) fn weights(&self) -> impl Iterator<Item = v1::WeightInfo> {
        let sight = &self.view.sight;
        let shown = |role: &Role| sight.may(Action::ViewRole, Some(role.as_str()));
        let weights = self
            .view
            .weights
            .iter()
            .filter(move |(role, _)| shown(role));
        weights.map(|(role, weight)| v1::WeightInfo {
            weight: *weight,
            role: Some(role.to_string()),
        })
    }
}
