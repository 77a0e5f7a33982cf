//! The view of `/proc`: files of one FUSE mount, a directory for each container, bound over the
//! kernel's in that container.
//!
//! ```text
//! a task's open, read -> kernel -> /dev/fuse -> two threads (`files`) -> texts (`container`, `facts`)
//! a launch -> `door`, which alone sees the mount -> a bind of each file, detached
//! ```
//!
//! - The agent never reads the mount: it stands in a mount namespace of the door's own, is invisible on the
//!   node, and is gone with the agent. A launch waits for it [`ANSWER_MAX`] at most, and goes on
//!   without.
//! - A task that asks too often waits itself (`pace`); it keeps no thread here from others.
//! - Where the connection ends (it was aborted, or a thread has died) tasks go on: the kernel answers their
//!   reads with ENOTCONN. A new mount is made, and its files take the place of the dead ones in all
//!   containers that run (`session`); what a task had open stays dead, and is to be opened again.
//! - The descriptor of the device is the connection. It is kept across execve(2), with the namespace of
//!   its mount (`greeting`): what tasks have open stays so, and a read that was under way is answered by the
//!   next process. That knows the containers by their numbers, which are kept with each of them.

mod container;
mod door;
mod facts;
mod files;
mod greeting;
mod pace;
mod session;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::ContainerId;
use model::sandbox::{CgroupLimits, Content, LaunchPlan, Namespace, View, ViewFacts, ViewFile};
use nix::errno::Errno;

use crate::clock;
use container::{Clocks, Container};
use door::Door;
use pace::Clock;

/// How long a launch waits for its files.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Who decides what the files say.
#[derive(Debug, Clone, Copy)]
pub struct Author {
    /// The text of a file.
    pub text: fn(ViewFile, &ViewFacts) -> String,
    /// How many processors the container sees.
    pub cpus: fn(&ViewFacts) -> u32,
}

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ProcViewError {
    /// A step on the way to the mount.
    #[error("view of /proc: {step}")]
    Step {
        /// The act and its object.
        step: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The mount is there, and nobody answered on it in time.
    #[error("view of /proc: no answer after {} s", ANSWER_MAX.as_secs())]
    Silent,
}

fn step(name: impl Into<String>) -> impl FnOnce(Errno) -> ProcViewError {
    let step = name.into();
    move |source| ProcViewError::Step { step, source }
}

/// The views of all containers of an agent.
#[derive(Debug)]
pub struct ProcView(Arc<Shared>);

/// What the threads share.
#[derive(Debug)]
struct Shared {
    author: Author,
    /// Those that this node's kernel has.
    files: Vec<ViewFile>,
    /// Whether containers have clocks of their own.
    has_clocks: bool,
    /// Views by their number, which is never another's.
    views: Mutex<BTreeMap<u64, Arc<Container>>>,
    numbers: AtomicU64,
    /// Numbers of views that are about to be opened.
    reserved: Mutex<BTreeMap<ContainerId, u64>>,
    /// Whether the connection is that of the program before this one.
    goes_on: AtomicBool,
    /// Dropped when its containers are known: before that nothing can be answered.
    adopted: Mutex<Option<SyncSender<()>>>,
    /// Who sees a view.
    viewers: Mutex<BTreeMap<ContainerId, Viewer>>,
    door: Mutex<Result<Door, String>>,
    clock: Clock,
    node: facts::Node,
    is_closed: AtomicBool,
}

/// A container that sees a view.
#[derive(Debug)]
struct Viewer {
    init: OwnedFd,
    number: u64,
    files: Vec<ViewFile>,
}

/// Whose time namespace a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// The node's.
    #[default]
    Nodes,
    /// Its own.
    Own,
    /// That of the container which it is nested in.
    Joined,
}

impl Time {
    /// As a plan has it.
    #[must_use]
    pub fn of(plan: &LaunchPlan) -> Self {
        if plan.joined.contains(&Namespace::Time) {
            Self::Joined
        } else if plan.namespaces.contains(&Namespace::Time) {
            Self::Own
        } else {
            Self::Nodes
        }
    }
}

