//! Agent: one node's tasks, driven by events.
//!
//! Invariants: a task has at most one terminal update; an update is stored before it is sent; what
//! waits is bounded ([`TASKS_MAX`], `status_updates::WAITING_MAX`). The life of a task is
//! `supervise`'s, the link's is `registration`'s; what a launch consists of is `sandbox`'s.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::{ContainerId, FrameworkId, Instant, Resources};

use crate::checks::{Checkers, ProbeId};
use crate::containers::Containers;
use crate::effect::{
    Effect, End, Fact, LinkId, Register, Running, RunningExecutor, ToMaster, WallTime,
};
use crate::event::{Drain, Event, ExecutorKind, Framework, Stop};
use crate::executor::{Doom, Life, Task};
use crate::executors::{Executor, ExecutorKey};
use crate::holdings::Holdings;
use crate::operations::Operations;
use crate::oversubscription::{self, Oversubscription};
use crate::random::Random;
use crate::registration::{Due, Lost, Opened, Registration};
use crate::status_updates::{Forward, StatusUpdates, TaskKey};

/// Tasks that an agent holds, until their end is acknowledged. A launch past it is answered with
/// an update that is neither stored nor sent again.
pub const TASKS_MAX: usize = 10_000;
/// Ended and acknowledged tasks that are remembered for readers; the oldest go first.
pub const COMPLETED_MAX: usize = 256;
/// How much longer than the grace period an agent that ends waits for its containers.
const END_MARGIN: Duration = Duration::from_secs(5);

/// What an executor's own grace period counts at most when the agent ends.
const END_GRACE_MAX: Duration = Duration::from_secs(60);

/// What does not change while an agent runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the node is configured with, before any operation.
    pub resources: Resources,
    /// Names these resources; 16 bytes.
    pub resource_version: Vec<u8>,
    /// `--executor_shutdown_grace_period`.
    pub shutdown_grace: Duration,
    /// `--executor_registration_timeout`.
    pub executor_registration_timeout: Duration,
    /// `--executor_reregistration_timeout`.
    pub executor_reregistration_timeout: Duration,
    /// What may be given out twice, and when it is taken back.
    pub oversubscription: oversubscription::Settings,
    /// Where ids and back-off come from.
    pub seed: [u64; 2],
}

/// One node's tasks.
#[derive(Debug)]
pub struct Agent {
    pub(crate) settings: Settings,
    pub(crate) phase: Phase,
    pub(crate) registration: Registration,
    pub(crate) frameworks: BTreeMap<FrameworkId, Entry>,
    pub(crate) tasks: BTreeMap<TaskKey, Task>,
    pub(crate) executors: BTreeMap<ExecutorKey, Executor>,
    /// Executors that ended since the registration that is on its way listed them, as wait(2) has it.
    pub(crate) exited: BTreeMap<ExecutorKey, i32>,
    pub(crate) containers: BTreeMap<ContainerId, Owner>,
    pub(crate) tree: Containers,
    pub(crate) updates: StatusUpdates,
    /// What was said of tasks that are not here, until it is acknowledged or its link is lost.
    pub(crate) answers: StatusUpdates,
    pub(crate) holdings: Holdings,
    pub(crate) operations: Operations,
    pub(crate) oversubscription: Oversubscription,
    /// Set while the agent drains.
    pub(crate) drain: Option<Drain>,
    pub(crate) random: Random,
    /// When each task wants to be looked at; an entry may be out of date.
    pub(crate) timers: BTreeSet<(Instant, TaskKey)>,
    pub(crate) checkers: Checkers,
    /// When each executor wants to be looked at; an entry may be out of date.
    pub(crate) executor_timers: BTreeSet<(Instant, ExecutorKey)>,
    pub(crate) completed: VecDeque<(FrameworkId, Task)>,
    /// What the master said of frameworks of which nothing but completed tasks is left.
    pub(crate) past: BTreeMap<FrameworkId, Framework>,
}

/// What a container was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// One task, whose command runs in it.
    Task(TaskKey),
    /// An executor.
    Executor(ExecutorKey),
    /// A command that checks a task.
    Check(ProbeId),
}

/// What the agent is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The checkpoint is being read.
    Recovering,
    /// It works.
    Active,
    /// Its containers end; nothing new is taken.
    Ending { end: End, by: Instant, stop: Stop },
    /// Its work is over.
    Ended,
}

