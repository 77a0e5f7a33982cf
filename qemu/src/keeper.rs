//! Keeper: runs a program, and again whenever it ends, until it is told to end itself.
//!
//! A master that loses its lead ends, and counts on somebody who starts it again.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// The pause before the program is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `command` until this process gets SIGTERM, and then ends it in the same way.
///
/// # Errors
/// The program cannot be run at all, or signals not be waited for.
pub fn keep(mut command: Command) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGCHLD);
    loop {
        // A child inherits what is blocked, and must hear SIGTERM.
        signals.thread_unblock()?;
        let spawned = command.spawn();
        signals.thread_block()?;
        let mut child = spawned?;
        // It may have ended before its end could be waited for.
        if let Some(status) = child.try_wait()? {
            again(status);
            continue;
        }
        let ended = loop {
            match signals.wait()? {
                Signal::SIGTERM => break None,
                _ => {
                    if let Some(status) = child.try_wait()? {
                        break Some(status);
                    }
                }
            }
        };
        let Some(status) = ended else {
            return end(&mut child);
        };
        again(status);
    }
}

fn again(status: ExitStatus) {
    eprintln!("tepui-qemu: {status}; it is started again");
    std::thread::sleep(PAUSE);
}

fn end(child: &mut Child) -> io::Result<()> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // Not reaped yet, so that the id is still the child's.
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    child.wait().map(drop)
}
