//! Agent: one node's tasks, driven by events.
//!
//! Invariants: a task has at most one terminal update; an update is stored before it is sent; what
//! waits is bounded ([`TASKS_MAX`], `status_updates::WAITING_MAX`). The life of a task is
//! `supervise`'s, the link's is `registration`'s; what a launch consists of is `sandbox`'s.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::{ContainerId, ExecutorId, FrameworkId, Instant, Reason, StatusUuid, TaskState};

use crate::effect::{Effect, End, Fact, LinkId, Register, Running, ToMaster, WallTime};
use crate::event::{Event, Framework, FromMaster, Standing, Stop, TaskSpec, Verdict};
use crate::executor::{Doom, Ending, Life, Task};
use crate::random::Random;
use crate::registration::{Due, Lost, Opened, Registration};
use crate::status_updates::{Acknowledged, Forward, StatusUpdates, TaskKey};
use crate::supervise::dropped;

/// Tasks that an agent holds, until their end is acknowledged. A launch past it is answered with
/// an update that is neither stored nor sent again.
pub const TASKS_MAX: usize = 10_000;
/// Ended and acknowledged tasks that are remembered for readers; the oldest go first.
pub const COMPLETED_MAX: usize = 256;
/// How much longer than the grace period an agent that ends waits for its containers.
const END_MARGIN: Duration = Duration::from_secs(5);

/// What does not change while an agent runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names the resources that this start registers with; 16 bytes.
    pub resource_version: Vec<u8>,
    /// `--executor_shutdown_grace_period`.
    pub shutdown_grace: Duration,
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
    pub(crate) containers: BTreeMap<ContainerId, TaskKey>,
    pub(crate) updates: StatusUpdates,
    pub(crate) random: Random,
    /// When each task wants to be looked at; an entry may be out of date.
    pub(crate) timers: BTreeSet<(Instant, TaskKey)>,
    pub(crate) completed: VecDeque<(FrameworkId, Task)>,
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

