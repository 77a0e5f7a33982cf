//! Shares: how much of the cluster each role and each framework holds, and who is next.
//!
//! Dominant resource fairness, on a tree of roles (reference, section 6.4): at each level of the tree
//! the sibling with the least dominant share comes first, then the one with fewer allocations, then
//! the first by name. A role with roles beneath it competes with them as a leaf called `.`.
//! Frameworks of one role are ordered among themselves in the same way.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use model::FrameworkId;
use model::resources::{Quantities, Role};

/// What one node of the tree, or one framework in a role, holds.
#[derive(Debug, Clone, Default)]
struct Usage {
    quantities: Quantities,
    /// How often something was allocated to it.
    allocations: u64,
}

impl Usage {
    fn add(&mut self, quantities: &Quantities) {
        self.quantities.add_all(quantities);
        self.allocations = self.allocations.saturating_add(1);
    }
}

/// The order of those who want something.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rank {
    share: f64,
    allocations: u64,
}

impl Rank {
    fn compare(&self, other: &Self) -> Ordering {
        self.share
            .total_cmp(&other.share)
            .then(self.allocations.cmp(&other.allocations))
    }
}

/// Everything allocated, by role and framework.
#[derive(Debug, Default)]
pub(super) struct Shares {
    total: Quantities,
    /// By path: each role on the way from the top to an allocation, with all beneath it.
    subtrees: BTreeMap<Arc<str>, Usage>,
    /// What each framework holds in each role.
    clients: BTreeMap<Role, BTreeMap<FrameworkId, Usage>>,
}

/// The paths of a role and its ancestors, the highest first: `a`, `a/b`, `a/b/c`.
fn paths(role: &str) -> impl Iterator<Item = &str> {
    let ends = role.match_indices('/').map(|(at, _)| at);
    ends.chain(core::iter::once(role.len()))
        .filter_map(|end| role.get(..end))
}

impl Shares {
    /// The cluster has more.
    pub(super) fn add_total(&mut self, quantities: &Quantities) {
        self.total.add_all(quantities);
    }

    /// The cluster has less.
    pub(super) fn subtract_total(&mut self, quantities: &Quantities) {
        self.total.subtract_all(quantities);
    }

    /// A framework holds more.
    pub(super) fn allocated(&mut self, role: &Role, id: &FrameworkId, quantities: &Quantities) {
        for path in paths(role.as_str()) {
            match self.subtrees.get_mut(path) {
                Some(usage) => usage.add(quantities),
                None => self
                    .subtrees
                    .entry(Arc::from(path))
                    .or_default()
                    .add(quantities),
            }
        }
        let clients = self.clients.entry(role.clone()).or_default();
        clients.entry(id.clone()).or_default().add(quantities);
    }

    /// A framework holds less.
    pub(super) fn recovered(&mut self, role: &Role, id: &FrameworkId, quantities: &Quantities) {
        for path in paths(role.as_str()) {
            if let Some(usage) = self.subtrees.get_mut(path) {
                usage.quantities.subtract_all(quantities);
            }
        }
        if let Some(usage) = self.clients.get_mut(role).and_then(|all| all.get_mut(id)) {
            usage.quantities.subtract_all(quantities);
        }
    }

    /// Forgets a framework's history in the roles in which it holds nothing.
    pub(super) fn forget(&mut self, id: &FrameworkId) {
        for clients in self.clients.values_mut() {
            if clients
                .get(id)
                .is_some_and(|usage| usage.quantities.is_empty())
            {
                clients.remove(id);
            }
        }
        self.clients.retain(|_, clients| !clients.is_empty());
        self.subtrees
            .retain(|_, usage| !usage.quantities.is_empty());
    }

