//! Checker: one check of one task, by the rules of Mesos' checks library.
//!
//! ```text
//! Waiting -> Asking -> Waiting …        (and gone when the task is killed or ends)
//! ```
//!
//! A check tells whenever its result changes. A health check tells of every failure that counts
//! and of the first success after failures; a failure within the grace period counts for nothing
//! before the first success.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use model::Instant;
use model::duration;

use super::{Check, CheckStatus, HealthCheck, Outcome, Probe};

/// The least between two probes. A check that wants none in between would keep the agent busy
/// with nothing else, since a port that nobody listens on answers at once.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// One check of one task.
#[derive(Debug)]
pub(crate) struct Checker {
    check: Check,
    rule: Rule,
    stand: Stand,
    /// Probes so far.
    turn: u64,
}

#[derive(Debug)]
enum Stand {
    /// Until the next probe.
    Waiting { until: Instant },
    /// A probe is under way.
    Asking { until: Option<Instant> },
}

#[derive(Debug)]
enum Rule {
    Check {
        /// What was told last.
        told: CheckStatus,
    },
    Health {
        failures_max: u32,
        /// Failures until then do not count; unset after the first success.
        grace: Option<Instant>,
        /// Whether a success is news.
        standing: Standing,
        /// Failures in a row that counted.
        failures: u32,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    Known,
}

/// What a moment asks of a check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// The probe of this turn begins.
    Begin(u64, Probe),
    /// The probe of this turn took so long that it failed.
    GiveUp(u64, Verdict),
}

/// What an outcome means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// What to tell of the task.
    pub(crate) news: Option<News>,
    /// What went wrong, in words for the log.
    pub(crate) failure: Option<String>,
}

/// What is told of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// The result of its check.
    Result(CheckStatus),
    /// It does what it should, again or for the first time.
    Healthy,
    /// It does not.
    Unhealthy(Consequence),
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The task goes on.
    Spared,
    /// The task is killed.
    Killed,
}

impl Checker {
    pub(crate) fn check(now: Instant, check: &Check) -> Self {
        let rule = Rule::Check {
            told: check.no_result(),
        };
        Self::new(now, check, rule)
    }

    /// `healthy` is what was told of the task before this agent process.
    pub(crate) fn health(now: Instant, health: &HealthCheck, healthy: Option<bool>) -> Self {
        let known = healthy == Some(true);
        let rule = Rule::Health {
            failures_max: health.failures_max,
            grace: (!known && !health.grace.is_zero()).then(|| now + health.grace),
            standing: match known {
                true => Standing::Known,
                false => Standing::Unknown,
            },
            failures: 0,
        };
        Self::new(now, &health.check, rule)
    }

    fn new(now: Instant, check: &Check, rule: Rule) -> Self {
        Self {
            check: check.clone(),
            rule,
            stand: Stand::Waiting {
                until: now + check.delay,
            },
            turn: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stand {
            Stand::Waiting { until } => Some(until),
            Stand::Asking { until } => until,
        }
    }

    /// The turn of the probe that is under way.
    pub(crate) fn asking(&self) -> Option<u64> {
        match self.stand {
            Stand::Asking { .. } => Some(self.turn),
            Stand::Waiting { .. } => None,
        }
    }

    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if self.deadline().is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        match self.stand {
            Stand::Waiting { .. } => {
                self.turn += 1;
                self.stand = Stand::Asking {
                    until: self.check.timeout.map(|time| now + time),
                };
                Due::Begin(self.turn, self.check.probe.clone())
            }
            Stand::Asking { .. } => {
                let after = self.check.timeout.unwrap_or_default();
                let words = format!("timed out after {}", duration::format(after));
                let verdict = self.judge(now, &Outcome::Failed(words));
                Due::GiveUp(self.turn, verdict)
            }
        }
    }

