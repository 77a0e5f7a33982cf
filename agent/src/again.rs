//! Again: when this program executes itself anew, and when that has to end.
//!
//! A panic, a fatal signal and a main loop that stands still lead to one act (`agent_kernel::reexec`):
//! containers go on, and what the agent must know of them comes back from the checkpoint. A request whose
//! answer panics is somebody else's, and ends alone. Where it happens too often the machine ends in good
//! order, and the reason is told at its next start.

use std::fmt;
use std::fs;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use agent_kernel::reexec::{self, IfNot, Past, Step};
use agent_kernel::{Errno, clock, watchdog};
use tracing::{info, warn};

use crate::config::recovery::Recovery;
use crate::handover::Handover;
use crate::init::{Machine, chain, say};
use crate::paths::META;

/// So often within [`WINDOW`] it is tried.
pub const ATTEMPTS_MAX: usize = 5;
/// What counts as lately.
pub const WINDOW: Duration = Duration::from_secs(600);
/// How often the main loop shows that it goes on.
pub const BEAT: Duration = Duration::from_secs(1);
/// Where the reason of a machine's end is kept for its next start, beneath the agent's own folder.
const REASON: &str = "ended_by";
/// The most that is read of it.
const REASON_BYTES_MAX: usize = 4096;

/// What an agent has to tell of its earlier processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Why this process was executed, where another one was before it.
    pub cause: Option<String>,
    /// How often that happened lately.
    pub executions: usize,
    /// Why the machine, or the process of an ordinary host, ended the last time.
    pub ended_by: Option<String>,
}

impl History {
    /// Takes what is kept in the work directory, and says it once.
    #[must_use]
    pub fn take(past: &Past, work_dir: &Path) -> Self {
        let history = Self {
            cause: past.cause.clone(),
            executions: lately(past),
            ended_by: take_reason(work_dir),
        };
        if let Some(cause) = &history.cause {
            warn!(
                cause,
                lately = history.executions,
                "this program was executed again"
            );
        }
        if let Some(reason) = &history.ended_by {
            warn!(reason, "the last time it was executed again too often");
        }
        history
    }
}

/// How often the program was executed again lately.
#[must_use]
pub fn lately(past: &Past) -> usize {
    past.within(WINDOW, clock::since_boot())
}

/// Keeps the reason of an end for the next start.
pub fn keep_reason(work_dir: &Path, past: &Past) {
    let cause = past.cause.as_deref().unwrap_or_default();
    let path = reason(work_dir);
    let kept = path.parent().map_or(Ok(()), fs::create_dir_all);
    if let Err(error) = kept.and_then(|()| fs::write(&path, cause)) {
        say(format_args!("the reason is not kept: {}", chain(&error)));
    }
}

fn take_reason(work_dir: &Path) -> Option<String> {
    let path = reason(work_dir);
    let mut text = fs::read_to_string(&path).ok()?;
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    // Told once more where it stays.
    let _ = fs::remove_file(path);
    Some(text)
}

fn reason(work_dir: &Path) -> PathBuf {
    work_dir.join(META).join(REASON)
}

/// Has panics end in another execution of this program, once that is prepared; until then they unwind.
pub fn on_panic() {
    panic::set_hook(Box::new(|panic| {
        let text = Panicked(panic).to_string();
        say(&text);
        if reexec::is_tolerated() {
            return;
        }
        match reexec::again(&text) {
            Errno::ENOENT => {}
            why => say(format_args!("this program is not executed again: {why}")),
        }
    }));
}

/// Where this program has taken another's place: whatever befalls it from here on leads back to that.
pub fn begin_trial(past: &Past, if_not: IfNot) {
    if past.step != Step::Exchanged {
        return;
    }
    on_panic();
    if let Err(errno) = reexec::prepare(past, if_not) {
        say(format_args!(
            "the program before this one cannot be executed again: {errno}"
        ));
    }
}

/// Bounds the trial of this program in time; it fails where it is told to (`--failure_test`).
pub fn bound_trial(recovery: &Recovery, handover: &Handover) {
    if !reexec::is_on_trial() {
        return;
    }
    let time = recovery.upgrade_max;
    let watch = move || {
        thread::sleep(time);
        not_on_trial(&format!("not registered within {} s", time.as_secs()));
    };
    let thread = thread::Builder::new().name("trial".to_string());
    if let Err(error) = thread.spawn(watch) {
        not_on_trial(&format!("start a thread: {error}"));
    }
    let fails = handover.state().fails.filter(|_| recovery.failure_test);
    if let Some(failure) = fails.and_then(|name| Failure::named(&name)) {
        failure.happen();
    }
}

/// This program ends, or does not do what it is for: where it is on trial, the one before it is executed
/// again, and this does not come back.
pub fn not_on_trial(reason: &str) {
    if reexec::is_on_trial() {
        let why = reexec::again(reason);
        say(format_args!(
            "the program before this one is not executed again: {why}"
        ));
    }
}

/// A panic in one line.
struct Panicked<'a>(&'a PanicHookInfo<'a>);

impl fmt::Display for Panicked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = thread::current();
        write!(f, "panic in thread {}", thread.name().unwrap_or("?"))?;
        if let Some(place) = self.0.location() {
            write!(f, " at {place}")?;
        }
        write!(f, ": {}", self.0.payload_as_str().unwrap_or("no text"))
    }
}