/// A container that an earlier process of this agent launched, and that is to see its files again.
#[derive(Debug)]
pub struct Adopted {
    /// Which; after what it is nested in.
    pub container: ContainerId,
    /// Its own view and its limits, where it does not see that of the one it is nested in.
    pub own: Option<(View, Option<CgroupLimits>)>,
    /// The number of its own view, as [`ProcView::reserve`] gave it; 0 where that is not known.
    pub number: u64,
    /// Its cgroup and those above, the innermost first.
    pub groups: Vec<PathBuf>,
    /// How long it has run.
    pub age: Duration,
    /// Whose clocks it has.
    pub time: Time,
    /// Its init.
    pub init: OwnedFd,
    /// The files that were bound in it.
    pub files: Vec<ViewFile>,
}

/// The files of a container that is being launched, each with its index in the plan.
pub(crate) type Binds = Vec<(usize, OwnedFd)>;

/// Locks; what a thread that panicked left is whole, since every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn view(&self, number: u64) -> Option<Arc<Container>> {
        lock(&self.views).get(&number).cloned()
    }

    /// The view of a container, or of the nearest above it.
    fn nearest(&self, container: &ContainerId) -> Option<u64> {
        let views = lock(&self.views);
        let mut wanted = Some(container.clone());
        while let Some(id) = wanted {
            let found = views.iter().find(|(_, view)| *view.id() == id);
            if let Some((number, _)) = found {
                return Some(*number);
            }
            wanted = id.parent();
        }
        None
    }
}

impl Drop for ProcView {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Release);
        *lock(&self.0.door) = Err("the agent ends".to_string());
        self.0.clock.close();
    }
}

impl ProcView {
    /// Makes the mount and starts the threads.
    ///
    /// # Errors
    /// The kernel has no FUSE, or somebody keeps the agent from it.
    pub fn start(author: Author) -> Result<Self, ProcViewError> {
        let files = ViewFile::ALL.into_iter();
        let shared = Arc::new(Shared {
            author,
            files: files
                .filter(|file| Path::new(file.path()).exists())
                .collect(),
            has_clocks: clock::namespaces().is_ok(),
            views: Mutex::default(),
            numbers: AtomicU64::new(1),
            reserved: Mutex::default(),
            goes_on: AtomicBool::new(false),
            adopted: Mutex::default(),
            viewers: Mutex::default(),
            door: Mutex::new(Err("the mount is not made yet".to_string())),
            clock: Clock::default(),
            node: facts::Node::default(),
            is_closed: AtomicBool::new(false),
        });
        session::start(&shared)?;
        Ok(Self(shared))
    }

    /// Ends what the program before this one kept, where there are to be no views any more.
    pub fn end_before() {
        greeting::forget();
    }

