//! Seccomp: filters of system calls, compiled and installed.
//!
//! What is allowed is decided elsewhere (`agent-core::sandbox::seccomp`). Here a filter becomes a
//! program for the kernel, once for all containers that have the same, and the launcher installs it as
//! its last step.

mod calls;
mod program;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use model::sandbox::{SeccompAction, SeccompFilter, SeccompRule};
use nix::errno::Errno;
use nix::libc;

pub use program::{Program, TooLong, compile};

/// Programs that are kept compiled. Filters differ by profile and capabilities, so that a node has few.
const KEPT_MAX: usize = 16;

/// The names of all system calls that this architecture has.
pub fn names() -> impl Iterator<Item = &'static str> {
    calls::all().map(|(name, _)| name)
}

/// The same with their numbers.
#[cfg(test)]
pub(crate) fn names_and_numbers() -> impl Iterator<Item = (&'static str, u32)> {
    calls::all()
}

/// The name of a call by its number; `None` where it is newer than this program.
pub(crate) fn name(number: u32) -> Option<&'static str> {
    calls::all().find_map(|(name, other)| (other == number).then_some(name))
}

/// Whether the kernel tells its audit subsystem of the calls that a filter stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refusals {
    /// Of each of them, and of those that the filter itself has told.
    Told,
    /// Of the latter alone, and of those that end a process.
    #[default]
    Untold,
}

/// Whether the kernel has filters of system calls.
#[must_use]
pub fn is_supported() -> bool {
    let nowhere = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: a null pointer instead of a program, which the kernel looks at in vain.
    let rc = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, nowhere) };
    // Without filters the kernel says EINVAL before it looks (prctl(2)).
    Errno::result(rc) == Err(Errno::EFAULT)
}

/// Installs a program for the calling thread and all that it will start. It needs `no_new_privs`.
///
/// # Errors
/// EINVAL: the kernel has no filters.
pub(crate) fn install(program: &Program, refusals: Refusals) -> Result<(), Errno> {
    let length = u16::try_from(program.0.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog {
        len: length,
        // The kernel only reads.
        filter: program.0.as_ptr().cast_mut(),
    };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    let flags = match refusals {
        Refusals::Told => libc::SECCOMP_FILTER_FLAG_LOG,
        Refusals::Untold => 0,
    };
    // SAFETY: `program` points to as many instructions as it says, which outlive the call.
    let rc = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    Errno::result(rc).map(drop)
}

/// Programs of filters that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Programs(Mutex<Vec<(SeccompFilter, Arc<Program>)>>);

impl Programs {
    /// The program of a filter, compiled where it is not at hand.
    ///
    /// # Errors
    /// It is too long.
    pub(crate) fn of(&self, filter: &SeccompFilter) -> Result<Arc<Program>, TooLong> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = kept.iter().position(|(other, _)| other == filter) {
            // What is used stays in front.
            kept[..=index].rotate_right(1);
            return Ok(Arc::clone(&kept[0].1));
        }
        let program = Arc::new(compile(filter)?);
        kept.truncate(KEPT_MAX - 1);
        kept.insert(0, (filter.clone(), Arc::clone(&program)));
        Ok(program)
    }
}

/// What a container's init does once its task runs: it waits, reaps, signals, and writes one status.
const INIT: &[&str] = &[
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "gettid",
    "kill",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "restart_syscall",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sched_yield",
    "wait4",
    "waitid",
    "write",
];

/// The filter of every container's init. A call beyond it fails, and the init goes on: with it the
/// container would end.
pub(crate) fn of_init() -> SeccompFilter {
    SeccompFilter {
        profile: "init".into(),
        default: SeccompAction::Errno(libc::EPERM as u16),
        rules: vec![Arc::new(SeccompRule {
            calls: INIT.iter().map(|name| Cow::Borrowed(*name)).collect(),
            conditions: Vec::new(),
            action: SeccompAction::Allow,
            why: "an init waits, reaps, signals and leaves a status".into(),
        })],
        within: None,
    }
}

#[cfg(test)]
mod tests;