/// A future whose panics end it alone; whoever runs it catches them.
pub struct Tolerated<F>(Pin<Box<F>>);

/// Runs a future whose panics end it alone.
pub fn tolerated<F: Future>(future: F) -> Tolerated<F> {
    Tolerated(Box::pin(future))
}

impl<F: Future> Future for Tolerated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        reexec::tolerating(|| self.0.as_mut().poll(context))
    }
}

/// A way to fail, for tests (`--failure_test`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The main loop panics.
    Panic,
    /// A fatal signal comes.
    Signal,
    /// The program gives up.
    Abort,
    /// The main loop stands still.
    Stall,
    /// Another thread has no stack left.
    Overflow,
    /// The main loop stands still, and so does who watches it.
    Freeze,
}

impl Failure {
    /// The names of all.
    pub const NAMES: [&str; 6] = ["panic", "signal", "abort", "stall", "overflow", "freeze"];

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Panic,
            Self::Signal,
            Self::Abort,
            Self::Stall,
            Self::Overflow,
            Self::Freeze,
        ];
        let named = Self::NAMES.into_iter().zip(all);
        named
            .into_iter()
            .find(|(of, _)| *of == name)
            .map(|(_, one)| one)
    }

    /// Fails.
    pub fn happen(self) -> ! {
        match self {
            Self::Panic => panic!("somebody asked for it (--failure_test)"),
            Self::Signal => {
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV);
                std::process::abort()
            }
            Self::Abort => std::process::abort(),
            Self::Overflow => {
                let thread = thread::Builder::new().name("overflow".to_string());
                let _ = thread.spawn(|| descend(0));
                Self::Stall.happen()
            }
            Self::Freeze => {
                FROZEN.store(true, Ordering::Relaxed);
                Self::Stall.happen()
            }
            Self::Stall => loop {
                thread::sleep(WINDOW);
            },
        }
    }
}

/// Whether the watching thread is to stand still.
static FROZEN: AtomicBool = AtomicBool::new(false);

/// Takes stack until there is none.
fn descend(depth: u64) -> u64 {
    let taken = std::hint::black_box([depth; 64]);
    match depth {
        u64::MAX => taken[0],
        _ => descend(depth + 1).wrapping_add(taken[63]),
    }
}

/// Whether there is a watchdog of the hardware's to be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// There is.
    Watchdog,
    /// There is none, or none of this program's.
    None,
}

impl Hardware {
    /// Has the hardware's watchdog wait so long from now on; it is not used where that is zero.
    #[must_use]
    pub fn arm(machine: Machine, time: Duration) -> Self {
        if machine != Machine::Whole || time.is_zero() {
            return Self::None;
        }
        match watchdog::arm(time) {
            Ok(Some(seconds)) => {
                let seconds = seconds.as_secs();
                info!(seconds, "the hardware's watchdog is fed");
                Self::Watchdog
            }
            Ok(None) => Self::None,
            Err(error) => {
                warn!(%error, "the hardware's watchdog is not used");
                Self::None
            }
        }
    }
}

/// What the main loop shows that it goes on with.
#[derive(Debug, Clone)]
pub struct Heart(Arc<AtomicU64>);

impl Heart {
    /// Has the program executed again where the main loop stands still for this long; never, where that
    /// is zero. As long as this thread has its turn, and the main loop did not stand still for longer, the
    /// hardware's watchdog is fed.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn watched(stall_max: Duration, hardware: Hardware) -> io::Result<Self> {
        let heart = Self(Arc::default());
        if stall_max.is_zero() && hardware == Hardware::None {
            return Ok(heart);
        }
        let watched = heart.clone();
        let thread = thread::Builder::new().name("watchdog".to_string());
        thread.spawn(move || watched.watch(stall_max))?;
        Ok(heart)
    }

    /// The main loop goes on.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// What counts is how often this thread had its turn meanwhile, and not what a clock says: where the
    /// whole process was stopped, or its machine, nobody stood still.
    fn watch(&self, stall_max: Duration) -> ! {
        let (mut seen, mut silent) = (0, Duration::ZERO);
        loop {
            thread::sleep(BEAT);
            let beats = self.0.load(Ordering::Relaxed);
            silent = match beats == seen && !stall_max.is_zero() {
                true => silent + BEAT,
                false => Duration::ZERO,
            };
            seen = beats;
            while FROZEN.load(Ordering::Relaxed) {
                thread::park();
            }
            if stall_max.is_zero() || silent < stall_max {
                // One that cannot be fed starts the machine again, which is what it is for.
                let _ = watchdog::feed();
            } else {
                let text = format!("the main loop stood still for {} s", silent.as_secs());
                say(&text);
                let why = reexec::again(&text);
                say(format_args!("this program is not executed again: {why}"));
                silent = Duration::ZERO;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_end_is_told_at_one_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let past = Past {
            step: Step::Same,
            cause: Some("panic: of a test".into()),
            moments: vec![clock::since_boot(); 3],
        };
        keep_reason(folder.path(), &past);
        let first = History::take(&Past::default(), folder.path());
        assert_eq!(first.ended_by.as_deref(), Some("panic: of a test"));
        assert_eq!((first.cause, first.executions), (None, 0));
        let second = History::take(&past, folder.path());
        assert_eq!(second.ended_by, None);
        assert_eq!(second.executions, 3);
    }
}