/// A framework with tasks or executors here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the master said of it.
    pub framework: Framework,
    /// Whether it still is told of its tasks.
    pub standing: FrameworkStanding,
}

/// Whether a framework is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameworkStanding {
    /// It is.
    Active,
    /// It was shut down: its tasks are killed and nobody is told.
    Gone,
}

/// The moment of a step, and what it brings about.
pub(crate) struct Step {
    pub(crate) now: Instant,
    pub(crate) wall: WallTime,
    pub(crate) out: Vec<Effect>,
}

impl Step {
    pub(crate) fn ignore(&mut self, why: String) {
        self.out.push(Effect::Ignored { why });
    }
}

impl Agent {
    /// An agent that knows nothing yet: facts of the checkpoint come first.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let random = Random::new(settings.seed);
        let holdings = Holdings::new(settings.resources.clone());
        let oversubscription =
            Oversubscription::new(&settings.oversubscription, &settings.resources);
        Self {
            settings,
            phase: Phase::Recovering,
            registration: Registration::new(),
            frameworks: BTreeMap::new(),
            tasks: BTreeMap::new(),
            executors: BTreeMap::new(),
            exited: BTreeMap::new(),
            containers: BTreeMap::new(),
            tree: Containers::default(),
            updates: StatusUpdates::default(),
            answers: StatusUpdates::default(),
            holdings,
            operations: Operations::default(),
            oversubscription,
            drain: None,
            random,
            timers: BTreeSet::new(),
            checkers: Checkers::default(),
            executor_timers: BTreeSet::new(),
            completed: VecDeque::new(),
            past: BTreeMap::new(),
        }
    }

    /// Applies one event; the effects are to be carried out in order, stores before sends.
    ///
    /// `wall` is the date that updates made now carry; it decides nothing.
    pub fn step(&mut self, now: Instant, wall: WallTime, event: Event) -> Vec<Effect> {
        let mut step = Step {
            now,
            wall,
            out: Vec::new(),
        };
        match event {
            Event::Tick => {}
            Event::Recovered(fact) => self.recover(&fact),
            Event::RequestedRecovered {
                container,
                pid,
                launch,
            } => self.tree.recover_requested(&container, pid, launch),
            Event::RecoveryEnded { alive } => {
                for (container, pid) in &alive {
                    self.tree.recover(container, *pid);
                }
                self.end_recovery(&mut step, &alive);
            }
            Event::LinkOpened { link } => self.link_opened(&mut step, link),
            Event::LinkClosed { link } => self.link_lost(&mut step, link),
            Event::LeaderChanged => self.leader_changed(&mut step),
            Event::Frame {
                link,
                epoch,
                incarnation,
                frame,
            } => match self.registration.accept(now, link, epoch, incarnation) {
                Ok(()) => self.frame(&mut step, link, epoch, frame),
                Err(fence) => step.ignore(fence.to_string()),
            },
            Event::Launched {
                container,
                pid,
                degraded,
            } => {
                self.container_launched(&mut step, &container, pid, degraded);
            }
            Event::LaunchFailed { container, message } => {
                self.container_failed(&mut step, &container, message);
            }
            Event::Exited { container, exit } => {
                self.container_exited(&mut step, &container, &exit)
            }
            Event::Container {
                request,
                caller,
                call,
            } => self.container_call(&mut step, request, &caller, call),
            Event::Probed { probe, outcome } => self.probed(&mut step, &probe, &outcome),
            Event::ExecutorCall {
                request,
                framework_id,
                executor_id,
                claims,
                call,
            } => {
                let key = (framework_id, executor_id);
                self.executor_call(&mut step, request, key, claims.as_ref(), call);
            }
            Event::ExecutorClosed { stream } => self.executor_closed(&mut step, stream),
            Event::VolumeDestroyed { volume } => self.volume_destroyed(&mut step, volume),
            Event::Looked(looked) => self.looked(&mut step, looked),
            Event::Stop(stop) => self.end_work(&mut step, End::Stopped, stop),
        }
        self.run_timers(&mut step);
        self.plant(&step);
        step.out
    }

    /// When `step` wants to be called with `Event::Tick`, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let end = match &self.phase {
            Phase::Ending { by, .. } => Some(*by),
            Phase::Recovering | Phase::Active | Phase::Ended => None,
        };
        [
            self.registration.deadline(),
            self.updates.deadline(),
            self.answers.deadline(),
            self.operations.deadline(),
            self.timers.first().map(|(at, _)| *at),
            self.checkers.deadline(),
            self.executor_timers.first().map(|(at, _)| *at),
            self.look_at(),
            end,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the agent stands at with its master.
    #[must_use]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// All containers here.
    #[must_use]
    pub fn tree(&self) -> &Containers {
        &self.tree
    }

    /// The frameworks with tasks here.
    pub fn frameworks(&self) -> impl Iterator<Item = &Entry> {
        self.frameworks.values()
    }

    /// The tasks here, each with its framework, until their end is acknowledged.
    pub fn tasks(&self) -> impl Iterator<Item = (&FrameworkId, &Task)> {
        self.tasks.iter().map(|(key, task)| (&key.0, task))
    }

    /// What the node has, and what operations made of it.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// The operations whose status is not acknowledged.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Ended and acknowledged tasks, the oldest first, at most [`COMPLETED_MAX`].
    pub fn completed(&self) -> impl Iterator<Item = (&FrameworkId, &Task)> {
        self.completed.iter().map(|(id, task)| (id, task))
    }

    /// The frameworks of which nothing but completed tasks is left.
    pub fn past_frameworks(&self) -> impl Iterator<Item = &Framework> {
        self.past.values()
    }

    fn link_opened(&mut self, step: &mut Step, link: LinkId) {
        match self.registration.opened(step.now, link) {
            Opened::Register => {
                self.exited.clear();
                let oversubscribed = self.registers();
                let register = Register {
                    agent_id: self.registration.agent_id.clone(),
                    frameworks: self
                        .frameworks
                        .values()
                        .map(|e| e.framework.info.clone())
                        .collect(),
                    executors: self.running_executors(),
                    tasks: self.running(),
                    operations: self.operations.iter().cloned().collect(),
                    total: self.holdings.total().clone(),
                    oversubscribed,
                    drain: self.drain,
                };
                step.out.push(Effect::Send {
                    link,
                    epoch: 0,
                    incarnation: self.registration.incarnation,
                    frame: ToMaster::Register(register),
                });
            }
            Opened::Stale => step.out.push(Effect::CloseLink { link }),
        }
    }

    fn running(&self) -> Vec<Running> {
        let listed = self.tasks.iter().filter(|(key, _)| self.is_told(&key.0));
        listed
            .map(|(key, task)| Running {
                framework_id: key.0.clone(),
                executor_id: task.spec.executor.id.clone(),
                kind: task.spec.executor.kind,
                task: task.spec.info.clone(),
                state: task.state(),
                status: task.statuses.last().cloned(),
            })
            .collect()
    }

    /// The executors that have containers, those of command tasks among them.
    fn running_executors(&self) -> Vec<RunningExecutor> {
        let of_tasks = self.tasks.iter().filter_map(|(key, task)| {
            let is_alive =
                task.life != Life::Ended && task.spec.executor.kind == ExecutorKind::Command;
            Some(RunningExecutor {
                framework_id: key.0.clone(),
                executor: task.spec.executor.clone(),
                container: task.container.clone().filter(|_| is_alive)?,
            })
        });
        let alive = self.executors.iter().filter(|(_, one)| one.is_alive());
        let own = alive.map(|(key, one)| RunningExecutor {
            framework_id: key.0.clone(),
            executor: one.spec.clone(),
            container: one.container.clone(),
        });
        let all = of_tasks.chain(own);
        all.filter(|one| self.is_told(&one.framework_id)).collect()
    }

    fn link_lost(&mut self, step: &mut Step, link: LinkId) {
        match self.registration.lost(step.now, link, &mut self.random) {
            Lost::Current => self.pause(),
            Lost::Stale => {}
        }
    }

    fn leader_changed(&mut self, step: &mut Step) {
        if let Some(link) = self.registration.turn(step.now, &mut self.random) {
            self.pause();
            step.out.push(Effect::CloseLink { link });
        }
    }

    fn pause(&mut self) {
        self.updates.pause();
        // The next registration brings the questions back.
        self.answers = StatusUpdates::default();
        self.operations.pause();
    }

    pub(crate) fn drop_link(&mut self, step: &mut Step, link: LinkId) {
        step.out.push(Effect::CloseLink { link });
        self.link_lost(step, link);
    }

    pub(crate) fn send(&self, step: &mut Step, frame: ToMaster) {
        if let Some((link, epoch)) = self.registration.registered() {
            step.out.push(Effect::Send {
                link,
                epoch,
                incarnation: self.registration.incarnation,
                frame,
            });
        }
    }

    /// Tells of an executor that is gone, or never was. While the answer to a registration is on its
    /// way this waits for it: the registration listed the executor.
    pub(crate) fn tell_exited(&mut self, step: &mut Step, key: &ExecutorKey, wait_status: i32) {
        if self.registration.registered().is_none() {
            self.exited.insert(key.clone(), wait_status);
            return;
        }
        let (framework_id, executor_id) = key.clone();
        self.send(
            step,
            ToMaster::ExecutorExited {
                framework_id,
                executor_id,
                wait_status,
            },
        );
    }

    /// Tells of the executors that ended while the registration was on its way.
    pub(crate) fn tell_all_exited(&mut self, step: &mut Step) {
        for (key, wait_status) in core::mem::take(&mut self.exited) {
            self.tell_exited(step, &key, wait_status);
        }
    }

    pub(crate) fn forward(&self, step: &mut Step, forward: Forward) {
        self.send(
            step,
            ToMaster::Update {
                framework_id: forward.framework_id,
                status: forward.status,
                latest: forward.latest,
            },
        );
    }

    pub(crate) fn end_work(&mut self, step: &mut Step, end: End, stop: Stop) {
        if self.phase != Phase::Active {
            return step.ignore("the agent ends already".to_string());
        }
        let grace = self.shutdown_grace();
        for key in self.keys(|_, task| task.spec.executor.kind == ExecutorKind::Command) {
            self.kill(step, &key, Doom::Requested, grace);
        }
        self.shut_down_all(step, |_| true);
        self.end_requested(step);
        let own = self.executors.values();
        let own = own.filter_map(|one| one.spec.shutdown_grace);
        let longest = own.fold(self.settings.shutdown_grace, Duration::max);
        self.phase = Phase::Ending {
            end,
            by: step.now + longest.min(END_GRACE_MAX) + END_MARGIN,
            stop,
        };
    }

    fn run_timers(&mut self, step: &mut Step) {
        self.run_task_timers(step);
        self.run_checks(step);
        self.run_executor_timers(step);
        let mut heads = self.updates.due(step.now);
        heads.extend(self.answers.due(step.now));
        for head in heads {
            self.forward(step, head);
        }
        for told in self.operations.due(step.now) {
            self.tell_of_operation(step, told);
        }
        match self.registration.due(step.now, &mut self.random) {
            Due::Nothing => {}
            Due::Open(link) => step.out.push(Effect::OpenLink { link }),
            Due::Close(link) => {
                self.pause();
                step.out.push(Effect::CloseLink { link });
            }
        }
        self.oversubscribe(step);
        self.finish_drain(step);
        self.finish_ending(step);
    }

    /// Ends the work once every container is gone, or the time for that is over.
    fn finish_ending(&mut self, step: &mut Step) {
        let Phase::Ending { end, by, stop } = self.phase.clone() else {
            return;
        };
        let alive = self.tasks.values().any(|task| task.life != Life::Ended)
            || self.executors.values().any(Executor::is_alive)
            || self.tree.has_requested();
        if alive && step.now < by {
            return;
        }
        self.phase = Phase::Ended;
        if stop == Stop::Leave {
            self.send(step, ToMaster::Unregister);
        }
        if stop == Stop::Leave || matches!(end, End::Refused(_)) {
            step.out.push(Effect::Store(Fact::Expelled));
        }
        if let Some(link) = self.registration.stop() {
            step.out.push(Effect::CloseLink { link });
        }
        self.pause();
        step.out.push(Effect::End { end });
    }

    pub(crate) fn keys(&self, wanted: impl Fn(&TaskKey, &Task) -> bool) -> Vec<TaskKey> {
        let tasks = self.tasks.iter().filter(|(key, task)| wanted(key, task));
        tasks.map(|(key, _)| key.clone()).collect()
    }

    /// Mesos' command executor leaves itself two seconds of the period to reap and to report.
    pub(crate) fn shutdown_grace(&self) -> Duration {
        self.settings
            .shutdown_grace
            .saturating_sub(Duration::from_secs(2))
    }

    pub(crate) fn is_told(&self, framework_id: &FrameworkId) -> bool {
        self.frameworks
            .get(framework_id)
            .is_none_or(|entry| entry.standing == FrameworkStanding::Active)
    }
}
