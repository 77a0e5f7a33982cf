//! Processors: which of the node's are whose, where containers that ask for whole ones have them alone.
//!
//! Invariant: a processor is one container's own or shared, and at least one is shared: what asks for no
//! whole processors, or for more than there are, runs on those.
//!
//! Who asks for several gets whole cores first, so that no neighbour runs on the other thread of one; who
//! asks for less fills up cores that are broken into already. The first processors are given last:
//! interrupts and the agent are there.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use model::ContainerId;
use model::sandbox::{CpuList, CpuSet};

use super::cgroup::Ceiling;
use super::{Class, Demand};

/// Where a processor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Core {
    /// The package, of those that the machine has.
    pub package: u32,
    /// The core in it; its threads are processors of their own.
    pub core: u32,
}

/// The processors of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processors {
    cores: BTreeMap<Core, BTreeSet<u32>>,
    own: BTreeMap<ContainerId, BTreeSet<u32>>,
}

impl Processors {
    /// All of a node, each with its place.
    #[must_use]
    pub fn new(all: impl IntoIterator<Item = (u32, Core)>) -> Self {
        let mut processors = Self::default();
        for (cpu, core) in all {
            processors.cores.entry(core).or_default().insert(cpu);
        }
        processors
    }

    /// What a container gets. What it gets as its own stays so until [`Self::release`].
    pub fn give(&mut self, container: &ContainerId, class: Class, demand: Demand) -> CpuSet {
        match whole(class, demand) {
            None => CpuSet::Shared(self.shared()),
            Some(wanted) => match self.choose(wanted) {
                Some(own) => {
                    let list = CpuList(own.iter().copied().collect());
                    self.own.insert(container.clone(), own);
                    CpuSet::Own(list)
                }
                None => CpuSet::Lacking {
                    shared: self.shared(),
                    wanted,
                },
            },
        }
    }

    /// A container that runs already has these; those that the node has not any more are left out.
    pub fn adopt(&mut self, container: &ContainerId, cpus: &[u32]) {
        let free = self.free();
        let own: BTreeSet<u32> = cpus
            .iter()
            .copied()
            .filter(|cpu| free.contains(cpu))
            .collect();
        if !own.is_empty() {
            self.own.insert(container.clone(), own);
        }
    }

    /// A container is gone; whether what is shared has changed.
    pub fn release(&mut self, container: &ContainerId) -> bool {
        self.own.remove(container).is_some()
    }

    /// Those that are nobody's own.
    #[must_use]
    pub fn shared(&self) -> CpuList {
        CpuList(self.free().into_iter().collect())
    }

    fn free(&self) -> BTreeSet<u32> {
        let is_own = |cpu: &u32| self.own.values().any(|own| own.contains(cpu));
        let all = self.cores.values().flatten();
        all.copied().filter(|cpu| !is_own(cpu)).collect()
    }

    fn choose(&self, wanted: u64) -> Option<BTreeSet<u32>> {
        let free = self.free();
        let wanted = usize::try_from(wanted).ok()?;
        if wanted >= free.len() {
            return None;
        }
        let mut chosen = BTreeSet::new();
        let cores = || self.cores.values().rev();
        let is_whole = |core: &&BTreeSet<u32>| core.is_subset(&free);
        for core in cores().filter(is_whole) {
            if chosen.len() + core.len() <= wanted {
                chosen.extend(core);
            }
        }
        let (broken, whole): (Vec<_>, Vec<_>) = cores().partition(|core| !is_whole(core));
        let rest = broken.into_iter().chain(whole);
        let rest = rest.flat_map(|core| core.iter().rev());
        for cpu in rest.filter(|cpu| free.contains(cpu)) {
            if chosen.len() == wanted {
                break;
            }
            chosen.insert(*cpu);
        }
        Some(chosen)
    }
}

