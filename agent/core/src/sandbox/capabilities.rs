//! Capabilities: the sets to keep.
//!
//! A container has none, unless it asks, or is of a kind that has some everywhere (`docker run` gives
//! them), and the operator allows. Whatever it has counts for what is its own only.

use alloc::string::String;
use alloc::vec::Vec;

use model::sandbox::{Capabilities, Capability, Isolation};

use super::{AllowedDevice, PlanError, Wishes};

/// The last capability that there is by name in Mesos and here, `CAP_CHECKPOINT_RESTORE`.
const LAST: u8 = 40;

/// What the operator lets containers have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What a container that asks for none has (`--effective_capabilities`).
    pub effective: Vec<Capability>,
    /// What a container may ask for; `None` for all (`--bounding_capabilities`).
    pub bounding: Option<Vec<Capability>>,
    /// Whether a container may be privileged (`--allow_privileged`).
    pub privileged: bool,
    /// The directories of the node that volumes may show, with all in them (`--allowed_host_paths`).
    pub host_paths: Vec<String>,
    /// The devices that every container has beyond the usual (`--allowed_devices`).
    pub devices: Vec<AllowedDevice>,
    /// The size of `/dev/shm` where a container does not say (`--default_container_shm_size`).
    pub shm_bytes: Option<u64>,
    /// Whether a container may be without a seccomp filter (`--allow_seccomp_unconfined`).
    pub seccomp_unconfined: bool,
    /// Whether a task in the node's network binds no ports but its own (`--enforce_container_ports`).
    pub enforce_ports: bool,
    /// What every container must have, or it is not started (`--isolation_minimum`).
    pub required: Vec<Isolation>,
}

/// The sets of a container.
pub(super) fn kept(wishes: &Wishes, policy: &Policy) -> Result<Capabilities, PlanError> {
    if wishes.privileged {
        if !policy.privileged {
            return Err(PlanError::Privileged);
        }
        let all: Vec<_> = (0..=LAST).map(Capability).collect();
        return Ok(Capabilities {
            effective: all.clone(),
            bounding: all,
        });
    }
    let asked = [&wishes.effective, &wishes.bounding];
    let mut asked = asked.into_iter().flatten().flatten();
    if let Some(allowed) = &policy.bounding
        && let Some(other) = asked.find(|one| !allowed.contains(one))
    {
        return Err(PlanError::Capability(other.0));
    }
    // Whoever bounds and does not say what is in force has all of it in force, as in Mesos.
    let effective = wishes.effective.as_ref().or(wishes.bounding.as_ref());
    let is_allowed = |one: &&Capability| {
        let bounding = policy.bounding.as_ref();
        bounding.is_none_or(|bounding| bounding.contains(one)) && !policy.effective.contains(one)
    };
    let usual: Vec<_> = wishes.usual.iter().filter(is_allowed).copied().collect();
    let usual = [policy.effective.clone(), usual].concat();
    let effective = effective.unwrap_or(&usual);
    let bounding = wishes.bounding.as_ref().unwrap_or(effective);
    if let Some(other) = effective.iter().find(|one| !bounding.contains(one)) {
        return Err(PlanError::Unbounded(other.0));
    }
    Ok(Capabilities {
        effective: effective.clone(),
        bounding: bounding.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u8]) -> Vec<Capability> {
        numbers.iter().copied().map(Capability).collect()
    }

    #[test]
    fn a_container_has_what_it_asks_for_as_far_as_the_operator_allows() {
        let policy = |bounding: Option<&[u8]>| Policy {
            effective: set(&[7]),
            bounding: bounding.map(set),
            ..Policy::default()
        };
        let wishes = |effective: Option<&[u8]>, bounding: Option<&[u8]>| Wishes {
            effective: effective.map(set),
            bounding: bounding.map(set),
            ..Wishes::default()
        };
        let sets = |effective: &[u8], bounding: &[u8]| {
            Ok(Capabilities {
                effective: set(effective),
                bounding: set(bounding),
            })
        };
        for (effective, bounding, allowed, expected) in [
            (None, None, None, sets(&[7], &[7])),
            (Some(&[][..]), None, None, sets(&[], &[])),
            (Some(&[1, 2][..]), None, None, sets(&[1, 2], &[1, 2])),
            (None, Some(&[1, 2][..]), None, sets(&[1, 2], &[1, 2])),
            (Some(&[1][..]), Some(&[1, 2][..]), None, sets(&[1], &[1, 2])),
            (
                Some(&[3][..]),
                Some(&[1][..]),
                None,
                Err(PlanError::Unbounded(3)),
            ),
            (Some(&[1][..]), None, Some(&[1][..]), sets(&[1], &[1])),
            (
                Some(&[2][..]),
                None,
                Some(&[1][..]),
                Err(PlanError::Capability(2)),
            ),
            (
                None,
                Some(&[2][..]),
                Some(&[1][..]),
                Err(PlanError::Capability(2)),
            ),
        ] {
            let kept = kept(&wishes(effective, bounding), &policy(allowed));
            assert_eq!(kept, expected, "{effective:?} {bounding:?} {allowed:?}");
        }
    }

    #[test]
    fn what_is_usual_for_a_kind_of_container_is_given_as_far_as_the_operator_allows() {
        let wishes = Wishes {
            usual: set(&[0, 1, 7]),
            ..Wishes::default()
        };
        let policy = |bounding: Option<&[u8]>| Policy {
            effective: set(&[7]),
            bounding: bounding.map(set),
            ..Policy::default()
        };
        let effective = |policy: &Policy| kept(&wishes, policy).map(|sets| sets.effective);
        assert_eq!(effective(&policy(None)), Ok(set(&[7, 0, 1])));
        assert_eq!(effective(&policy(Some(&[1, 7]))), Ok(set(&[7, 1])));
    }

    #[test]
    fn a_privileged_container_has_every_capability_where_that_is_allowed() {
        let wishes = Wishes {
            privileged: true,
            ..Wishes::default()
        };
        assert_eq!(
            kept(&wishes, &Policy::default()),
            Err(PlanError::Privileged)
        );
        let policy = Policy {
            privileged: true,
            ..Policy::default()
        };
        let kept = kept(&wishes, &policy).expect("all");
        assert_eq!(kept.effective.len(), usize::from(LAST) + 1);
    }
}
