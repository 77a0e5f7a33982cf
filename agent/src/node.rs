//! The agent's main loop: the next events, a step of agent-core, its effects.
//!
//! One loop on one thread. What several ready events ask to be stored is made durable together,
//! before anything else of theirs is done. Reads over HTTP never wait for this loop.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_core::checks::{self, ProbeId};
use agent_core::effect::{Effect, End, Fact, LinkId, WallTime};
use agent_core::event::{Event, Stop};
use agent_core::sandbox::SwitchUser;
use agent_core::{Agent, Settings};
use agent_kernel::facts;
use agent_kernel::launch::Host;
use model::{ContainerId, Instant, Reason};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tracing::{debug, error, info, warn};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::Config;
use crate::containers::{Containers, Ground, Order, Outcome};
use crate::description::Description;
use crate::http;
use crate::init::{Node, PowerEvent, chain};
use crate::link::{Link, LinkEvent};
use crate::paths;
use crate::probe::{Network, Probes};
use crate::sandboxes::Sandboxes;
use crate::snapshot::{Counters, Snapshot};
use crate::volumes::Volumes;
use crate::wire;

/// What comes from other tasks of this process may wait in this number; they wait past it.
const INPUTS_MAX: usize = 1024;
/// Events that share one write of the checkpoint.
const BATCH_MAX: usize = 256;
/// How often readers get a new snapshot at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
/// How long the last frames may take to leave when the agent ends.
const FAREWELL_MAX: Duration = Duration::from_millis(500);
/// Where the kernel's side keeps what must not outlive a node's machine; on an ordinary host it is
/// beneath the work directory.
const RUNTIME: &str = "/run/tepui";

/// How the main loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The machine is to be off.
    PowerOff,
    /// The machine is to start again.
    Reboot,
    /// The process is to end with this code; on an ordinary host.
    Stop(i32),
}

/// What other tasks of this process tell the main loop.
#[derive(Debug)]
pub enum Input {
    /// About a stream to the master.
    Link(LinkId, LinkEvent),
    /// About a launch.
    Launch(Outcome),
    /// About a probe of a check.
    Probed(ProbeId, checks::Outcome),
}

