//! Limits: the most of each name that may be had; what is not named is without bounds.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map;
use alloc::sync::Arc;
use core::fmt;

use super::{Quantities, Scalar};

/// Bounds by name; a bound of zero allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Limits(BTreeMap<Arc<str>, Scalar>);

impl Limits {
    /// No bounds.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The bound of a name, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Scalar> {
        self.0.get(name).copied()
    }

    /// Names and bounds, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, Arc<str>, Scalar> {
        self.0.iter()
    }

    /// Whether nothing is bounded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these quantities are within the bounds.
    #[must_use]
    pub fn contains(&self, quantities: &Quantities) -> bool {
        self.iter()
            .all(|(name, bound)| quantities.get(name) <= *bound)
    }

    /// Lowers the bounds by these quantities, to zero at the least.
    pub fn subtract_all(&mut self, quantities: &Quantities) {
        for (name, bound) in &mut self.0 {
            *bound = bound.minus(quantities.get(name)).max(Scalar::ZERO);
        }
    }
}

impl<'a> IntoIterator for &'a Limits {
    type Item = (&'a Arc<str>, &'a Scalar);
    type IntoIter = btree_map::Iter<'a, Arc<str>, Scalar>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<(Arc<str>, Scalar)> for Limits {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Scalar)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl fmt::Display for Limits {
    /// `cpus:4; mem:512`, or `{}` for no bounds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (index, (name, bound)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}:{bound}")?;
        }
        Ok(())
    }
}
