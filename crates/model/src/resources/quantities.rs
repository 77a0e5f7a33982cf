//! Quantities: amounts by name, without metadata; what is not named is zero.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map;
use alloc::sync::Arc;
use core::fmt;

use super::{Resources, Scalar, Value};

/// Scalar amounts by name; none of them is zero or less.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantities(BTreeMap<Arc<str>, Scalar>);

impl Quantities {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The amount of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Scalar {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Names and amounts, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, Arc<str>, Scalar> {
        self.0.iter()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is at least as much of everything.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, amount)| self.get(name) >= *amount)
    }

    /// Adds an amount; zero and less change nothing.
    pub fn add(&mut self, name: &Arc<str>, amount: Scalar) {
        if amount > Scalar::ZERO {
            let slot = self.0.entry(name.clone()).or_default();
            *slot = slot.plus(amount);
        }
    }

    /// Adds everything of another.
    pub fn add_all(&mut self, other: &Self) {
        for (name, amount) in other {
            self.add(name, *amount);
        }
    }

    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add_all(other);
        sum
    }

    /// What is left of this where `other` is taken away.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        difference.subtract_all(other);
        difference
    }

    /// Takes away as much as there is.
    pub fn subtract_all(&mut self, other: &Self) {
        for (name, amount) in other {
            if let Some(slot) = self.0.get_mut(name) {
                *slot = slot.minus(*amount);
                if *slot <= Scalar::ZERO {
                    self.0.remove(name);
                }
            }
        }
    }
}

impl<'a> IntoIterator for &'a Quantities {
    type Item = (&'a Arc<str>, &'a Scalar);
    type IntoIter = btree_map::Iter<'a, Arc<str>, Scalar>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<(Arc<str>, Scalar)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Scalar)>>(iter: I) -> Self {
        let mut all = Self::new();
        for (name, amount) in iter {
            all.add(&name, amount);
        }
        all
    }
}

impl Resources {
    /// The scalar amounts, metadata aside; copies of a shared resource count once.
    #[must_use]
    pub fn quantities(&self) -> Quantities {
        let mut all = Quantities::new();
        for (index, resource) in self.iter().enumerate() {
            let copy = resource.shared && self.iter().take(index).any(|r| r.is_same_as(resource));
            if let Value::Scalar(amount) = resource.value
                && !copy
            {
                all.add(&resource.name, amount);
            }
        }
        all
    }
}

impl Resources {
    /// The scalar amounts, and how many integers or texts there are of what is no scalar; copies of
    /// a shared resource count once. Roles are charged by these.
    #[must_use]
    pub fn amounts(&self) -> Quantities {
        let mut all = self.quantities();
        for resource in self {
            if !matches!(resource.value, Value::Scalar(_)) {
                all.add(&resource.name, resource.value.size());
            }
        }
        all
    }
}

impl fmt::Display for Quantities {
    /// `cpus:4; mem:512`, or `{}` for nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}:{amount}")?;
        }
        Ok(())
    }
}
