//! Counters and gauges of the allocator (reference, section 7.10).

use std::collections::{BTreeMap, BTreeSet};

use model::Resources;
use model::resources::{Quantities, Role};

use super::metrics::{Numbers, put, sum};
use super::roles::{self, Holdings};
use super::view::View;
use crate::metrics::{Counters, as_f64};

/// Adds them.
pub(super) fn add(view: &View, counters: &Counters, out: &mut Numbers) {
    let total = sum(view.agents.iter().map(|agent| &*agent.total)).quantities();
    let used = sum(view.agents.iter().map(|agent| &agent.used));
    let offered = sum(view.agents.iter().map(|agent| &agent.offered));
    let held = used.plus(&offered).quantities();
    for name in ["cpus", "disk", "mem"] {
        let prefix = format!("allocator/mesos/resources/{name}");
        put(out, &format!("{prefix}/total"), total.get(name).to_f64());
        put(
            out,
            &format!("{prefix}/offered_or_allocated"),
            held.get(name).to_f64(),
        );
    }
    put(
        out,
        "allocator/mesos/allocation_runs",
        as_f64(view.counters.allocation_runs()),
    );
    // The allocator of Mesos runs every interval from its start on, whether or not there is anything
    // to allocate, so that readers find these names at once.
    counters
        .allocation_run
        .list_always("allocator/mesos/allocation_run_ms", out);
    counters
        .allocation_latency
        .list_always("allocator/mesos/allocation_run_latency_ms", out);

    let known = roles::known(view);
    consumed(&known, &total, out);
    for role in known.keys() {
        let filters = view.filters.get(role.as_str()).copied().unwrap_or(0);
        let name = format!("allocator/mesos/offer_filters/roles/{role}/active");
        put(out, &name, as_f64(filters as u64));
    }
    let held = held_in(view);
    for (role, held) in &held {
        let name = format!("allocator/mesos/roles/{role}/shares/dominant");
        // Among its own roles beneath, a role's frameworks have no weight.
        let beneath = known
            .range(format!("{role}/")..)
            .next()
            .is_some_and(|(other, _)| other.starts_with(&format!("{role}/")));
        let weight = view.weights.get(*role).filter(|_| !beneath);
        let share = dominant_share(held, &total) / weight.copied().unwrap_or(1.0);
        put(out, &name, share);
    }
    quotas(view, &held, out);
}

/// What of the quotas is used up, for each role and for all together.
fn consumed(known: &BTreeMap<String, Holdings<'_>>, total: &Quantities, out: &mut Numbers) {
    let mut all = Quantities::new();
    for (role, holdings) in known {
        let consumed = holdings.consumed();
        if !role.contains('/') {
            all.add_all(&consumed);
        }
        put_consumed(role, &consumed, total, out);
    }
    put_consumed("", &all, total, out);
}

fn put_consumed(role: &str, consumed: &Quantities, total: &Quantities, out: &mut Numbers) {
    // The cluster's total knows scalars alone.
    let scalars = consumed
        .iter()
        .filter(|(name, _)| total.get(name).thousandths() > 0);
    for (name, amount) in scalars {
        let key = format!("allocator/mesos/quota/roles/{role}/resources/{name}/consumed");
        put(out, &key, amount.to_f64());
    }
}

/// What is offered or in use in each role that has frameworks, those beneath it aside.
fn held_in(view: &View) -> BTreeMap<&Role, Quantities> {
    let mut held: BTreeMap<&Role, Quantities> = BTreeMap::new();
    for framework in &view.frameworks {
        let all = framework.used.plus(&framework.offered);
        let parts = all.allocations();
        for role in &framework.roles {
            let part = parts.get(role).map(Resources::quantities);
            let of_role = held.entry(role).or_default();
            of_role.add_all(&part.unwrap_or_default());
        }
    }
    held
}

fn quotas(view: &View, held: &BTreeMap<&Role, Quantities>, out: &mut Numbers) {
    for (role, quota) in view.quotas.iter().filter(|(_, quota)| !quota.is_default()) {
        let prefix = format!("allocator/mesos/quota/roles/{role}/resources");
        for (name, amount) in &quota.guarantees {
            put(out, &format!("{prefix}/{name}/guarantee"), amount.to_f64());
        }
        for (name, amount) in &quota.limits {
            put(out, &format!("{prefix}/{name}/limit"), amount.to_f64());
        }
        let guarantees = quota.guarantees.iter().map(|(name, _)| name);
        let limits = quota.limits.iter().map(|(name, _)| name);
        let names: BTreeSet<_> = guarantees.chain(limits).collect();
        for name in names {
            let amount = held.get(role).map(|held| held.get(name));
            put(
                out,
                &format!("{prefix}/{name}/offered_or_allocated"),
                amount.unwrap_or_default().to_f64(),
            );
        }
    }
}

/// The largest of the shares of each resource.
fn dominant_share(held: &Quantities, total: &Quantities) -> f64 {
    let parts = held
        .iter()
        .map(|(name, amount)| match total.get(name).to_f64() {
            all if all > 0.0 => amount.to_f64() / all,
            _ => 0.0,
        });
    parts.fold(0.0, f64::max)
}
