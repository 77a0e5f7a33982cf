//! A master of one framework, a clock and a disk for one agent core.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_core::allocation::Allocation;
use agent_core::checks::{Checks, Outcome, ProbeId};
use agent_core::effect::{Answer, Effect, Fact, LinkId, Start, Status, ToMaster, WallTime};
use agent_core::event::{
    Event, ExecutorKind, ExecutorSpec, Exit, ExitStatus, Expected, Framework, FromMaster,
    KillingState, Operation, Restarts, Standing, TaskSpec,
};
use agent_core::executor_api::ToExecutor;
use agent_core::oversubscription;
use agent_core::{Agent, Settings};
use model::resources::Change;
use model::sandbox::Lacks;
use model::task::PartitionAwareness;
use model::{
    AgentId, Blob, ContainerId, ExecutorId, FrameworkId, Instant, OperationUuid, Resources,
    StatusUuid, TaskId,
};

pub(crate) fn framework_id() -> FrameworkId {
    FrameworkId::new("m-0000").expect("a valid id")
}

pub(crate) fn task_id(name: &str) -> TaskId {
    TaskId::new(name).expect("a valid id")
}

pub(crate) fn framework() -> Framework {
    Framework {
        id: framework_id(),
        info: Blob::new(b"framework"),
        killing: KillingState::Told,
        partition: PartitionAwareness::Aware,
        restarts: Restarts::Outlived,
    }
}

pub(crate) fn task(name: &str) -> TaskSpec {
    TaskSpec {
        id: task_id(name),
        executor: ExecutorSpec {
            id: ExecutorId::new(name).expect("a valid id"),
            kind: ExecutorKind::Command,
            info: Blob::new(b"executor"),
            shutdown_grace: None,
            allocation: Allocation::default(),
        },
        group: Vec::new(),
        info: Blob::new(name.as_bytes()),
        kill_grace: None,
        max_completion_time: None,
        checks: Checks::default(),
        unsupported: None,
        held: Resources::new(),
        allocation: Allocation::default(),
    }
}

/// Resources from their text.
pub(crate) fn resources(text: &str) -> Resources {
    model::resources::parse(text).expect("resources")
}

/// An operation of the framework with this number.
pub(crate) fn operation(number: u8) -> Operation {
    Operation {
        uuid: OperationUuid([number; 16]),
        framework_id: Some(framework_id()),
        id: Some(format!("op{number}")),
        info: Blob::new(&[number]),
    }
}

fn name_of(operation: &Operation) -> &str {
    operation.id.as_deref().unwrap_or("operation")
}

pub(crate) fn settings(seed: u64) -> Settings {
    Settings {
        resources: resources("cpus:4;mem:1024;disk:1000"),
        resource_version: vec![1; 16],
        shutdown_grace: Duration::from_secs(5),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        oversubscription: oversubscription::Settings::default(),
        seed: [seed, 0],
    }
}

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: Instant,
    pub(crate) link: LinkId,
    /// What happened, a line each; stores are left out.
    pub(crate) log: Vec<String>,
    /// The effects of each step.
    pub(crate) history: Vec<Vec<Effect>>,
    /// The checkpoint.
    pub(crate) facts: Vec<Fact>,
    open: bool,
    starts: u64,
    containers: BTreeMap<String, ContainerId>,
    /// The probe that is under way.
    probe: Option<ProbeId>,
    made: BTreeMap<TaskId, Vec<StatusUuid>>,
    ended: BTreeSet<StatusUuid>,
}

fn text(blob: &Blob) -> String {
    String::from_utf8_lossy(blob.as_bytes()).into_owned()
}

