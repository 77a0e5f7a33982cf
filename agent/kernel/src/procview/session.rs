//! The session: the connection to the kernel, from its mount to its end, and the next one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use fuser::{Config, Session, SessionACL};
use model::sandbox::Access;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::door::Door;
use super::files::Files;
use super::greeting::{self, Before};
use super::{ProcViewError, Shared, lock, step};
use crate::files::{self, above_stdio};
use crate::mounts::{Attributes, Detached};
use crate::process;

/// Threads that answer.
const THREADS: usize = 2;

/// How much less than the main loop's is the claim of all threads here to a processor, by setpriority(2).
const NICE: i32 = 5;

/// How long after a connection that ended at once the next one is made, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// A connection that held this long was none that ended at once.
const HELD: Duration = Duration::from_secs(10);

/// Makes the first connection, and starts the thread that makes all others.
pub(super) fn start(shared: &Arc<Shared>) -> Result<(), ProcViewError> {
    let mut known = None;
    let first = match greeting::before().map(|before| take_up(shared, &before)) {
        Some(Ok(session)) => {
            let (adopted, all) = sync_channel(1);
            *lock(&shared.adopted) = Some(adopted);
            known = Some(all);
            session
        }
        // It ends, and containers get files of another mount.
        Some(Err(_)) | None => {
            greeting::forget();
            connect(shared)?
        }
    };
    spawn("procview-clock", {
        let shared = Arc::clone(shared);
        move || shared.clock.run(&shared)
    })?;
    spawn("procview", {
        let shared = Arc::clone(shared);
        move || {
            // Ends when the sender is dropped.
            if let Some(known) = known {
                let _ = known.recv();
            }
            supervise(&shared, first);
        }
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ProcViewError> {
    let thread = std::thread::Builder::new().name(name.into());
    let spawned = thread.spawn(move || {
        // Threads inherit it. A kernel that refuses leaves all equal.
        let _ = process::be_nice(NICE);
        run();
    });
    let spawned = spawned.map_err(|error| files::errno(&error));
    spawned.map(drop).map_err(step("start a thread"))
}

/// Takes up the connection of the program before this one, whose mount and files go on.
fn take_up(shared: &Arc<Shared>, before: &Before) -> Result<Session<Files>, ProcViewError> {
    let mounts = before.mounts.try_clone();
    let mounts = mounts.map_err(|error| step("descriptors")(files::errno(&error)))?;
    let session = greeting::again(Files::of(shared), before, settings())?;
    let door = Door::again(mounts, shared).map_err(step("start a thread"))?;
    shared.goes_on.store(true, Ordering::Release);
    *lock(&shared.door) = Ok(door);
    Ok(session)
}

fn settings() -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config
}

/// Makes a connection and the door to its mount, which opens when the connection is served.
fn connect(shared: &Arc<Shared>) -> Result<Session<Files>, ProcViewError> {
    const DEVICE: &str = "/dev/fuse";
    let device = open(DEVICE, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    let device = device.and_then(above_stdio);
    let device = device.map_err(step(format!("open {DEVICE}")))?;
    let attributes = Attributes::DATA.with(Access::ReadOnly);
    let mount = Detached::fuse(&device, attributes).map_err(step("mount"))?;
    let session = greeting::first(Files::of(shared), device, settings())?;
    let door = Door::open(mount, shared).map_err(step("start a thread"))?;
    *lock(&shared.door) = Ok(door);
    Ok(session)
}

/// Serves one connection after the other until the agent ends.
fn supervise(shared: &Arc<Shared>, first: Session<Files>) {
    let mut pause = PAUSES.0;
    let mut next: Result<_, ProcViewError> = Ok(first);
    while !shared.is_closed.load(Ordering::Acquire) {
        let begun = Instant::now();
        let reason = match next.map(Session::run) {
            Ok(Ok(())) => "the kernel has ended the FUSE connection".to_string(),
            Ok(Err(error)) => format!("the FUSE connection has ended: {error}"),
            Err(error) => error.to_string(),
        };
        *lock(&shared.door) = Err(reason);
        shared.goes_on.store(false, Ordering::Release);
        greeting::forget();
        if shared.is_closed.load(Ordering::Acquire) {
            return;
        }
        if begun.elapsed() > HELD {
            pause = PAUSES.0;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
        next = connect(shared);
    }
}
