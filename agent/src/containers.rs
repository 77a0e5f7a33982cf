//! Containers: launches, signals and ends, between agent-core and the kernel.
//!
//! A launch blocks for some milliseconds, so that it runs beside the main loop; at most
//! [`LAUNCHES_MAX`] at a time, the others wait in order (agent-core bounds how many tasks there
//! are). A process may end before its launch has answered: statuses of unknown processes are kept
//! while a launch is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use agent_core::Signal;
use agent_core::event::{Event, Exit, ExitStatus, MemoryLimit};
use agent_core::sandbox::{self, Accounts, Cfs, NodeFacts, SwitchUser};
use agent_kernel::cgroup::Cgroup;
use agent_kernel::launch::{self, Host, Launched};
use agent_kernel::process::{self, Pid};
use model::ContainerId;
use model::sandbox::Enforcement;
use nix::sys::signal::Signal as Sent;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::init::chain;
use crate::node::Input;
use crate::sandboxes::Sandboxes;
use crate::volumes::Volumes;
use crate::wire::task::Launch;

/// Launches that run at the same time.
const LAUNCHES_MAX: usize = 4;
/// The most that is read of `memory.stat`.
const STATISTICS_BYTES_MAX: usize = 4096;

/// What all launches share.
#[derive(Debug)]
pub struct Ground {
    /// The kernel's side.
    pub host: Host,
    /// The root of a task without an image; none on a host that was told none.
    pub root: Option<PathBuf>,
    /// Holds `hosts` and `resolv.conf`.
    pub etc: PathBuf,
    /// The name that containers have.
    pub hostname: String,
    /// Whether a task's user is looked up.
    pub switch_user: SwitchUser,
    /// Where the sandboxes are made.
    pub sandboxes: Sandboxes,
    /// Where the persistent volumes are.
    pub volumes: Volumes,
}

/// A container to start.
#[derive(Debug)]
pub struct Order {
    /// Its id.
    pub container: ContainerId,
    /// The sandbox, beneath the work directory.
    pub sandbox: PathBuf,
    /// The variables that the agent sets.
    pub environment: Vec<(String, String)>,
    /// The task.
    pub launch: Launch,
}

/// How a launch went.
#[derive(Debug)]
pub struct Outcome {
    container: ContainerId,
    result: Result<Launched, String>,
}

/// The containers of this agent.
#[derive(Debug)]
pub struct Containers {
    ground: Arc<Ground>,
    inputs: mpsc::Sender<Input>,
    queue: VecDeque<Order>,
    launching: usize,
    running: BTreeMap<Pid, Running>,
    /// The id range of each container, from its launch to its end.
    ranges: BTreeMap<ContainerId, u32>,
    /// Ended before their launch had answered.
    early: BTreeMap<Pid, model::sandbox::ExitStatus>,
    /// Groups that still held a process when they were to be removed.
    lingering: Vec<Cgroup>,
}

#[derive(Debug)]
struct Running {
    container: ContainerId,
    pidfd: OwnedFd,
    cgroup: Option<Cgroup>,
}