/// How many processors a container asks for, where it asks for whole ones and for no more beyond them.
///
/// An executor's and a pod's change with their tasks, so that theirs are shared; and so is what is given
/// back when others need it.
fn whole(class: Class, demand: Demand) -> Option<u64> {
    let (cpus, is_whole) = (
        demand.cpus_milli / 1000,
        demand.cpus_milli.is_multiple_of(1000),
    );
    let is_all = match demand.cpus_milli_max {
        None => true,
        Some(Ceiling::At(most)) => most <= demand.cpus_milli,
        Some(Ceiling::Unlimited) => false,
    };
    let is_kept = class == Class::Task && !demand.revocable.any();
    (is_kept && is_whole && is_all && cpus > 0).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    /// Two packages of two cores of two threads, numbered as most machines do: 0 and 4 are one core.
    fn node() -> Processors {
        Processors::new((0..8).map(|cpu| {
            let core = cpu % 4;
            let place = Core {
                package: core / 2,
                core: core % 2,
            };
            (cpu, place)
        }))
    }

    fn name(text: &str) -> ContainerId {
        ContainerId::new(text).expect("an id")
    }

    fn cpus(milli: u64) -> Demand {
        Demand {
            cpus_milli: milli,
            ..Demand::default()
        }
    }

    fn given(node: &mut Processors, container: &str, milli: u64) -> String {
        match node.give(&name(container), Class::Task, cpus(milli)) {
            CpuSet::Own(own) => own.to_string(),
            CpuSet::Shared(shared) => format!("shares {shared}"),
            CpuSet::Lacking { shared, wanted } => format!("shares {shared}, wanted {wanted}"),
        }
    }

    #[test]
    fn whole_processors_are_whole_cores_first_and_one_is_always_shared() {
        let mut node = node();
        assert_eq!(given(&mut node, "part", 1500), "shares 0-7");
        assert_eq!(given(&mut node, "two", 2000), "3,7");
        assert_eq!(given(&mut node, "one", 1000), "6");
        assert_eq!(given(&mut node, "other", 1000), "2", "the same core");
        assert_eq!(given(&mut node, "part", 500), "shares 0-1,4-5");
        assert_eq!(given(&mut node, "all", 4000), "shares 0-1,4-5, wanted 4");
        assert_eq!(given(&mut node, "three", 3000), "1,4-5");
        assert_eq!(given(&mut node, "more", 1000), "shares 0, wanted 1");
        assert!(node.release(&name("two")));
        assert!(!node.release(&name("part")));
        assert_eq!(node.shared().to_string(), "0,3,7");
    }

    #[test]
    fn what_may_grow_or_take_more_shares() {
        let mut node = node();
        let mut give = |class, demand| node.give(&name("c"), class, demand);
        for class in [Class::Executor, Class::Pod, Class::Nested, Class::Debug] {
            assert!(matches!(give(class, cpus(1000)), CpuSet::Shared(_)));
        }
        for (limit, is_own) in [
            (Ceiling::At(1000), true),
            (Ceiling::At(1001), false),
            (Ceiling::Unlimited, false),
        ] {
            let demand = Demand {
                cpus_milli_max: Some(limit),
                ..cpus(1000)
            };
            let set = give(Class::Task, demand);
            assert_eq!(matches!(set, CpuSet::Own(_)), is_own, "{limit:?}");
        }
        assert!(matches!(give(Class::Task, cpus(0)), CpuSet::Shared(_)));
        let mut revocable = cpus(1000);
        revocable.revocable.cpus = true;
        assert!(matches!(give(Class::Task, revocable), CpuSet::Shared(_)));
    }

    #[test]
    fn what_a_container_had_before_a_restart_it_keeps_as_far_as_it_is_there() {
        let mut node = node();
        node.adopt(&name("a"), &[2, 6, 99]);
        node.adopt(&name("b"), &[6]);
        assert_eq!(node.shared().to_string(), "0-1,3-5,7");
        assert!(node.release(&name("a")));
        assert!(!node.release(&name("b")), "it was another's");
    }
}
