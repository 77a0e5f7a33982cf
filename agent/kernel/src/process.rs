//! Processes: descriptors, signals, and the only reaper in the agent.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use model::sandbox::{ExitStatus, Rlimit};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

/// A process by number, as the agent's pid namespace counts.
pub type Pid = i32;

/// Takes the statuses of all children that have ended. The one reaper of the agent: nothing else
/// may wait, so that no status is lost.
pub fn reap() -> Vec<(Pid, ExitStatus)> {
    let mut ended = Vec::new();
    reap_each(|pid, status| ended.push((pid, status)));
    ended
}

/// The same, one after another, without memory of its own.
pub(crate) fn reap_each(mut ended: impl FnMut(Pid, ExitStatus)) {
    while let Some((pid, status)) = wait_any() {
        if let Some(status) = ExitStatus::from_wait_status(status) {
            ended(pid, status);
        }
    }
}

/// One child that has ended; `None` when no more has.
fn wait_any() -> Option<(Pid, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for one int for the duration of the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match Errno::result(pid) {
            Ok(pid) if pid > 0 => return Some((pid, status)),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

/// A descriptor of a process, which becomes readable when it ends.
///
/// # Errors
/// There is no such process.
pub fn open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open(2) takes two numbers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(Errno::result(fd)?)
}

/// A descriptor of a process of which only the number is known, and when it began: another that has
/// the number by now is never taken for it. One that has ended and waits to be reaped is still it.
///
/// # Errors
/// ESRCH: it is gone.
pub fn find(pid: Pid, born: u64) -> Result<OwnedFd, Errno> {
    let pidfd = open(pid)?;
    // Looked at once the descriptor is held: from then on the number means one process, or none.
    match start_time(pid) {
        Ok(found) if found == born && !is_reaped(&pidfd) => Ok(pidfd),
        Ok(_) | Err(_) => Err(Errno::ESRCH),
    }
}

/// When a process began, in ticks of a hundredth of a second since the machine's start
/// (`starttime` of proc_pid_stat(5)): with its number it names a process for as long as the machine runs.
///
/// # Errors
/// ESRCH: there is no such process.
pub fn start_time(pid: Pid) -> Result<u64, Errno> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.map_err(|_| Errno::ESRCH)?;
    parse_start_time(&stat).ok_or(Errno::EPROTO)
}

/// The name, in parentheses, may hold anything, parentheses and spaces too.
fn parse_start_time(stat: &str) -> Option<u64> {
    const STARTTIME: usize = 22;
    const AFTER_NAME: usize = 3;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    fields.nth(STARTTIME - AFTER_NAME)?.parse().ok()
}

/// Whether a process has ended, reaped or not.
#[must_use]
pub fn has_ended(pidfd: impl AsFd) -> bool {
    let mut waited = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut waited, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Waits until at least one of these processes has ended; gives their places, in order.
pub fn await_any<'a>(pidfds: impl Iterator<Item = &'a OwnedFd>) -> Vec<usize> {
    let pidfds = pidfds.map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN));
    let mut waited: Vec<PollFd<'_>> = pidfds.collect();
    // An interruption is no end, and nothing else can go wrong with descriptors that are open.
    while !matches!(poll(&mut waited, PollTimeout::NONE), Ok(1..)) {}
    let ended = waited.iter().enumerate();
    let ended = ended.filter(|(_, one)| one.any().unwrap_or(false));
    ended.map(|(index, _)| index).collect()
}

/// The number of the process behind a descriptor.
///
/// # Errors
/// ESRCH: the process has ended, and its status was taken.
pub fn number(pidfd: impl AsFd) -> Result<Pid, Errno> {
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd());
    let info = std::fs::read_to_string(info).map_err(|error| crate::files::errno(&error))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = pid.and_then(|pid| pid.trim().parse().ok());
    match pid.ok_or(Errno::EBADF)? {
        pid if pid > 0 => Ok(pid),
        _ => Err(Errno::ESRCH),
    }
}

/// Sends a signal through a descriptor, so that a reused number is never hit.
///
/// # Errors
/// ESRCH: the process has ended.
pub fn signal(pidfd: impl AsFd, signal: Signal) -> Result<(), Errno> {
    let fd = pidfd.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed by pidfd_send_signal(2); the rest are numbers.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, none, 0) };
    Errno::result(rc).map(drop)
}

/// Whether a process has ended and its status was taken, so that its number may be another's by now.
#[must_use]
pub fn is_reaped(pidfd: impl AsFd) -> bool {
    let fd = pidfd.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: as in `signal`; signal 0 only asks whether there is a process, ended or not.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, 0, none, 0) };
    Errno::result(rc) == Err(Errno::ESRCH)
}

/// Lets this process, and what it starts from now on, have so many descriptors open; where it may have
/// more already, that stays.
///
/// # Errors
/// EPERM: the caller may not.
pub fn raise_descriptors(number: u64) -> Result<(), Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(number), hard.max(number))
}

/// Takes the limits from this process that the kernel counts for all user namespaces it makes together
/// (user_namespaces(7) does not say so; `inc_rlimit_ucounts` does): waiting signals and timers, message
/// queues, locked memory. What it starts inherits that.
///
/// # Errors
/// EPERM: the caller may not.
pub fn lift_shared_limits() -> Result<(), Errno> {
    let shared = [
        Resource::RLIMIT_SIGPENDING,
        Resource::RLIMIT_MSGQUEUE,
        Resource::RLIMIT_MEMLOCK,
    ];
    shared
        .into_iter()
        .try_for_each(|one| setrlimit(one, libc::RLIM_INFINITY, libc::RLIM_INFINITY))
}

