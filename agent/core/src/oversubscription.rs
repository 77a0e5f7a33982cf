//! Oversubscription: what this agent lets be given out twice, and who ends when that was too much.
//!
//! The estimate goes to the master with each registration and whenever it changes: after a look at the
//! containers, an interval apart, and after a correction. Corrections end revocable containers at once,
//! as Mesos' QoS corrections of type KILL do. After one, nothing more than what revocable tasks still
//! hold is told for [`HELD_BACK`].

pub mod estimator;
pub mod qos;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Resource, Scalar, Value};
use model::{ContainerId, Instant, Reason, Resources, TaskState};

use crate::agent::{Agent, Owner, Phase, Step};
use crate::allocation::{Allocation, Revocable};
use crate::effect::{Effect, ToMaster};
use crate::event::ExecutorKind;
use crate::executor::{Doom, Ending, Life, Task};
use crate::executors::{ExecutorKey, ExecutorLife};
use crate::status_updates::TaskKey;

use estimator::{Estimate, Estimator, Margin, Used};
use qos::{Controller, Correction, LOOK_EVERY, Limits, Pressure, Reading};

/// How long a node that took something back offers none of it again.
pub const HELD_BACK: Duration = Duration::from_secs(300);
/// How long a look at the containers may take; then another is wanted.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// What the operator set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `--resource_estimator`.
    pub estimate: EstimateBy,
    /// What of what is left unused can be lent.
    pub lends: Lends,
    /// `--oversubscribed_resources_interval`.
    pub interval: Duration,
    /// `--qos_controller=pressure`: how much others may wait; none: nothing is ever taken back.
    pub limits: Option<Limits>,
    /// `--qos_correction_interval_min`.
    pub correction_interval_min: Duration,
}

/// How much is given out twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EstimateBy {
    /// Nothing.
    #[default]
    Noop,
    /// Always this.
    Fixed(Resources),
    /// What containers leave unused of what they were given.
    Usage(Margin),
}

/// What containers leave unused that others can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lends {
    /// Processors and memory.
    #[default]
    All,
    /// Memory: processors may be a container's own, idle or not (`--container_cpuset=whole`).
    Memory,
}

impl Default for Settings {
    /// As Mesos': off.
    fn default() -> Self {
        Self {
            estimate: EstimateBy::Noop,
            lends: Lends::All,
            interval: Duration::from_secs(15),
            limits: None,
            correction_interval_min: Duration::ZERO,
        }
    }
}

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// What each outermost container takes.
    Usage,
    /// The same with what it waits for; nothing where all containers together wait for no more of
    /// anything than this, since then none of them does.
    Pressure(Limits),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// Of [`Look::Usage`].
    Usage(BTreeMap<ContainerId, Used>),
    /// Of [`Look::Pressure`].
    Pressure(BTreeMap<ContainerId, Reading>),
}

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Oversubscription {
    interval: Duration,
    fixed: Resources,
    estimator: Option<Estimator>,
    controller: Option<Controller>,
    usage: Due,
    pressure: Due,
    held_back: Option<Instant>,
    /// What the master was told last, or would have been.
    told: Resources,
    /// What the registration said that is not answered yet.
    registered: Option<Resources>,
}

/// When a look is due.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// Then.
    At(Instant),
    /// One is under way, and is given up then.
    Under(Instant),
}

impl Due {
    const fn when(self) -> Instant {
        match self {
            Self::At(at) | Self::Under(at) => at,
        }
    }

    fn begin(&mut self, now: Instant) -> bool {
        let is_due = self.when() <= now;
        if is_due {
            *self = Self::Under(now + LOOK_MAX);
        }
        is_due
    }
}

impl Oversubscription {
    pub(crate) fn new(settings: &Settings, node: &Resources) -> Self {
        let start = Due::At(Instant::ZERO);
        let fixed = match &settings.estimate {
            EstimateBy::Fixed(fixed) => fixed.clone(),
            EstimateBy::Noop | EstimateBy::Usage(_) => Resources::new(),
        };
        Self {
            interval: settings.interval,
            estimator: match &settings.estimate {
                EstimateBy::Usage(margin) => {
                    Some(Estimator::new(*margin, whole(node, settings.lends)))
                }
                EstimateBy::Noop | EstimateBy::Fixed(_) => None,
            },
            controller: settings
                .limits
                .map(|limits| Controller::new(limits, settings.correction_interval_min)),
            fixed,
            usage: start,
            pressure: start,
            held_back: None,
            told: Resources::new(),
            registered: None,
        }
    }

    /// What may be given out twice.
    fn estimate(&self) -> Resources {
        let estimator = self.estimator.as_ref();
        estimator.map_or_else(|| self.fixed.clone(), |one| revocable(one.told()))
    }
}

