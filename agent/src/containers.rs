//! Containers: launches, signals and ends, between agent-core and the kernel.
//!
//! ```text
//! queue -> prepare (beside the main loop, minutes) -> ready -> start (blocks, milliseconds) -> running
//! ```
//!
//! What wants nothing from outside of this node is ready at once. At most [`PREPARATIONS_MAX`] are
//! prepared and [`LAUNCHES_MAX`] started at a time, the others wait in order (agent-core bounds how
//! many tasks there are). A kill ends a launch that is not being started yet, and what it had brought
//! here goes. A process may end before its launch has answered: statuses of unknown processes are
//! kept while a launch is under way.

mod adopt;
mod fetched;
mod ground;
mod limits;
mod note;
mod prepare;
mod record;
mod root;
mod start;
mod survivors;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_core::Signal;
use agent_core::event::{DiskLimit, Event, Exit, ExitStatus, Limit};
use agent_core::sandbox::{Class, ParentsNetwork};
use agent_kernel::cgroup::{Cgroup, Tree};
use agent_kernel::process::{self, Pid};
use model::sandbox::{Enforcement, Io, Lacks, Process};
use model::{Blob, ContainerId};
use nix::sys::signal::Signal as Sent;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use crate::explained::Explained;
use crate::fetch;
use crate::housekeeping::Figures;
use crate::init::chain;
use crate::networks::Attachment;
use crate::node::Input;
use crate::paths;
use crate::switchboard::Switchboard;
use crate::wire::container_info::{VolumeWish, Wanted as Source};
use crate::wire::task::Launch;

use prepare::Prepared;
use start::{Parent, Place, Started};

pub use ground::Ground;
pub use record::check_record;
pub use survivors::{Calls, Survivors, boot_id};

/// Launches that are prepared at the same time.
const PREPARATIONS_MAX: usize = 16;
/// Launches that are started at the same time.
const LAUNCHES_MAX: usize = 4;
/// How long a group is left that still holds a process.
const TIDY_EVERY: Duration = Duration::from_millis(200);

/// A container to start.
#[derive(Debug)]
pub struct Order {
    /// Its id.
    pub container: ContainerId,
    /// What kind of container it is. One that is nested starts only while its parent runs.
    pub class: Class,
    /// The sandbox, beneath the work directory; a debugging container has that of its parent, and a
    /// session none.
    pub sandbox: PathBuf,
    /// A link to the sandbox beneath the work directory, and where it points to.
    pub link: Option<(PathBuf, PathBuf)>,
    /// Where its input comes from and its output goes.
    pub io: Io,
    /// The variables that the agent sets.
    pub environment: Vec<(String, String)>,
    /// The call that asks for it, where it is no task's or executor's.
    pub call: Option<Blob>,
    /// The task.
    pub launch: Launch,
}

impl Order {
    /// Whether it leaves no traces: a process in another container, for somebody who is attached.
    fn is_session(&self) -> bool {
        self.class == Class::Debug && self.io != Io::Files
    }

    /// Whether anything has to be brought here first.
    fn wants_preparation(&self) -> bool {
        let volumes = &self.launch.container.volumes;
        let of_image = |volume: &VolumeWish| matches!(volume.source, Source::Image(_));
        let has_image = self.launch.image.is_some() || volumes.iter().any(of_image);
        has_image || !self.launch.uris.is_empty()
    }
}

/// How a stage of a launch went.
#[derive(Debug)]
pub struct Outcome {
    container: ContainerId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Prepared(Result<(Order, Prepared), String>),
    Started(Result<(Started, Prepared), String>),
}

/// The containers of this agent.
#[derive(Debug)]
pub struct Containers {
    ground: Arc<Ground>,
    inputs: mpsc::Sender<Input>,
    board: Switchboard,
    explained: Explained,
    /// To be prepared.
    queue: VecDeque<Order>,
    preparing: BTreeMap<ContainerId, AbortHandle>,
    /// To be started.
    ready: VecDeque<(Order, Prepared)>,
    starting: usize,
    running: BTreeMap<Pid, Running>,
    /// The same by their ids: with hundreds of them none is searched for.
    pids: BTreeMap<ContainerId, Pid>,
    /// The id range of each container, from its launch to its end.
    ranges: BTreeMap<ContainerId, u32>,
    /// Ended before their launch had answered.
    early: BTreeMap<Pid, model::sandbox::ExitStatus>,
    /// Groups that still held a process when they were to be removed.
    lingering: Vec<Cgroup>,
    /// When that is tried again; unset where there are none.
    tidy_at: Option<tokio::time::Instant>,
}