    /// `None` where the probe of this turn is not under way.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        turn: u64,
        outcome: &Outcome,
    ) -> Option<Verdict> {
        (self.asking() == Some(turn)).then(|| self.judge(now, outcome))
    }

    fn judge(&mut self, now: Instant, outcome: &Outcome) -> Verdict {
        self.stand = Stand::Waiting {
            until: now + self.check.interval.max(INTERVAL_MIN),
        };
        let empty = self.check.no_result();
        match (&mut self.rule, outcome) {
            (_, Outcome::Unavailable(why)) => Verdict {
                news: None,
                failure: Some(why.clone()),
            },
            (Rule::Check { told }, outcome) => {
                let result = result(outcome).unwrap_or(empty);
                let news = (*told != result).then_some(News::Result(result));
                *told = result;
                let failure = match outcome {
                    Outcome::Failed(why) => Some(why.clone()),
                    _ => None,
                };
                Verdict { news, failure }
            }
            (Rule::Health { .. }, outcome) => match fault(outcome) {
                Some(failure) => Verdict {
                    news: self.failed(now),
                    failure: Some(failure),
                },
                None => Verdict {
                    news: self.succeeded(),
                    failure: None,
                },
            },
        }
    }

    fn failed(&mut self, now: Instant) -> Option<News> {
        let Rule::Health {
            failures_max,
            grace,
            failures,
            ..
        } = &mut self.rule
        else {
            return None;
        };
        if grace.is_some_and(|until| now <= until) {
            return None;
        }
        *failures = failures.saturating_add(1);
        Some(News::Unhealthy(match *failures >= *failures_max {
            true => Consequence::Killed,
            false => Consequence::Spared,
        }))
    }

    fn succeeded(&mut self) -> Option<News> {
        let Rule::Health {
            grace,
            standing,
            failures,
            ..
        } = &mut self.rule
        else {
            return None;
        };
        let is_news = *standing == Standing::Unknown || *failures > 0;
        *grace = None;
        *standing = Standing::Known;
        *failures = 0;
        is_news.then_some(News::Healthy)
    }
}

/// What a status carries of an outcome.
fn result(outcome: &Outcome) -> Option<CheckStatus> {
    match outcome {
        Outcome::Exited(code) => Some(CheckStatus::Command(Some(*code))),
        Outcome::Answered(code) => Some(CheckStatus::Http(Some(*code))),
        Outcome::Connected(made) => Some(CheckStatus::Tcp(Some(*made))),
        Outcome::Failed(_) | Outcome::Unavailable(_) => None,
    }
}

