//! Power: wishes to end reach the main loop, and the machine ends in good order.
//!
//! A main loop that does not follow a wish in time, or is not there yet, is not waited for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent_kernel::Errno;
use agent_kernel::boot_mounts::{self, BootMountError};
use agent_kernel::power::{self, Wish, Wishes};
use agent_kernel::watchdog;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{InitError, Machine, PowerEvent, chain, say};
use crate::paths::META;

/// How long the main loop may take to follow a wish. Longer than the grace period of executors.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long killed processes may take to be gone, and a disk to be free.
const GONE: Duration = Duration::from_secs(5);
const FREE: Duration = Duration::from_secs(2);

/// Whether there is a main loop to listen.
static LISTENED_TO: AtomicBool = AtomicBool::new(false);
/// Whether the end has begun; it begins once.
static ENDING: AtomicBool = AtomicBool::new(false);

/// What becomes of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is switched off.
    Off,
    /// It starts again.
    Restart,
}

/// Says that from now on the main loop follows wishes.
pub fn main_loop_listens() {
    LISTENED_TO.store(true, Ordering::Release);
}

/// Starts to watch signals and buttons.
pub(super) fn watch(
    mut wishes: Wishes,
    machine: Machine,
    work_dir: PathBuf,
) -> Result<mpsc::Receiver<PowerEvent>, InitError> {
    if machine == Machine::Whole && wishes.watch_buttons(Path::new("/dev/input")) == 0 {
        warn!("there is no power button to watch");
    }
    // Two wishes are one more than is followed: the second no longer waits for the main loop.
    let (sender, receiver) = mpsc::channel(2);
    thread::Builder::new()
        .name("power".to_owned())
        .spawn(move || carry(&mut wishes, machine, &work_dir, &sender))
        .map_err(InitError::Thread)?;
    Ok(receiver)
}

fn carry(
    wishes: &mut Wishes,
    machine: Machine,
    work_dir: &Path,
    sender: &mpsc::Sender<PowerEvent>,
) {
    let mut asked = None;
    loop {
        let wish = match wishes.next(asked.map(|_| PATIENCE)) {
            Ok(wish) => wish,
            Err(error) => {
                warn!(%error, "wishes to end are not heard any more");
                return;
            }
        };
        let event = match (machine, wish, asked) {
            (_, None, Some(event)) => {
                say("the agent does not end by itself");
                event
            }
            (_, None, None) => continue,
            (Machine::Host, Some(_), _) => PowerEvent::Stop,
            (Machine::Whole | Machine::Namespace, Some(Wish::Interrupt), _) => PowerEvent::Reboot,
            (
                Machine::Whole | Machine::Namespace,
                Some(Wish::Terminate | Wish::PowerFailure | Wish::Button),
                _,
            ) => PowerEvent::PowerOff,
        };
        if let Some(wish) = wish {
            info!(?wish, ?event, "asked to end");
        }
        if asked.is_none() && LISTENED_TO.load(Ordering::Acquire) && sender.try_send(event).is_ok()
        {
            asked = Some(event);
            continue;
        }
        match event {
            PowerEvent::PowerOff => finish(Ending::Off, machine, work_dir),
            PowerEvent::Reboot => finish(Ending::Restart, machine, work_dir),
            // As a shell reports a program that SIGINT ended.
            PowerEvent::Stop => std::process::exit(130),
        }
    }
}

/// Ends the machine: the phases of the start in reverse. Never comes back.
pub fn finish(ending: Ending, machine: Machine, work_dir: &Path) -> ! {
    if ENDING.swap(true, Ordering::AcqRel) {
        // Another thread is at it, and this one goes with the machine.
        wait_for_the_end();
    }
    let start = Instant::now();
    match power::end_all_processes(GONE) {
        Ok(true) => {}
        Ok(false) => say("some processes do not end"),
        Err(error) => say(format_args!("kill processes: {error}")),
    }
    power::sync();
    release(machine, work_dir);
    say(format_args!(
        "{} after {} ms",
        match ending {
            Ending::Off => "powering off",
            Ending::Restart => "starting again",
        },
        start.elapsed().as_millis()
    ));
    // A machine that does not start again by itself is started by its watchdog.
    if ending == Ending::Off
        && let Err(error) = watchdog::disarm()
    {
        say(format_args!("the hardware's watchdog goes on: {error}"));
    }
    let why = match ending {
        Ending::Off => power::off(),
        Ending::Restart => power::restart(),
    };
    say(format_args!("the machine does not end: {why}"));
    wait_for_the_end()
}

/// Leaves the work disk clean.
fn release(machine: Machine, work_dir: &Path) {
    let start = Instant::now();
    let error = loop {
        // In memory and on XFS the agent's own files have a file system apart; else nothing is there.
        let _ = boot_mounts::unmount(&work_dir.join(META));
        match boot_mounts::unmount(work_dir) {
            Ok(()) => return,
            // Nothing was mounted there yet.
            Err(BootMountError::Unmount {
                source: Errno::EINVAL,
                ..
            }) => return,
            // A container's mounts go a moment after its last process.
            Err(_) if start.elapsed() < FREE => thread::sleep(Duration::from_millis(5)),
            Err(error) => break error,
        }
    };
    say(chain(&error));
    // Files that are open for writing keep a disk from being made read-only by mount(2); the kernel's
    // emergency remount makes every disk so all the same.
    if machine == Machine::Whole && fs::write("/proc/sysrq-trigger", "u").is_err() {
        say("the work disk was not made read-only");
    }
    power::sync();
}

/// PID 1 must not return, and here has nothing to do any more.
fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}
