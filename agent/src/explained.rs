//! Explained: what each container runs under, kept for whoever asks.
//!
//! A report is made once, by the launch. Those of containers that run are all kept, and of those that
//! have ended the last [`ENDED_MAX`]: why a task could not do something is asked when it is over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use agent_core::sandbox::PortRanges;
use agent_core::sandbox::denials::Denial;
use agent_core::sandbox::explain::Report;
use agent_kernel::bpf::BpfError;
use agent_kernel::capability_checks::CapabilityChecks;
use agent_kernel::cgroup::Cgroup;
use model::ContainerId;
use model::sandbox::{CgroupLimits, Enforcement, IdRange, Lacks};

/// Reports that are kept of containers that have ended; past it the oldest goes.
const ENDED_MAX: usize = 64;
/// Refusals that are kept of one container; past it the oldest goes.
const DENIALS_MAX: usize = 16;

/// The reports of this agent; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    reports: Arc<Mutex<Reports>>,
    /// Once they are watched, and this kernel lets them be.
    checks: Arc<OnceLock<CapabilityChecks>>,
}

#[derive(Debug, Default)]
struct Reports {
    all: BTreeMap<ContainerId, Entry>,
    /// What the kernel tells of refusals, and what it does not.
    how: String,
    /// Those of them that have ended, the oldest first.
    ended: VecDeque<ContainerId>,
}

/// What is known of one container.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it runs under.
    pub report: Report,
    /// Its ids on the node; nested containers have those of the outermost.
    ids: IdRange,
    /// What the kernel's log said was refused to these ids since its start, the oldest first.
    pub denials: VecDeque<String>,
    /// How often anything was refused.
    pub denied: u64,
    /// What capabilities it lacked, of one that has ended.
    pub lacks: Lacks,
}

impl Explained {
    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container runs.
    pub fn begun(&self, container: ContainerId, ids: IdRange, report: Report) {
        let mut reports = self.lock();
        // An id that is used again names the new one.
        reports.ended.retain(|one| *one != container);
        let entry = Entry {
            report,
            ids,
            denials: VecDeque::new(),
            denied: 0,
            lacks: Lacks::NONE,
        };
        reports.all.insert(container, entry);
    }

    /// A container has other limits now, and other ports where they are bounded.
    pub fn resized(
        &self,
        container: &ContainerId,
        limits: &CgroupLimits,
        ports: &PortRanges,
        made: &Enforcement,
    ) {
        if let Some(entry) = self.lock().all.get_mut(container) {
            entry.report.resize(limits, ports, made);
        }
    }

    /// Begins to note what capabilities containers lack.
    ///
    /// # Errors
    /// This kernel does not tell.
    pub fn watch_checks(&self) -> Result<(), BpfError> {
        let checks = CapabilityChecks::watch()?;
        // A second one is of no more use than the first.
        let _ = self.checks.set(checks);
        Ok(())
    }

    /// What the processes of a container were refused so far for lack of capabilities.
    #[must_use]
    pub fn lacks(&self, cgroup: &Cgroup) -> Lacks {
        let checks = self.checks.get();
        checks.map_or(Lacks::NONE, |checks| checks.of(cgroup))
    }

    /// The same of one that is over, whose group can be another's soon.
    #[must_use]
    pub fn lacked(&self, cgroup: &Cgroup) -> Lacks {
        let lacks = self.lacks(cgroup);
        if let Some(checks) = self.checks.get() {
            checks.forget(cgroup);
        }
        lacks
    }

    /// A container has ended, and lacked this.
    pub fn ended(&self, container: &ContainerId, lacks: Lacks) {
        let mut reports = self.lock();
        if let Some(entry) = reports.all.get_mut(container) {
            entry.lacks = lacks;
            reports.ended.push_back(container.clone());
        }
        while reports.ended.len() > ENDED_MAX {
            if let Some(oldest) = reports.ended.pop_front() {
                reports.all.remove(&oldest);
            }
        }
    }

    /// What a container runs, or ran, under.
    #[must_use]
    pub fn of(&self, container: &ContainerId) -> Option<Entry> {
        self.lock().all.get(container).cloned()
    }

    /// What is told of refusals on this node, in words.
    #[must_use]
    pub fn how(&self) -> String {
        self.lock().how.clone()
    }

    /// Sets what [`Self::how`] says.
    pub fn told_by(&self, how: String) {
        self.lock().how = how;
    }

    /// Something was refused to a user of the node: it counts for whoever has its id and runs.
    pub fn denied(&self, denial: Denial) {
        let mut reports = self.lock();
        let Reports { all, ended, .. } = &mut *reports;
        for (container, entry) in all {
            let is_its = denial.uid.checked_sub(entry.ids.first);
            let is_its = is_its.is_some_and(|inside| inside < entry.ids.length);
            if !is_its || ended.contains(container) {
                continue;
            }
            entry.denied += 1;
            if entry.denials.len() >= DENIALS_MAX {
                entry.denials.pop_front();
            }
            entry.denials.push_back(denial.what.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report { rows: Vec::new() }
    }

    const IDS: IdRange = IdRange {
        first: 1000,
        length: 10,
    };

    #[test]
    fn a_refusal_counts_for_the_container_that_has_the_id_and_runs() {
        let explained = Explained::default();
        let name = |text: &str| ContainerId::new(text).expect("an id");
        let next = IdRange { first: 1010, ..IDS };
        explained.begun(name("over"), IDS, report());
        explained.ended(&name("over"), Lacks::NONE);
        explained.begun(name("a"), IDS, report());
        explained.begun(name("b"), next, report());
        for uid in [999, 1000, 1009, 1009, 1020] {
            let what = format!("by {uid}");
            explained.denied(Denial { uid, what });
        }
        let of = |text: &str| explained.of(&name(text)).expect("an entry");
        assert_eq!(of("a").denials, ["by 1000", "by 1009", "by 1009"]);
        assert_eq!(
            (of("a").denied, of("b").denied, of("over").denied),
            (3, 0, 0)
        );
        for number in 0..100 {
            let what = number.to_string();
            explained.denied(Denial { uid: 1010, what });
        }
        let entry = of("b");
        assert_eq!((entry.denials.len(), entry.denied), (DENIALS_MAX, 100));
        assert_eq!(entry.denials.back().map(String::as_str), Some("99"));
    }

    #[test]
    fn reports_of_ended_containers_are_kept_up_to_a_bound_and_those_that_run_all() {
        let explained = Explained::default();
        let name = |number: usize| ContainerId::new(&format!("c{number}")).expect("an id");
        for number in 0..ENDED_MAX + 10 {
            explained.begun(name(number), IDS, report());
        }
        for number in 5..ENDED_MAX + 10 {
            explained.ended(&name(number), Lacks::NONE);
        }
        assert!(explained.of(&name(0)).is_some(), "runs");
        assert!(explained.of(&name(5)).is_none(), "ended first");
        assert!(explained.of(&name(9)).is_none());
        assert!(explained.of(&name(10)).is_some());
        explained.begun(name(10), IDS, report());
        explained.ended(&name(0), Lacks::NONE);
        assert!(explained.of(&name(10)).is_some(), "its id is used again");
        assert!(explained.of(&name(5000)).is_none());
    }
}