impl Containers {
    /// No containers yet.
    #[must_use]
    pub fn new(ground: Arc<Ground>, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            ground,
            inputs,
            queue: VecDeque::new(),
            launching: 0,
            running: BTreeMap::new(),
            ranges: BTreeMap::new(),
            early: BTreeMap::new(),
            lingering: Vec::new(),
        }
    }

    /// Ends what an earlier agent process left behind: nothing can be attached to again yet.
    pub fn end_orphans(&mut self, containers: &[ContainerId]) {
        for container in containers {
            self.ground.host.forget(container);
            let Some(tree) = self.ground.host.cgroups() else {
                continue;
            };
            let cgroup = tree.container(container);
            if cgroup.path().exists() {
                if let Err(error) = cgroup.kill() {
                    warn!(%container, error = chain(&error), "container of an earlier start");
                }
                self.lingering.push(cgroup);
            }
        }
    }

    /// Starts a container, in its turn; `Launched` or `LaunchFailed` answers.
    pub fn launch(&mut self, order: Order) {
        self.queue.push_back(order);
        self.fill();
    }

    fn fill(&mut self) {
        while self.launching < LAUNCHES_MAX {
            let Some(order) = self.queue.pop_front() else {
                return;
            };
            self.launching += 1;
            let index = self.free_range();
            self.ranges.insert(order.container.clone(), index);
            let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
            tokio::task::spawn_blocking(move || {
                let outcome = Outcome {
                    result: start(&ground, &order, index),
                    container: order.container,
                };
                // The main loop is gone where nobody listens, and the containers go with it.
                let _ = inputs.blocking_send(Input::Launch(outcome));
            });
        }
    }

    fn free_range(&self) -> u32 {
        let taken: BTreeSet<u32> = self.ranges.values().copied().collect();
        (0..).find(|index| !taken.contains(index)).unwrap_or(0)
    }

    /// A launch has answered.
    pub fn answered(&mut self, outcome: Outcome) -> Vec<Event> {
        self.launching -= 1;
        let Outcome { container, result } = outcome;
        let mut events = Vec::new();
        match result {
            Ok(launched) => {
                let pid = launched.pid;
                // A launch that failed may have left a status under a number that is another's now.
                let early = self.early.remove(&pid);
                let early = early.filter(|_| process::is_reaped(&launched.pidfd));
                report(&container, &launched.enforcement);
                self.running.insert(
                    pid,
                    Running {
                        container: container.clone(),
                        pidfd: launched.pidfd,
                        cgroup: launched.cgroup,
                    },
                );
                events.push(Event::Launched {
                    container,
                    pid: u32::try_from(pid).unwrap_or(0),
                });
                if let Some(status) = early {
                    events.extend(self.ended(pid, status));
                }
            }
            Err(message) => {
                self.ranges.remove(&container);
                events.push(Event::LaunchFailed { container, message });
            }
        }
        if self.launching == 0 {
            self.early.clear();
        }
        self.fill();
        events
    }

    /// Takes the children that have ended.
    pub fn reap(&mut self) -> Vec<Event> {
        self.lingering.retain(|cgroup| cgroup.remove().is_err());
        let mut events = Vec::new();
        for (pid, status) in process::reap() {
            if self.running.contains_key(&pid) {
                events.extend(self.ended(pid, status));
            } else if self.launching > 0 {
                self.early.insert(pid, status);
            }
        }
        events
    }

    fn ended(&mut self, pid: Pid, init: model::sandbox::ExitStatus) -> Option<Event> {
        let running = self.running.remove(&pid)?;
        let container = running.container;
        let status = self.ground.host.exit_status(&container, init);
        let memory = running.cgroup.as_ref().and_then(memory_limit);
        self.ground.host.forget(&container);
        self.ranges.remove(&container);
        // What the task left behind dies with its pid namespace, yet maybe not at once.
        self.lingering
            .extend(running.cgroup.filter(|cgroup| cgroup.remove().is_err()));
        Some(Event::Exited {
            container,
            exit: Exit {
                status: match status {
                    model::sandbox::ExitStatus::Exited(code) => ExitStatus::Code(code),
                    model::sandbox::ExitStatus::Signaled(signal) => {
                        u8::try_from(signal).map_or(ExitStatus::Unknown, ExitStatus::Signal)
                    }
                },
                memory,
            },
        })
    }

    /// Signals a container; one that is gone already needs none.
    pub fn kill(&self, container: &ContainerId, signal: Signal) {
        let all = self.running.values();
        let Some(running) = all
            .into_iter()
            .find(|running| running.container == *container)
        else {
            return;
        };
        let send = |signal| process::signal(&running.pidfd, signal);
        let sent = match (signal, &running.cgroup) {
            (Signal::Terminate, _) => send(Sent::SIGTERM),
            // With its init a container ends as well, and no file has to be opened for that.
            (Signal::Kill, Some(cgroup)) => cgroup.kill().or_else(|_| send(Sent::SIGKILL)),
            (Signal::Kill, None) => send(Sent::SIGKILL),
        };
        if let Err(error) = sent {
            debug!(%container, ?signal, %error, "container takes no signal");
        }
    }
}

