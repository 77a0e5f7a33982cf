//! Joiner: how a launcher gets into the namespaces of another container.
//!
//! ```text
//! agent -> joiner: setns(2) into the parent's -> launcher, a child of the agent by CLONE_PARENT
//! ```
//!
//! A process with threads cannot join a user namespace, and whoever joins a pid namespace is not in
//! it, only its children are. Hence one process between, which ends before the launcher goes on.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use model::sandbox::Namespace;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::pipe2;

use super::{
    CLONE_CLEAR_SIGHAND, CloneArgs, Failed, Launcher, Spaces, clone_apart, clone_flags, give_up,
    in_thread, run, wait_for_the_end,
};
use crate::files::above_stdio;
use crate::process::{self, Pid, owned};

/// What the joiner needs, laid out before it is cloned.
struct Joiner<'a> {
    parent: RawFd,
    /// Joined with the agent's rights, over the node's own network, too.
    others: libc::c_int,
    /// The time namespace, by itself: a pidfd names that of the parent's init, which is the node's.
    clocks: Option<RawFd>,
    /// Joined last: afterwards there are no rights but those in it.
    user: bool,
    /// Of the launcher's clone.
    flags: u64,
    /// Takes the number of the launcher's descriptor here.
    found: RawFd,
    launcher: &'a Launcher<'a>,
}

/// Starts the launcher in namespaces of another process and new ones beside them.
pub(super) fn clone(
    spaces: &Spaces<'_>,
    parent: BorrowedFd<'_>,
    launcher: &Launcher<'_>,
) -> Result<(Pid, OwnedFd), Errno> {
    if !spaces.own.contains(&Namespace::Pid) {
        return clone_here(spaces, parent, launcher);
    }
    // A new pid namespace lies in the parent's, and ends with it. Only who is in one makes others in
    // it, and only children of who has joined are: the joiner is one of a thread that has.
    in_thread("joiner", || {
        // A thread starts in the network of the one that started it.
        setns(parent, CloneFlags::CLONE_NEWPID)?;
        clone_here(spaces, parent, launcher)
    })
}

fn clone_here(
    spaces: &Spaces<'_>,
    parent: BorrowedFd<'_>,
    launcher: &Launcher<'_>,
) -> Result<(Pid, OwnedFd), Errno> {
    // The mounts are left to the launcher, whose program might not be found among them.
    let others = spaces.joined.iter().copied();
    let apart = [Namespace::User, Namespace::Mount, Namespace::Time];
    let others = others.filter(|kind| !apart.contains(kind));
    let (found, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let joiner = Joiner {
        parent: parent.as_raw_fd(),
        others: setns_flags(others),
        clocks: spaces.clocks.map(|clocks| clocks.as_raw_fd()),
        user: spaces.joined.contains(&Namespace::User),
        flags: clone_flags(spaces.own)
            | CLONE_CLEAR_SIGHAND
            | libc::CLONE_PIDFD as u64
            | libc::CLONE_PARENT as u64,
        found: writer.as_raw_fd(),
        launcher,
    };
    let (_, pidfd) = clone_apart(libc::CLONE_PIDFD as u64, spaces.cgroup, || join(&joiner))?;
    drop(writer);
    let result = take_launcher(&pidfd, found);
    // It has nothing more to do. The agent's reaper may be faster; that is the aim, too.
    let _ = process::signal(&pidfd, Signal::SIGKILL);
    let _ = waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED);
    result
}

/// The launcher, which waits at its gate, by a copy of the joiner's descriptor of it.
fn take_launcher(joiner: &OwnedFd, found: OwnedFd) -> Result<(Pid, OwnedFd), Errno> {
    let mut number = [0_u8; 4];
    let read = File::from(found).read_exact(&mut number);
    // Nothing came: the report says why.
    read.map_err(|_| Errno::ECHILD)?;
    let (joiner, fd) = (joiner.as_raw_fd(), libc::c_int::from_le_bytes(number));
    // SAFETY: pidfd_getfd(2) takes three numbers and touches no memory.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, joiner, fd, 0) };
    let pidfd = owned(Errno::result(pidfd)?).and_then(above_stdio)?;
    Ok((process::number(&pidfd)?, pidfd))
}

fn setns_flags(namespaces: impl Iterator<Item = Namespace>) -> libc::c_int {
    let flags = namespaces.map(|kind| match kind {
        Namespace::User => libc::CLONE_NEWUSER,
        Namespace::Pid => libc::CLONE_NEWPID,
        Namespace::Mount => libc::CLONE_NEWNS,
        Namespace::Ipc => libc::CLONE_NEWIPC,
        Namespace::Uts => libc::CLONE_NEWUTS,
        Namespace::Cgroup => libc::CLONE_NEWCGROUP,
        Namespace::Network => libc::CLONE_NEWNET,
        Namespace::Time => libc::CLONE_NEWTIME,
    });
    flags.fold(0, |all, flag| all | flag)
}

/// The joiner. As the child of [`super::clone_launcher`] it makes system calls and nothing else.
fn join(joiner: &Joiner<'_>) -> ! {
    match enter(joiner) {
        Ok(()) => wait_for_the_end(),
        Err(failed) => give_up(joiner.launcher.report, failed),
    }
}

fn enter(joiner: &Joiner<'_>) -> Result<(), Failed> {
    // Whoever may look into processes of the container could take the agent's descriptors from one
    // that has just come in.
    // SAFETY: PR_SET_DUMPABLE takes a number.
    let rc = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    Errno::result(rc).map_err(|errno| ("hide from the container", errno))?;
    let joined_of = |namespaces, flags| {
        // SAFETY: setns(2) takes two numbers.
        let rc = unsafe { libc::setns(namespaces, flags) };
        Errno::result(rc).map(drop)
    };
    let joined = |flags| joined_of(joiner.parent, flags);
    let failed = |errno| ("join the parent's namespaces", errno);
    if joiner.others != 0 {
        joined(joiner.others).map_err(failed)?;
    }
    if let Some(clocks) = joiner.clocks {
        joined_of(clocks, libc::CLONE_NEWTIME).map_err(failed)?;
    }
    if joiner.user {
        joined(libc::CLONE_NEWUSER).map_err(failed)?;
    }
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: joiner.flags,
        pidfd: (&raw mut pidfd) as u64,
        ..CloneArgs::default()
    };
    // SAFETY: as in `clone_apart`. The exit signal is the joiner's own with CLONE_PARENT.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    if pid == 0 {
        run(joiner.launcher);
    }
    Errno::result(pid).map_err(|errno| ("clone3 within the parent", errno))?;
    let number = pidfd.to_le_bytes();
    // SAFETY: four bytes are read during the call; write(2) is async-signal-safe.
    let rc = unsafe { libc::write(joiner.found, number.as_ptr().cast(), number.len()) };
    let told = Errno::result(rc).map(drop);
    told.map_err(|errno| ("tell of the launcher", errno))
}
