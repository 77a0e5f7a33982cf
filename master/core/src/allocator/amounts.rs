//! Amounts: thousandths by resource, as a vector of integers.
//!
//! A name has a number from the time when it is first seen ([`Names`]), so that to add, subtract and
//! compare needs no search and, for the first few names, no memory of its own. Names are made by
//! operators, in the resources of agents, and stay: there are few.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::Resources;
use model::resources::{Limits, Quantities, Resource, Role, Scalar, Value};

/// How many names need no memory of their own: cpus, mem, disk, ports, gpus and one more.
const FEW: usize = 6;

/// How many roles are remembered for the sake of one text for all agents.
const ROLES_MAX: usize = 16_384;

/// The numbers of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, usize>,
    /// Roles that something is reserved for.
    roles: BTreeSet<Role>,
}

/// An amount for each name; what is not there is zero, and none is less.
#[derive(Debug, Clone, Default)]
pub(super) struct Amounts {
    few: [i64; FEW],
    more: Vec<i64>,
}

/// The most there may be of some names.
pub(super) type Bounds = Vec<(usize, i64)>;

impl Names {
    /// The number of a name.
    pub(super) fn number(&mut self, name: &Arc<str>) -> usize {
        if let Some(number) = self.find(name) {
            return number;
        }
        let number = self.names.len();
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    /// The number of a name that was seen before.
    pub(super) fn find(&self, name: &Arc<str>) -> Option<usize> {
        // What an agent has is named by these very texts: most names need no comparison.
        let same = |own: &Arc<str>| Arc::ptr_eq(own, name);
        let found = self.names.iter().take(FEW).position(same);
        found.or_else(|| self.numbers.get(name).copied())
    }

    /// Names resources, and the roles that they are reserved for, by these very texts, so that one copy
    /// serves all agents and names are compared by where they lie.
    pub(super) fn intern(&mut self, resources: &mut Resources) {
        resources.rename(|name| {
            let number = self.number(name);
            self.names.get(number).unwrap_or(name).clone()
        });
        resources.rename_roles(|role| self.role(role));
    }

    /// The same role, by a text that is shared with others.
    fn role(&mut self, role: &Role) -> Role {
        if let Some(known) = self.roles.get(role) {
            return known.clone();
        }
        if self.roles.len() >= ROLES_MAX {
            // Those that share a text go on sharing it.
            self.roles.clear();
        }
        self.roles.insert(role.clone());
        role.clone()
    }

    /// As [`Resources::quantities`].
    pub(super) fn scalars(&mut self, resources: &Resources) -> Amounts {
        let mut all = Amounts::default();
        for (index, resource) in resources.iter().enumerate() {
            let copy =
                resource.shared && resources.iter().take(index).any(|r| r.is_same_as(resource));
            if let Value::Scalar(amount) = resource.value
                && !copy
            {
                all.add(self.number(&resource.name), amount.thousandths());
            }
        }
        all
    }

    /// As [`Resources::amounts`], of those for which `counts` holds.
    pub(super) fn amounts(
        &mut self,
        resources: &Resources,
        counts: impl Fn(&Resource) -> bool,
    ) -> Amounts {
        if resources.iter().any(|resource| resource.shared) {
            return self.vector(&resources.filter(counts).amounts());
        }
        let mut all = Amounts::default();
        for resource in resources.iter().filter(|resource| counts(resource)) {
            all.add(
                self.number(&resource.name),
                resource.value.size().thousandths(),
            );
        }
        all
    }

    /// Quantities as a vector.
    pub(super) fn vector(&mut self, quantities: &Quantities) -> Amounts {
        let mut all = Amounts::default();
        for (name, amount) in quantities {
            all.add(self.number(name), amount.thousandths());
        }
        all
    }

    /// Limits as bounds.
    pub(super) fn bounds(&mut self, limits: &Limits) -> Bounds {
        let bounds = limits.iter();
        bounds
            .map(|(name, bound)| (self.number(name), bound.thousandths()))
            .collect()
    }

    /// A vector as quantities.
    pub(super) fn quantities(&self, amounts: &Amounts) -> Quantities {
        let named = self.names.iter().enumerate();
        named
            .map(|(number, name)| (name.clone(), Scalar(amounts.get(number))))
            .collect()
    }
}

impl Amounts {
    /// The amount of a name.
    pub(super) fn get(&self, number: usize) -> i64 {
        let few = self.few.get(number);
        let amount = few.or_else(|| self.more.get(number.checked_sub(FEW)?));
        amount.copied().unwrap_or(0)
    }