#[derive(Debug)]
struct Running {
    container: ContainerId,
    pidfd: Arc<OwnedFd>,
    cgroup: Option<Cgroup>,
    /// Beneath the work directory.
    sandbox: PathBuf,
    /// Whether its group has limits of its own; else it shares those of its parent.
    has_limits: bool,
    /// The limit of the disk that it passed, for which it was killed.
    disk: Option<DiskLimit>,
    /// Whose network it has.
    network: ParentsNetwork,
    /// What runs, where anything does.
    process: Option<Arc<Process>>,
    /// Stays as long as the container.
    prepared: Prepared,
    /// Its end on a network, or that of the one that it is nested in; taken back when the last is gone.
    attachment: Option<Arc<Attachment>>,
    /// How it ended, where nobody sees that and nothing says it; of one that an earlier process of this
    /// agent launched.
    unseen: Option<ExitStatus>,
}

/// What the containers of an agent hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Containers that run.
    pub running: usize,
    /// Those that are being prepared or started, or wait for it.
    pub waiting: usize,
    /// Ranges of ids.
    pub id_ranges: usize,
    /// Groups that are to go, and held a process when that was tried last.
    pub lingering: usize,
}

impl Containers {
    /// No containers yet.
    #[must_use]
    pub fn new(
        ground: Arc<Ground>,
        inputs: mpsc::Sender<Input>,
        board: Switchboard,
        explained: Explained,
    ) -> Self {
        Self {
            ground,
            inputs,
            board,
            explained,
            queue: VecDeque::new(),
            preparing: BTreeMap::new(),
            ready: VecDeque::new(),
            starting: 0,
            running: BTreeMap::new(),
            pids: BTreeMap::new(),
            ranges: BTreeMap::new(),
            early: BTreeMap::new(),
            lingering: Vec::new(),
            tidy_at: None,
        }
    }

    /// The tree of their groups, where there is one.
    #[must_use]
    pub fn cgroups(&self) -> Option<&Tree> {
        self.ground.host.cgroups()
    }

    /// What was collected of what containers left.
    #[must_use]
    pub fn collected(&self) -> Figures {
        self.ground.housekeeping.figures()
    }