/// Why the main loop cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
enum NodeError {
    #[error("start the main loop")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Description(#[from] crate::description::DescriptionError),
    #[error(transparent)]
    Sandbox(#[from] crate::sandboxes::SandboxError),
    #[error(transparent)]
    Launch(#[from] agent_kernel::launch::LaunchError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Http(#[from] http::HttpError),
}

/// Runs the agent until it is told to end, or cannot go on.
///
/// Returns with all of its containers ended where the machine is to be off.
#[must_use]
pub fn run(config: Config, node: Node) -> Exit {
    let is_pid1 = node.is_pid1;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Runtime);
    let ended = runtime.and_then(|runtime| runtime.block_on(begin_and_run(config, node)));
    match ended {
        Ok(exit) => exit,
        Err(error) => {
            error!(error = chain(&error), "the agent cannot go on");
            if is_pid1 {
                Exit::PowerOff
            } else {
                Exit::Stop(1)
            }
        }
    }
}

async fn begin_and_run(config: Config, node: Node) -> Result<Exit, NodeError> {
    // Two random UUIDs of the kernel's randomness: one names the resources, one seeds agent-core.
    let version = uuid::Uuid::new_v4().into_bytes();
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    let facts = facts::measure(&node.work_dir);
    let description = Arc::new(Description::new(&config, &node, facts, version)?);
    info!(resources = %description.resources, "resources of this node");
    let agent = Agent::new(Settings {
        resources: description.resources.clone(),
        resource_version: version.to_vec(),
        shutdown_grace: config.executor_shutdown_grace_period,
        seed: [high, low],
    });

    let (inputs_in, inputs) = mpsc::channel(INPUTS_MAX);
    let runtime = match node.is_pid1 {
        true => RUNTIME.into(),
        false => node.work_dir.join("run"),
    };
    let ground = Arc::new(Ground {
        host: Host::open(node.cgroups.clone(), &runtime)?,
        root: node.default_rootfs.clone(),
        etc: node.etc_dir.clone(),
        hostname: node.hostname.clone(),
        switch_user: match config.switch_user {
            true => SwitchUser::Yes,
            false => SwitchUser::No,
        },
        sandboxes: Sandboxes::open(&node.work_dir)?,
        volumes: Volumes::beneath(&node.work_dir),
    });
    let recovered = Checkpoint::open(&paths::checkpoint(&node.work_dir))?;
    if recovered.torn_bytes > 0 {
        warn!(
            bytes = recovered.torn_bytes,
            "cut a torn tail off the checkpoint"
        );
    }
    let (snapshots, published) = watch::channel(Arc::new(Snapshot {
        total: description.resources.clone(),
        ..Snapshot::default()
    }));
    let context = http::Context::new(&config, &node, Arc::clone(&description), published);
    http::serve(&config, context).await?;

    let main = Main {
        started: std::time::Instant::now(),
        agent,
        checkpoint: Some(recovered.checkpoint),
        containers: Containers::new(ground, inputs_in.clone()),
        probes: Probes::new(inputs_in.clone()),
        volumes: Volumes::beneath(&node.work_dir),
        link: None,
        pending: Vec::new(),
        complaint: String::new(),
        inputs_in,
        inputs,
        description,
        config,
        counters: Counters::default(),
        snapshots,
        changed_at: None,
    };
    main.run(recovered.facts, node).await
}

struct Main {
    started: std::time::Instant,
    agent: Agent,
    /// Absent only while it is written to.
    checkpoint: Option<Checkpoint>,
    containers: Containers,
    probes: Probes,
    volumes: Volumes,
    link: Option<Link>,
    /// What effects brought about at once; agent-core is yet to be told.
    pending: Vec<Event>,
    /// Why there is no link, as it was last logged.
    complaint: String,
    inputs_in: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
    description: Arc<Description>,
    config: Config,
    counters: Counters,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// When the oldest change came that readers have not seen; unset where they have the newest.
    changed_at: Option<tokio::time::Instant>,
}

/// Whether the loop goes on.
enum Flow {
    On,
    End(End),
}

impl Main {
    async fn run(mut self, facts: Vec<Fact>, mut node: Node) -> Result<Exit, NodeError> {
        let mut children = signal(SignalKind::child()).map_err(NodeError::Runtime)?;
        let mut leave = signal(SignalKind::user_defined1()).map_err(NodeError::Runtime)?;
        let mut events = self.recover(facts);
        let mut exit = match node.is_pid1 {
            true => Exit::PowerOff,
            false => Exit::Stop(0),
        };
        loop {
            if let Flow::End(end) = self.step(events).await? {
                self.farewell().await;
                return Ok(match end {
                    End::Stopped => exit,
                    End::Refused(reason) => {
                        error!(reason, "the master does not want this agent");
                        if node.is_pid1 {
                            Exit::PowerOff
                        } else {
                            Exit::Stop(1)
                        }
                    }
                });
            }
            if !self.pending.is_empty() {
                events = std::mem::take(&mut self.pending);
                continue;
            }
            let deadline = self.next_deadline();
            events = tokio::select! {
                Some(input) = self.inputs.recv() => self.input(input),
                Some(()) = children.recv() => self.containers.reap(),
                Some(()) = leave.recv() => vec![Event::Stop(Stop::Leave)],
                Some(wish) = node.power.recv() => {
                    exit = wished(wish);
                    vec![Event::Stop(Stop::Keep)]
                }
                () = until(deadline) => vec![Event::Tick],
            };
            self.drain(&mut events);
        }
    }

