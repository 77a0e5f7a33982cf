//! Processors: those of the node, shared out among its containers (`--container_cpuset=whole`).
//!
//! Who gets which is agent-core's (`sandbox::Processors`). Here the groups of those that share are told
//! when that changes. A container that starts meanwhile is told once more when it runs.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_core::sandbox::{Class, Core, Demand, Processors};
use agent_kernel::cgroup::{Cgroup, Tree};
use agent_kernel::facts;
use model::ContainerId;
use model::sandbox::{CpuList, CpuSet};
use tracing::{debug, warn};

use crate::init::chain;

/// Whether containers have processors of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// All run on all of them.
    #[default]
    None,
    /// One that asks for whole processors, and no more beyond them, has them alone.
    Whole,
}

/// The processors of this node.
#[derive(Debug)]
pub struct Cpus {
    tree: Tree,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    processors: Processors,
    /// Those that have none of their own, from before their start to their end.
    sharing: BTreeSet<ContainerId>,
}

impl Cpus {
    /// Those of this node, where the operator wants them shared out and there are groups to do it by.
    #[must_use]
    pub fn open(policy: Policy, tree: Option<&Tree>) -> Option<Self> {
        let tree = match (policy, tree) {
            (Policy::None, _) => return None,
            (Policy::Whole, Some(tree)) => tree.clone(),
            (Policy::Whole, None) => {
                warn!("this host has no cgroups: processors are not shared out");
                return None;
            }
        };
        let all = facts::processors().into_iter();
        let processors = Processors::new(all.map(|(cpu, package, core)| {
            let place = Core { package, core };
            (cpu, place)
        }));
        Some(Self {
            tree,
            book: Mutex::new(Book {
                processors,
                sharing: BTreeSet::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a container gets that is about to start. What becomes its own is nobody's then.
    pub fn begin(&self, container: &ContainerId, class: Class, demand: Demand) -> CpuSet {
        let mut book = self.lock();
        let set = book.processors.give(container, class, demand);
        match &set {
            CpuSet::Own(_) => self.tell(&book),
            CpuSet::Shared(_) | CpuSet::Lacking { .. } => {
                book.sharing.insert(container.clone());
            }
        }
        set
    }

    /// It runs; meanwhile what is shared may have become other processors.
    pub fn started(&self, container: &ContainerId, given: &CpuSet) {
        let book = self.lock();
        let shared = book.processors.shared();
        if book.sharing.contains(container) && shared != *given.cpus() {
            run_on(&self.tree.container(container), &shared);
        }
    }

    /// An earlier process of this agent launched it; these are its own. All of them are told with
    /// [`Self::settle`].
    pub fn adopt(&self, container: &ContainerId, own: &[u32]) {
        let mut book = self.lock();
        match own {
            [] => {
                book.sharing.insert(container.clone());
            }
            own => book.processors.adopt(container, own),
        }
    }

    /// Tells all that share.
    pub fn settle(&self) {
        self.tell(&self.lock());
    }

    /// A container is gone, or was never started.
    pub fn ended(&self, container: &ContainerId) {
        let mut book = self.lock();
        book.sharing.remove(container);
        if book.processors.release(container) {
            self.tell(&book);
        }
    }

    fn tell(&self, book: &Book) {
        let shared = book.processors.shared();
        for container in &book.sharing {
            run_on(&self.tree.container(container), &shared);
        }
    }
}

/// A container of an earlier process of this agent, whose operator shares processors out no more.
pub fn free(cgroup: &Cgroup) {
    run_on(cgroup, &CpuList::default());
}

fn run_on(cgroup: &Cgroup, cpus: &CpuList) {
    match cgroup.run_on(cpus) {
        Ok(()) => {}
        // It is not there yet, or not any more.
        Err(_) if !cgroup.path().exists() => {
            debug!(cgroup = %cgroup.path().display(), "no such cgroup to run elsewhere");
        }
        Err(error) => warn!(
            error = chain(&error),
            "a container stays on processors that are others' own"
        ),
    }
}