    /// What containers hold at this moment.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            running: self.running.len(),
            waiting: self.queue.len() + self.preparing.len() + self.ready.len() + self.starting,
            id_ranges: self.ranges.len(),
            lingering: self.lingering.len(),
        }
    }

    /// What was fetched for containers.
    #[must_use]
    pub fn fetched(&self) -> fetch::Figures {
        self.ground.fetcher.figures()
    }

    /// Starts a container, in its turn; `Launched` or `LaunchFailed` answers.
    pub fn launch(&mut self, order: Order) {
        // A debugging container is a guest in a sandbox that is looked after already.
        if order.class != Class::Debug {
            let housekeeping = &self.ground.housekeeping;
            housekeeping.begun(&order.container, &order.sandbox);
        }
        if order.wants_preparation() {
            self.queue.push_back(order);
        } else {
            self.ready.push_back((order, Prepared::default()));
        }
        self.fill();
    }

    fn fill(&mut self) {
        while self.preparing.len() < PREPARATIONS_MAX
            && let Some(order) = self.queue.pop_front()
        {
            self.prepare(order);
        }
        while self.starting < LAUNCHES_MAX
            && let Some((order, prepared)) = self.ready.pop_front()
        {
            self.start(order, prepared);
        }
    }

    fn prepare(&mut self, order: Order) {
        let container = order.container.clone();
        let index = self.range_of(&container);
        let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
        let preparing = tokio::spawn(async move {
            let result = prepare::prepare(&ground, &order, index).await;
            let outcome = Outcome {
                container: order.container.clone(),
                stage: Stage::Prepared(result.map(|prepared| (order, prepared))),
            };
            // The main loop is gone where nobody listens, and the containers go with it.
            let _ = inputs.send(Input::Launch(outcome)).await;
        });
        self.preparing.insert(container, preparing.abort_handle());
    }

    fn start(&mut self, order: Order, prepared: Prepared) {
        self.starting += 1;
        let place = self.place(&order.container);
        let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
        tokio::task::spawn_blocking(move || {
            let result = place.and_then(|place| start::start(&ground, &order, &prepared, &place));
            let outcome = Outcome {
                container: order.container,
                stage: Stage::Started(result.map(|launched| (launched, prepared))),
            };
            // As above.
            let _ = inputs.blocking_send(Input::Launch(outcome));
        });
    }

    /// Where a container starts: with ids of its own, or within its parent.
    fn place(&mut self, container: &ContainerId) -> Result<Place, String> {
        let Some(parent) = container.parent() else {
            return Ok(Place {
                index: self.range_of(container),
                parent: None,
            });
        };
        let gone = || "the container that it is nested in is gone".to_string();
        let (pid, running) = self.find(&parent).ok_or_else(gone)?;
        let parent = Parent {
            pid,
            pidfd: Arc::clone(&running.pidfd),
            process: running.process.clone(),
            network: running.network,
            attachment: running.attachment.clone(),
        };
        Ok(Place {
            index: self.range_of(container),
            parent: Some(parent),
        })
    }

    /// The ids of a container from its preparation on, since its files have them by then. A nested
    /// one has those of the outermost; where that is gone, its start will say so.
    fn range_of(&mut self, container: &ContainerId) -> u32 {
        if let Some(index) = self.ranges.get(&container.root()) {
            return *index;
        }
        if container.depth() > 1 {
            return 0;
        }
        let taken: BTreeSet<u32> = self.ranges.values().copied().collect();
        let index = (0..).find(|index| !taken.contains(index)).unwrap_or(0);
        self.ranges.insert(container.clone(), index);
        index
    }

    /// The sandbox of a nested container, beneath the work directory; `None` where its outermost
    /// container does not run.
    #[must_use]
    pub fn nested_sandbox(&self, container: &ContainerId) -> Option<PathBuf> {
        let (_, outermost) = self.find(&container.root())?;
        Some(paths::nested(outermost.sandbox.clone(), container))
    }

    /// Removes what a container that a call launched has left in the work directory.
    pub fn remove_sandbox(&self, container: &ContainerId) {
        let sandbox = match container.depth() {
            1 => Some(paths::standalone(container)),
            _ => self.nested_sandbox(container),
        };
        let (ground, container) = (Arc::clone(&self.ground), container.clone());
        if let Some(sandbox) = sandbox {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = ground.sandboxes.remove_nested(&sandbox) {
                    warn!(%container, error = chain(&error), "sandbox was not removed");
                }
            });
        }
    }

    fn find(&self, container: &ContainerId) -> Option<(Pid, &Running)> {
        let pid = self.pids.get(container)?;
        Some((*pid, self.running.get(pid)?))
    }

    /// A stage of a launch has answered.
    pub fn answered(&mut self, outcome: Outcome) -> Vec<Event> {
        let Outcome { container, stage } = outcome;
        let events = match stage {
            // It answered just before it was killed: what was prepared goes.
            Stage::Prepared(_) if self.preparing.remove(&container).is_none() => Vec::new(),
            Stage::Prepared(Ok(ready)) => {
                self.ready.push_back(ready);
                Vec::new()
            }
            Stage::Prepared(Err(message)) => {
                self.forget(&container);
                vec![Event::LaunchFailed { container, message }]
            }
            Stage::Started(result) => self.started(container, result),
        };
        self.fill();
        events
    }

    fn started(
        &mut self,
        container: ContainerId,
        result: Result<(Started, Prepared), String>,
    ) -> Vec<Event> {
        self.starting -= 1;
        let mut events = Vec::new();
        match result {
            Ok((started, prepared)) => {
                let Started {
                    launched,
                    has_limits,
                    network,
                    process,
                    sandbox,
                    report: explained,
                    seccomp,
                    degraded,
                    attachment,
                    ids,
                } = started;
                let pid = launched.pid;
                // A launch that failed may have left a status under a number that is another's now.
                events.extend(self.before(pid));
                let early = self.early.remove(&pid);
                let early = early.filter(|_| process::is_reaped(&launched.pidfd));
                report(&container, &launched.enforcement);
                self.explained
                    .begun(container.clone(), ids, explained, Some(seccomp));
                self.board.connect(&container, launched.streams);
                self.pids.insert(container.clone(), pid);
                self.running.insert(
                    pid,
                    Running {
                        container: container.clone(),
                        pidfd: Arc::new(launched.pidfd),
                        cgroup: launched.cgroup,
                        sandbox,
                        has_limits,
                        disk: None,
                        network,
                        process: process.map(Arc::new),
                        prepared,
                        attachment,
                        unseen: None,
                    },
                );
                events.push(Event::Launched {
                    container,
                    pid: u32::try_from(pid).unwrap_or(0),
                    degraded,
                });
                if let Some(status) = early {
                    events.extend(self.ended(pid, status_of(status)));
                }
            }
            Err(message) => {
                self.forget(&container);
                events.push(Event::LaunchFailed { container, message });
            }
        }
        if self.starting == 0 {
            self.early.clear();
        }
        events
    }

    /// Takes the children that have ended.
    pub fn reap(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for (pid, status) in process::reap() {
            if self.running.contains_key(&pid) {
                events.extend(self.ended(pid, status_of(status)));
            } else if self.starting > 0 {
                self.early.insert(pid, status);
            }
        }
        self.remove_lingering();
        events
    }

    /// When [`Self::tidy`] wants to be called.
    #[must_use]
    pub const fn tidy_at(&self) -> Option<tokio::time::Instant> {
        self.tidy_at
    }

    /// Removes what could not be removed before, where it is time to try: no child may be left whose
    /// end would be the occasion.
    pub fn tidy(&mut self) {
        if self
            .tidy_at
            .is_some_and(|at| at <= tokio::time::Instant::now())
        {
            self.remove_lingering();
        }
    }

    fn remove_lingering(&mut self) {
        self.lingering.retain(|cgroup| cgroup.remove().is_err());
        let again = (!self.lingering.is_empty()).then(|| tokio::time::Instant::now() + TIDY_EVERY);
        self.tidy_at = again;
    }

    fn ended(&mut self, pid: Pid, init: ExitStatus) -> Option<Event> {
        let running = self.running.remove(&pid)?;
        let container = running.container;
        self.pids.remove(&container);
        let recorded = self.ground.host.recorded_exit(&container);
        let status = recorded.map_or(init, status_of);
        let memory = self.memory_limit(&container, running.cgroup.as_ref(), running.has_limits);
        let limit = running.disk.map(Limit::Disk);
        let limit = limit.or(memory.map(Limit::Memory));
        let lacks = running.cgroup.as_ref();
        let lacks = lacks.map_or(Lacks::NONE, |cgroup| {
            self.explained.lacked(&container, cgroup)
        });
        self.ground.host.forget(&container);
        self.forget(&container);
        self.board.disconnect(&container);
        self.explained.ended(&container, lacks.clone());
        drop(running.prepared);
        drop(running.attachment);
        // What the task left behind dies with its pid namespace, yet maybe not at once.
        self.lingering
            .extend(running.cgroup.filter(|cgroup| cgroup.remove().is_err()));
        Some(Event::Exited {
            container,
            exit: Exit {
                status,
                limit,
                lacks,
            },
        })
    }

    /// A container is gone, or will not be.
    fn forget(&mut self, container: &ContainerId) {
        self.ground.housekeeping.ended(container);
        self.ground.disks.ended(container);
        if let Some(cpus) = &self.ground.cpus {
            cpus.ended(container);
        }
        self.ranges.remove(container);
    }

    /// The init of a container that runs.
    #[must_use]
    pub fn process_of(&self, container: &ContainerId) -> Option<Arc<OwnedFd>> {
        let (_, running) = self.find(container)?;
        Some(Arc::clone(&running.pidfd))
    }

    /// Signals a container. One that is gone already needs none; a launch that is not being started
    /// yet ends with SIGKILL, and the answer is given here.
    pub fn kill(&mut self, container: &ContainerId, signal: Signal) -> Option<Event> {
        let Some((_, running)) = self.find(container) else {
            return match signal {
                Signal::Kill => self.cancel(container),
                Signal::Terminate | Signal::Other(_) => None,
            };
        };
        let send = |signal| process::signal(&running.pidfd, signal);
        let sent = match (signal, &running.cgroup) {
            (Signal::Terminate, _) => send(Sent::SIGTERM),
            // 0 asks whether it is there, which it is.
            (Signal::Other(number), _) => Sent::try_from(number).map_or(Ok(()), send),
            // With its init a container ends as well, and no file has to be opened for that.
            (Signal::Kill, Some(cgroup)) => cgroup.kill().or_else(|_| send(Sent::SIGKILL)),
            (Signal::Kill, None) => send(Sent::SIGKILL),
        };
        if let Err(error) = sent {
            debug!(%container, ?signal, %error, "container takes no signal");
        }
        None
    }

    fn cancel(&mut self, container: &ContainerId) -> Option<Event> {
        let preparing = self.preparing.remove(container);
        if let Some(preparing) = &preparing {
            preparing.abort();
        }
        let waiting = self.queue.len() + self.ready.len();
        self.queue.retain(|order| order.container != *container);
        self.ready
            .retain(|(order, _)| order.container != *container);
        let is_waiting = self.queue.len() + self.ready.len() < waiting;
        if preparing.is_none() && !is_waiting {
            return None;
        }
        self.forget(container);
        self.fill();
        Some(Event::LaunchFailed {
            container: container.clone(),
            message: "killed before it was started".to_string(),
        })
    }
}

/// What the kernel says of an end, as agent-core knows it.
fn status_of(status: model::sandbox::ExitStatus) -> ExitStatus {
    match status {
        model::sandbox::ExitStatus::Exited(code) => ExitStatus::Code(code),
        model::sandbox::ExitStatus::Signaled(signal) => {
            u8::try_from(signal).map_or(ExitStatus::Unknown, ExitStatus::Signal)
        }
    }
}

fn report(container: &ContainerId, enforcement: &Enforcement) {
    for (isolation, why) in &enforcement.missing {
        debug!(%container, ?isolation, why, "isolation is missing");
    }
}
