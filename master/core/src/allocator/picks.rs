//! Picks: how much of each resource that an agent has available a framework could be offered.
//!
//! Quota has a say in scalars that are neither reserved nor revocable: what is picked of these is
//! shrunk to what a role may have, piece by piece in random order, so that no disk is always the one
//! left over. A piece that cannot be divided is picked whole or not at all. All of this is reckoned in
//! integers: resources are moved when it is sure that they go.

use alloc::vec::Vec;

use model::Resources;
use model::resources::{Part, Resource, Scalar, Value};

use super::accounts::{AccountId, Accounts, is_chargeable};
use super::amounts::{Amounts, Names};
use crate::random::Random;

/// Whether quota has a say in who gets a resource.
pub(super) fn is_rationed(resource: &Resource) -> bool {
    is_chargeable(resource) && matches!(resource.value, Value::Scalar(_))
}

/// What was picked of one agent; the memory is used again.
#[derive(Debug, Default)]
pub(super) struct Picks {
    picks: Vec<Pick>,
    /// In which order the pieces are shrunk that quota has a say in.
    order: Vec<usize>,
    /// Whether any of them is shared: what it comes to depends on what is held already.
    has_shared: bool,
}

/// A part of one resource.
#[derive(Debug, Clone, Copy)]
struct Pick {
    /// Where the resource stands.
    at: usize,
    /// The number of its name.
    name: Option<usize>,
    /// In thousandths; what is no scalar is counted.
    all: i64,
    picked: i64,
    is_scalar: bool,
    is_chargeable: bool,
    is_indivisible: bool,
}

impl Pick {
    const fn is_rationed(&self) -> bool {
        self.is_chargeable && self.is_scalar
    }

    /// Picks up to so much more; gives back how much that is.
    fn pick(&mut self, room: i64) -> i64 {
        let left = self.all.saturating_sub(self.picked);
        let more = if left <= room {
            left
        } else if self.is_indivisible {
            0
        } else {
            room.max(0)
        };
        self.picked = self.picked.saturating_add(more);
        more
    }
}

impl Picks {
    /// Picks what can be used of what is available.
    pub(super) fn gather(
        &mut self,
        names: &Names,
        available: &Resources,
        is_usable: impl Fn(&Resource) -> bool,
    ) {
        self.picks.clear();
        self.has_shared = false;
        for (at, resource) in available.iter().enumerate() {
            if !is_usable(resource) {
                continue;
            }
            self.has_shared |= resource.shared;
            let all = resource.value.size().thousandths();
            self.picks.push(Pick {
                at,
                name: names.find(&resource.name),
                all,
                picked: all,
                is_scalar: matches!(resource.value, Value::Scalar(_)),
                is_chargeable: is_chargeable(resource),
                is_indivisible: resource.is_indivisible(),
            });
        }
    }

    /// Whether nothing is picked.
    pub(super) fn is_empty(&self) -> bool {
        self.picks.iter().all(|pick| pick.picked == 0)
    }

    /// The scalars that are picked.
    pub(super) fn scalars(&self) -> Amounts {
        self.sum(|pick| pick.is_scalar)
    }

    /// What is picked that would be charged to a role, and the scalars of all that is picked; none where
    /// that cannot be told by looking at the picks.
    pub(super) fn sums(&self) -> Option<(Amounts, Amounts)> {
        (!self.has_shared).then(|| (self.sum(|pick| pick.is_chargeable), self.scalars()))
    }

    /// Whether all of this is picked, and nothing stays because others may have it, too.
    pub(super) fn is_all_of(&self, available: &Resources) -> bool {
        !self.has_shared
            && self.picks.len() == available.iter().len()
            && self.picks.iter().all(|pick| pick.picked == pick.all)
    }

    fn sum(&self, counts: impl Fn(&Pick) -> bool) -> Amounts {
        let mut all = Amounts::default();
        for pick in self.picks.iter().filter(|pick| counts(pick)) {
            if let Some(name) = pick.name {
                all.add(name, pick.picked);
            }
        }
        all
    }

    /// Picks no more than a role may have by its limits and the guarantees that are not met.
    pub(super) fn share(&mut self, random: &mut Random, accounts: &Accounts, account: AccountId) {
        let room = accounts.room(account);
        if room.holds(&self.sum(Pick::is_rationed)) {
            return;
        }
        self.unpick(random);
        self.fill(&mut Amounts::default(), |name| room.of(name));
    }

    /// Picks what a role may have towards its guarantees, and beyond them what limits and the
    /// guarantees of others leave; nothing where that brings it no nearer to its guarantees. Gives back
    /// whether it does.
    pub(super) fn guarantee(
        &mut self,
        random: &mut Random,
        accounts: &Accounts,
        account: AccountId,
    ) -> bool {
        let (shortfall, room) = (accounts.shortfall(account), accounts.room(account));
        self.unpick(random);
        // What is owed goes out even where guarantees are more than there is.
        let mut owed = Amounts::default();
        self.fill(&mut owed, |name| shortfall.get(name));
        if owed.is_empty() {
            return false;
        }
        let allowed = |name: usize| room.allowance(name).saturating_sub(owed.get(name)).max(0);
        let beyond = |name: usize| allowed(name).min(room.surplus(name));
        self.fill(&mut Amounts::default(), beyond);
        true
    }