    /// Feeds the checkpoint; gives the event that ends the recovery.
    fn recover(&mut self, facts: Vec<Fact>) -> Vec<Event> {
        let begun = std::time::Instant::now();
        let (now, wall) = (self.now(), wall());
        let count = facts.len();
        for fact in facts {
            self.agent.step(now, wall, Event::Recovered(fact));
        }
        let containers = self
            .agent
            .tasks()
            .filter_map(|(_, task)| task.container.clone());
        let containers: Vec<ContainerId> = containers.collect();
        self.containers.end_orphans(&containers);
        self.counters.recovery = begun.elapsed();
        let tasks = self.agent.tasks().count();
        info!(facts = count, tasks, "recovered");
        let holdings = self.agent.holdings();
        if holdings.is_overdrawn() {
            warn!(
                configured = %self.description.resources,
                kept = %holdings.kept(),
                "reservations and volumes are more than this node is configured with"
            );
        }
        self.purge_volumes();
        // Re-execution, which keeps processes, will name those that are alive.
        vec![Event::RecoveryEnded {
            alive: std::collections::BTreeMap::new(),
        }]
    }

    /// Takes whatever else is ready, so that it shares one write.
    fn drain(&mut self, events: &mut Vec<Event>) {
        while events.len() < BATCH_MAX {
            match self.inputs.try_recv() {
                Ok(input) => events.extend(self.input(input)),
                Err(_) => break,
            }
        }
    }

    fn input(&mut self, input: Input) -> Vec<Event> {
        match input {
            Input::Launch(outcome) => self.containers.answered(outcome),
            Input::Probed(probe, outcome) => {
                self.probes.end(&probe);
                vec![Event::Probed { probe, outcome }]
            }
            Input::Link(link, LinkEvent::Opened) => vec![Event::LinkOpened { link }],
            Input::Link(link, LinkEvent::Closed(why)) => {
                if self.link.as_ref().is_some_and(|current| current.id == link) {
                    self.link = None;
                    self.complain(why);
                }
                vec![Event::LinkClosed { link }]
            }
            Input::Link(link, LinkEvent::Frame(frame)) => {
                let (epoch, incarnation) = (frame.epoch, frame.incarnation);
                match wire::from_master(*frame) {
                    Ok(Some(frame)) => vec![Event::Frame {
                        link,
                        epoch,
                        incarnation,
                        frame,
                    }],
                    Ok(None) => {
                        debug!("frame of a kind that this agent does not know");
                        Vec::new()
                    }
                    Err(error) => {
                        warn!(error = chain(&error), "frame of the master left aside");
                        Vec::new()
                    }
                }
            }
        }
    }

    /// Says once why there is no link, and not again until there was one.
    fn complain(&mut self, why: String) {
        if self.complaint != why {
            warn!(why, "no link to the master");
            self.complaint = why;
        }
    }