/// The name under which a container is known here, and what is logged of its launch.
fn started(start: &Start) -> (String, String) {
    let names = |tasks: &[TaskSpec]| {
        let names: Vec<_> = tasks.iter().map(|task| task.id.as_str()).collect();
        names.join(" ")
    };
    match start {
        Start::Command { task } => (task.id.to_string(), format!("launch {}", task.id)),
        Start::Executor { executor, tasks } => (
            executor.id.to_string(),
            format!("launch executor {} for {}", executor.id, names(tasks)),
        ),
        Start::Pod { executor, tasks } => (
            executor.id.to_string(),
            format!("launch pod {} for {}", executor.id, names(tasks)),
        ),
        Start::Nested { task } => (
            task.id.to_string(),
            format!("launch {} in {}", task.id, task.executor.id),
        ),
        Start::Check { task, .. } => (
            format!("check of {}", task.id),
            format!("launch check of {}", task.id),
        ),
    }
}

fn told(event: &ToExecutor) -> String {
    match event {
        ToExecutor::Subscribed { .. } => "SUBSCRIBED".to_string(),
        ToExecutor::Launch { task } => format!("LAUNCH {}", text(task)),
        ToExecutor::LaunchGroup { tasks } => {
            let tasks: Vec<_> = tasks.iter().map(text).collect();
            format!("LAUNCH_GROUP {}", tasks.join(" "))
        }
        ToExecutor::Kill { task_id, grace } => {
            let grace = grace.map(|grace| format!(" {grace:?}"));
            format!("KILL {task_id}{}", grace.unwrap_or_default())
        }
        ToExecutor::Acknowledged { task_id, uuid } => {
            format!("ACKNOWLEDGED {task_id} {}", uuid.0[0])
        }
        ToExecutor::Message { data } => format!("MESSAGE {}", text(data)),
        ToExecutor::Shutdown => "SHUTDOWN".to_string(),
    }
}

impl World {
    /// An agent with an id and a registered link of epoch 5; its log is empty.
    pub(crate) fn registered() -> Self {
        Self::registered_with(settings(1))
    }