/// Lets a process set itself a limit: raises what stands in its way, which takes rights that it lacks.
/// The limit itself is the task's alone; its init has to write files and start processes.
///
/// # Errors
/// EPERM: the agent may not either.
pub(crate) fn raise_limit(pid: Pid, wanted: &Rlimit) -> Result<(), Errno> {
    let mut now = limit_of(pid, wanted.resource, None)?;
    if now.rlim_max >= wanted.hard {
        return Ok(());
    }
    now.rlim_max = wanted.hard;
    limit_of(pid, wanted.resource, Some(now)).map(drop)
}

/// Sets this process a limit.
pub(crate) fn set_limit(limit: &Rlimit) -> Result<(), Errno> {
    let values = libc::rlimit64 {
        rlim_cur: limit.soft,
        rlim_max: limit.hard,
    };
    limit_of(0, limit.resource, Some(values)).map(drop)
}

/// The limit of a process as it was, 0 being the caller.
fn limit_of(pid: Pid, resource: u32, new: Option<libc::rlimit64>) -> Result<libc::rlimit64, Errno> {
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let place = &raw mut old;
    // SAFETY: `new` is null or points to values that outlive the call, and `old` is a place for two.
    let rc = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, place) };
    Errno::result(rc).map(|_| old)
}

/// Gives every signal its default action again: execve(2) resets handlers, but what was ignored
/// before stays ignored.
///
/// # Errors
/// None of a kernel that has these signals.
pub(crate) fn reset_signals() -> Result<(), Errno> {
    /// The kernel's own `sigaction`; all zero it means the default action.
    #[repr(C)]
    #[derive(Default)]
    struct KernelAction {
        handler: usize,
        flags: libc::c_ulong,
        restorer: usize,
        mask: u64,
    }
    let default = KernelAction::default();
    let none = std::ptr::null_mut::<KernelAction>();
    // The library's function refuses the two numbers that it keeps for itself.
    for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        let new = &raw const default;
        // SAFETY: `default` is the kernel's layout and outlives the call; no old action is asked for.
        let rc = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, none, 8) };
        Errno::result(rc)?;
    }
    Ok(())
}

/// Takes over a descriptor that a system call has just returned.
pub(crate) fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the callers pass what a successful system call returned: an open descriptor that
    // nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lowers the claim of this thread, and of those that it starts, to a processor.
///
/// # Errors
/// As in setpriority(2).
pub(crate) fn be_nice(nice: i32) -> Result<(), Errno> {
    // SAFETY: setpriority(2) takes three numbers; a thread's own is 0.
    let rc = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) };
    Errno::result(rc).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_of_an_ended_process_takes_no_signal() {
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let pid = Pid::try_from(child.id()).expect("a pid");
        let pidfd = open(pid).expect("pidfd_open");
        child.wait().expect("wait");
        assert_eq!(signal(&pidfd, Signal::SIGTERM), Err(Errno::ESRCH));
        assert!(open(pid).is_err());
    }

    #[test]
    fn a_process_is_reaped_once_its_status_is_taken_and_not_when_it_ends() {
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let pidfd = open(Pid::try_from(child.id()).expect("a pid")).expect("pidfd_open");
        let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::NONE).expect("poll");
        assert!(!is_reaped(&pidfd));
        assert_eq!(
            number(&pidfd),
            Ok(Pid::try_from(child.id()).expect("a pid"))
        );
        child.wait().expect("wait");
        assert_eq!(number(&pidfd), Err(Errno::ESRCH));
        assert!(is_reaped(&pidfd));
    }

    #[test]
    fn a_number_that_is_anothers_by_now_is_not_believed() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("spawn");
        let pid = Pid::try_from(child.id()).expect("a pid");
        let born = start_time(pid).expect("a start time");
        let found = find(pid, born).expect("the process");
        assert_eq!(find(pid, born + 1).map(drop), Err(Errno::ESRCH));
        assert!(!has_ended(&found));
        drop(child.stdin.take());
        let own = open(std::process::id().cast_signed()).expect("this process");
        assert_eq!(await_any([&own, &found].into_iter()), [1]);
        assert!(has_ended(&found));
        assert!(find(pid, born).is_ok(), "it waits to be reaped");
        child.wait().expect("wait");
        assert_eq!(find(pid, born).map(drop), Err(Errno::ESRCH));
    }

    #[test]
    fn the_start_time_is_found_whatever_a_process_calls_itself() {
        let fields = "S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1";
        for name in ["cat", "a b", "x) R 1 2 (y", ""] {
            let stat = format!("7 ({name}) {fields}\n");
            assert_eq!(parse_start_time(&stat), Some(12345), "{name:?}");
        }
        for broken in [
            "",
            "7 (cat",
            "7 (cat) S 1 2",
            "7 (cat) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 x",
        ] {
            assert_eq!(parse_start_time(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn the_number_of_descriptors_is_never_lowered() {
        let before = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        raise_descriptors(1).expect("no change");
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok(before));
    }
}
