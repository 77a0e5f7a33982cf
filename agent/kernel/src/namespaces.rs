//! Namespaces: clone3(2) into them, and the id maps of the new user namespace.
//!
//! The child of [`clone_launcher`] stands beside the threads of its maker, in a copy of its memory or in
//! that memory itself (`lent`): until execve(2) it calls the kernel directly and touches no allocator,
//! lock or thread-local of the library.

mod joiner;
mod lent;

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use model::sandbox::{IdRange, Namespace};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask};
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::process::{Pid, owned};

/// The argument of clone3(2), as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// All that the child needs, laid out before the clone.
pub(crate) struct Launcher<'a> {
    /// The program to execute.
    pub(crate) program: RawFd,
    /// Its arguments, and a null pointer.
    pub(crate) arguments: &'a [*const libc::c_char],
    /// Its environment, and a null pointer.
    pub(crate) environment: &'a [*const libc::c_char],
    /// Standard input, output and error.
    pub(crate) stdio: [RawFd; 3],
    /// What stays open across execve(2).
    pub(crate) kept: &'a [RawFd],
    /// Becomes readable when the id maps are written.
    pub(crate) gate: RawFd,
    /// The other end of the gate, which is the parent's.
    pub(crate) gate_writer: RawFd,
    /// Takes the report of a step that went wrong.
    pub(crate) report: RawFd,
}

// SAFETY: the pointers are read only, by the kernel in a copy of this memory, and the strings behind
// them outlive the borrow.
unsafe impl Sync for Launcher<'_> {}

/// A step of the child, for its report.
pub(crate) const STEP_BYTES_MAX: usize = 32;

/// Which namespaces a launcher gets.
pub(crate) struct Spaces<'a> {
    /// New ones.
    pub(crate) own: &'a [Namespace],
    /// Those of another process.
    pub(crate) joined: &'a [Namespace],
    /// That process.
    pub(crate) parent: Option<BorrowedFd<'a>>,
    /// A network that is there already.
    pub(crate) network: Option<BorrowedFd<'a>>,
    /// Clocks that are joined: the parent's own are those of its children.
    pub(crate) clocks: Option<BorrowedFd<'a>>,
    /// Its cgroup.
    pub(crate) cgroup: Option<RawFd>,
}

impl<'a> Spaces<'a> {
    /// New ones, and the rest of the caller.
    pub(crate) const fn own(own: &'a [Namespace]) -> Self {
        Self {
            own,
            joined: &[],
            parent: None,
            network: None,
            clocks: None,
            cgroup: None,
        }
    }
}

/// Starts the launcher in its namespaces and, where one is given, in a cgroup; then goes on, while the
/// launcher waits at its gate. Whoever goes on closes the gate at its end, or opens it before that.
///
/// The start fails as clone3(2) does. What goes wrong in the child is written to the report.
pub(crate) fn clone_launcher<T>(
    spaces: &Spaces<'_>,
    launcher: &Launcher<'_>,
    go_on: impl FnOnce(Result<(Pid, OwnedFd), Errno>) -> T,
) -> T {
    let Some(parent) = spaces.parent.filter(|_| !spaces.joined.is_empty()) else {
        return lent::clone(spaces, launcher, go_on);
    };
    let join = || joiner::clone(spaces, parent, launcher);
    go_on(match spaces.network {
        Some(network) => in_network(network, join),
        None => join(),
    })
}

/// A child that is a copy of this thread, with all signals blocked, and its descriptor. The mask goes
/// on to the child, where no handler may run and where signals wait until the container's init takes
/// them.
fn clone_apart(
    flags: u64,
    cgroup: Option<RawFd>,
    child: impl FnOnce(),
) -> Result<(Pid, OwnedFd), Errno> {
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: flags | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(fd).map_err(|_| Errno::EBADF)?;
    }
    let mut before = SigSet::empty();
    pthread_sigmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    // SAFETY: `args` is a valid struct of the size given, `pidfd` a place for one int. Without
    // CLONE_VM the child has a copy of this memory and goes on here on its own stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    if pid == 0 {
        child();
        // SAFETY: _exit(2) ends the copy of the agent, should its work ever return.
        unsafe { libc::_exit(127) }
    }
    let result = Errno::result(pid);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let pid = Pid::try_from(result?).map_err(|_| Errno::EOVERFLOW)?;
    Ok((pid, owned(pidfd.into())?))
}

/// Runs something in a thread of its own that sees the mounts of another process.
///
/// # Errors
/// As in setns(2), and those of what is run.
pub(crate) fn in_mounts_of<T: Send>(
    process: impl AsFd,
    run: impl FnOnce() -> Result<T, Errno> + Send,
) -> Result<T, Errno> {
    let process = process.as_fd();
    in_thread("visitor", || {
        // Threads have one root and directory together, which would move with the namespace.
        unshare(CloneFlags::CLONE_FS)?;
        setns(process, CloneFlags::CLONE_NEWNS)?;
        run()
    })
}