    /// The roles and frameworks among `wanting`, whose turn it is first.
    pub(super) fn order<'a>(
        &self,
        wanting: &BTreeMap<&'a Role, Vec<&'a FrameworkId>>,
    ) -> Vec<(&'a Role, &'a FrameworkId)> {
        let mut roles: Vec<_> = wanting
            .iter()
            .map(|(role, frameworks)| (self.role_ranks(role), *role, frameworks))
            .collect();
        roles.sort_by(|(a, ..), (b, ..)| compare_ranks(a, b));
        let mut order = Vec::new();
        for (_, role, frameworks) in roles {
            let mut frameworks: Vec<_> = frameworks
                .iter()
                .map(|id| (self.framework_rank(role, id), *id))
                .collect();
            frameworks.sort_by(|(a, x), (b, y)| a.compare(b).then(x.cmp(y)));
            order.extend(frameworks.into_iter().map(|(_, id)| (role, id)));
        }
        order
    }

    /// The ranks on the way from the top of the tree to a role, its own leaf last.
    fn role_ranks<'a>(&self, role: &'a Role) -> Vec<(Rank, &'a str)> {
        let inner = paths(role.as_str())
            .zip(role.components())
            .map(|(path, name)| (self.rank(self.subtrees.get(path)), name));
        let leaf = self.clients.get(role).map(|clients| {
            clients.values().fold(Usage::default(), |mut sum, usage| {
                sum.quantities.add_all(&usage.quantities);
                sum.allocations = sum.allocations.saturating_add(usage.allocations);
                sum
            })
        });
        inner
            .chain(core::iter::once((self.rank(leaf.as_ref()), ".")))
            .collect()
    }

    fn framework_rank(&self, role: &Role, id: &FrameworkId) -> Rank {
        self.rank(self.clients.get(role).and_then(|clients| clients.get(id)))
    }

    /// The dominant share is the greatest part of any resource of the cluster.
    fn rank(&self, usage: Option<&Usage>) -> Rank {
        let Some(usage) = usage else {
            return Rank {
                share: 0.0,
                allocations: 0,
            };
        };
        let parts = usage.quantities.iter().map(|(name, amount)| {
            let total = self.total.get(name).to_f64();
            if total > 0.0 {
                amount.to_f64() / total
            } else {
                0.0
            }
        });
        Rank {
            share: parts.fold(0.0, f64::max),
            allocations: usage.allocations,
        }
    }
}

fn compare_ranks(a: &[(Rank, &str)], b: &[(Rank, &str)]) -> Ordering {
    for ((rank_a, name_a), (rank_b, name_b)) in a.iter().zip(b) {
        let order = rank_a.compare(rank_b).then(name_a.cmp(name_b));
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::string::ToString;
    use model::resources::Scalar;

    fn amount(cpus: i64) -> Quantities {
        [(Arc::from("cpus"), Scalar::whole(cpus))]
            .into_iter()
            .collect()
    }

    /// The order of `wanting` (`role:framework`) on a cluster of 100 cpus with these holdings.
    fn check(holdings: &[(&str, &str, i64)], wanting: &[(&str, &str)], expected: &str) {
        let role = |text| Role::new(text).expect("role");
        let id = |text| FrameworkId::new(text).expect("id");
        let mut shares = Shares::default();
        shares.add_total(&amount(100));
        for (r, f, cpus) in holdings {
            shares.allocated(&role(r), &id(f), &amount(*cpus));
        }
        let wanting: Vec<_> = wanting.iter().map(|(r, f)| (role(r), id(f))).collect();
        let mut by_role: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (role, id) in &wanting {
            by_role.entry(role).or_default().push(id);
        }
        let order: Vec<String> = shares
            .order(&by_role)
            .into_iter()
            .map(|(role, id)| alloc::format!("{role}:{id}"))
            .collect();
        assert_eq!(order.join(" "), expected.to_string());
    }

    #[test]
    fn the_least_share_comes_first_then_fewer_allocations_then_the_name() {
        check(&[("a", "f1", 10)], &[("a", "f1"), ("b", "f2")], "b:f2 a:f1");
        check(
            &[("a", "f1", 10), ("a", "f2", 5), ("a", "f2", 5)],
            &[("a", "f2"), ("a", "f1"), ("a", "f0")],
            "a:f0 a:f1 a:f2",
        );
    }

    #[test]
    fn a_subtree_competes_as_one_and_its_head_as_a_leaf_within() {
        check(
            &[("a", "f1", 10), ("a/x", "f2", 4), ("b", "f3", 12)],
            &[("a", "f1"), ("a/x", "f2"), ("a/y", "f4"), ("b", "f3")],
            "b:f3 a/y:f4 a/x:f2 a:f1",
        );
    }
}
