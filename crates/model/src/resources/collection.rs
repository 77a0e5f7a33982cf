//! Collections of resources, in which everything that may be merged is merged.
//!
//! Invariants: no element is empty, and no two elements are addable to each other. Copies of a
//! shared resource are elements of their own, so that how often it is held can be counted.
//! Elements keep the order in which they came, but that the last one takes the place of one that is
//! used up; equality does not look at the order.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{InvalidResource, Resource, Role, Scalar, Value};

/// A collection of resources.
#[derive(Debug, Clone, Default)]
pub struct Resources(Vec<Resource>);

/// How much of a resource is taken out of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Nothing,
    /// So much of a scalar, which is less than there is.
    Some(Scalar),
    /// All of it.
    All,
    /// All of it, and it stays as well, as shared resources do.
    Copy,
}

impl Resources {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The resources, in the order in which they came.
    pub fn iter(&self) -> core::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks each resource.
    ///
    /// # Errors
    /// The first fault of the first faulty one.
    pub fn validate(resources: &[Resource]) -> Result<(), InvalidResource> {
        resources.iter().try_for_each(Resource::validate)
    }

    /// Whether these hold a part of a GPU.
    #[must_use]
    pub fn has_part_of_gpu(resources: &[Resource]) -> bool {
        resources.iter().any(|resource| {
            &*resource.name == "gpus"
                && !matches!(resource.value, Value::Scalar(amount) if amount.thousandths() % 1000 == 0)
        })
    }

    /// Adds one resource; an empty one changes nothing.
    pub fn add(&mut self, resource: Resource) {
        if resource.value.is_empty() {
            return;
        }
        match self.0.iter_mut().find(|have| resource.is_addable_to(have)) {
            Some(have) => have.value.add(&resource.value),
            None => self.0.push(resource),
        }
    }

    /// Adds every resource of another collection.
    pub fn add_all(&mut self, other: &Self) {
        for resource in other {
            self.add(resource.clone());
        }
    }

    /// Takes one resource away; of what is not here nothing is taken, of what is here in part, that.
    pub fn subtract(&mut self, resource: &Resource) {
        let Some(index) = self
            .0
            .iter()
            .position(|have| resource.is_subtractable_from(have))
        else {
            return;
        };
        let Some(have) = self.0.get_mut(index) else {
            return;
        };
        have.value.subtract(&resource.value);
        if resource.shared || have.value.is_empty() {
            // As in Mesos the last one takes the place: messages show the order.
            self.0.swap_remove(index);
        }
    }

    /// Takes every resource of another collection away, as [`Self::subtract`] does.
    pub fn subtract_all(&mut self, other: &Self) {
        for resource in other {
            self.subtract(resource);
        }
    }

    /// Takes a part of each resource out, and leaves the order of both as it is. Of what cannot be
    /// divided, and of what is no scalar, some is nothing.
    #[must_use]
    pub fn carve(&mut self, part: impl Fn(usize, &Resource) -> Part) -> Self {
        let mut taken = Vec::with_capacity(self.0.len());
        let mut left = Vec::new();
        for (index, mut resource) in core::mem::take(&mut self.0).into_iter().enumerate() {
            match part(index, &resource) {
                Part::All => taken.push(resource),
                Part::Copy => {
                    taken.push(resource.clone());
                    left.push(resource);
                }
                Part::Some(amount) => {
                    if !resource.is_indivisible()
                        && let Value::Scalar(have) = resource.value
                        && amount > Scalar::ZERO
                        && amount < have
                    {
                        let mut some = resource.clone();
                        some.value = Value::Scalar(amount);
                        taken.push(some);
                        resource.value = Value::Scalar(have.minus(amount));
                    }
                    left.push(resource);
                }
                Part::Nothing => left.push(resource),
            }
        }
        self.0 = left;
        Self(taken)
    }

    /// Gives each name what `name` makes of it, which is to be equal to it.
    pub fn rename(&mut self, mut name: impl FnMut(&Arc<str>) -> Arc<str>) {
        for resource in &mut self.0 {
            resource.name = name(&resource.name);
        }
    }

