//! Stages: a thread with a mount namespace of its own, for mounts that can only be made of attached
//! ones.
//!
//! A mount that is in no tree cannot be copied from up to Linux 6.14. What is attached on a stage is
//! seen by nobody else, and is gone with the thread, whatever happens.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::fchdir;

use crate::mounts::{self, Detached};

/// Runs something in a thread that sees all mounts of the node, and whose own nobody sees.
///
/// # Errors
/// As in unshare(2), and those of what is run.
pub(crate) fn on<T: Send, E: Send + From<Errno>>(
    run: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    std::thread::scope(|scope| {
        let actor = std::thread::Builder::new().name("stage".into());
        let actor = actor.spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let (none, all) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
            mount(none, "/", none, all, none)?;
            run()
        });
        let actor = actor.map_err(|error| crate::files::errno(&error))?;
        actor.join().unwrap_or(Err(Errno::EIO.into()))
    })
}

/// Makes a mount the directory that the stage's relative paths begin at, in place of any directory.
///
/// # Errors
/// ENOENT: the directory is not there.
pub(crate) fn enter(mount: &Detached, place: &Path) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    mounts::attach(mount, open(place, flags, Mode::empty())?)?;
    fchdir(mount)
}
