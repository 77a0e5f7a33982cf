//! Checking: the checks of each task that runs, and what they lead to.
//!
//! They begin when the task runs and stop when it is told to end, or ends.

use model::{Instant, Reason, TaskState};

use crate::agent::{Agent, Owner, Step};
use crate::checks::checker::{Consequence, News, Verdict};
use crate::checks::{Outcome, ProbeId, Turn};
use crate::effect::Effect;
use crate::executor::{Doom, Ending};
use crate::status_updates::TaskKey;
use crate::supervise::by_executor;

impl Agent {
    /// The task runs.
    pub(crate) fn begin_checks(&mut self, now: Instant, key: &TaskKey) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        if let Some(container) = &task.container {
            let healthy = task.statuses.last().and_then(|status| status.healthy);
            self.checkers
                .begin(now, container, &task.spec.checks, healthy);
        }
    }

    pub(crate) fn run_checks(&mut self, step: &mut Step) {
        for turn in self.checkers.due(step.now) {
            match turn {
                Turn::Begin(probe, how) => step.out.push(Effect::Probe { probe, how }),
                Turn::GiveUp(probe, verdict) => {
                    step.out.push(Effect::EndProbe {
                        probe: probe.clone(),
                    });
                    self.judged(step, &probe, verdict);
                }
            }
        }
    }

    pub(crate) fn probed(&mut self, step: &mut Step, probe: &ProbeId, outcome: &Outcome) {
        if let Some(verdict) = self.checkers.answered(step.now, probe, outcome) {
            self.judged(step, probe, verdict);
        }
    }

    fn judged(&mut self, step: &mut Step, probe: &ProbeId, verdict: Verdict) {
        let Some(Owner::Task(key)) = self.containers.get(&probe.container).cloned() else {
            return;
        };
        if let Some(why) = verdict.failure {
            step.out.push(Effect::ProbeFailed {
                framework_id: key.0.clone(),
                task_id: key.1.clone(),
                kind: probe.kind,
                why,
            });
        }
        if let Some(news) = verdict.news {
            self.tell_of_check(step, &key, &news);
        }
    }

    /// The task runs on as before, but for what a check found; as in Mesos, what the other check
    /// found last is repeated.
    fn tell_of_check(&mut self, step: &mut Step, key: &TaskKey, news: &News) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        let last = task.statuses.last();
        let running = Ending {
            healthy: last.and_then(|status| status.healthy),
            check: last.and_then(|status| status.check),
            ..by_executor(TaskState::Running)
        };
        let of_health = |healthy| Ending {
            reason: Some(Reason::TaskHealthCheckStatusUpdated),
            healthy: Some(healthy),
            ..running.clone()
        };
        let status = match news {
            News::Result(result) => Ending {
                reason: Some(Reason::TaskCheckStatusUpdated),
                check: Some(*result),
                ..running
            },
            News::Healthy => of_health(true),
            News::Unhealthy(_) => of_health(false),
        };
        let grace = task.grace(None);
        self.update(step, key, status);
        if *news == News::Unhealthy(Consequence::Killed) {
            self.kill(step, key, Doom::Unhealthy, grace);
        }
    }
}
