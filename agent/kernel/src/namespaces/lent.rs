//! Lent: a launcher that runs in the agent's own memory until it executes its program.
//!
//! ```text
//! caller -> lender, a thread that lends its memory and is stopped -> launcher: gate, ids, execve(2)
//! ```
//!
//! A copy of the agent's memory for a child that throws it away costs more than all namespaces of a
//! container together: its tables of pages are copied, and each page that the agent writes to next is
//! copied as well. So the child has the memory itself (`CLONE_VM`) and a stack of its own, and the
//! thread that made it stands still until the memory is given back (`CLONE_VFORK`): by execve(2), or by
//! the child's end. Its id maps are written meanwhile, hence two threads.
//!
//! What belongs to a memory and not to a process is the agent's, too, until then: the launcher changes
//! nothing of that. That it changes its ids makes the agent's memory one that is not dumped
//! (`PR_SET_DUMPABLE`), which takes nothing from root. The kernel's out-of-memory killer spares who has a
//! memory on loan, and its rank is set without that of the lender (`CLONE_VFORK`).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::unistd::pipe2;

use super::{
    CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP, CloneArgs, Launcher, Spaces, clone_flags, run,
};
use crate::process::{Pid, owned};

/// What a launcher has for its stack up to execve(2), several times what it needs.
const STACK_BYTES: usize = 64 << 10;

/// The child's stack, aligned as calls want it.
#[repr(C, align(16))]
struct Stack([MaybeUninit<u8>; STACK_BYTES]);

/// What the child finds in its lender's memory, and the kernel's answers about it.
struct Child<'a> {
    launcher: &'a Launcher<'a>,
    /// Takes a byte once the child is there.
    begins: RawFd,
    /// Its number, once there is one.
    pid: AtomicI32,
    /// Its descriptor, which counts only with a number.
    pidfd: AtomicI32,
}

/// Starts the launcher, and goes on beside it.
pub(super) fn clone<T>(
    spaces: &Spaces<'_>,
    launcher: &Launcher<'_>,
    go_on: impl FnOnce(Result<(Pid, OwnedFd), Errno>) -> T,
) -> T {
    let (begun, begins) = match pipe2(OFlag::O_CLOEXEC) {
        Ok(ends) => ends,
        Err(errno) => return go_on(Err(errno)),
    };
    let child = Child {
        launcher,
        begins: begins.as_raw_fd(),
        pid: AtomicI32::new(0),
        pidfd: AtomicI32::new(-1),
    };
    let lend = || {
        // Closed at the end: where there is no child nobody waits for it any longer.
        let _begins = begins;
        // Whoever is in a new user namespace has no right to enter the node's networks any more: the
        // child is one of a thread that has done so.
        if let Some(network) = spaces.network {
            setns(network, CloneFlags::CLONE_NEWNET)?;
        }
        child.start(clone_flags(spaces.own), spaces.cgroup)
    };
    thread::scope(|scope| {
        let lender = thread::Builder::new().name("lender".into());
        let lender = match lender.spawn_scoped(scope, lend) {
            Ok(lender) => lender,
            Err(error) => return go_on(Err(crate::files::errno(&error))),
        };
        let mut byte = [0_u8];
        // A byte, or the end of the pipe; both tell the same here.
        while nix::unistd::read(&begun, &mut byte) == Err(Errno::EINTR) {}
        match child.found() {
            Some(found) => go_on(found),
            None => {
                let lent = lender.join().unwrap_or(Err(Errno::EIO));
                go_on(Err(lent.err().unwrap_or(Errno::ECHILD)))
            }
        }
    })
}

impl Child<'_> {
    /// The child, where the kernel has made one.
    fn found(&self) -> Option<Result<(Pid, OwnedFd), Errno>> {
        let pid = self.pid.load(Ordering::Acquire);
        let pidfd = || owned(self.pidfd.load(Ordering::Acquire).into());
        (pid > 0).then(|| Ok((pid, pidfd()?)))
    }

    /// Makes the child, with all signals blocked: no handler may run in it, and what comes waits until
    /// the container's init takes it. Returns when the memory is this thread's again, which ends next.
    fn start(&self, flags: u64, cgroup: Option<RawFd>) -> Result<(), Errno> {
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
        let mut stack = Stack([MaybeUninit::uninit(); STACK_BYTES]);
        let told = libc::CLONE_PIDFD as u64 | libc::CLONE_PARENT_SETTID as u64;
        let mut args = CloneArgs {
            flags: flags | told | LOAN | CLONE_CLEAR_SIGHAND,
            pidfd: self.pidfd.as_ptr() as u64,
            parent_tid: self.pid.as_ptr() as u64,
            exit_signal: libc::SIGCHLD as u64,
            ..CloneArgs::default()
        };
        if LOAN != 0 {
            args.stack = stack.0.as_mut_ptr() as u64;
            args.stack_size = STACK_BYTES as u64;
        }
        if let Some(fd) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = u64::try_from(fd).map_err(|_| Errno::EBADF)?;
        }
        clone3(&args, self)
    }
}

/// The child's first function: says that it is there, and is the launcher.
extern "C" fn begin(child: &Child<'_>) -> ! {
    let byte = 1_u8;
    // SAFETY: one byte is read during the call; write(2) is async-signal-safe.
    unsafe { libc::write(child.begins, (&raw const byte).cast(), 1) };
    run(child.launcher)
}

#[cfg(target_arch = "x86_64")]
const LOAN: u64 = libc::CLONE_VM as u64 | libc::CLONE_VFORK as u64;
/// Elsewhere the child is a copy, and its maker goes on at once.
#[cfg(not(target_arch = "x86_64"))]
const LOAN: u64 = 0;

/// clone3(2), of which the child goes to [`begin`] on its own stack: it must not return into the frames
/// of its lender.
#[cfg(target_arch = "x86_64")]
fn clone3(args: &CloneArgs, child: &Child<'_>) -> Result<(), Errno> {
    let begin: extern "C" fn(&Child<'_>) -> ! = begin;
    let pid: libc::c_long;
    // SAFETY: `args` is a valid struct of the size given, whose pointers are of one int each and of a
    // stack; all of them outlive the child's use, since this thread stands still until then. The child
    // calls `begin`, which never returns, with the one argument of its type, on an aligned stack; it is
    // on nobody else's. Of registers the lender finds changed what a system call changes.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => pid,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            in("r12") std::ptr::from_ref(child),
            in("r13") begin,
            lateout("rcx") _,
            lateout("r11") _,
        );
    };
    match i32::try_from(-pid) {
        Ok(errno) if errno > 0 => Err(Errno::from_raw(errno)),
        _ => Ok(()),
    }
}

/// The same of a copy.
#[cfg(not(target_arch = "x86_64"))]
fn clone3(args: &CloneArgs, child: &Child<'_>) -> Result<(), Errno> {
    let args = std::ptr::from_ref(args);
    // SAFETY: `args` is a valid struct of the size given, whose pointers are of one int each. Without
    // CLONE_VM the child has a copy of this memory and goes on here on its own stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, args, size_of::<CloneArgs>()) };
    if pid == 0 {
        begin(child);
    }
    Errno::result(pid).map(drop)
}