    /// Takes back what quota has a say in, and puts the pieces into random order.
    fn unpick(&mut self, random: &mut Random) {
        self.order.clear();
        for (index, pick) in self.picks.iter_mut().enumerate() {
            if pick.is_rationed() {
                pick.picked = 0;
                self.order.push(index);
            }
        }
        random.shuffle(&mut self.order);
    }

    /// Picks more of what quota has a say in, as long as there is room for a name; `filled` tells what
    /// that comes to.
    fn fill(&mut self, filled: &mut Amounts, room: impl Fn(usize) -> i64) {
        for index in &self.order {
            if let Some(pick) = self.picks.get_mut(*index)
                && let Some(name) = pick.name
            {
                let left = room(name).saturating_sub(filled.get(name));
                filled.add(name, pick.pick(left));
            }
        }
    }

    /// How much is picked of the resource that stands at a place.
    pub(super) fn part(&self, at: usize, resource: &Resource) -> Part {
        let pick = self.picks.binary_search_by_key(&at, |pick| pick.at);
        let pick = pick.ok().and_then(|index| self.picks.get(index));
        match pick {
            None => Part::Nothing,
            Some(pick) if pick.picked == 0 => Part::Nothing,
            Some(_) if resource.shared => Part::Copy,
            Some(pick) if pick.picked == pick.all => Part::All,
            Some(pick) => Part::Some(Scalar(pick.picked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use model::resources::{DiskInfo, DiskKind, DiskSource, Limits, Quantities, Role, parse};

    use crate::quota::Quota;

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

    /// What a role with this quota is offered of all this, and is not, on an agent that has no more.
    fn offered(seed: u64, all: &Resources, guarantees: &str, limits: &[(&str, i64)]) -> Resources {
        let mut names = Names::default();
        let mut accounts = Accounts::default();
        let limits: Limits = limits
            .iter()
            .map(|(name, bound)| (Arc::from(*name), Scalar::whole(*bound)))
            .collect();
        let guarantees: Quantities = resources(guarantees).quantities();
        let owes = !guarantees.is_empty();
        let account = accounts.open("a");
        let quota = Quota { guarantees, limits };
        accounts.set_quota(&mut names, &Role::new("a").expect("role"), &quota);
        let free = names.amounts(all, |_| true);
        accounts.set_free(&Amounts::default(), &free);
        let mut picks = Picks::default();
        picks.gather(&names, all, |_| true);
        let mut random = Random::new(seed);
        if owes {
            assert!(picks.guarantee(&mut random, &accounts, account));
        } else {
            picks.share(&mut random, &accounts, account);
        }
        let offer = all.clone().carve(|at, resource| picks.part(at, resource));
        assert_eq!(names.scalars(&offer), picks.scalars());
        assert_eq!(offer.is_empty(), picks.is_empty());
        offer
    }

    #[test]
    fn a_limit_keeps_what_it_does_not_name() {
        let all = resources("cpus:4;mem:512;disk:100;ports:[1-2]");
        let limited = offered(1, &all, "", &[("cpus", 1), ("mem", 0)]);
        assert_eq!(limited, resources("cpus:1;disk:100;ports:[1-2]"));
        assert_eq!(offered(1, &all, "", &[]), all);
        let nothing = offered(1, &resources("cpus:4"), "", &[("cpus", 0)]);
        assert_eq!(nothing.to_string(), "{}");
    }

    #[test]
    fn a_guarantee_is_met_and_what_is_beyond_it_keeps_to_the_limits() {
        let all = resources("cpus:4;mem:512;disk:100");
        let met = offered(1, &all, "cpus:1", &[("cpus", 2), ("mem", 100)]);
        assert_eq!(met, resources("cpus:2;mem:100;disk:100"));
    }

    #[test]
    fn a_mount_disk_is_offered_whole_or_not_at_all() {
        let all: Resources = [
            mount(100),
            mount(50),
            Resource::scalar("disk", Scalar::whole(30)),
        ]
        .into_iter()
        .collect();
        let mut seen = alloc::collections::BTreeSet::new();
        for seed in 0..16 {
            let kept = offered(seed, &all, "", &[("disk", 120)]);
            let amount = kept.quantities().get("disk");
            assert!([120, 80].map(Scalar::whole).contains(&amount), "{kept}");
            assert!(all.contains(&kept), "{kept}");
            seen.insert(amount.thousandths());
        }
        assert!(seen.len() > 1, "not always the same piece: {seen:?}");
    }
}
