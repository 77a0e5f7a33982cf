//! Limits by setrlimit(2): those asked for, and those of a task for which nobody asks.
//!
//! The kernel counts waiting signals and timers, message queues and locked memory twice: for the user, and for
//! whoever made his user namespace, which is the agent for all containers together. The agent has no limit of
//! these, or what one container takes were missing for all others; so each task gets its own here.

use alloc::vec::Vec;

use model::sandbox::Rlimit;

use super::Wishes;

/// Resource (getrlimit(2)) and limit: the kernel's own defaults on a machine of some size.
const DEFAULTS: [(u32, u64); 3] = [
    // RLIMIT_MEMLOCK, bytes
    (8, 8 << 20),
    // RLIMIT_SIGPENDING; a timer counts as one, too
    (11, 4096),
    // RLIMIT_MSGQUEUE, bytes
    (12, 819_200),
];

/// The limits of a task.
pub(super) fn of(wishes: &Wishes) -> Vec<Rlimit> {
    let mut all = wishes.rlimits.clone();
    let is_asked = |resource: u32| {
        wishes
            .rlimits
            .iter()
            .any(|limit| limit.resource == resource)
    };
    let others = DEFAULTS
        .into_iter()
        .filter(|(resource, _)| !is_asked(*resource));
    all.extend(others.map(|(resource, limit)| Rlimit {
        resource,
        soft: limit,
        hard: limit,
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_containers_share_is_limited_for_each_unless_it_asks() {
        let resources = |wishes: &Wishes| -> Vec<(u32, u64)> {
            of(wishes)
                .iter()
                .map(|limit| (limit.resource, limit.hard))
                .collect()
        };
        assert_eq!(resources(&Wishes::default()), DEFAULTS);
        let asked = Wishes {
            rlimits: Vec::from([Rlimit {
                resource: 11,
                soft: 1,
                hard: 2,
            }]),
            ..Wishes::default()
        };
        assert_eq!(resources(&asked), [(11, 2), (8, 8 << 20), (12, 819_200)]);
    }
}