    /// Why launches go without a view for now; `None` where they do not.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        lock(&self.0.door).as_ref().err().cloned()
    }

    /// The number that the own view of a container has, or will have when it is launched: to be kept for the
    /// next process of this agent.
    #[must_use]
    pub fn reserve(&self, container: &ContainerId) -> u64 {
        let mut reserved = lock(&self.0.reserved);
        let next = || self.0.numbers.fetch_add(1, Ordering::Relaxed);
        *reserved.entry(container.clone()).or_insert_with(next)
    }

    /// Makes the view of a container that is being launched, where it has one of its own, and the
    /// mounts of its files. The groups are its own cgroup and those above, the innermost first.
    pub(crate) fn open(
        &self,
        plan: &LaunchPlan,
        groups: Vec<PathBuf>,
    ) -> Result<Binds, ProcViewError> {
        let shared = &self.0;
        if let Some(view) = plan.view {
            let number = self.reserve(&plan.container);
            lock(&shared.reserved).remove(&plan.container);
            let view = Container::new(plan, view, groups, self.clocks(plan));
            lock(&shared.views).insert(number, Arc::new(view));
        }
        let number = shared.nearest(&plan.container);
        let number = number.ok_or(Errno::ENOENT).map_err(step("find the view"))?;
        let wanted = plan.mounts.iter().enumerate();
        let wanted = wanted.filter_map(|(index, mount)| match mount.content {
            Content::View(file) if shared.files.contains(&file) => Some((index, file)),
            _ => None,
        });
        let (indices, files): (Vec<_>, Vec<_>) = wanted.unzip();
        let binds = self.door()?.binds(number, files)?;
        Ok(indices.into_iter().zip(binds).collect())
    }

    /// Which clocks a container has, and since when: where it shares those of another, since the other's
    /// start.
    fn clocks(&self, plan: &LaunchPlan) -> Clocks {
        self.clocks_of(&plan.container, Time::of(plan), Duration::ZERO)
    }

    fn clocks_of(&self, container: &ContainerId, time: Time, age: Duration) -> Clocks {
        let shared = &self.0;
        let is_joined = shared.has_clocks && time == Time::Joined;
        let above = is_joined.then(|| shared.nearest(container));
        let above = above.flatten().and_then(|number| shared.view(number));
        let now = Instant::now();
        above.map_or_else(
            || Clocks {
                since: now.checked_sub(age).unwrap_or(now),
                are_own: shared.has_clocks && time == Time::Own,
            },
            |above| above.clocks,
        )
    }

    /// Takes containers that had a view of an earlier process of this agent, all at once. Where its mount is
    /// dead, they are given files of this one beside the launches.
    pub fn adopt(&self, containers: Vec<Adopted>) {
        let newest = containers.iter().map(|one| one.number).max().unwrap_or(0);
        self.0.numbers.fetch_max(newest + 1, Ordering::Relaxed);
        for one in containers {
            let Adopted {
                container,
                own,
                number,
                groups,
                age,
                time,
                init,
                files,
            } = one;
            if let Some((view, limits)) = own {
                let clocks = self.clocks_of(&container, time, age);
                let number = match number {
                    0 => self.0.numbers.fetch_add(1, Ordering::Relaxed),
                    known => known,
                };
                let view = Container::of(container.clone(), view, limits, groups, clocks);
                lock(&self.0.views).insert(number, Arc::new(view));
            }
            if let Some(number) = self.0.nearest(&container) {
                let viewer = Viewer {
                    init,
                    number,
                    files,
                };
                lock(&self.0.viewers).insert(container, viewer);
            }
        }
        drop(lock(&self.0.adopted).take());
        // Their files are of the mount that there is.
        if self.0.goes_on.load(Ordering::Acquire) {
            return;
        }
        // Where there is no door, the next one begins with this.
        if let Ok(door) = self.door() {
            door.mend();
        }
    }

    fn door(&self) -> Result<Door, ProcViewError> {
        let door = lock(&self.0.door).clone();
        door.map_err(|reason| step(reason)(Errno::ENOTCONN))
    }

    /// Keeps the files of a container alive from now on: they are replaced where the mount dies.
    pub(crate) fn opened(&self, plan: &LaunchPlan, init: impl AsFd, binds: &[usize]) {
        let files = binds.iter().filter_map(|index| {
            let mount = plan.mounts.get(*index)?;
            match mount.content {
                Content::View(file) => Some(file),
                _ => None,
            }
        });
        let files: Vec<_> = files.collect();
        let number = self.0.nearest(&plan.container);
        if let (Some(number), Ok(init)) = (number, init.as_fd().try_clone_to_owned()) {
            let viewer = Viewer {
                init,
                number,
                files,
            };
            lock(&self.0.viewers).insert(plan.container.clone(), viewer);
        }
    }

    /// Forgets a container that has ended, or was not started.
    pub(crate) fn close(&self, container: &ContainerId) {
        lock(&self.0.viewers).remove(container);
        lock(&self.0.reserved).remove(container);
        lock(&self.0.views).retain(|_, view| view.id() != container);
    }
}