    /// Gives each role that something is reserved for what `role` makes of it, which is to be equal to it.
    pub fn rename_roles(&mut self, mut role: impl FnMut(&Role) -> Role) {
        let all = self.0.iter_mut();
        for reservation in all.flat_map(|resource| &mut resource.reservations) {
            reservation.role = role(&reservation.role);
        }
    }

    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add_all(other);
        sum
    }

    /// The difference.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        difference.subtract_all(other);
        difference
    }

    /// Whether all of `other` can be taken out of this at once.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        // What can be divided stands in one element on either side; what cannot may stand in
        // several equal ones, and then each may be matched only once.
        if other.iter().all(|r| !r.shared && !r.is_indivisible()) {
            return other.iter().all(|wanted| self.contains_one(wanted));
        }
        let mut left = self.clone();
        other.iter().all(|wanted| {
            let found = left.contains_one(wanted);
            left.subtract(wanted);
            found
        })
    }

    fn contains_one(&self, wanted: &Resource) -> bool {
        self.0.iter().any(|have| have.contains(wanted))
    }

    /// Those for which `keep` holds.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self(self.0.iter().filter(|r| keep(r)).cloned().collect())
    }

    /// Those without a reservation.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|r| r.reservations.is_empty())
    }

    /// Those with a reservation.
    #[must_use]
    pub fn reserved(&self) -> Self {
        self.filter(|r| !r.reservations.is_empty())
    }

    /// Those reserved for this very role.
    #[must_use]
    pub fn reserved_for(&self, role: &Role) -> Self {
        self.filter(|r| r.reservation_role() == Some(role))
    }

    /// Those that a framework in `role` may have: unreserved, or reserved for it or an ancestor.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filter(|r| r.is_allocatable_to(role))
    }

    /// Those reserved for each role.
    #[must_use]
    pub fn reservations(&self) -> BTreeMap<Role, Self> {
        self.split_by(Resource::reservation_role)
    }

    /// Those allocated to each role.
    #[must_use]
    pub fn allocations(&self) -> BTreeMap<Role, Self> {
        self.split_by(|r| r.allocation_role.as_ref())
    }

    fn split_by(&self, key: impl Fn(&Resource) -> Option<&Role>) -> BTreeMap<Role, Self> {
        let mut parts: BTreeMap<Role, Self> = BTreeMap::new();
        for resource in self {
            if let Some(role) = key(resource) {
                // Parts of a normal collection are normal: nothing to merge.
                parts
                    .entry(role.clone())
                    .or_default()
                    .0
                    .push(resource.clone());
            }
        }
        parts
    }

    /// The same resources, allocated to `role`.
    #[must_use]
    pub fn allocate(&self, role: &Role) -> Self {
        self.with_allocation(Some(role))
    }

    /// The same resources, allocated to nobody.
    #[must_use]
    pub fn unallocate(&self) -> Self {
        self.with_allocation(None)
    }

    /// The same resources without their reservations.
    #[must_use]
    pub fn flatten(&self) -> Self {
        self.map(|r| r.reservations.clear())
    }

    /// The same resources without the last reservation of each.
    #[must_use]
    pub fn pop_reservation(&self) -> Self {
        self.map(|r| drop(r.reservations.pop()))
    }

    /// Those that several may hold at a time.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.filter(|r| r.shared)
    }

    /// Those that only one may hold at a time.
    #[must_use]
    pub fn non_shared(&self) -> Self {
        self.filter(|r| !r.shared)
    }

    /// Each resource with the number of its copies, which is one but for shared ones.
    #[must_use]
    pub fn counted(&self) -> Vec<(&Resource, usize)> {
        let mut counted: Vec<(&Resource, usize)> = Vec::with_capacity(self.0.len());
        for resource in self {
            let copy = |(other, _): &&mut (&Resource, usize)| other.is_same_as(resource);
            match counted.iter_mut().find(copy).filter(|_| resource.shared) {
                Some((_, count)) => *count += 1,
                None => counted.push((resource, 1)),
            }
        }
        counted
    }

    fn map(&self, change: impl Fn(&mut Resource)) -> Self {
        let changed = |resource: &Resource| {
            let mut resource = resource.clone();
            change(&mut resource);
            resource
        };
        self.iter().map(changed).collect()
    }

    /// The same resources, allocated to one role or to none.
    fn with_allocation(&self, role: Option<&Role>) -> Self {
        let mut roles = self.iter().map(|resource| &resource.allocation_role);
        let first = roles.next();
        if !roles.all(|role| Some(role) == first) {
            return self.map(|resource| resource.allocation_role = role.cloned());
        }
        // What differed before, still differs: nothing to merge.
        let changed = |resource: &Resource| Resource {
            allocation_role: role.cloned(),
            ..resource.clone()
        };
        Self(self.0.iter().map(changed).collect())
    }

    /// Changes the order in which the resources stand, and nothing else; equals keep theirs.
    pub fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&Resource) -> K) {
        self.0.sort_by_key(key);
    }

    /// The whole amount of a scalar, reserved or not.
    #[must_use]
    pub fn scalar(&self, name: &str) -> Scalar {
        self.iter()
            .filter(|r| &*r.name == name)
            .fold(Scalar::ZERO, |sum, r| match r.value {
                Value::Scalar(amount) => sum.plus(amount),
                Value::Ranges(_) | Value::Set(_) => sum,
            })
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.contains(other) && other.contains(self)
    }
}

impl Eq for Resources {}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(iter: I) -> Self {
        let mut all = Self::new();
        for resource in iter {
            all.add(resource);
        }
        all
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = core::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
