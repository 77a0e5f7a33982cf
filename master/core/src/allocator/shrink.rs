//! Shrinking resources to what quota leaves of them.
//!
//! Pieces are visited in random order, so that no disk is always the one left over. A piece that
//! cannot be divided is kept whole or not at all.

use alloc::vec::Vec;

use model::Resources;
use model::resources::{Limits, Quantities, Resource, Scalar, Value};

use crate::random::Random;

/// As much of the scalars as adds up to at most `target`; what it does not name is dropped.
pub(super) fn to_quantities(
    random: &mut Random,
    resources: &Resources,
    target: &Quantities,
) -> Resources {
    if resources.quantities() == *target {
        return resources.clone();
    }
    shrink(random, resources, |name, taken| {
        Some(target.get(name).minus(taken))
    })
}

/// As much of the scalars as stays within `limits`; what they do not name is kept.
pub(super) fn to_limits(random: &mut Random, resources: &Resources, limits: &Limits) -> Resources {
    if limits.contains(&resources.quantities()) {
        return resources.clone();
    }
    shrink(random, resources, |name, taken| {
        limits.get(name).map(|bound| bound.minus(taken))
    })
}

/// `room` tells how much of a name may be taken where so much was; nothing where there is no bound.
fn shrink(
    random: &mut Random,
    resources: &Resources,
    room: impl Fn(&str, Scalar) -> Option<Scalar>,
) -> Resources {
    let mut pieces: Vec<Resource> = resources.iter().cloned().collect();
    random.shuffle(&mut pieces);
    let mut taken = Quantities::new();
    let mut kept = Resources::new();
    for mut piece in pieces {
        let Value::Scalar(amount) = piece.value else {
            continue;
        };
        let part = match room(&piece.name, taken.get(&piece.name)) {
            None => amount,
            Some(room) if amount <= room => amount,
            Some(_) if piece.is_indivisible() => continue,
            Some(room) if room <= Scalar::ZERO => continue,
            Some(room) => room,
        };
        taken.add(&piece.name, part);
        piece.value = Value::Scalar(part);
        kept.add(piece);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use model::resources::{DiskInfo, DiskKind, DiskSource, parse};

    fn resources(text: &str) -> Resources {
        parse(text).expect("resources")
    }

    fn mount(amount: i64) -> Resource {
        Resource {
            disk: Some(DiskInfo {
                source: Some(DiskSource {
                    kind: DiskKind::Mount { root: None },
                    vendor: None,
                    id: None,
                    profile: None,
                    metadata: Vec::new(),
                }),
                persistence: None,
                volume: None,
            }),
            ..Resource::scalar("disk", Scalar::whole(amount))
        }
    }

    #[test]
    fn an_amount_drops_what_it_does_not_name_and_a_limit_keeps_it() {
        let all = resources("cpus:4;mem:512;disk:100");
        let two = resources("cpus:2;mem:512").quantities();
        let mut random = Random::new(1);
        let shrunk = to_quantities(&mut random, &all, &two);
        assert_eq!(shrunk, resources("cpus:2;mem:512"));
        let limits: Limits = [
            (Arc::from("cpus"), Scalar(1500)),
            (Arc::from("mem"), Scalar(0)),
        ]
        .into_iter()
        .collect();
        let shrunk = to_limits(&mut random, &all, &limits);
        assert_eq!(shrunk, resources("cpus:1.5;disk:100"));
        assert_eq!(to_limits(&mut random, &all, &Limits::new()), all);
        let nothing = to_quantities(&mut random, &all, &Quantities::new());
        assert_eq!(nothing.to_string(), "{}");
    }

    #[test]
    fn a_mount_disk_is_kept_whole_or_not_at_all() {
        let all: Resources = [
            mount(100),
            mount(50),
            Resource::scalar("disk", Scalar::whole(30)),
        ]
        .into_iter()
        .collect();
        for seed in 0..8 {
            let target = resources("disk:120").quantities();
            let shrunk = to_quantities(&mut Random::new(seed), &all, &target);
            let kept = shrunk.quantities().get("disk");
            assert!([120, 80].map(Scalar::whole).contains(&kept), "{shrunk}");
            assert!(all.contains(&shrunk), "{shrunk}");
        }
    }
}
