//! Power: the signals and buttons that ask for an end, and the calls that bring it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// `EV_KEY` and `KEY_POWER` of `linux/input-event-codes.h`.
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// The size of `struct input_event` where a long has 64 bits: a time of 16 bytes, type, code, value.
const INPUT_EVENT: usize = 24;

/// What asked for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM.
    Terminate,
    /// SIGINT; on a machine where [`ctrl_alt_del_as_signal`] was called, these keys.
    Interrupt,
    /// SIGPWR.
    PowerFailure,
    /// A power button was pressed.
    Button,
}

/// The signals and buttons that ask for an end.
#[derive(Debug)]
pub struct Wishes {
    signals: SignalFd,
    buttons: Vec<File>,
}

impl Wishes {
    /// Takes SIGTERM, SIGINT and SIGPWR for this process; every other signal is let through, whatever
    /// a program before `execve(2)` blocked.
    ///
    /// To be called before the process has a second thread, since threads inherit the mask.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn take() -> Result<Self, Errno> {
        let mut taken = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGPWR] {
            taken.add(signal);
        }
        nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&taken), None)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&taken, flags)?;
        Ok(Self {
            signals,
            buttons: Vec::new(),
        })
    }

    /// Watches every input device for the power key; says how many there are.
    pub fn watch_buttons(&mut self, folder: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return 0;
        };
        let devices = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"));
        self.buttons = devices
            .filter_map(|entry| {
                File::options()
                    .read(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(entry.path())
                    .ok()
            })
            .collect();
        self.buttons.len()
    }

    /// Waits for the next wish; none where the time is over.
    ///
    /// # Errors
    /// The kernel cannot wait.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Wish>, Errno> {
        let timeout = match timeout {
            Some(timeout) => PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        loop {
            let mut waited = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let buttons = self.buttons.iter();
            waited.extend(buttons.map(|button| PollFd::new(button.as_fd(), PollFlags::POLLIN)));
            match poll(&mut waited, timeout) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            if let Some(info) = self.signals.read_signal()? {
                // The mask holds these three only.
                let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
                return Ok(Some(match Signal::try_from(signal) {
                    Ok(Signal::SIGINT) => Wish::Interrupt,
                    Ok(Signal::SIGPWR) => Wish::PowerFailure,
                    _ => Wish::Terminate,
                }));
            }
            let mut pressed = false;
            self.buttons.retain(|button| match pressed_power(button) {
                Ok(power) => {
                    pressed |= power;
                    true
                }
                // The device is gone, and would wake this loop for ever.
                Err(_) => false,
            });
            if pressed {
                return Ok(Some(Wish::Button));
            }
        }
    }
}

/// Reads what a button has to say; true where its power key went down.
fn pressed_power(mut button: &File) -> std::io::Result<bool> {
    let mut events = [0; INPUT_EVENT * 16];
    match button.read(&mut events) {
        Ok(length) => Ok(events[..length]
            .chunks_exact(INPUT_EVENT)
            .any(is_power_pressed)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_power_pressed(event: &[u8]) -> bool {
    let short = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
    short(16) == EV_KEY && short(18) == KEY_POWER && value == 1
}

/// Has the kernel send Ctrl-Alt-Del to PID 1 as SIGINT, instead of starting again at once.
///
/// # Errors
/// The caller may not.
pub fn ctrl_alt_del_as_signal() -> Result<(), Errno> {
    set_cad_enabled(false)
}

/// Kills every process but this one and takes their statuses; tells whether all ended in time.
///
/// Only PID 1 may call it, at the end: elsewhere the processes are others', and before the end the
/// statuses are the main loop's.
///
/// # Errors
/// The kernel refuses.
pub fn end_all_processes(timeout: Duration) -> Result<bool, Errno> {
    match nix::sys::signal::kill(Pid::from_raw(-1), Signal::SIGKILL) {
        // ESRCH: there is no other process.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno),
    }
    let start = Instant::now();
    while start.elapsed() < timeout {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(true),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            // A status taken, or a signal came between.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(false)
}

/// Writes every file system's memory to its disk.
pub fn sync() {
    nix::unistd::sync();
}

/// Switches the machine off. Comes back only with the reason why it did not.
#[must_use]
pub fn off() -> Errno {
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// Starts the machine again. Comes back only with the reason why it did not.
#[must_use]
pub fn restart() -> Errno {
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_power_key_going_down_is_a_wish() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut event = [0; INPUT_EVENT];
            event[16..18].copy_from_slice(&kind.to_ne_bytes());
            event[18..20].copy_from_slice(&code.to_ne_bytes());
            event[20..24].copy_from_slice(&value.to_ne_bytes());
            is_power_pressed(&event)
        };
        assert!(event(EV_KEY, KEY_POWER, 1));
        assert!(!event(EV_KEY, KEY_POWER, 0));
        assert!(!event(EV_KEY, 28, 1));
        assert!(!event(0, 0, 0));
    }
}