/// A framework with tasks here.
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
        Self {
            settings,
            phase: Phase::Recovering,
            registration: Registration::new(),
            frameworks: BTreeMap::new(),
            tasks: BTreeMap::new(),
            containers: BTreeMap::new(),
            updates: StatusUpdates::default(),
            random,
            timers: BTreeSet::new(),
            completed: VecDeque::new(),
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
            Event::RecoveryEnded { alive } => self.end_recovery(&mut step, &alive),
            Event::LinkOpened { link } => self.link_opened(&mut step, link),
            Event::LinkClosed { link } => self.link_lost(&mut step, link),
            Event::Frame {
                link,
                epoch,
                incarnation,
                frame,
            } => match self.registration.accept(now, link, epoch, incarnation) {
                Ok(()) => self.frame(&mut step, link, epoch, frame),
                Err(fence) => step.ignore(fence.to_string()),
            },
            Event::Launched { container, pid } => self.launched(&mut step, &container, pid),
            Event::LaunchFailed { container, message } => {
                self.launch_failed(&mut step, &container, message);
            }
            Event::Exited { container, exit } => self.exited(&mut step, &container, &exit),
            Event::Stop(stop) => self.end_work(&mut step, End::Stopped, stop),
        }
        self.run_timers(&mut step);
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
            self.timers.first().map(|(at, _)| *at),
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

    /// The frameworks with tasks here.
    pub fn frameworks(&self) -> impl Iterator<Item = &Entry> {
        self.frameworks.values()
    }

    /// The tasks here, each with its framework, until their end is acknowledged.
    pub fn tasks(&self) -> impl Iterator<Item = (&FrameworkId, &Task)> {
        self.tasks.iter().map(|(key, task)| (&key.0, task))
    }

    /// Ended and acknowledged tasks, the oldest first, at most [`COMPLETED_MAX`].
    pub fn completed(&self) -> impl Iterator<Item = (&FrameworkId, &Task)> {
        self.completed.iter().map(|(id, task)| (id, task))
    }

    fn link_opened(&mut self, step: &mut Step, link: LinkId) {
        match self.registration.opened(step.now, link) {
            Opened::Register => {
                let register = Register {
                    agent_id: self.registration.agent_id.clone(),
                    frameworks: self
                        .frameworks
                        .values()
                        .map(|e| e.framework.info.clone())
                        .collect(),
                    tasks: self.running(),
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
                executor_id: task.spec.executor_id.clone(),
                task: task.spec.info.clone(),
                executor: task.spec.executor_info.clone(),
                container: match task.life {
                    Life::Launching { .. } | Life::Running { .. } | Life::Killing { .. } => {
                        task.container.clone()
                    }
                    Life::Ended => None,
                },
                state: task.state(),
                status: task.statuses.last().cloned(),
            })
            .collect()
    }

    fn link_lost(&mut self, step: &mut Step, link: LinkId) {
        match self.registration.lost(step.now, link, &mut self.random) {
            Lost::Current => self.updates.pause(),
            Lost::Stale => {}
        }
    }

    fn drop_link(&mut self, step: &mut Step, link: LinkId) {
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

    fn frame(&mut self, step: &mut Step, link: LinkId, epoch: u64, frame: FromMaster) {
        let admission = matches!(
            frame,
            FromMaster::Registered { .. }
                | FromMaster::Refused { .. }
                | FromMaster::Shutdown { .. }
        );
        if !admission && self.registration.registered().is_none() {
            step.ignore("frame before the registration was answered".to_string());
            return;
        }
        match frame {
            FromMaster::Registered {
                agent_id,
                total_ping_timeout,
            } => {
                if let Some(ours) = &self.registration.agent_id
                    && *ours != agent_id
                {
                    step.ignore(format!("registration of {agent_id}, this is {ours}"));
                    self.drop_link(step, link);
                    return;
                }
                if self.registration.agent_id.is_none() {
                    self.registration.agent_id = Some(agent_id.clone());
                    step.out.push(Effect::Store(Fact::Admitted {
                        agent_id: agent_id.clone(),
                    }));
                }
                self.registration
                    .admitted(step.now, link, epoch, total_ping_timeout);
                step.out.push(Effect::Registered { agent_id });
                for head in self.updates.resume(step.now) {
                    self.forward(step, head);
                }
            }
            FromMaster::Refused { reason, verdict } => match verdict {
                Verdict::Later => {
                    step.ignore(format!("registration refused for now: {reason}"));
                    self.drop_link(step, link);
                }
                Verdict::Never => self.end_work(step, End::Refused(reason), Stop::Keep),
            },
            FromMaster::Shutdown { reason } => {
                self.end_work(step, End::Refused(reason), Stop::Keep);
            }
            FromMaster::Ping { sequence, standing } => match standing {
                Standing::Connected => self.send(step, ToMaster::Pong { sequence }),
                Standing::Disconnected => self.drop_link(step, link),
            },
            FromMaster::RunTask {
                framework,
                task,
                resource_version,
            } => self.run_task(step, framework, task, &resource_version),
            FromMaster::KillTask {
                framework_id,
                task_id,
                grace,
            } => self.kill_task(step, (framework_id, task_id), grace),
            FromMaster::AcknowledgeUpdate {
                framework_id,
                task_id,
                uuid,
            } => self.acknowledge(step, &(framework_id, task_id), uuid),
            FromMaster::ShutdownFramework { framework_id } => {
                self.shutdown_framework(step, &framework_id);
            }
            FromMaster::ShutdownExecutor {
                framework_id,
                executor_id,
            } => self.shutdown_executor(step, &framework_id, &executor_id),
            FromMaster::ReconcileTasks { tasks } => {
                for key in tasks {
                    if !self.tasks.contains_key(&key) {
                        self.answer_unknown(step, &key, Reason::Reconciliation);
                    }
                }
            }
            FromMaster::FrameworkSubscribed { framework_id } => {
                for head in self.updates.hasten(step.now, &framework_id) {
                    self.forward(step, head);
                }
            }
        }
    }

    fn run_task(
        &mut self,
        step: &mut Step,
        framework: Framework,
        task: TaskSpec,
        resource_version: &[u8],
    ) {
        let key = (framework.id.clone(), task.id.clone());
        if self.phase != Phase::Active {
            return step.ignore(format!("task {} for an agent that ends", key.1));
        }
        if self.tasks.contains_key(&key) {
            return step.ignore(format!("task {} is here already", key.1));
        }
        if !self.is_told(&key.0) {
            return step.ignore(format!("task {} of a framework that was shut down", key.1));
        }
        if self.tasks.len() >= TASKS_MAX {
            return self.answer_unknown(step, &key, Reason::ContainerLaunchFailed);
        }
        let partition = framework.partition;
        let refusal =
            if !resource_version.is_empty() && resource_version != self.settings.resource_version {
                Some(Ending::by_agent(
                    dropped(partition),
                    Reason::InvalidOffers,
                    "Task was launched for resources that this agent no longer has",
                ))
            } else {
                task.unsupported.as_ref().map(|what| {
                    Ending::by_agent(
                        TaskState::Failed,
                        Reason::ContainerLaunchFailed,
                        what.as_str(),
                    )
                })
            };
        let container = match refusal {
            Some(_) => None,
            None => self.random.container(),
        };
        let fact = Fact::Task {
            framework: framework.clone(),
            task: task.clone(),
            container: container.clone(),
        };
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
        match (refusal, container) {
            (Some(refusal), _) => self.end_task(step, &key, refusal),
            (None, Some(container)) => step.out.push(Effect::Launch {
                container,
                framework,
                task,
            }),
            (None, None) => {}
        }
    }

    fn kill_task(&mut self, step: &mut Step, key: TaskKey, grace: Option<Duration>) {
        let Some(task) = self.tasks.get(&key) else {
            return self.answer_unknown(step, &key, Reason::Reconciliation);
        };
        let grace = task.grace(grace);
        self.kill(step, &key, Doom::Requested, grace);
    }

    fn acknowledge(&mut self, step: &mut Step, key: &TaskKey, uuid: StatusUuid) {
        let acknowledged = self.updates.acknowledge(step.now, key, uuid);
        if acknowledged == Acknowledged::Ignored {
            return step.ignore(format!("acknowledgement {uuid} for task {}", key.1));
        }
        step.out.push(Effect::Store(Fact::Acknowledged {
            framework_id: key.0.clone(),
            task_id: key.1.clone(),
            uuid,
        }));
        match acknowledged {
            Acknowledged::Next(Some(head)) => self.forward(step, head),
            Acknowledged::Ended => self.forget_task(key),
            Acknowledged::Next(None) | Acknowledged::Ignored => {}
        }
    }

    fn shutdown_framework(&mut self, step: &mut Step, framework_id: &FrameworkId) {
        if !self.frameworks.contains_key(framework_id) {
            return step.ignore(format!(
                "shutdown of framework {framework_id}, unknown here"
            ));
        }
        let fact = Fact::FrameworkGone {
            framework_id: framework_id.clone(),
        };
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
        let grace = self.shutdown_grace();
        for key in self.keys(|key, _| key.0 == *framework_id) {
            self.kill(step, &key, Doom::Requested, grace);
        }
    }

    fn shutdown_executor(
        &mut self,
        step: &mut Step,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) {
        let grace = self.shutdown_grace();
        let tasks =
            self.keys(|key, task| key.0 == *framework_id && task.spec.executor_id == *executor_id);
        if tasks.is_empty() {
            step.ignore(format!("shutdown of executor {executor_id}, unknown here"));
        }
        for key in tasks {
            self.kill(step, &key, Doom::Requested, grace);
        }
    }

    pub(crate) fn end_work(&mut self, step: &mut Step, end: End, stop: Stop) {
        if self.phase != Phase::Active {
            return step.ignore("the agent ends already".to_string());
        }
        let grace = self.shutdown_grace();
        for key in self.keys(|_, task| task.life != Life::Ended) {
            self.kill(step, &key, Doom::Requested, grace);
        }
        self.phase = Phase::Ending {
            end,
            by: step.now + self.settings.shutdown_grace + END_MARGIN,
            stop,
        };
    }

    fn run_timers(&mut self, step: &mut Step) {
        self.run_task_timers(step);
        for head in self.updates.due(step.now) {
            self.forward(step, head);
        }
        match self.registration.due(step.now, &mut self.random) {
            Due::Nothing => {}
            Due::Open(link) => step.out.push(Effect::OpenLink { link }),
            Due::Close(link) => {
                self.updates.pause();
                step.out.push(Effect::CloseLink { link });
            }
        }
        self.finish_ending(step);
    }

    /// Ends the work once every container is gone, or the time for that is over.
    fn finish_ending(&mut self, step: &mut Step) {
        let Phase::Ending { end, by, stop } = self.phase.clone() else {
            return;
        };
        let alive = self.tasks.values().any(|task| task.life != Life::Ended);
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
        self.updates.pause();
        step.out.push(Effect::End { end });
    }

    fn keys(&self, wanted: impl Fn(&TaskKey, &Task) -> bool) -> Vec<TaskKey> {
        let tasks = self.tasks.iter().filter(|(key, task)| wanted(key, task));
        tasks.map(|(key, _)| key.clone()).collect()
    }

    /// Mesos' command executor leaves itself two seconds of the period to reap and to report.
    fn shutdown_grace(&self) -> Duration {
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
