//! Checks: whether a task does what it should, asked again and again.
//!
//! A check is told of and nothing more; a health check that fails often enough in a row kills its
//! task. Both probe the task in the same ways ([`Probe`]): the shell does it and tells the
//! [`Outcome`]; when a probe begins and when it is given up is decided here ([`Checkers`]), what
//! its outcome means in [`checker`].

pub(crate) mod checker;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use model::{Blob, ContainerId, Instant};

use checker::{Checker, Due, Verdict};

/// How a task is checked; by nothing where both are unset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// What only tells.
    pub check: Option<Check>,
    /// What kills in the end.
    pub health: Option<HealthCheck>,
}

/// A probe and its timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is done.
    pub probe: Probe,
    /// From the task's start to the first probe.
    pub delay: Duration,
    /// From the end of one probe to the next.
    pub interval: Duration,
    /// How long a probe may take; unset for ever.
    pub timeout: Option<Duration>,
}

/// A check whose failure kills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is done, and when.
    pub check: Check,
    /// So many failures in a row kill the task.
    pub failures_max: u32,
    /// Failures within this time do not count, until the first success.
    pub grace: Duration,
}

/// One way to ask a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The whole `CommandInfo` of a command to run in the task's container.
    Command(Blob),
    /// Something to ask within the container's network.
    Request(Request),
}

/// What is asked within a container's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A GET request.
    Http {
        /// `http` or `https`.
        scheme: Scheme,
        /// The address.
        loopback: Loopback,
        /// The port.
        port: u16,
        /// What comes after the port, with its `/`; may be empty.
        path: String,
    },
    /// A connection.
    Tcp {
        /// The address.
        loopback: Loopback,
        /// The port.
        port: u16,
    },
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By TLS; whose certificate it is does not matter.
    Https,
}

/// The address that a container has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// 127.0.0.1.
    V4,
    /// ::1.
    V6,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The command's exit code.
    Exited(u8),
    /// The status code of the last answer, once redirects are followed.
    Answered(u16),
    /// Whether the connection was made.
    Connected(bool),
    /// The probe could not be done; why.
    Failed(String),
    /// Nothing that speaks for or against the task; why.
    Unavailable(String),
}

/// The last result of a check, as statuses carry it; without a value where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// The exit code.
    Command(Option<u8>),
    /// The status code.
    Http(Option<u16>),
    /// Whether the connection was made.
    Tcp(Option<bool>),
}

impl Check {
    /// What statuses carry while there is no result.
    #[must_use]
    pub fn no_result(&self) -> CheckStatus {
        match self.probe {
            Probe::Command(_) => CheckStatus::Command(None),
            Probe::Request(Request::Http { .. }) => CheckStatus::Http(None),
            Probe::Request(Request::Tcp { .. }) => CheckStatus::Tcp(None),
        }
    }
}

/// Which of a task's two checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `TaskInfo.check`.
    Check,
    /// `TaskInfo.health_check`.
    Health,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Health => "health check",
        })
    }
}

/// One probe of one check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeId {
    /// The container of the task.
    pub container: ContainerId,
    /// Which check of it.
    pub kind: Kind,
    /// Which turn of the check, 1 first.
    pub turn: u64,
}

/// What a moment asks of the checks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A probe begins.
    Begin(ProbeId, Probe),
    /// A probe took too long: it is ended, and this is what it means.
    GiveUp(ProbeId, Verdict),
}

/// The checks of all tasks that run.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    checkers: BTreeMap<(ContainerId, Kind), Checker>,
    /// When each wants to be looked at; an entry may be out of date.
    timers: BTreeSet<(Instant, ContainerId, Kind)>,
    /// The containers of commands, each from its launch to its end.
    commands: BTreeMap<(ContainerId, Kind), ContainerId>,
}

impl Checkers {
    /// The task in this container runs; `healthy` is what was last told of its health.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        container: &ContainerId,
        checks: &Checks,
        healthy: Option<bool>,
    ) {
        if let Some(check) = &checks.check {
            self.add(container, Kind::Check, Checker::check(now, check));
        }
        if let Some(health) = &checks.health {
            self.add(
                container,
                Kind::Health,
                Checker::health(now, health, healthy),
            );
        }
    }

    fn add(&mut self, container: &ContainerId, kind: Kind, checker: Checker) {
        let key = (container.clone(), kind);
        self.set_timer(&key, &checker);
        self.checkers.insert(key, checker);
    }

    /// The task in this container is not checked any more; gives the probes to end.
    pub(crate) fn stop(&mut self, container: &ContainerId) -> Vec<ProbeId> {
        let kinds = [Kind::Check, Kind::Health].into_iter();
        kinds
            .filter_map(|kind| {
                let checker = self.checkers.remove(&(container.clone(), kind))?;
                let turn = checker.asking()?;
                Some(probe_id(container, kind, turn))
            })
            .collect()
    }

    /// When a check wants to be looked at.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _, _)| *at)
    }

    /// What is due, each once.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Turn> {
        let mut turns = Vec::new();
        while let Some((at, container, kind)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            let key = (container, kind);
            let Some(checker) = self.checkers.get_mut(&key) else {
                continue;
            };
            let turn = match checker.due(now) {
                Due::Nothing => continue,
                Due::Begin(turn, probe) => Turn::Begin(probe_id(&key.0, kind, turn), probe),
                Due::GiveUp(turn, verdict) => Turn::GiveUp(probe_id(&key.0, kind, turn), verdict),
            };
            let next = checker.deadline();
            self.timers.extend(next.map(|at| (at, key.0, kind)));
            turns.push(turn);
        }
        turns
    }

    /// A probe has an outcome; `None` where nobody waits for it any more.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        probe: &ProbeId,
        outcome: &Outcome,
    ) -> Option<Verdict> {
        let key = (probe.container.clone(), probe.kind);
        let checker = self.checkers.get_mut(&key)?;
        let verdict = checker.answered(now, probe.turn, outcome)?;
        let next = checker.deadline();
        self.timers.extend(next.map(|at| (at, key.0, key.1)));
        Some(verdict)
    }

    /// The container of the command that checks a task, while there is one.
    pub(crate) fn command(&self, probe: &ProbeId) -> Option<&ContainerId> {
        self.commands.get(&(probe.container.clone(), probe.kind))
    }

    /// A command that checks a task is launched in this container.
    pub(crate) fn launch(&mut self, probe: &ProbeId, container: ContainerId) {
        let key = (probe.container.clone(), probe.kind);
        self.commands.insert(key, container);
    }

    /// The container of a command is gone.
    pub(crate) fn ended(&mut self, probe: &ProbeId) {
        self.commands.remove(&(probe.container.clone(), probe.kind));
    }

    fn set_timer(&mut self, key: &(ContainerId, Kind), checker: &Checker) {
        let next = checker.deadline();
        self.timers
            .extend(next.map(|at| (at, key.0.clone(), key.1)));
    }
}

fn probe_id(container: &ContainerId, kind: Kind, turn: u64) -> ProbeId {
    ProbeId {
        container: container.clone(),
        kind,
        turn,
    }
}
