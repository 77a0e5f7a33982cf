//! Seccomp: from a profile and a container's capabilities to its filter.
//!
//! A profile is a list of rules, some of which count only with, or only without, a capability. The one
//! of this module ([`Profile::built_in`]) is an allow-list with a reason for each group; others come
//! from the operator, in Docker's format, or from the container itself.
//!
//! A profile of the container's own may be one that allows everything. So it counts alone only where the
//! operator allows containers without any; else it counts within that of the node, of which it can take
//! something away and to which it can add nothing.

mod table;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::sandbox::{Capability, Isolation, Seccomp, SeccompAction, SeccompFilter, SeccompRule};

use super::{NodeFacts, PlanError, Policy, Wishes};

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
    /// One of its own: the text of a document in Docker's format.
    Document(String),
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
            within: None,
        }
    }
}

impl ProfileWish {
    /// Whether what the container asks for counts only within the profile of the node. Who lets containers
    /// be unconfined, and asks for seccomp all the same, gets what that profile gives.
    fn is_bounded(&self, policy: &Policy) -> bool {
        let is_required = policy.required.contains(&Isolation::Seccomp);
        match self {
            Self::Usual | Self::Named(_) | Self::Unconfined => false,
            Self::Document(_) => !policy.seccomp_unconfined || is_required,
        }
    }
}

/// The same without records in the kernel's log, which are the node's and have no owner's limits.
fn without_records(mut filter: SeccompFilter) -> SeccompFilter {
    if filter.default == SeccompAction::Log {
        filter.default = SeccompAction::Allow;
    }
    for rule in &mut filter.rules {
        if rule.action == SeccompAction::Log {
            Arc::make_mut(rule).action = SeccompAction::Allow;
        }
    }
    filter
}

/// What a container's processes may call.
pub(super) fn of(
    wishes: &Wishes,
    node: &NodeFacts<'_>,
    effective: &[Capability],
) -> Result<Seccomp, PlanError> {
    let profiles = Profiles {
        asked: node.seccomp,
        usual: node.usual_seccomp,
    };
    choose(&wishes.seccomp, profiles, node.policy, effective)
}

/// The profile that a container asks for, and that of the node.
#[derive(Clone, Copy)]
struct Profiles<'a> {
    asked: &'a Profile,
    usual: &'a Profile,
}

fn choose(
    wish: &ProfileWish,
    profiles: Profiles<'_>,
    policy: &Policy,
    effective: &[Capability],
) -> Result<Seccomp, PlanError> {
    let asked = profiles.asked.filter(effective);
    match wish {
        ProfileWish::Document(_) if wish.is_bounded(policy) => Ok(Seccomp::Filter(SeccompFilter {
            within: Some(Arc::new(profiles.usual.filter(effective))),
            ..without_records(asked)
        })),
        ProfileWish::Usual | ProfileWish::Named(_) | ProfileWish::Document(_) => {
            Ok(Seccomp::Filter(asked))
        }
        ProfileWish::Unconfined if policy.seccomp_unconfined => Ok(Seccomp::Unconfined),
        ProfileWish::Unconfined => Err(PlanError::Unconfined),
    }
}

#[cfg(test)]
mod tests;
