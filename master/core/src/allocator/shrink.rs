//! Shrinking resources to what quota leaves of them.
//!
//! Pieces are visited in random order, so that no disk is always the one left over. A piece that
//! cannot be divided is kept whole or not at all.

use alloc::vec::Vec;

use model::Resources;
use model::resources::{Resource, Scalar, Value};

use super::amounts::{Amounts, Bounds, Names};
use crate::random::Random;

/// As much of the scalars as adds up to at most `target`; what it does not name is dropped.
pub(super) fn to_amounts(
    random: &mut Random,
    names: &mut Names,
    resources: &Resources,
    target: &Amounts,
) -> Resources {
    if names.scalars(resources) == *target {
        return resources.clone();
    }
    shrink(random, names, resources, |name, taken| {
        Some(target.get(name).saturating_sub(taken))
    })
}

/// As much of the scalars as stays within `limits`; what they do not name is kept.
pub(super) fn to_limits(
    random: &mut Random,
    names: &mut Names,
    resources: &Resources,
    limits: &Bounds,
) -> Resources {
    let scalars = names.scalars(resources);
    if limits
        .iter()
        .all(|(name, bound)| scalars.get(*name) <= *bound)
    {
        return resources.clone();
    }
    shrink(random, names, resources, |name, taken| {
        let bound = limits.iter().find(|(number, _)| *number == name)?;
        Some(bound.1.saturating_sub(taken))
    })
}

/// `room` tells how much of a name may be taken where so much was; nothing where there is no bound.
fn shrink(
    random: &mut Random,
    names: &mut Names,
    resources: &Resources,
    room: impl Fn(usize, i64) -> Option<i64>,
) -> Resources {
    let mut pieces: Vec<Resource> = resources.iter().cloned().collect();
    random.shuffle(&mut pieces);
    let mut taken = Amounts::default();
    let mut kept = Resources::new();
    for mut piece in pieces {
        let Value::Scalar(amount) = piece.value else {
            continue;
        };
        let (name, amount) = (names.number(&piece.name), amount.thousandths());
        let part = match room(name, taken.get(name)) {
            None => amount,
            Some(room) if amount <= room => amount,
            Some(_) if piece.is_indivisible() => continue,
            Some(room) if room <= 0 => continue,
            Some(room) => room,
        };
        taken.add(name, part);
        piece.value = Value::Scalar(Scalar(part));
        kept.add(piece);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use model::resources::{DiskInfo, DiskKind, DiskSource, Limits, parse};

    fn resources(text: &str) -> Resources {
        parse(text).expect("resources")
    }

    fn mount(amount: i64) -> Resource {
        Resource {
            disk: Some(Box::new(DiskInfo {
                source: Some(DiskSource {
                    kind: DiskKind::Mount { root: None },
                    vendor: None,
                    id: None,
                    profile: None,
                    metadata: Vec::new(),
                }),
                persistence: None,
                volume: None,
            })),
            ..Resource::scalar("disk", Scalar::whole(amount))
        }
    }

    #[test]
    fn an_amount_drops_what_it_does_not_name_and_a_limit_keeps_it() {
        let all = resources("cpus:4;mem:512;disk:100");
        let mut names = Names::default();
        let two = names.scalars(&resources("cpus:2;mem:512"));
        let mut random = Random::new(1);
        let shrunk = to_amounts(&mut random, &mut names, &all, &two);
        assert_eq!(shrunk, resources("cpus:2;mem:512"));
        let limits: Limits = [
            (Arc::from("cpus"), Scalar(1500)),
            (Arc::from("mem"), Scalar(0)),
        ]
        .into_iter()
        .collect();
        let limits = names.bounds(&limits);
        let shrunk = to_limits(&mut random, &mut names, &all, &limits);
        assert_eq!(shrunk, resources("cpus:1.5;disk:100"));
        let unbounded = to_limits(&mut random, &mut names, &all, &Bounds::new());
        assert_eq!(unbounded, all);
        let nothing = to_amounts(&mut random, &mut names, &all, &Amounts::default());
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
            let mut names = Names::default();
            let target = names.scalars(&resources("disk:120"));
            let shrunk = to_amounts(&mut Random::new(seed), &mut names, &all, &target);
            let kept = shrunk.quantities().get("disk");
            assert!([120, 80].map(Scalar::whole).contains(&kept), "{shrunk}");
            assert!(all.contains(&shrunk), "{shrunk}");
        }
    }
}
