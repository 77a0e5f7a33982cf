//! Survivors: containers of an earlier process of this agent, found by what it wrote down.
//!
//! ```text
//! note -> wanted, process there -> living -> adopted as one that runs
//!         wanted, process gone  -> ended, with the status that its init left -> `Exited`
//!         of nobody any more    -> killed
//! ```
//!
//! A process is believed to be the one that was written down if its number, the time of its start and
//! the run of the machine are.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use agent_core::event::ExitStatus;
use agent_kernel::cgroup::Cgroup;
use agent_kernel::launch::Host;
use agent_kernel::process::{self, Pid};
use model::ContainerId;
use nix::sys::signal::Signal;
use prost::Message;
use tracing::{info, warn};

use super::record::Record;
use super::status_of;
use crate::init::chain;
use crate::networks::Connected;

/// How long those that nobody wants may take to be gone. What they hold is given out only then.
const GONE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

/// What was found.
#[derive(Debug, Default)]
pub struct Survivors {
    /// Those that still run, by their ids: what is nested in another comes after it.
    pub(super) living: Vec<Survivor>,
    /// Those that ended while there was no agent.
    pub(super) ended: Vec<Ended>,
    /// Groups of what was killed, or died at its launch.
    pub(super) left: Vec<Cgroup>,
}

/// A container that still runs.
#[derive(Debug)]
pub(super) struct Survivor {
    pub(super) container: ContainerId,
    pub(super) record: Record,
    pub(super) pidfd: OwnedFd,
}

/// One that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) container: ContainerId,
    pub(super) record: Record,
    pub(super) status: ExitStatus,
}

/// This run of the machine; empty, and so that of nothing else, where the kernel does not say.
#[must_use]
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_string()).unwrap_or_default()
}

impl Survivors {
    /// Looks for the containers that are expected, and for those that calls launched; kills all others.
    #[must_use]
    pub fn find(host: &Host, boot: &str, expected: &BTreeSet<ContainerId>, calls: Calls) -> Self {
        let mut notes = host.notes().unwrap_or_else(|error| {
            warn!(
                error = chain(&error),
                "containers of an earlier start are not known"
            );
            Vec::new()
        });
        notes.sort_unstable();
        let mut found = Self::default();
        let mut doomed = Vec::new();
        for (container, note) in notes {
            let record = match Record::decode(&*note) {
                Ok(record) => record,
                Err(error) => {
                    warn!(%container, error = chain(&error), "container is not known any more");
                    Record::default()
                }
            };
            if record.boot.is_empty() || record.boot != boot {
                continue;
            }
            let process = process::find(record.pid, record.born);
            let is_wanted = !record.is_guest()
                && (expected.contains(&container) || found.is_of_call(&container, &record, calls));
            match (process, is_wanted) {
                (Ok(pidfd), true) => found.living.push(Survivor {
                    container,
                    record,
                    pidfd,
                }),
                (Ok(pidfd), false) => doomed.push((container, pidfd)),
                (Err(_), true) => found.gone(host, container, record),
                (Err(_), false) => {}
            }
        }
        found.kill(host, expected, doomed);
        host.forget_others(|container| found.is_living(container));
        found
    }

    /// Whether a call launched it, into what still runs.
    fn is_of_call(&self, container: &ContainerId, record: &Record, calls: Calls) -> bool {
        calls == Calls::Wanted
            && record.requested.is_some()
            && container
                .parent()
                .is_none_or(|parent| self.is_living(&parent))
    }

    fn gone(&mut self, host: &Host, container: ContainerId, record: Record) {
        let status = match host.recorded_exit(&container) {
            Some(status) => status_of(status),
            // It may never have got to its task, and nobody was told that it had.
            None if !record.runs => return,
            None => record.status_unseen(),
        };
        self.ended.push(Ended {
            container,
            record,
            status,
        });
    }

    /// Kills what nobody wants, and what was being launched, and waits until it is gone.
    fn kill(
        &mut self,
        host: &Host,
        expected: &BTreeSet<ContainerId>,
        doomed: Vec<(ContainerId, OwnedFd)>,
    ) {
        let unnoted = expected.iter();
        let unnoted = unnoted
            .filter(|container| !self.is_living(container))
            .cloned();
        let others = doomed.iter().map(|(container, _)| container.clone());
        let all: BTreeSet<ContainerId> = unnoted.chain(others).collect();
        if let Some(tree) = host.cgroups() {
            for container in &all {
                let cgroup = tree.container(container);
                if !cgroup.path().exists() {
                    continue;
                }
                if let Err(error) = cgroup.kill() {
                    warn!(%container, error = chain(&error), "container of an earlier start");
                }
                self.left.push(cgroup);
            }
        }
        for (container, pidfd) in &doomed {
            info!(%container, "container of an earlier start is killed: nobody wants it");
            // ESRCH: its group was killed just now.
            let _ = process::signal(pidfd, Signal::SIGKILL);
        }
        let begun = Instant::now();
        let is_there = |(_, pidfd): &(ContainerId, OwnedFd)| !process::has_ended(pidfd);
        while doomed.iter().any(is_there) && begun.elapsed() < GONE {
            thread::sleep(POLL);
        }
    }

    /// Whether a container still runs.
    #[must_use]
    pub fn is_living(&self, container: &ContainerId) -> bool {
        let found = self
            .living
            .binary_search_by(|one| one.container.cmp(container));
        found.is_ok()
    }

    /// How many still run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.living.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.living.is_empty()
    }

    /// The ends of those that still run on networks.
    #[must_use]
    pub fn connected(&self) -> Vec<Connected> {
        let all = self.living.iter();
        all.filter_map(|one| one.record.connected(&one.container))
            .collect()
    }
}

/// Whether containers that calls launched go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// They do, as in Mesos.
    Wanted,
    /// They end with the others.
    Unwanted,
}

impl Record {
    /// How it ended, where nobody saw it and its init left nothing. Such an init takes no signal but
    /// SIGKILL, and writes the status down when its task ends.
    pub(super) const fn status_unseen(&self) -> ExitStatus {
        match self.has_init {
            true => ExitStatus::Signal(Signal::SIGKILL as u8),
            false => ExitStatus::Unknown,
        }
    }

    /// Its init.
    pub(super) const fn pid(&self) -> Pid {
        self.pid
    }
}
