//! Seccomp: from a profile and a container's capabilities to its filter.
//!
//! A profile is a list of rules, some of which count only with, or only without, a capability. The one
//! of this module ([`Profile::built_in`]) is an allow-list with a reason for each group; others come
//! from the operator, in Docker's format.

mod table;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::sandbox::{Capability, Seccomp, SeccompAction, SeccompFilter, SeccompRule};

use super::{NodeFacts, PlanError, Wishes};

/// The name of the built-in profile.
pub const BUILT_IN: &str = "default";

/// The profile that a container asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProfileWish {
    /// That of the node.
    #[default]
    Usual,
    /// One of the operator's, by its name.
    Named(String),
    /// None.
    Unconfined,
}

/// What becomes of system calls in containers of any capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What it is known by.
    pub name: String,
    /// What becomes of a call that no rule speaks of.
    pub default: SeccompAction,
    /// The rules, each for some containers.
    pub entries: Vec<Entry>,
}

/// A rule, and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The rule.
    pub rule: Arc<SeccompRule>,
    /// It counts for containers that have all of these.
    pub with: Vec<Capability>,
    /// It counts for containers that have none of these.
    pub without: Vec<Capability>,
}

impl Profile {
    /// The profile that containers have where nobody says otherwise.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            name: BUILT_IN.to_string(),
            default: table::DEFAULT,
            entries: table::entries(),
        }
    }

    /// The filter of a container with these capabilities in force. It can have no others ever:
    /// `no_new_privs` leaves programs that would give some without effect.
    #[must_use]
    pub fn filter(&self, effective: &[Capability]) -> SeccompFilter {
        let counts = |entry: &&Entry| {
            entry.with.iter().all(|one| effective.contains(one))
                && !entry.without.iter().any(|one| effective.contains(one))
        };
        let rules = self.entries.iter().filter(counts);
        SeccompFilter {
            profile: self.name.clone(),
            default: self.default,
            rules: rules.map(|entry| Arc::clone(&entry.rule)).collect(),
        }
    }
}

/// What a container's processes may call.
pub(super) fn of(
    wishes: &Wishes,
    node: &NodeFacts<'_>,
    effective: &[Capability],
) -> Result<Seccomp, PlanError> {
    match wishes.seccomp {
        ProfileWish::Usual | ProfileWish::Named(_) => {
            Ok(Seccomp::Filter(node.seccomp.filter(effective)))
        }
        ProfileWish::Unconfined if node.policy.seccomp_unconfined => Ok(Seccomp::Unconfined),
        ProfileWish::Unconfined => Err(PlanError::Unconfined),
    }
}

#[cfg(test)]
mod tests;