/// The blocking part of a launch.
fn start(ground: &Ground, order: &Order, index: u32) -> Result<Launched, String> {
    let root = ground
        .root
        .as_deref()
        .ok_or("this host was given no root for tasks (--default_rootfs)")?;
    let sandbox = ground
        .sandboxes
        .make(&order.sandbox)
        .map_err(|error| chain(&error))?;
    let ids = sandbox::id_range(index).ok_or("this node has no more ids for containers")?;
    let mut environment = order.environment.clone();
    environment.extend(order.launch.environment.iter().cloned());
    let accounts = (
        launch::root_file(root, "etc/passwd"),
        launch::root_file(root, "etc/group"),
    );
    let volumes = volumes(ground, order)?;
    let task = sandbox::TaskSpec {
        container: &order.container,
        command: &order.launch.command,
        environment: &environment,
        user: Some(order.launch.user.as_str()).filter(|user| !user.is_empty()),
        cpus_milli: order.launch.cpus_milli,
        memory_bytes: order.launch.memory_bytes,
        sandbox: &sandbox.to_string_lossy(),
        volumes: &volumes,
    };
    let node = NodeFacts {
        root: &root.to_string_lossy(),
        hostname: &ground.hostname,
        etc: &ground.etc.to_string_lossy(),
        ids,
        switch_user: ground.switch_user,
        accounts: Accounts {
            passwd: &accounts.0,
            group: &accounts.1,
        },
        cfs: Cfs::Off,
    };
    let plan = sandbox::plan(&task, &node).map_err(|error| chain(&error))?;
    for volume in &volumes {
        ground
            .sandboxes
            .make_place(&order.sandbox, &volume.container_path)
            .map_err(|error| chain(&error))?;
    }
    launch::spawn(&ground.host, &plan).map_err(|error| chain(&error))
}

/// The volumes of a task, each with its directory on the node.
fn volumes(ground: &Ground, order: &Order) -> Result<Vec<sandbox::Volume>, String> {
    let all = order.launch.volumes.iter().map(|volume| {
        let source = ground.volumes.ensure(&volume.name);
        let source = source.map_err(|error| chain(&error))?;
        Ok(sandbox::Volume {
            source: source.to_string_lossy().into_owned(),
            container_path: volume.container_path.clone(),
            access: volume.access,
            handover: volume.handover,
        })
    });
    all.collect()
}

/// What the kernel says of a limit that was reached; `None` where it was not.
fn memory_limit(cgroup: &Cgroup) -> Option<MemoryLimit> {
    if !cgroup.oom_killed() {
        return None;
    }
    let limit_bytes = cgroup.memory_bytes_max().unwrap_or(0);
    let all = std::fs::read_to_string(cgroup.path().join("memory.stat")).unwrap_or_default();
    // Most are zero, and say nothing.
    let mut statistics = String::new();
    for line in all.lines().filter(|line| !line.ends_with(" 0")) {
        statistics.push_str(line);
        statistics.push('\n');
    }
    statistics.truncate(statistics.floor_char_boundary(STATISTICS_BYTES_MAX));
    Some(MemoryLimit {
        limit_bytes,
        used_bytes_max: cgroup.usage().memory_peak_bytes.unwrap_or(limit_bytes),
        statistics,
    })
}

fn report(container: &ContainerId, enforcement: &Enforcement) {
    for (isolation, why) in &enforcement.missing {
        debug!(%container, ?isolation, why, "isolation is missing");
    }
}
