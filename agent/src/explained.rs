//! Explained: what each container runs under, kept for whoever asks.
//!
//! A report is made once, by the launch. Those of containers that run are all kept, and of those that
//! have ended the last [`ENDED_MAX`]: why a task could not do something is asked when it is over.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use agent_core::sandbox::PortRanges;
use agent_core::sandbox::denials::Denial;
use agent_core::sandbox::explain::{self, Report};
use agent_kernel::bpf::BpfError;
use agent_kernel::capability_checks::CapabilityChecks;
use agent_kernel::cgroup::Cgroup;
use agent_kernel::seccomp_refusals::{Calls, SeccompRefusals};
use model::ContainerId;
use model::sandbox::{CgroupLimits, Enforcement, IdRange, Lacks, Seccomp};

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
    /// The same of the calls that filters stop.
    refusals: Arc<OnceLock<SeccompRefusals>>,
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
    /// What its filter did not just let pass, of one that has ended.
    pub calls: Calls,
    /// What it may call; unset of one that an earlier program of the agent started.
    seccomp: Option<Seccomp>,
}

impl Entry {
    /// The calls that were stopped, each with the rule by which, as far as that is known.
    #[must_use]
    pub fn stopped(&self) -> Vec<String> {
        let stopped = self.calls.stopped.iter();
        let by_what = |call: &str| match &self.seccomp {
            Some(seccomp) => explain::stopped(seccomp, call),
            None => call.to_owned(),
        };
        stopped.map(|call| by_what(call)).collect()
    }

    /// Those of them that the container may have missed.
    fn missed(&self, calls: &Calls) -> Vec<Cow<'static, str>> {
        let is_missing = |call: &str| match &self.seccomp {
            Some(seccomp) => explain::is_missing(seccomp, call),
            None => false,
        };
        let stopped = calls.stopped.iter().filter(|call| !is_missing(call));
        stopped.cloned().collect()
    }
}

impl Explained {
    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container runs.
    pub fn begun(
        &self,
        container: ContainerId,
        ids: IdRange,
        report: Report,
        seccomp: Option<Seccomp>,
    ) {
        let mut reports = self.lock();
        // An id that is used again names the new one.
        reports.ended.retain(|one| *one != container);
        let entry = Entry {
            report,
            ids,
            denials: VecDeque::new(),
            denied: 0,
            lacks: Lacks::NONE,
            calls: Calls::default(),
            seccomp,
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

    /// Begins to note what calls filters stop.
    ///
    /// # Errors
    /// This kernel does not tell.
    pub fn watch_calls(&self) -> Result<(), BpfError> {
        let refusals = SeccompRefusals::watch()?;
        // A second one is of no more use than the first.
        let _ = self.refusals.set(refusals);
        Ok(())
    }

    /// The calls of a container that its filter did not just let pass so far.
    #[must_use]
    pub fn calls(&self, cgroup: &Cgroup) -> Calls {
        let refusals = self.refusals.get();
        refusals.map_or_else(Calls::default, |refusals| refusals.of(cgroup))
    }

    /// What the processes of a container were refused so far for lack of capabilities.
    #[must_use]
    pub fn lacks(&self, cgroup: &Cgroup) -> Lacks {
        let checks = self.checks.get();
        checks.map_or(Lacks::NONE, |checks| checks.of(cgroup))
    }

    /// What one that is over was refused for lack of capabilities and calls. Its group can be another's
    /// soon, and is forgotten.
    #[must_use]
    pub fn lacked(&self, container: &ContainerId, cgroup: &Cgroup) -> Lacks {
        let (mut lacks, calls) = (self.lacks(cgroup), self.calls(cgroup));
        if let Some(checks) = self.checks.get() {
            checks.forget(cgroup);
        }
        if let Some(refusals) = self.refusals.get() {
            refusals.forget(cgroup);
        }
        if let Some(entry) = self.lock().all.get_mut(container) {
            lacks.calls = entry.missed(&calls);
            entry.calls = calls;
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
    use model::sandbox::{SeccompAction, SeccompFilter, SeccompRule};

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
        explained.begun(name("over"), IDS, report(), None);
        explained.ended(&name("over"), Lacks::NONE);
        explained.begun(name("a"), IDS, report(), None);
        explained.begun(name("b"), next, report(), None);
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
    fn what_a_filter_called_missing_is_told_and_nobody_missed_it() {
        let rule = |calls: &[&'static str], number| {
            let calls = calls.iter().map(|call| (*call).into()).collect();
            Arc::new(SeccompRule {
                calls,
                conditions: Vec::new(),
                action: SeccompAction::Errno(number),
                why: "why".into(),
            })
        };
        let filter = SeccompFilter {
            profile: "p".into(),
            default: SeccompAction::Allow,
            rules: vec![rule(&["clone3"], 38), rule(&["mount"], 1)],
            within: None,
        };
        let explained = Explained::default();
        let name = ContainerId::new("a").expect("an id");
        let told = |seccomp| {
            explained.begun(name.clone(), IDS, report(), seccomp);
            let mut entry = explained.of(&name).expect("an entry");
            entry.calls.stopped = vec!["clone3".into(), "mount".into(), "read".into()];
            (entry.stopped(), entry.missed(&entry.calls))
        };
        let (stopped, missed) = told(Some(Seccomp::Filter(filter)));
        let expected = [
            r#"clone3: errno 38 by the rule "why" (profile p)"#,
            r#"mount: errno 1 by the rule "why" (profile p)"#,
            "read: by no rule of the container's profile",
        ];
        assert_eq!(stopped, expected);
        assert_eq!(missed, ["mount", "read"]);
        let (stopped, missed) = told(None);
        assert_eq!(stopped, ["clone3", "mount", "read"]);
        assert_eq!(missed.len(), 3);
    }

    #[test]
    fn reports_of_ended_containers_are_kept_up_to_a_bound_and_those_that_run_all() {
        let explained = Explained::default();
        let name = |number: usize| ContainerId::new(&format!("c{number}")).expect("an id");
        for number in 0..ENDED_MAX + 10 {
            explained.begun(name(number), IDS, report(), None);
        }
        for number in 5..ENDED_MAX + 10 {
            explained.ended(&name(number), Lacks::NONE);
        }
        assert!(explained.of(&name(0)).is_some(), "runs");
        assert!(explained.of(&name(5)).is_none(), "ended first");
        assert!(explained.of(&name(9)).is_none());
        assert!(explained.of(&name(10)).is_some());
        explained.begun(name(10), IDS, report(), None);
        explained.ended(&name(0), Lacks::NONE);
        assert!(explained.of(&name(10)).is_some(), "its id is used again");
        assert!(explained.of(&name(5000)).is_none());
    }
}