/// Runs something in a thread of its own in a network: a namespace, or that of the process which a
/// pidfd names.
///
/// # Errors
/// As in setns(2), and those of what is run.
pub(crate) fn in_network<T: Send>(
    network: impl AsFd,
    run: impl FnOnce() -> Result<T, Errno> + Send,
) -> Result<T, Errno> {
    let network = network.as_fd();
    in_thread("network", || {
        setns(network, CloneFlags::CLONE_NEWNET)?;
        run()
    })
}

/// Runs something in a thread of its own, in a new network that the node owns.
///
/// # Errors
/// As in unshare(2), and those of what is run.
pub(crate) fn in_new_network<T: Send>(
    run: impl FnOnce() -> Result<T, Errno> + Send,
) -> Result<T, Errno> {
    in_thread("network", || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        run()
    })
}

/// A namespace that a thread enters is that of whatever the thread does next: it ends with this.
fn in_thread<T: Send>(
    name: &str,
    run: impl FnOnce() -> Result<T, Errno> + Send,
) -> Result<T, Errno> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.into());
        let thread = thread.spawn_scoped(scope, run);
        let thread = thread.map_err(|error| crate::files::errno(&error))?;
        thread.join().unwrap_or(Err(Errno::EIO))
    })
}

/// The mount namespace of a process.
///
/// # Errors
/// ESRCH: the process has ended.
pub(crate) fn mounts_of(process: impl AsFd) -> Result<OwnedFd, Errno> {
    namespace_of(process, "mnt")
}

/// The time namespace of what a process starts: an init is not in that of its container itself.
///
/// # Errors
/// ESRCH: the process has ended. ENOENT: the kernel has none.
pub(crate) fn clocks_of(process: impl AsFd) -> Result<OwnedFd, Errno> {
    namespace_of(process, "time_for_children")
}

fn namespace_of(process: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let pid = crate::process::number(&process)?;
    let file = fs::File::open(format!("/proc/{pid}/ns/{name}"));
    let file = file.map_err(|error| crate::files::errno(&error))?;
    // Its number is another's only once its status was taken.
    match crate::process::is_reaped(process) {
        true => Err(Errno::ESRCH),
        false => Ok(file.into()),
    }
}

/// A user namespace that no process is in, for what it says of ids: `mount_setattr(2)` wants it.
#[derive(Debug)]
pub(crate) struct IdMap(OwnedFd);

impl AsFd for IdMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl IdMap {
    /// Maps ids on a disk, from 0 up, to those of a container on the node.
    ///
    /// # Errors
    /// EPERM: the agent has no right to these ids.
    pub(crate) fn of(ids: IdRange) -> Result<Self, Errno> {
        Self::between(IdRange { first: 0, ..ids }, ids)
    }

    /// Maps ids on a disk to those of a container on the node; what is on the disk as `disk.first` is
    /// 0 inside.
    ///
    /// # Errors
    /// EPERM: the agent has no right to these ids.
    pub(crate) fn between(disk: IdRange, ids: IdRange) -> Result<Self, Errno> {
        // No signal tells of its end: `process::reap` does not see it.
        let mut args = CloneArgs {
            flags: libc::CLONE_NEWUSER as u64 | CLONE_CLEAR_SIGHAND,
            ..CloneArgs::default()
        };
        // SAFETY: `args` is a valid struct of the size given. Without CLONE_VM the child has a copy
        // of this memory and goes on here on its own stack.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
        if pid == 0 {
            wait_for_the_end();
        }
        let pid = Pid::try_from(Errno::result(pid)?).map_err(|_| Errno::EOVERFLOW)?;
        let map = write_maps(pid, disk.first, ids).and_then(|()| {
            let file = fs::File::open(format!("/proc/{pid}/ns/user"));
            file.map_err(|error| crate::files::errno(&error))
        });
        let child = nix::unistd::Pid::from_raw(pid);
        kill(child, Signal::SIGKILL)?;
        while waitpid(child, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
        map.map(|file| Self(file.into()))
    }
}

/// The child of [`IdMap::between`] is there to be looked at.
fn wait_for_the_end() -> ! {
    // SAFETY: numbers; no process of a user outlives the agent's thread that waits for it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        // SAFETY: no descriptor is looked at, so that no memory is; poll(2) is async-signal-safe.
        unsafe { libc::poll(std::ptr::null_mut(), 0, -1) };
    }
}

/// Maps the ids of a new user namespace, before its first process goes on.
///
/// # Errors
/// EPERM: the agent has no right to these ids.
pub(crate) fn write_id_maps(pid: Pid, ids: IdRange) -> Result<(), Errno> {
    write_maps(pid, 0, ids)
}

fn write_maps(pid: Pid, inside: u32, ids: IdRange) -> Result<(), Errno> {
    let map = format!("{inside} {} {}\n", ids.first, ids.length);
    for file in ["uid_map", "gid_map"] {
        write_of(pid, file, &map)?;
    }
    Ok(())
}

/// Gives a process its rank among the candidates of the out-of-memory killer, 0 for an ordinary one; it
/// inherits the agent's own otherwise.
///
/// # Errors
/// The process has ended.
pub(crate) fn set_oom_score(pid: Pid, adjustment: i16) -> Result<(), Errno> {
    write_of(pid, "oom_score_adj", &adjustment.to_string())
}