impl Agent {
    /// What the master was told last that may be given out twice.
    #[must_use]
    pub fn oversubscribed(&self) -> &Resources {
        &self.oversubscription.told
    }

    /// Whether anything of a container, or of the one that it is nested in, is given back when others
    /// need it.
    #[must_use]
    pub fn revocable(&self, container: &ContainerId) -> Revocable {
        let outermost = container.root();
        let given = self.given_where(|one| *one == outermost);
        given.into_values().next().unwrap_or_default().revocable
    }

    fn given(&self) -> BTreeMap<ContainerId, Allocation> {
        self.given_where(|_| true)
    }

    /// What the outermost containers were given with all that runs in them.
    fn given_where(
        &self,
        wanted: impl Fn(&ContainerId) -> bool,
    ) -> BTreeMap<ContainerId, Allocation> {
        let mut given: BTreeMap<ContainerId, Allocation> = BTreeMap::new();
        let alive = self.tasks.values().filter(|task| task.life != Life::Ended);
        let tasks = alive.filter_map(|task| Some((task.container.as_ref()?, task.spec.allocation)));
        let executors = self.executors.values().filter(|one| one.is_alive());
        let executors = executors.map(|one| (&one.container, one.spec.allocation));
        for (container, allocation) in tasks.chain(executors) {
            let outermost = container.root();
            if wanted(&outermost) {
                let all = given.entry(outermost).or_default();
                *all = all.plus(allocation);
            }
        }
        given
    }

    fn is_ending(&self, container: &ContainerId) -> bool {
        match self.containers.get(container) {
            Some(Owner::Task(key)) => self
                .tasks
                .get(key)
                .is_some_and(|task| matches!(task.life, Life::Killing { .. })),
            Some(Owner::Executor(key)) => self
                .executors
                .get(key)
                .is_some_and(|one| matches!(one.life, ExecutorLife::Terminating { .. })),
            Some(Owner::Check(_)) | None => false,
        }
    }

    fn has_revocable(&self) -> bool {
        let tasks = self.tasks.values();
        let mut tasks = tasks.filter(|task: &&Task| task.life != Life::Ended);
        let mut executors = self.executors.values().filter(|one| one.is_alive());
        tasks.any(|task| task.spec.allocation.revocable.any())
            || executors.any(|one| one.spec.allocation.revocable.any())
    }

    /// While something is held back, what ends is to be noticed, too.
    fn wants_pressure(&self) -> bool {
        let one = &self.oversubscription;
        one.controller.is_some() && (one.held_back.is_some() || self.has_revocable())
    }