    /// Adds an amount; zero and less change nothing.
    pub(super) fn add(&mut self, number: usize, amount: i64) {
        if amount <= 0 {
            return;
        }
        if let Some(slot) = self.few.get_mut(number) {
            *slot = slot.saturating_add(amount);
            return;
        }
        let at = number.saturating_sub(FEW);
        if at >= self.more.len() {
            self.more.resize(at.saturating_add(1), 0);
        }
        if let Some(slot) = self.more.get_mut(at) {
            *slot = slot.saturating_add(amount);
        }
    }

    /// Adds everything of another.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (slot, amount) in self.few.iter_mut().zip(&other.few) {
            *slot = slot.saturating_add(*amount);
        }
        for (at, amount) in other.more.iter().enumerate() {
            self.add(FEW.saturating_add(at), *amount);
        }
    }

    /// Takes away as much as there is.
    pub(super) fn subtract_all(&mut self, other: &Self) {
        for (slot, amount) in self.few.iter_mut().zip(&other.few) {
            *slot = slot.saturating_sub(*amount).max(0);
        }
        for (slot, amount) in self.more.iter_mut().zip(&other.more) {
            *slot = slot.saturating_sub(*amount).max(0);
        }
    }

    /// What is left of this where `other` is taken away.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        difference.subtract_all(other);
        difference
    }

    /// Of each name the lesser amount.
    pub(super) fn at_most(&self, other: &Self) -> Self {
        let mut least = self.clone();
        for (slot, amount) in least.few.iter_mut().zip(&other.few) {
            *slot = (*slot).min(*amount);
        }
        for (at, slot) in least.more.iter_mut().enumerate() {
            *slot = (*slot).min(other.more.get(at).copied().unwrap_or(0));
        }
        least
    }

    /// Whether there is something of a name in both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let few = self.few.iter().zip(&other.few);
        let more = self.more.iter().zip(&other.more);
        few.chain(more).any(|(own, o)| *own > 0 && *o > 0)
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.few.iter().chain(&self.more).all(|amount| *amount == 0)
    }

    /// Whether there is at least as much of everything.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let few = self.few.iter().zip(&other.few).all(|(own, o)| own >= o);
        let mut more = other.more.iter().enumerate();
        few && more.all(|(at, amount)| self.get(FEW.saturating_add(at)) >= *amount)
    }

    /// The amounts with their numbers, those that are zero left out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, i64)> {
        let all = self.few.iter().chain(&self.more).copied().enumerate();
        all.filter(|(_, amount)| *amount != 0)
    }
}

impl PartialEq for Amounts {
    fn eq(&self, other: &Self) -> bool {
        self.contains(other) && other.contains(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use model::resources::parse;

    #[test]
    fn a_vector_reckons_as_quantities_do_however_many_names_there_are() {
        let mut names = Names::default();
        let all: Vec<_> = (0..9).map(|n| format!("r{n}:{}", n + 1)).collect();
        let all = parse(&all.join(";")).expect("resources");
        let some = parse("r1:1;r7:8;r8:100").expect("resources");
        let (a, b) = (names.scalars(&all), names.scalars(&some));
        let (q, r) = (all.quantities(), some.quantities());
        let mut sum = a.clone();
        sum.add_all(&b);
        assert_eq!(names.quantities(&sum), q.plus(&r));
        assert_eq!(names.quantities(&a.minus(&b)), q.minus(&r));
        assert_eq!(names.quantities(&b.minus(&a)), r.minus(&q));
        let least = names.quantities(&a.at_most(&b));
        assert_eq!(format!("{least}"), "r1:1; r7:8; r8:9");
        assert!(sum.contains(&a) && !a.contains(&b) && !b.contains(&a));
        assert!(b.minus(&sum).is_empty());
        assert_eq!(names.vector(&q), a);
        assert!(sum.overlaps(&b) && !a.overlaps(&a.minus(&a)));
    }

    #[test]
    fn ports_are_counted_one_by_one() {
        let mut names = Names::default();
        let all = parse("cpus:2;ports:[1-10,20-20]").expect("resources");
        let counted = names.amounts(&all, |_| true);
        assert_eq!(names.quantities(&counted), all.amounts());
        let ports = names.amounts(&all, |resource| &*resource.name == "ports");
        assert_eq!(format!("{}", names.quantities(&ports)), "ports:11");
    }
}
