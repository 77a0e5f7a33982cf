//! Checking: the checks of each task that runs, and what they lead to.
//!
//! They begin when the task runs and stop when it is told to end, or ends.

use alloc::format;
use alloc::string::ToString;

use model::{Blob, ContainerId, Instant, Reason, TaskState};

use crate::agent::{Agent, Owner, Step};
use crate::checks::checker::{Consequence, News, Verdict};
use crate::checks::{Outcome, Probe, ProbeId, Turn};
use crate::effect::{Effect, Signal, Start};
use crate::event::ExitStatus;
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
                Turn::Begin(probe, Probe::Request(how)) => {
                    step.out.push(Effect::Probe { probe, how });
                }
                Turn::Begin(probe, Probe::Command(command)) => {
                    self.launch_check(step, probe, command);
                }
                Turn::GiveUp(probe, verdict) => {
                    self.end_probe(step, probe.clone());
                    self.judged(step, &probe, verdict);
                }
            }
        }
    }

    /// The task is not checked any more.
    pub(crate) fn stop_checks(&mut self, step: &mut Step, container: &ContainerId) {
        for probe in self.checkers.stop(container) {
            self.end_probe(step, probe);
        }
    }

    fn end_probe(&self, step: &mut Step, probe: ProbeId) {
        step.out.push(match self.checkers.command(&probe).cloned() {
            Some(container) => Effect::Kill {
                container,
                signal: Signal::Kill,
            },
            None => Effect::EndProbe { probe },
        });
    }

    fn launch_check(&mut self, step: &mut Step, probe: ProbeId, command: Blob) {
        // One at a time, so that commands that do not even end by SIGKILL cannot pile up.
        if self.checkers.command(&probe).is_some() {
            let why = "the command of the last time has not ended".to_string();
            return self.probed(step, &probe, &Outcome::Unavailable(why));
        }
        let Some(Owner::Task(key)) = self.containers.get(&probe.container) else {
            return;
        };
        let (Some(task), Some(framework), Some(container)) = (
            self.tasks.get(key),
            self.frameworks.get(&key.0),
            self.random.check_of(&probe.container),
        ) else {
            return;
        };
        step.out.push(Effect::Launch {
            container: container.clone(),
            framework: framework.framework.clone(),
            start: Start::Check {
                task: task.spec.clone(),
                command,
            },
        });
        self.checkers.launch(&probe, container.clone());
        self.containers.insert(container, Owner::Check(probe));
    }

    /// The container of a command is gone; `outcome` is what it says of the task.
    pub(crate) fn check_ended(
        &mut self,
        step: &mut Step,
        container: &ContainerId,
        probe: &ProbeId,
        outcome: &Outcome,
    ) {
        self.containers.remove(container);
        self.checkers.ended(probe);
        self.probed(step, probe, outcome);
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
            degraded: last.and_then(|status| status.degraded.clone()),
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
        let executor = (key.0.clone(), task.spec.executor.id.clone());
        self.update(step, key, status);
        if *news == News::Unhealthy(Consequence::Killed) {
            if let Some(pod) = self.executors.get_mut(&executor) {
                pod.is_unhealthy = true;
            }
            self.kill(step, key, Doom::Unhealthy, grace);
        }
    }
}

/// What the end of a command says of the task that it checks. SIGKILL tells of the task's own end,
/// or of this agent's hand.
pub(crate) fn outcome(status: ExitStatus) -> Outcome {
    match status {
        ExitStatus::Code(code) => Outcome::Exited(code),
        ExitStatus::Signal(9) => Outcome::Unavailable("the command was killed".to_string()),
        ExitStatus::Signal(signal) => {
            Outcome::Failed(format!("command terminated with signal {signal}"))
        }
        ExitStatus::Unknown => Outcome::Failed("the command's end is not known".to_string()),
    }
}