/// Why an outcome is no sign of health.
fn fault(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Exited(0) | Outcome::Answered(200..=399) | Outcome::Connected(true) => None,
        Outcome::Exited(code) => Some(format!("command exited with status {code}")),
        Outcome::Answered(code) => Some(format!("unexpected HTTP status {code}")),
        Outcome::Connected(false) => Some("TCP connection failed".to_string()),
        Outcome::Failed(why) | Outcome::Unavailable(why) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Loopback, Request};
    use super::*;
    use std::vec::Vec;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn check() -> Check {
        Check {
            probe: Probe::Request(Request::Tcp {
                loopback: Loopback::V4,
                port: 80,
            }),
            delay: Duration::from_secs(15),
            interval: Duration::from_secs(10),
            timeout: Some(Duration::from_secs(20)),
        }
    }

    fn health(failures_max: u32, grace: u64) -> HealthCheck {
        HealthCheck {
            check: check(),
            failures_max,
            grace: Duration::from_secs(grace),
        }
    }

    /// Probes once whenever one is due, and answers each a second later.
    fn run(mut checker: Checker, outcomes: &[Outcome]) -> Vec<(u64, Option<News>)> {
        let mut told = Vec::new();
        for outcome in outcomes {
            let now = checker.deadline().expect("a next probe");
            let Due::Begin(turn, _) = checker.due(now) else {
                panic!("no probe at {now:?}");
            };
            let now = now + Duration::from_secs(1);
            let verdict = checker.answered(now, turn, outcome).expect("a verdict");
            told.push((now.as_nanos() / 1_000_000_000, verdict.news));
        }
        told
    }

    const UP: Outcome = Outcome::Connected(true);
    const DOWN: Outcome = Outcome::Connected(false);
    const SICK: Option<News> = Some(News::Unhealthy(Consequence::Spared));
    const DOOMED: Option<News> = Some(News::Unhealthy(Consequence::Killed));

    #[test]
    fn a_probe_comes_after_the_delay_and_then_an_interval_after_the_last() {
        let told = run(Checker::check(at(100), &check()), &[UP, UP, UP]);
        let times: Vec<_> = told.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [116, 127, 138]);
    }

    #[test]
    fn a_check_tells_of_changes_only() {
        let failed = || Outcome::Failed("no".to_string());
        let told = run(
            Checker::check(at(0), &check()),
            &[failed(), DOWN, DOWN, UP, failed(), failed(), UP],
        );
        let result = |made| Some(News::Result(CheckStatus::Tcp(made)));
        let news: Vec<_> = told.into_iter().map(|(_, news)| news).collect();
        let (up, down) = (result(Some(true)), result(Some(false)));
        assert_eq!(news, [None, down, None, up.clone(), result(None), None, up]);
    }

    #[test]
    fn failures_in_a_row_kill_and_a_success_in_between_starts_again() {
        let told = run(
            Checker::health(at(0), &health(3, 0), None),
            &[DOWN, DOWN, UP, UP, DOWN, DOWN, DOWN],
        );
        let news: Vec<_> = told.into_iter().map(|(_, news)| news).collect();
        let healthy = Some(News::Healthy);
        assert_eq!(news, [SICK, SICK, healthy, None, SICK, SICK, DOOMED]);
    }

    #[test]
    fn failures_within_the_grace_period_do_not_count_until_the_first_success() {
        // Probes end at 16, 27, 38 and 49 s.
        let graced = run(
            Checker::health(at(0), &health(1, 30), None),
            &[DOWN, DOWN, DOWN],
        );
        assert_eq!(graced, [(16, None), (27, None), (38, DOOMED)]);
        let healthy = run(Checker::health(at(0), &health(1, 30), None), &[UP, DOWN]);
        assert_eq!(healthy, [(16, Some(News::Healthy)), (27, DOOMED)]);
    }

    #[test]
    fn what_says_nothing_of_the_task_neither_counts_nor_forgives() {
        let away = Outcome::Unavailable("away".to_string());
        let told = run(
            Checker::health(at(0), &health(2, 0), None),
            &[DOWN, away, DOWN],
        );
        let news: Vec<_> = told.into_iter().map(|(_, news)| news).collect();
        assert_eq!(news, [SICK, None, DOOMED]);
    }

    #[test]
    fn a_probe_that_takes_too_long_has_failed_and_its_late_answer_is_nobodys() {
        let mut checker = Checker::health(at(0), &health(1, 0), None);
        assert!(matches!(checker.due(at(15)), Due::Begin(1, _)));
        assert_eq!(checker.due(at(34)), Due::Nothing);
        let Due::GiveUp(1, verdict) = checker.due(at(35)) else {
            panic!("no timeout");
        };
        assert_eq!(verdict.news, DOOMED);
        assert_eq!(verdict.failure.as_deref(), Some("timed out after 20secs"));
        assert_eq!(checker.answered(at(36), 1, &UP), None);
        assert_eq!(checker.deadline(), Some(at(45)));
    }

    #[test]
    fn a_check_without_a_timeout_waits_and_one_without_an_interval_rests_a_little() {
        let mut timeless = check();
        timeless.timeout = None;
        timeless.interval = Duration::ZERO;
        timeless.delay = Duration::ZERO;
        let mut checker = Checker::check(at(0), &timeless);
        assert!(matches!(checker.due(at(0)), Due::Begin(1, _)));
        assert_eq!(checker.deadline(), None);
        checker.answered(at(900), 1, &UP).expect("a verdict");
        assert_eq!(checker.deadline(), Some(at(900) + INTERVAL_MIN));
    }

    #[test]
    fn a_restart_keeps_what_was_told_of_a_healthy_task() {
        let told = run(
            Checker::health(at(0), &health(1, 60), Some(true)),
            &[UP, DOWN],
        );
        assert_eq!(told, [(16, None), (27, DOOMED)]);
    }

    #[test]
    fn what_is_a_sign_of_health_is_as_in_mesos() {
        for (outcome, healthy) in [
            (Outcome::Exited(0), true),
            (Outcome::Exited(1), false),
            (Outcome::Answered(199), false),
            (Outcome::Answered(200), true),
            (Outcome::Answered(399), true),
            (Outcome::Answered(400), false),
            (Outcome::Connected(true), true),
            (Outcome::Connected(false), false),
            (Outcome::Failed("no".to_string()), false),
        ] {
            assert_eq!(fault(&outcome).is_none(), healthy, "{outcome:?}");
        }
    }
}
