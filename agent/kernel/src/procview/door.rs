//! The door: the one thread that sees the mount, and makes binds of its files.
//!
//! The mount is the whole tree of its namespace. The thread may wait for the threads of the connection, so
//! nobody waits for it without an end.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

use model::sandbox::{Access, ViewFile};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

use super::{ANSWER_MAX, ProcViewError, Shared, files, lock, step};
use crate::files::above_stdio;
use crate::kept::{self, Kept};
use crate::mounts::{self, Attributes, Detached};
use crate::namespaces;

/// Launches that wait at the door; more go without.
const WAITING_MAX: usize = 64;

/// What a file is mounted with.
const ATTRIBUTES: Attributes = Attributes::DATA.with(Access::ReadOnly);

/// A way to the thread.
#[derive(Debug, Clone)]
pub(super) struct Door(SyncSender<Ask>);

#[derive(Debug)]
enum Ask {
    /// A bind of each file of a view.
    Binds {
        number: u64,
        files: Vec<ViewFile>,
        answer: SyncSender<Result<Vec<OwnedFd>, Errno>>,
    },
    /// Files of this mount in every container that runs.
    Mend,
}

impl Door {
    /// Starts the thread with a mount that is in no tree yet. It answers as soon as the connection
    /// does; first it mends the containers that were bound to an earlier mount.
    pub(super) fn open(mount: Detached, shared: &Arc<Shared>) -> Result<Self, Errno> {
        Self::start(shared, move |shared| {
            enter(mount)?;
            if let Some(shared) = shared.upgrade() {
                mend(&shared);
            }
            Ok(())
        })
    }

    /// Starts the thread in the namespace of a mount that goes on. There is nothing to be mended.
    pub(super) fn again(mounts: OwnedFd, shared: &Arc<Shared>) -> Result<Self, Errno> {
        Self::start(shared, move |_| {
            // Threads have one root and directory together, which would move with the namespace.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&mounts, CloneFlags::CLONE_NEWNS)
        })
    }

    /// Starts the thread, which serves once it has begun.
    fn start(
        shared: &Arc<Shared>,
        begin: impl FnOnce(&Weak<Shared>) -> Result<(), Errno> + Send + 'static,
    ) -> Result<Self, Errno> {
        let (asks, asked) = sync_channel(WAITING_MAX);
        let shared = Arc::downgrade(shared);
        let thread = std::thread::Builder::new().name("procview-door".into());
        let run = move || {
            if begin(&shared).is_ok() {
                serve(&asked, &shared);
            }
        };
        let spawned = thread.spawn(run);
        spawned.map_err(|error| crate::files::errno(&error))?;
        Ok(Self(asks))
    }

    /// Puts files of this mount into every container that runs, soon.
    pub(super) fn mend(&self) {
        // Asked at the start of an agent, when nobody else waits; else they stay as they are.
        let _ = self.0.try_send(Ask::Mend);
    }

    /// A bind of each file of a view, detached.
    pub(super) fn binds(
        &self,
        number: u64,
        files: Vec<ViewFile>,
    ) -> Result<Vec<OwnedFd>, ProcViewError> {
        let (answer, answered) = sync_channel(1);
        let ask = Ask::Binds {
            number,
            files,
            answer,
        };
        self.0.try_send(ask).map_err(|error| match error {
            TrySendError::Full(_) => ProcViewError::Silent,
            TrySendError::Disconnected(_) => step("the mount is gone")(Errno::ENOTCONN),
        })?;
        let made = answered.recv_timeout(ANSWER_MAX);
        let made = made.map_err(|_| ProcViewError::Silent)?;
        made.map_err(step("bind its files"))
    }
}

/// Makes the mount all that this thread sees.
fn enter(view: Detached) -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let (none, all) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(none, "/", none, all, none)?;
    // Where it cannot be kept, the mount ends with this program.
    let own = open(
        "/proc/thread-self/ns/mnt",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    let _ = own.and_then(|own| kept::keep(Kept::ViewMounts, own));
    let top = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    mounts::attach(&view, top)?;
    mounts::change_root(&view)
}

fn serve(asked: &Receiver<Ask>, shared: &Weak<Shared>) {
    for ask in asked {
        match ask {
            Ask::Binds {
                number,
                files,
                answer,
            } => {
                // Who asked may have gone on without.
                let _ = answer.try_send(make(number, &files));
            }
            Ask::Mend => {
                if let Some(shared) = shared.upgrade() {
                    mend(&shared);
                }
            }
        }
    }
}

fn make(number: u64, wanted: &[ViewFile]) -> Result<Vec<OwnedFd>, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(number.to_string().as_str(), flags, Mode::empty())?;
    let bind = |file: &ViewFile| {
        let name = CString::new(files::name(*file)).map_err(|_| Errno::EINVAL)?;
        let mount = Detached::bind_in(&directory, &name, ATTRIBUTES)?;
        above_stdio(mount.into_fd())
    };
    wanted.iter().map(bind).collect()
}

/// Puts the files of this mount in the place of those of a dead one, in every container that runs.
fn mend(shared: &Shared) {
    let viewers: Vec<_> = {
        let viewers = lock(&shared.viewers);
        let viewers = viewers.values().filter_map(|viewer| {
            let init = viewer.init.try_clone().ok()?;
            Some((init, viewer.number, viewer.files.clone()))
        });
        viewers.collect()
    };
    for (init, number, wanted) in viewers {
        // A container that ends meanwhile, or has moved its mounts about, needs none.
        let _ = make(number, &wanted).and_then(|binds| {
            namespaces::in_mounts_of(&init, || {
                for (file, bind) in wanted.iter().zip(binds) {
                    replace(Path::new(file.path()), bind)?;
                }
                Ok(())
            })
        });
    }
}

fn replace(target: &Path, bind: OwnedFd) -> Result<(), Errno> {
    // The kernel's own file is beneath, and stays where there was no bind on it.
    let _ = umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    mounts::attach(bind, open(target, flags, Mode::empty())?)
}
