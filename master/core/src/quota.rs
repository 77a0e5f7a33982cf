//! Quota: what a role is guaranteed, and what it may have at most.

use model::resources::{Limits, Quantities};

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
}