    /// The same with other settings.
    pub(crate) fn registered_with(settings: Settings) -> Self {
        let mut world = Self {
            agent: Agent::new(settings),
            now: Instant::from_nanos(1_000_000_000),
            link: LinkId(0),
            log: Vec::new(),
            history: Vec::new(),
            facts: Vec::new(),
            open: false,
            starts: 1,
            containers: BTreeMap::new(),
            probe: None,
            made: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        world.step(Event::RecoveryEnded {
            alive: BTreeMap::new(),
        });
        world.open_and_register();
        world.log.clear();
        world
    }

    /// The same disk under a new process.
    pub(crate) fn restarted(mut self, alive: &[&str]) -> Self {
        self.starts += 1;
        self.agent = Agent::new(settings(self.starts));
        self.log.clear();
        self.history.clear();
        self.open = false;
        for fact in self.facts.clone() {
            let effects = self
                .agent
                .step(self.now, WallTime(0), Event::Recovered(fact));
            assert_eq!(effects, []);
        }
        let alive = alive
            .iter()
            .map(|name| (self.containers[*name].clone(), 42));
        let alive = alive.collect();
        self.step(Event::RecoveryEnded { alive });
        self
    }

    /// Calls a container so from now on.
    pub(crate) fn name(&mut self, name: &str, container: &ContainerId) {
        self.containers.insert(name.to_string(), container.clone());
    }

    pub(crate) fn step(&mut self, event: Event) {
        let effects = self
            .agent
            .step(self.now, WallTime(self.now.as_nanos()), event);
        for effect in &effects {
            self.record(effect);
        }
        self.history.push(effects);
    }

    fn record(&mut self, effect: &Effect) {
        let line = match effect {
            Effect::Store(fact) => return self.store(fact),
            Effect::OpenLink { link } => {
                self.link = *link;
                self.open = true;
                format!("open link {}", link.0)
            }
            Effect::CloseLink { link } => format!("close link {}", link.0),
            Effect::Send { frame, .. } => match frame {
                ToMaster::Register(register) => {
                    let id = register.agent_id.as_ref().map_or("new", |id| id.as_str());
                    let tasks = register.tasks.iter().map(|task| {
                        let name = String::from_utf8_lossy(task.task.as_bytes()).into_owned();
                        format!(" {name} {}", task.state)
                    });
                    let operations = register.operations.iter();
                    let operations =
                        operations.map(|(o, status)| format!(" {} {}", name_of(o), status.state));
                    let drain = register.drain.map_or("", |_| " draining");
                    let beside = match register.oversubscribed.is_empty() {
                        true => String::new(),
                        false => format!(" beside {}", register.oversubscribed),
                    };
                    format!(
                        "register agent {id} with{}{}{drain}{beside}",
                        tasks.collect::<String>(),
                        operations.collect::<String>()
                    )
                }
                ToMaster::Pong { .. } => "pong".to_string(),
                ToMaster::ExecutorExited {
                    executor_id,
                    wait_status,
                    ..
                } => format!("send {executor_id} exited with {wait_status}"),
                ToMaster::ExecutorMessage {
                    executor_id, data, ..
                } => format!("send {:?} of {executor_id}", text(data)),
                ToMaster::Unregister => "unregister".to_string(),
                ToMaster::Oversubscribed { revocable } => format!("oversubscribed {revocable}"),
                ToMaster::OperationUpdate {
                    operation,
                    status,
                    total,
                } => {
                    let total = total.as_ref().map(|all| format!(" of {all}"));
                    let total = total.unwrap_or_default();
                    format!("send {} {}{total}", name_of(operation), status.state)
                }
                ToMaster::Update { status, latest, .. } => {
                    format!("send {} {} latest {latest}", status.task_id, status.state)
                }
            },
            Effect::Launch {
                container, start, ..
            } => {
                let (name, line) = started(start);
                self.containers.insert(name, container.clone());
                line
            }
            Effect::Resize {
                executor, tasks, ..
            } => {
                let tasks = tasks.iter().map(|task| format!(" {}", task.id));
                format!("resize {} to:{}", executor.id, tasks.collect::<String>())
            }
            Effect::Answer { request, answer } => match answer {
                Answer::Executor(Ok(taken)) => format!("answer {} {taken:?}", request.0),
                Answer::Executor(Err(refusal)) => format!("answer {} {refusal}", request.0),
                Answer::Container(answer) => format!("answer {} {answer:?}", request.0),
            },
            Effect::LaunchRequested(requested) => format!("launch {}", requested.container),
            Effect::RemoveSandbox { container } => format!("remove sandbox of {container}"),
            Effect::ToExecutor { stream, event } => format!("tell {} {}", stream.0, told(event)),
            Effect::CloseExecutor { stream } => format!("close stream {}", stream.0),
            Effect::ExecutorChanged {
                executor_id,
                change,
                ..
            } => format!("{executor_id} {change}"),
            Effect::Kill { container, signal } => {
                let named = self.containers.iter().find(|(_, id)| *id == container);
                format!("kill {} {signal:?}", named.expect("a known container").0)
            }
            Effect::Probe { probe, .. } => {
                self.probe = Some(probe.clone());
                format!("{} {}", probe.kind, probe.turn)
            }
            Effect::EndProbe { probe } => format!("end {} {}", probe.kind, probe.turn),
            Effect::ProbeFailed {
                task_id, kind, why, ..
            } => format!("{kind} of {task_id}: {why}"),
            Effect::TaskChanged { status, .. } => {
                let reason = status.reason.map(|r| format!(" {r}")).unwrap_or_default();
                let message = status.message.as_ref();
                let message = message.map(|m| format!(" {m:?}")).unwrap_or_default();
                let healthy = match status.healthy {
                    Some(true) => " healthy",
                    Some(false) => " unhealthy",
                    None => "",
                };
                let check = status.check.map(|c| format!(" {c:?}")).unwrap_or_default();
                format!(
                    "{} {}{reason}{healthy}{check}{message}",
                    status.task_id, status.state
                )
            }
            Effect::CreateVolume { volume } => {
                format!("create volume {} {}", volume.role, volume.id)
            }
            Effect::DestroyVolume { volume } => {
                format!("destroy volume {} {}", volume.role, volume.id)
            }
            Effect::OperationEnded { operation, status } => {
                let message = status.message.as_ref();
                let message = message.map(|m| format!(" {m:?}")).unwrap_or_default();
                format!("{} {}{message}", name_of(operation), status.state)
            }
            Effect::Look(look) => format!("look {look:?}"),
            Effect::Preempted { suffering, .. } => {
                format!("preempts for {}", suffering.container)
            }
            Effect::Ignored { why } => format!("ignored {why}"),
            Effect::Registered { .. } => "registered".to_string(),
            Effect::End { end } => format!("end {end:?}"),
        };
        self.log.push(line);
    }

    fn store(&mut self, fact: &Fact) {
        self.facts.push(fact.clone());
        match fact {
            Fact::Task { task, .. } => {
                self.made.insert(task.id.clone(), Vec::new());
            }
            Fact::Update { status, .. } => {
                let made = self.made.get_mut(&status.task_id).expect("a known task");
                assert!(
                    made.iter().all(|uuid| !self.ended.contains(uuid)),
                    "an update after the end"
                );
                made.push(status.uuid);
                if status.state.is_terminal() {
                    self.ended.insert(status.uuid);
                }
            }
            _ => {}
        }
    }

    /// The newest effects sent nothing that was not stored, and updates only in their order.
    pub(crate) fn check_invariants(&self) {
        let effects = self.history.last().expect("a step");
        for effect in effects {
            if let Effect::Send {
                frame: ToMaster::Update { status, .. },
                ..
            } = effect
                && status.reason != Some(model::Reason::Reconciliation)
            {
                assert!(self.made[&status.task_id].contains(&status.uuid));
                let waiting = self.waiting(&status.task_id);
                assert_eq!(waiting.first(), Some(&status.uuid), "not the head");
            }
        }
        for (_, task) in self.agent.tasks() {
            let made: Vec<_> = task.statuses.iter().map(|s| s.uuid).collect();
            assert_eq!(made, self.made[&task.spec.id]);
        }
    }

    fn waiting(&self, id: &TaskId) -> Vec<StatusUuid> {
        let mut waiting = self.made[id].clone();
        for fact in &self.facts {
            if let Fact::Acknowledged { uuid, .. } = fact {
                waiting.retain(|other| other != uuid);
            }
        }
        waiting
    }

    pub(crate) fn frame(&mut self, frame: FromMaster) {
        let link = self.link;
        self.step(Event::Frame {
            link,
            epoch: 5,
            incarnation: self.agent.registration().incarnation,
            frame,
        });
    }

    /// Answers a link that is being opened; does nothing where there is none.
    pub(crate) fn open_and_register(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let link = self.link;
        self.step(Event::LinkOpened { link });
        self.answer_registration();
    }

    /// The master admits the agent.
    pub(crate) fn answer_registration(&mut self) {
        self.frame(FromMaster::Registered {
            agent_id: AgentId::new("S1").expect("a valid id"),
            total_ping_timeout: Duration::from_secs(75),
        });
    }

    pub(crate) fn ping(&mut self) {
        self.frame(FromMaster::Ping {
            sequence: 1,
            standing: Standing::Connected,
        });
    }

    pub(crate) fn run_task(&mut self, name: &str) {
        self.run_spec(task(name));
    }

    pub(crate) fn run_spec(&mut self, task: TaskSpec) {
        self.frame(FromMaster::RunTask {
            framework: framework(),
            task,
            resource_version: vec![1; 16],
            expected: Expected::New,
        });
    }

    /// An operation of the framework, whose uuid and name are this number.
    pub(crate) fn apply(&mut self, number: u8, change: Change) {
        self.apply_to(number, Ok(change), vec![1; 16]);
    }

    pub(crate) fn apply_to(
        &mut self,
        number: u8,
        change: Result<Change, String>,
        resource_version: Vec<u8>,
    ) {
        self.frame(FromMaster::ApplyOperation {
            operation: operation(number),
            change,
            resource_version,
        });
    }

    /// Acknowledges the status of an operation, if it waits.
    pub(crate) fn acknowledge_operation(&mut self, number: u8) {
        let operation = operation(number).uuid;
        let waiting = self.agent.operations().iter();
        let mut found = waiting.filter(|(one, _)| one.uuid == operation);
        let status = found.next().and_then(|(_, status)| status.uuid);
        drop(found);
        if let Some(status) = status {
            self.frame(FromMaster::AcknowledgeOperation { operation, status });
        }
    }

    pub(crate) fn kill(&mut self, name: &str, grace: Option<Duration>) {
        self.frame(FromMaster::KillTask {
            framework_id: framework_id(),
            task_id: task_id(name),
            grace,
        });
    }

    pub(crate) fn container(&self, name: &str) -> ContainerId {
        let nobody = ContainerId::new("nobody").expect("a valid id");
        self.containers.get(name).cloned().unwrap_or(nobody)
    }

    pub(crate) fn launched(&mut self, name: &str) {
        let container = self.container(name);
        self.step(Event::Launched {
            container,
            pid: 42,
            degraded: None,
        });
    }

    pub(crate) fn launch_failed(&mut self, name: &str) {
        let container = self.container(name);
        self.step(Event::LaunchFailed {
            container,
            message: "no".to_string(),
        });
    }

    pub(crate) fn exited(&mut self, name: &str, status: ExitStatus) {
        let container = self.container(name);
        let exit = Exit {
            status,
            limit: None,
            lacks: Lacks::NONE,
        };
        self.step(Event::Exited { container, exit });
    }

    /// Answers the probe that is under way.
    pub(crate) fn probed(&mut self, outcome: Outcome) {
        let probe = self.probe.clone().expect("a probe");
        self.step(Event::Probed { probe, outcome });
    }

    /// Acknowledges the oldest update that is not.
    pub(crate) fn acknowledge_head(&mut self, name: &str) {
        let id = task_id(name);
        if !self.made.contains_key(&id) {
            return;
        }
        if let Some(uuid) = self.waiting(&id).first().copied() {
            self.frame(FromMaster::AcknowledgeUpdate {
                framework_id: framework_id(),
                task_id: id,
                uuid,
            });
        }
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        let mut tasks = self.agent.tasks();
        let task = tasks.find(|(_, task)| task.spec.id == task_id(name));
        let statuses = &task.expect("a known task").1.statuses;
        statuses.last().expect("an update").clone()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.agent.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step(Event::Tick);
            if self.open {
                break;
            }
        }
        self.now = self.now.max(until);
    }

    pub(crate) fn next_deadline(&mut self) {
        self.now = self.agent.deadline().expect("a deadline");
        self.step(Event::Tick);
    }

    /// What the agent holds, but for what a restart changes.
    pub(crate) fn snapshot(&self) -> Vec<(TaskId, Vec<Status>)> {
        let tasks = self.agent.tasks();
        tasks
            .map(|(_, task)| (task.spec.id.clone(), task.statuses.clone()))
            .collect()
    }

    /// The snapshot of an agent that read the facts.
    pub(crate) fn replayed(&self) -> Vec<(TaskId, Vec<Status>)> {
        let mut agent = Agent::new(settings(0));
        for fact in self.facts.clone() {
            agent.step(self.now, WallTime(0), Event::Recovered(fact));
        }
        let tasks = agent.tasks();
        tasks
            .map(|(_, task)| (task.spec.id.clone(), task.statuses.clone()))
            .collect()
    }
}
