//! Init: the launcher's life after the task has started, as process 1 of the container.
//!
//! It waits with all signals blocked, so that none is lost and none needs a handler. Children that
//! end are reaped, signals are handed on, and when the task ends its status is written down and the
//! init ends too, upon which the kernel kills whatever is left in the container.
//!
//! Most of its memory is given back first: nothing here allocates or formats (see `lean`).

use std::os::fd::OwnedFd;

use model::sandbox::ExitStatus;
use nix::errno::Errno;
use nix::libc;

use super::lean::Spare;
use crate::process;

/// Keeps the container going until the task ends.
pub(super) fn run(task: libc::pid_t, exit: &OwnedFd, spare: &Spare) -> ! {
    leave_streams();
    spare.give_back();
    loop {
        match next_signal() {
            libc::SIGCHLD => process::reap_each(|pid, status| {
                if pid == task {
                    end(exit, status);
                }
            }),
            signal => hand_on(signal, task),
        }
    }
}

/// Keeps a container without a task going until it is told to end, which is no failure.
pub(super) fn hold(exit: &OwnedFd, spare: &Spare) -> ! {
    leave_streams();
    spare.give_back();
    loop {
        match next_signal() {
            libc::SIGCHLD => process::reap_each(|_, _| ()),
            libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP => {
                end(exit, ExitStatus::Exited(0));
            }
            _ => {}
        }
    }
}

/// Whoever reads the task's output is at its end when the task is, and no earlier reader is waited for.
fn leave_streams() {
    for fd in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: a number; the init opens nothing afterwards that could take these places.
        let rc = unsafe { libc::close(fd) };
        // Not open is as good.
        let _ = Errno::result(rc);
    }
}

/// The next signal that has come, or comes.
fn next_signal() -> libc::c_int {
    loop {
        // SAFETY: an all-zero sigset_t is a valid object, filled in on the next line.
        let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `all` is a valid sigset_t to be written.
        unsafe { libc::sigfillset(&raw mut all) };
        let no_info = std::ptr::null_mut();
        // SAFETY: `all` is a valid set; a null pointer asks for no details.
        let signal = unsafe { libc::sigwaitinfo(&raw const all, no_info) };
        if signal > 0 {
            return signal;
        }
    }
}

/// Signals that ask to end go to every process of the container, as Mesos' executor signals the
/// whole tree of a task (reference, section 2.5); others to the task alone.
fn hand_on(signal: libc::c_int, task: libc::pid_t) {
    let target = match signal {
        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP => -1,
        _ => task,
    };
    // SAFETY: kill(2) takes two numbers; -1 spares the sender, which is process 1 here.
    let rc = unsafe { libc::kill(target, signal) };
    // ESRCH: all have ended, and SIGCHLD says so next.
    let _ = Errno::result(rc);
}

/// Leaves the exact status for the agent.
pub(super) fn leave_status(exit: &OwnedFd, status: ExitStatus) {
    let mut record = [0; RECORD_BYTES];
    let record = line(status.wait_status(), &mut record);
    // On failure (no space) the own exit code still tells most of it.
    let _ = nix::unistd::write(exit, record);
}

/// Leaves the exact status, and a readable one as its own.
fn end(exit: &OwnedFd, status: ExitStatus) -> ! {
    leave_status(exit, status);
    let code = match status {
        ExitStatus::Exited(code) => i32::from(code),
        // As shells tell it.
        ExitStatus::Signaled(signal) => 128 + signal,
    };
    // SAFETY: _exit(2) ends the process and runs no handlers.
    unsafe { libc::_exit(code) }
}

/// A line with a status, which has five digits at most.
const RECORD_BYTES: usize = 12;

/// A number of at least 0 as text in the end of a buffer, with the end of a line.
fn line(mut number: i32, buffer: &mut [u8; RECORD_BYTES]) -> &[u8] {
    let mut start = RECORD_BYTES - 1;
    buffer[start] = b'\n';
    while start > 0 {
        start -= 1;
        buffer[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number <= 0 {
            break;
        }
    }
    &buffer[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_line_of_digits() {
        for number in [0, 7, 9, 137, 7 << 8, 0xff << 8, i32::MAX] {
            let mut buffer = [0; RECORD_BYTES];
            let text = format!("{number}\n");
            assert_eq!(line(number, &mut buffer), text.as_bytes());
        }
    }
}