    /// When the containers are to be looked at next.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        if self.phase != Phase::Active {
            return None;
        }
        let one = &self.oversubscription;
        let usage = one.estimator.as_ref().map(|_| one.usage.when());
        let pressure = self.wants_pressure().then(|| one.pressure.when());
        [usage, pressure, one.held_back].into_iter().flatten().min()
    }

    /// Asks for the looks that are due, and tells the master where something is no longer held back.
    pub(crate) fn oversubscribe(&mut self, step: &mut Step) {
        if self.phase != Phase::Active {
            return;
        }
        let wants_pressure = self.wants_pressure();
        let one = &mut self.oversubscription;
        if one.estimator.is_some() && one.usage.begin(step.now) {
            step.out.push(Effect::Look(Look::Usage));
        }
        if let Some(controller) = one.controller.as_ref().filter(|_| wants_pressure)
            && one.pressure.begin(step.now)
        {
            let limits = controller.limits();
            step.out.push(Effect::Look(Look::Pressure(limits)));
        }
        if one.held_back.take_if(|until| *until <= step.now).is_some() {
            self.tell_oversubscribed(step);
        }
    }

    pub(crate) fn looked(&mut self, step: &mut Step, looked: Looked) {
        if self.phase != Phase::Active {
            return;
        }
        let given = self.given();
        let one = &mut self.oversubscription;
        match looked {
            Looked::Usage(used) => {
                one.usage = Due::At(step.now + one.interval);
                if let Some(estimator) = &mut one.estimator {
                    estimator.look(step.now, &used, &given);
                }
                self.tell_oversubscribed(step);
            }
            Looked::Pressure(readings) => {
                one.pressure = Due::At(step.now + LOOK_EVERY);
                let controller = one.controller.as_mut();
                let found = controller.and_then(|one| one.look(step.now, &readings, &given));
                if let Some(Correction { victims, suffering }) = found {
                    one.held_back = Some(step.now + HELD_BACK);
                    for container in victims {
                        self.preempt(step, &container, suffering.pressure);
                        step.out.push(Effect::Preempted {
                            container,
                            suffering: suffering.clone(),
                        });
                    }
                }
                self.tell_oversubscribed(step);
            }
        }
    }

    /// What is to be told; remembered as told.
    fn reckon_told(&mut self) -> Resources {
        let mut estimate = self.oversubscription.estimate();
        if self.oversubscription.held_back.is_some() {
            let given = self.given_where(|container| !self.is_ending(container));
            let held = given.into_values().filter(|one| one.revocable.any());
            let held = held.fold(Allocation::default(), Allocation::plus);
            estimate = estimate
                .iter()
                .cloned()
                .map(|resource| {
                    let held = match &*resource.name {
                        "mem" => mebibytes(held.memory_bytes),
                        _ => thousandths(held.cpus_milli),
                    };
                    let value = match resource.value {
                        Value::Scalar(all) => Value::Scalar(all.min(held)),
                        Value::Ranges(_) | Value::Set(_) => resource.value,
                    };
                    Resource { value, ..resource }
                })
                .collect();
        }
        self.oversubscription.told = estimate.clone();
        estimate
    }

    /// Tells the master where that is something else than before.
    fn tell_oversubscribed(&mut self, step: &mut Step) {
        let before = self.oversubscription.told.clone();
        let now = self.reckon_told();
        if now != before {
            self.send(step, ToMaster::Oversubscribed { revocable: now });
        }
    }

    /// The registration is answered: what changed meanwhile is told.
    pub(crate) fn tell_again(&mut self, step: &mut Step) {
        if let Some(registered) = self.oversubscription.registered.take()
            && registered != self.oversubscription.told
        {
            let revocable = self.oversubscription.told.clone();
            self.send(step, ToMaster::Oversubscribed { revocable });
        }
    }

    /// What a registration tells.
    pub(crate) fn registers(&mut self) -> Resources {
        let told = self.reckon_told();
        self.oversubscription.registered = Some(told.clone());
        told
    }

    /// Ends a container at once, as Mesos does; one that ends already is left to that.
    fn preempt(&mut self, step: &mut Step, container: &ContainerId, pressure: Pressure) {
        match self.containers.get(container).cloned() {
            Some(Owner::Task(key)) => self.preempt_task(step, &key, pressure),
            Some(Owner::Executor(key)) => self.preempt_executor(step, &key, pressure),
            Some(Owner::Check(_)) | None => {}
        }
    }

    fn preempt_task(&mut self, step: &mut Step, key: &TaskKey, pressure: Pressure) {
        let runs = |task: &Task| matches!(task.life, Life::Running { .. });
        if self.tasks.get(key).is_some_and(runs) {
            self.kill(step, key, Doom::Preempted(pressure), Duration::ZERO);
        }
    }

    fn preempt_executor(&mut self, step: &mut Step, key: &ExecutorKey, pressure: Pressure) {
        let Some(executor) = self.executors.get(key) else {
            return;
        };
        let is_pod = executor.spec.kind == ExecutorKind::Default;
        match executor.life {
            ExecutorLife::Registering { .. } | ExecutorLife::Running { .. } => {}
            ExecutorLife::Terminating { .. } | ExecutorLife::Terminated => return,
        }
        if is_pod {
            for task in self.live_tasks(key) {
                self.preempt_task(step, &task, pressure);
            }
        }
        let ending = Ending::by_agent(
            self.gone_for(&key.0),
            Reason::ContainerPreempted,
            alloc::format!("{pressure}"),
        );
        self.destroy(step, key, Some(ending));
    }

    /// TASK_GONE, or what a framework calls it that does not know that.
    pub(crate) fn gone_for(&self, framework_id: &model::FrameworkId) -> TaskState {
        let partition = self
            .frameworks
            .get(framework_id)
            .map(|e| e.framework.partition);
        partition.map_or(TaskState::Gone, |partition| {
            TaskState::Gone.for_framework(partition)
        })
    }
}

/// What of a node can be given out twice at all.
fn whole(node: &Resources, lends: Lends) -> Estimate {
    let amount = |name| u64::try_from(node.scalar(name).thousandths()).unwrap_or(0);
    Estimate {
        cpus_milli: match lends {
            Lends::All => amount("cpus"),
            Lends::Memory => 0,
        },
        memory_bytes: amount("mem").saturating_mul(1 << 20) / 1000,
    }
}

fn revocable(estimate: Estimate) -> Resources {
    let all = [
        ("cpus", thousandths(estimate.cpus_milli)),
        ("mem", mebibytes(estimate.memory_bytes)),
    ];
    let all = all.into_iter().map(|(name, amount)| Resource {
        revocable: true,
        ..Resource::scalar(name, amount)
    });
    all.collect::<Vec<_>>().into_iter().collect()
}

fn thousandths(number: u64) -> Scalar {
    Scalar(i64::try_from(number).unwrap_or(i64::MAX))
}

/// `mem` counts MB.
fn mebibytes(bytes: u64) -> Scalar {
    thousandths((bytes >> 20).saturating_mul(1000))
}
