//! Explained: what each container runs under, kept for whoever asks.
//!
//! A report is made once, by the launch. Those of containers that run are all kept, and of those that
//! have ended the last [`ENDED_MAX`]: why a task could not do something is asked when it is over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_core::sandbox::explain::Report;
use model::ContainerId;
use model::sandbox::{CgroupLimits, Enforcement};

/// Reports that are kept of containers that have ended; past it the oldest goes.
const ENDED_MAX: usize = 64;

/// The reports of this agent; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Explained(Arc<Mutex<Reports>>);

#[derive(Debug, Default)]
struct Reports {
    all: BTreeMap<ContainerId, Report>,
    /// Those of them that have ended, the oldest first.
    ended: VecDeque<ContainerId>,
}

impl Explained {
    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container runs.
    pub fn begun(&self, container: ContainerId, report: Report) {
        let mut reports = self.lock();
        // An id that is used again names the new one.
        reports.ended.retain(|one| *one != container);
        reports.all.insert(container, report);
    }

    /// A container has other limits now.
    pub fn resized(&self, container: &ContainerId, limits: &CgroupLimits, made: &Enforcement) {
        if let Some(report) = self.lock().all.get_mut(container) {
            report.resize(limits, made);
        }
    }

    /// A container has ended.
    pub fn ended(&self, container: &ContainerId) {
        let mut reports = self.lock();
        if reports.all.contains_key(container) {
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
    pub fn of(&self, container: &ContainerId) -> Option<Report> {
        self.lock().all.get(container).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report { rows: Vec::new() }
    }

    #[test]
    fn reports_of_ended_containers_are_kept_up_to_a_bound_and_those_that_run_all() {
        let explained = Explained::default();
        let name = |number: usize| ContainerId::new(&format!("c{number}")).expect("an id");
        for number in 0..ENDED_MAX + 10 {
            explained.begun(name(number), report());
        }
        for number in 5..ENDED_MAX + 10 {
            explained.ended(&name(number));
        }
        assert!(explained.of(&name(0)).is_some(), "runs");
        assert!(explained.of(&name(5)).is_none(), "ended first");
        assert!(explained.of(&name(9)).is_none());
        assert!(explained.of(&name(10)).is_some());
        explained.begun(name(10), report());
        explained.ended(&name(0));
        assert!(explained.of(&name(10)).is_some(), "its id is used again");
        assert!(explained.of(&name(5000)).is_none());
    }
}
