//! The agent's main loop: the next events, a step of agent-core, its effects.
//!
//! One loop on one thread. What several ready events ask to be stored is made durable together,
//! before anything else of theirs is done. Reads over HTTP never wait for this loop.

mod effects;
mod inputs;
mod orders;
mod recovery;
mod successor;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_core::containers::RequestId;
use agent_core::effect::{Effect, End, Fact, WallTime};
use agent_core::event::{Event, Stop};
use agent_core::sandbox::{Rules, SwitchUser, procview};
use agent_core::{Agent, Settings};
use agent_kernel::block;
use agent_kernel::facts;
use agent_kernel::launch::Host;
use agent_kernel::procview::{Author, ProcView};
use agent_kernel::seccomp::Refusals;
use agent_kernel::worker::{WorkerError, Workers};
use api::v1::executor;
use model::sandbox::IoMax;
use model::{ContainerId, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use tracing::{error, info, warn};

use crate::again::{self, BEAT, Hardware, Heart};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::Config;
use crate::config::isolation::Isolation;
use crate::config::recovery::Recover;
use crate::containers::{self, Containers, Ground, Survivors};
use crate::description::Description;
use crate::devices::{self, DeviceError};
use crate::disk::{self, Disks};
use crate::explained::Explained;
use crate::fetch::{self, FetchError, Fetcher};
use crate::finder::Finder;
use crate::handle::{Handle, Reply};
use crate::handover::Handover;
use crate::housekeeping::Housekeeping;
use crate::http;
use crate::images::Provisioner;
use crate::images::scratch::Scratches;
use crate::init::{Node, PowerEvent, chain};
use crate::kernel_log;
use crate::link::Link;
use crate::networks::{self, Attachment, Networks};
use crate::probe::Probes;
use crate::processors::Cpus;
use crate::sandboxes::Sandboxes;
use crate::seccomp::{ProfileError, Profiles};
use crate::snapshot::{Counters, Snapshot};
use crate::switchboard::Switchboard;
use crate::token::{Key, KeyError};
use crate::upgrade::Upgrades;
use crate::upgrade::check::Given;
use crate::volumes::Volumes;

pub use inputs::Input;
use recovery::Recovered;
use successor::Successor;

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
    /// The program was executed again too often, and is not to go on.
    TooOften,
    /// The process is to end with this code; on an ordinary host.
    Stop(i32),
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
    Images(#[from] crate::images::OpenError),
    #[error(transparent)]
    Scratch(#[from] crate::images::scratch::ScratchError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Http(#[from] http::HttpError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Where ZooKeeper is.
    #[error("--master")]
    Master(#[from] detector::ZkSourceError),
    /// The seccomp profile of containers that name none.
    #[error("read the seccomp profile of --seccomp_profile_name")]
    Seccomp(#[from] ProfileError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Runs the agent until it is told to end, or cannot go on.
///
/// Returns with all of its containers ended where the machine is to be off.
#[must_use]
pub fn run(config: Config, node: Node, handover: Handover) -> Exit {
    let is_pid1 = node.is_pid1;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Runtime);
    let ended = runtime.and_then(|runtime| runtime.block_on(begin_and_run(config, node, handover)));
    match ended {
        Ok(exit) => exit,
        Err(error) => {
            error!(error = chain(&error), "the agent cannot go on");
            again::not_on_trial(&chain(&error));
            if is_pid1 {
                Exit::PowerOff
            } else {
                Exit::Stop(1)
            }
        }
    }
}

/// The view of `/proc` that containers have, or why they have none.
fn proc_view(config: &Config) -> Result<ProcView, String> {
    if config.isolation.view.is_none() {
        ProcView::end_before();
        return Err("it is switched off (--proc_view)".to_string());
    }
    let author = Author {
        text: procview::text,
        cpus: procview::cpus,
    };
    ProcView::start(author).map_err(|error| {
        let reason = chain(&error);
        warn!(error = reason, "containers see the node's /proc");
        reason
    })
}

async fn begin_and_run(config: Config, node: Node, handover: Handover) -> Result<Exit, NodeError> {
    // Two random UUIDs of the kernel's randomness: one names the resources, one seeds agent-core.
    let version = uuid::Uuid::new_v4().into_bytes();
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    let facts = facts::measure(&node.work_dir);
    let disk_bytes = facts.disk_bytes;
    let workers = Arc::new(Workers::open()?);
    let description = Arc::new(Description::new(&config, &node, facts, version)?);
    info!(resources = %description.resources, "resources of this node");
    let mut agent = Agent::new(Settings {
        resources: description.resources.clone(),
        resource_version: version.to_vec(),
        shutdown_grace: config.executor_shutdown_grace_period,
        executor_registration_timeout: config.executor_registration_timeout,
        executor_reregistration_timeout: config.executor_reregistration_timeout,
        oversubscription: config.oversubscription.clone(),
        seed: [high, low],
    });

    let started = std::time::Instant::now();
    let (inputs_in, inputs) = mpsc::channel(INPUTS_MAX);
    let runtime = match node.is_pid1 {
        true => RUNTIME.into(),
        false => node.work_dir.join("run"),
    };
    let refusals = kernel_log::tell_refusals(config.isolation.tells_refusals, node.machine);
    let host = Host::open(node.cgroups.clone(), &runtime)?
        .with_view(proc_view(&config))
        .with_refusals(match refusals {
            Ok(()) => Refusals::Told,
            Err(_) => Refusals::Untold,
        });
    let Recovered {
        checkpoint,
        expected,
        survivors,
        took,
    } = recovery::recover(&config, &node.work_dir, &mut agent, &host)?;
    let sandboxes = Arc::new(Sandboxes::open(&node.work_dir)?);
    let offered = crate::wire::demand::of(&description.resources).disk_bytes;
    let disks = Arc::new(Disks::open(&node.work_dir, offered, config.disk));
    disk::watch(Arc::clone(&disks), inputs_in.clone());
    let (networks, attachments) = networks(&config, &node, &description, &survivors)?;
    let cpus = Cpus::open(config.isolation.cpus, host.cgroups());
    let ground = Arc::new(Ground {
        host,
        cpus,
        boot: containers::boot_id(),
        root: node.default_rootfs.clone(),
        etc: node.etc_dir.clone(),
        hostname: node.hostname.clone(),
        switch_user: match config.switch_user {
            true => SwitchUser::Yes,
            false => SwitchUser::No,
        },
        rules: rules(&config, &node.work_dir),
        isolation: isolation(&config)?,
        profiles: Profiles::open(&config.isolation.seccomp)?,
        networks,
        disks: Arc::clone(&disks),
        housekeeping: Housekeeping::new(config.housekeeping, Arc::clone(&sandboxes)),
        sandboxes,
        fetcher: Fetcher::open(
            Arc::clone(&workers),
            fetch::Settings::of(&config.fetching, &node.work_dir, config.ca_file.as_deref()),
        )?,
        volumes: Volumes::beneath(&node.work_dir),
        images: Provisioner::configured(&config, &node.work_dir, disk_bytes, workers)?,
        scratches: Scratches::open(&node.work_dir.join("provisioner"), |container| {
            survivors.is_living(container)
        })?,
    });
    let upgrades = Arc::new(Upgrades::new(
        &config,
        &node.work_dir,
        Given::take(node.machine).map_err(NodeError::Runtime)?,
        handover.clone(),
        Arc::clone(&ground),
    ));
    let (snapshots, published) = watch::channel(Arc::new(Snapshot {
        total: description.resources.clone(),
        ..Snapshot::default()
    }));
    let key = config
        .jwt_secret_key
        .as_deref()
        .map(Key::read)
        .transpose()?;
    let finder = Finder::start(&config, &inputs_in, &handover)?;
    let board = Switchboard::default();
    let explained = Explained::default();
    kernel_log::follow(&explained, refusals);
    let ways = http::Ways {
        snapshots: published,
        handle: Handle::new(inputs_in.clone()),
        switchboard: board.clone(),
        explained: explained.clone(),
        master: finder.last(),
        key: key.clone(),
        images: ground.images.clone(),
        disks,
        upgrades: Arc::clone(&upgrades),
    };
    let context = http::Context::new(&config, &node, Arc::clone(&description), ways);
    http::serve(&config, context).await?;

    let mut main = Main {
        started,
        agent,
        checkpoint: Some(checkpoint),
        containers: Containers::new(ground, inputs_in.clone(), board, explained),
        probes: Probes::new(inputs_in.clone()),
        volumes: Volumes::beneath(&node.work_dir),
        link: None,
        finder,
        successor: Successor::new(upgrades),
        pending: Vec::new(),
        requests: BTreeMap::new(),
        streams: BTreeMap::new(),
        complaint: String::new(),
        inputs_in,
        inputs,
        description,
        key,
        config,
        counters: Counters {
            recovery: took,
            ..Counters::default()
        },
        snapshots,
        changed_at: None,
    };
    let events = main.end_recovery(survivors, attachments, &expected);
    main.run(events, node).await
}

/// What containers are allowed, with the devices that the operator gives them.
fn isolation(config: &Config) -> Result<Isolation, DeviceError> {
    let mut isolation = config.isolation.clone();
    isolation.policy.devices = devices::find(&isolation.devices)?;
    Ok(isolation)
}

/// The limits of containers, with the disk that they are of.
fn rules(config: &Config, work_dir: &Path) -> Rules {
    let rules = config.isolation.rules;
    let io = rules.io.and_then(|io| {
        let disk = block::disk_of(work_dir);
        if disk.is_none() {
            warn!("the work directory is on no disk of its own: containers have no io limits");
        }
        let (major, minor) = disk?;
        Some(IoMax { major, minor, ..io })
    });
    Rules { io, ..rules }
}

/// The networks of containers. A machine of its own has them at once.
fn networks(
    config: &Config,
    node: &Node,
    description: &Description,
    survivors: &Survivors,
) -> Result<(Networks, BTreeMap<ContainerId, Attachment>), NodeError> {
    let about = networks::Node {
        // What the agent listens on; what others reach it at may lead there from elsewhere alone.
        agent_port: config.port,
        task_ports: &crate::wire::demand::ports(&description.resources),
        made: match node.is_pid1 {
            true => networks::Made::AtStart,
            false => networks::Made::OnDemand,
        },
    };
    let addresses = description.addresses.clone();
    let connected = survivors.connected();
    let opened = Networks::open(
        &config.networks,
        &node.work_dir,
        about,
        addresses,
        connected,
    );
    opened.map_err(NodeError::Runtime)
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
    finder: Arc<Finder>,
    successor: Successor,
    /// What effects brought about at once; agent-core is yet to be told.
    pending: Vec<Event>,
    /// Who waits for an answer.
    requests: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    /// The executors' streams of events.
    streams: BTreeMap<RequestId, mpsc::Sender<executor::Event>>,
    /// Why there is no link, as it was last logged.
    complaint: String,
    inputs_in: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
    description: Arc<Description>,
    /// What signs the tokens of executors.
    key: Option<Key>,
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
    async fn run(mut self, mut events: Vec<Event>, mut node: Node) -> Result<Exit, NodeError> {
        let mut children = signal(SignalKind::child()).map_err(NodeError::Runtime)?;
        let mut leave = signal(SignalKind::user_defined1()).map_err(NodeError::Runtime)?;
        let mut exit = match node.is_pid1 {
            true => Exit::PowerOff,
            false => Exit::Stop(0),
        };
        let hardware = Hardware::arm(node.machine, self.config.boot.watchdog_max);
        let heart = Heart::watched(self.config.recovery.stall_max, hardware);
        let heart = heart.map_err(NodeError::Runtime)?;
        loop {
            heart.beat();
            if let Flow::End(end) = self.step(events).await? {
                self.farewell().await;
                return Ok(match end {
                    End::Stopped => exit,
                    End::Refused(reason) => {
                        error!(reason, "the master does not want this agent");
                        again::not_on_trial(&reason);
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
            if self.config.recovery.recover == Recover::Cleanup {
                info!("what was left is cleaned up (--recover=cleanup)");
                return Ok(exit);
            }
            self.succeed();
            let beat = tokio::time::Instant::now() + BEAT;
            let deadline = self.next_deadline().unwrap_or(beat).min(beat);
            events = tokio::select! {
                Some(input) = self.inputs.recv() => self.input(input),
                Some(()) = children.recv() => self.containers.reap(),
                Some(()) = leave.recv() => vec![Event::Stop(Stop::Leave)],
                Some(wish) = node.power.recv() => {
                    exit = wished(wish);
                    vec![Event::Stop(Stop::Keep)]
                }
                () = sleep_until(deadline) => {
                    self.containers.tidy();
                    vec![Event::Tick]
                }
            };
            self.drain(&mut events);
        }
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
        // What is only stored is seen, too: the end of a task that is acknowledged, for one.
        let changed = !effects.is_empty();
        let (stores, deeds): (Vec<_>, Vec<_>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Store(_)));
        self.store(stores).await?;
        let mut flow = Flow::On;
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

    fn purge_volumes(&self) {
        let volumes = self.volumes.clone();
        tokio::task::spawn_blocking(move || volumes.purge());
    }

    fn now(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Agent-core's deadline, or the moment to publish or to tidy up.
    fn next_deadline(&self) -> Option<tokio::time::Instant> {
        let core = self.agent.deadline().map(|at| {
            tokio::time::Instant::from_std(self.started + Duration::from_nanos(at.as_nanos()))
        });
        let publish = self.changed_at.map(|at| at + PUBLISH_EVERY);
        let tidy = self.containers.tidy_at();
        let successor = self.successor.deadline();
        let others = publish.into_iter().chain(tidy).chain(successor);
        core.into_iter().chain(others).min()
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
        self.counters.collected = self.containers.collected();
        self.counters.fetched = self.containers.fetched();
        self.counters.held = self.containers.held();
        self.snapshots
            .send_replace(Snapshot::of(&self.agent, &self.counters));
    }

    async fn farewell(&mut self) {
        if let Some(link) = self.link.take() {
            link.finish(FAREWELL_MAX).await;
        }
    }
}

fn wished(wish: PowerEvent) -> Exit {
    match wish {
        PowerEvent::PowerOff => Exit::PowerOff,
        PowerEvent::Reboot => Exit::Reboot,
        PowerEvent::Stop => Exit::Stop(0),
    }
}

/// The moment that it is, by this machine's clock.
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    WallTime(u64::try_from(nanos).unwrap_or(u64::MAX))
}