fn write_of(pid: Pid, file: &str, value: &str) -> Result<(), Errno> {
    fs::write(format!("/proc/{pid}/{file}"), value).map_err(|error| crate::files::errno(&error))
}

fn clone_flags(namespaces: &[Namespace]) -> u64 {
    namespaces
        .iter()
        .fold(0, |flags, kind| flags | clone_flag(*kind))
}

/// The flag of clone(2). The cgroup namespace has none here: cloned, its root would be the agent's
/// own group, since the child enters its group only afterwards; the launcher unshares it. Nor has the
/// time namespace, whose clocks could not be set any more.
const fn clone_flag(namespace: Namespace) -> u64 {
    let flag = match namespace {
        Namespace::User => libc::CLONE_NEWUSER,
        Namespace::Pid => libc::CLONE_NEWPID,
        Namespace::Mount => libc::CLONE_NEWNS,
        Namespace::Ipc => libc::CLONE_NEWIPC,
        Namespace::Uts => libc::CLONE_NEWUTS,
        Namespace::Cgroup | Namespace::Time => 0,
        Namespace::Network => libc::CLONE_NEWNET,
    };
    flag as u64
}

/// The child, up to execve(2).
fn run(launcher: &Launcher<'_>) -> ! {
    match steps(launcher) {
        Ok(()) => give_up(launcher.report, execute(launcher)),
        Err(failed) => give_up(launcher.report, failed),
    }
}

/// Reports a step that went wrong, and ends. Async-signal-safe.
fn give_up(report: RawFd, (step, errno): Failed) -> ! {
    // The layout is that of `launch::spawn`: errno, kind 0, the step's name.
    let mut record = [0_u8; 5 + STEP_BYTES_MAX];
    let length = step.len().min(STEP_BYTES_MAX);
    record[..4].copy_from_slice(&(errno as i32).to_le_bytes());
    record[5..5 + length].copy_from_slice(&step.as_bytes()[..length]);
    let bytes = record.as_ptr();
    // SAFETY: `record` is at least `5 + length` bytes long; write(2) is async-signal-safe.
    unsafe { libc::write(report, bytes.cast(), 5 + length) };
    // SAFETY: _exit(2) is async-signal-safe and runs no handler of the parent's.
    unsafe { libc::_exit(127) }
}

type Failed = (&'static str, Errno);

fn steps(launcher: &Launcher<'_>) -> Result<(), Failed> {
    let wait = |errno| ("wait for the id maps", errno);
    // SAFETY: the descriptor is this process's own copy; the parent keeps its one.
    let rc = unsafe { libc::close(launcher.gate_writer) };
    Errno::result(rc).map_err(wait)?;
    let mut byte = 0_u8;
    // SAFETY: `byte` is a place for one byte.
    let read = unsafe { libc::read(launcher.gate, (&raw mut byte).cast(), 1) };
    if Errno::result(read).map_err(wait)? == 0 {
        return Err(wait(Errno::EPIPE));
    }
    become_mapped_root().map_err(|errno| ("become mapped root", errno))?;
    lay_out(launcher).map_err(|errno| ("lay out descriptors", errno))
}

/// From an unmapped id to 0 of the new namespace. The library's functions would tell all threads of
/// the parent's copy to follow; the system calls concern this process alone.
fn become_mapped_root() -> Result<(), Errno> {
    let no_groups = std::ptr::null::<libc::gid_t>();
    // SAFETY: a list of no groups is not read.
    let rc = unsafe { libc::syscall(libc::SYS_setgroups, 0, no_groups) };
    Errno::result(rc)?;
    // SAFETY: three numbers.
    let rc = unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) };
    Errno::result(rc)?;
    // SAFETY: three numbers.
    let rc = unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) };
    Errno::result(rc).map(drop)
}

/// Standard input, output and error in place; of the rest only what the launcher needs goes on.
fn lay_out(launcher: &Launcher<'_>) -> Result<(), Errno> {
    for (target, &source) in (0..).zip(&launcher.stdio) {
        // SAFETY: two numbers; `spawn` keeps every source above 2, so that none is overwritten.
        Errno::result(unsafe { libc::dup2(source, target) })?;
    }
    crate::files::close_on_exec_from(3)?;
    for &fd in launcher.kept {
        // SAFETY: F_SETFD takes a number.
        Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    }
    Ok(())
}

/// Returns only with the reason why it did not.
fn execute(launcher: &Launcher<'_>) -> Failed {
    const NAME: &CStr = c"";
    let (arguments, environment) = (launcher.arguments.as_ptr(), launcher.environment.as_ptr());
    // SAFETY: both lists end with a null pointer and hold pointers to NUL-terminated strings that
    // the parent keeps alive during the clone; execveat(2) copies them.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            launcher.program,
            NAME.as_ptr(),
            arguments,
            environment,
            libc::AT_EMPTY_PATH,
        )
    };
    ("execute the launcher", Errno::last())
}
