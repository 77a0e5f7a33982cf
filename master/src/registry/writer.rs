//! The thread that writes the registry, so that the main loop never waits for a disk.
//!
//! All changes that wait while one commit is under way go into the next one together.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Change, Registry, RegistryError};

/// How many writes may wait; the main loop waits at the bound, which holds every agent back that
/// wants admission.
const QUEUE_MAX: usize = 65_536;

/// The end of one commit.
pub(crate) struct Stored<T> {
    /// What the writes were handed in with, in order.
    pub(crate) tokens: Vec<T>,
    /// How long the commit took.
    pub(crate) took: Duration,
    /// The size of the store afterwards, in bytes.
    pub(crate) size: u64,
    /// An error is final: the master cannot know what is durable, and ends.
    pub(crate) result: Result<(), RegistryError>,
}

/// The handle of the writing thread; dropping it ends the thread after the last commit.
pub(crate) struct Writer<T> {
    queue: mpsc::SyncSender<(T, Vec<Change>)>,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread; `done` is called on it after each commit.
    pub(crate) fn spawn(
        mut registry: Box<dyn Registry>,
        mut done: impl FnMut(Stored<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::sync_channel::<(T, Vec<Change>)>(QUEUE_MAX);
        thread::Builder::new()
            .name("registry".into())
            .spawn(move || {
                while let Ok(first) = waiting.recv() {
                    let (tokens, changes): (Vec<T>, Vec<Vec<Change>>) =
                        std::iter::once(first).chain(waiting.try_iter()).unzip();
                    let start = Instant::now();
                    let result = registry.store(&changes);
                    let failed = result.is_err();
                    done(Stored {
                        tokens,
                        took: start.elapsed(),
                        size: registry.size(),
                        result,
                    });
                    if failed {
                        return;
                    }
                }
            })?;
        Ok(Self { queue })
    }

    /// Hands a write in; false once the thread has ended after an error.
    pub(crate) fn store(&self, token: T, changes: Vec<Change>) -> bool {
        self.queue.send((token, changes)).is_ok()
    }
}