    async fn step(&mut self, events: Vec<Event>) -> Result<Flow, NodeError> {
        let (now, wall) = (self.now(), wall());
        let mut effects = Vec::new();
        for event in events {
            let more = self.agent.step(now, wall, event);
            // An end of a volume and a new one of its name must not be stored together: of the two,
            // a crash would leave the old data under the new volume.
            let is_about_volumes = more.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::CreateVolume { .. } | Effect::DestroyVolume { .. }
                )
            });
            effects.extend(more);
            if is_about_volumes
                && let Flow::End(end) = self.carry_out_all(std::mem::take(&mut effects)).await?
            {
                return Ok(Flow::End(end));
            }
        }
        self.carry_out_all(effects).await
    }

    /// Stores first, then everything else in its order.
    async fn carry_out_all(&mut self, effects: Vec<Effect>) -> Result<Flow, NodeError> {
        let (stores, deeds): (Vec<_>, Vec<_>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Store(_)));
        self.store(stores).await?;
        let mut flow = Flow::On;
        let changed = !deeds.is_empty();
        for deed in deeds {
            if let Effect::End { end } = deed {
                flow = Flow::End(end);
            } else {
                self.carry_out(deed);
            }
        }
        if changed {
            self.changed_at
                .get_or_insert_with(tokio::time::Instant::now);
        }
        self.publish();
        Ok(flow)
    }

    /// Makes facts durable. The main loop waits, readers do not: the write is on a thread of its own.
    async fn store(&mut self, stores: Vec<Effect>) -> Result<(), NodeError> {
        let facts = stores.into_iter().filter_map(|effect| match effect {
            Effect::Store(fact) => Some(fact),
            _ => None,
        });
        let facts: Vec<Fact> = facts.collect();
        let Some(mut checkpoint) = self.checkpoint.take_if(|_| !facts.is_empty()) else {
            return Ok(());
        };
        let anew = checkpoint.wants_compaction().then(|| self.agent.facts());
        let written = tokio::task::spawn_blocking(move || {
            let result = match anew {
                Some(all) => checkpoint.compact(&all, &facts),
                None => checkpoint.append(&facts),
            };
            (checkpoint, result)
        });
        let (checkpoint, result) = written
            .await
            .map_err(|panicked| NodeError::Runtime(panicked.into()))?;
        self.checkpoint = Some(checkpoint);
        Ok(result?)
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Store(_) | Effect::End { .. } => {}
            Effect::OpenLink { link } => {
                let inputs = self.inputs_in.clone();
                self.link = Some(Link::open(link, &self.config, inputs));
            }
            Effect::CloseLink { link } => {
                if let Some(current) = self.link.take_if(|current| current.id == link) {
                    // What is queued may still leave; on no account is it waited for here.
                    tokio::spawn(current.finish(FAREWELL_MAX));
                }
            }
            Effect::Send {
                link,
                epoch,
                incarnation,
                frame,
            } => {
                let agent = self.agent.registration().agent_id.as_ref();
                let frame = wire::to_master(&self.description, agent, epoch, incarnation, frame);
                let current = self.link.as_ref().filter(|current| current.id == link);
                if current.is_some_and(|current| current.send(frame).is_err()) {
                    self.link = None;
                    self.pending.push(Event::LinkClosed { link });
                    self.complain("the master does not read".to_string());
                }
            }
            Effect::Launch {
                container,
                framework,
                task,
            } => self.launch(container, &framework, &task),
            Effect::Kill { container, signal } => {
                let ended = self.containers.kill(&container, signal);
                self.pending.extend(ended);
            }
            Effect::Probe { probe, how } => match self.containers.process_of(&probe.container) {
                Some(process) => self.probes.begin(probe, how, Network::Of(process)),
                None => self.pending.push(Event::Probed {
                    probe,
                    outcome: checks::Outcome::Unavailable("the container is gone".to_string()),
                }),
            },
            Effect::EndProbe { probe } => self.probes.end(&probe),
            Effect::ProbeFailed {
                framework_id,
                task_id,
                kind,
                why,
            } => info!(%framework_id, %task_id, %kind, why, "check of a task failed"),
            Effect::CreateVolume { volume } => {
                // A launch that wants it tries once more, and says why it cannot.
                if let Err(error) = self.volumes.create(&volume) {
                    error!(error = chain(&error), "volume was not made");
                }
            }
            Effect::DestroyVolume { volume } => match self.volumes.destroy(&volume) {
                Ok(()) => {
                    self.pending.push(Event::VolumeDestroyed { volume });
                    self.purge_volumes();
                }
                // Tried again at the next start.
                Err(error) => error!(error = chain(&error), "volume was not destroyed"),
            },
            Effect::OperationEnded { operation, status } => info!(
                operation = %operation.uuid,
                framework_id = operation.framework_id.as_ref().map(ToString::to_string),
                state = %status.state,
                why = status.message,
                "operation ended"
            ),
            Effect::TaskChanged {
                framework_id,
                status,
            } => {
                self.counters.count(&status);
                if status.reason == Some(Reason::ContainerLaunchFailed) {
                    self.counters.launch_errors += 1;
                }
                info!(
                    %framework_id,
                    task_id = %status.task_id,
                    state = %status.state,
                    reason = status.reason.map(Reason::name),
                    why = status.message.as_deref().and_then(|text| text.lines().next()),
                    "task changed state"
                );
            }
            Effect::Ignored { why } => info!(why, "left aside"),
            Effect::Registered { agent_id } => {
                self.complaint.clear();
                info!(%agent_id, master = %self.config.master, "registered");
                // Sandboxes are found by the id: whoever hears of a task finds its files.
                self.publish_now();
            }
        }
    }

    fn launch(
        &mut self,
        container: ContainerId,
        framework: &agent_core::event::Framework,
        task: &agent_core::event::TaskSpec,
    ) {
        let Some(agent) = &self.agent.registration().agent_id else {
            return;
        };
        let sandbox = paths::sandbox(agent, &framework.id, &task.executor_id, &container);
        let launch = match wire::task::launch(&task.info, &framework.info) {
            Ok(launch) => launch,
            Err(error) => {
                let message = chain(&error);
                self.pending
                    .push(Event::LaunchFailed { container, message });
                return;
            }
        };
        let directory = self.description.work_dir.join(&sandbox);
        let endpoint = format!("{}:{}", self.description.ip, self.description.port);
        let grace = model::duration::format(self.config.executor_shutdown_grace_period);
        let environment = [
            ("MESOS_FRAMEWORK_ID", framework.id.to_string()),
            ("MESOS_EXECUTOR_ID", task.executor_id.to_string()),
            ("MESOS_DIRECTORY", directory.to_string_lossy().into_owned()),
            ("MESOS_SLAVE_ID", agent.to_string()),
            ("MESOS_SLAVE_PID", format!("slave(1)@{endpoint}")),
            ("MESOS_AGENT_ENDPOINT", endpoint),
            ("MESOS_CHECKPOINT", u8::from(launch.checkpoint).to_string()),
            ("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_string()),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", grace),
        ];
        self.containers.launch(Order {
            container,
            sandbox,
            environment: environment
                .map(|(name, value)| (name.to_string(), value))
                .to_vec(),
            launch,
        });
    }

    fn purge_volumes(&self) {
        let volumes = self.volumes.clone();
        tokio::task::spawn_blocking(move || volumes.purge());
    }

    fn now(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Agent-core's deadline, or the moment to publish.
    fn next_deadline(&self) -> Option<tokio::time::Instant> {
        let core = self.agent.deadline().map(|at| {
            tokio::time::Instant::from_std(self.started + Duration::from_nanos(at.as_nanos()))
        });
        let publish = self.changed_at.map(|at| at + PUBLISH_EVERY);
        core.into_iter().chain(publish).min()
    }

    /// Gives readers the newest snapshot, with all that came within [`PUBLISH_EVERY`].
    fn publish(&mut self) {
        let due = |at: tokio::time::Instant| at.elapsed() >= PUBLISH_EVERY;
        if self.changed_at.is_some_and(due) {
            self.publish_now();
        }
    }

    fn publish_now(&mut self) {
        self.changed_at = None;
        self.snapshots
            .send_replace(Snapshot::of(&self.agent, &self.counters));
    }

    async fn farewell(&mut self) {
        if let Some(link) = self.link.take() {
            link.finish(FAREWELL_MAX).await;
        }
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn wished(wish: PowerEvent) -> Exit {
    match wish {
        PowerEvent::PowerOff => Exit::PowerOff,
        PowerEvent::Reboot => Exit::Reboot,
        PowerEvent::Stop => Exit::Stop(0),
    }
}

fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    WallTime(u64::try_from(nanos).unwrap_or(u64::MAX))
}
