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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Contents, Elected};

    /// A disk that does what it is told, commit by commit.
    struct Disk {
        asked: mpsc::Sender<usize>,
        told: mpsc::Receiver<Result<(), RegistryError>>,
    }

    impl Registry for Disk {
        fn start(&mut self, _: Elected) -> Result<Contents, RegistryError> {
            self.read()
        }

        fn read(&mut self) -> Result<Contents, RegistryError> {
            Ok(Contents::default())
        }

        fn store(&mut self, groups: &[Vec<Change>]) -> Result<(), RegistryError> {
            self.asked.send(groups.len()).expect("a test");
            self.told.recv().expect("a test")
        }

        fn size(&self) -> u64 {
            7
        }
    }

    #[test]
    fn nobody_waits_for_the_disk_what_waits_goes_together_and_an_error_is_the_last_that_is_told() {
        let (asked, commits) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let (done, stored) = mpsc::channel();
        let registry = Box::new(Disk { asked, told });
        let writer = Writer::spawn(registry, move |stored| {
            done.send(stored).expect("a test");
        });
        let writer = writer.expect("a thread");
        assert!(writer.store(1, Vec::new()));
        assert_eq!(commits.recv(), Ok(1));
        // The disk has not answered, and more is handed in.
        for token in 2..=4 {
            assert!(writer.store(token, Vec::new()));
        }
        assert!(stored.try_recv().is_err(), "nothing is durable yet");
        tell.send(Ok(())).expect("a disk");
        let first = stored.recv().expect("a commit");
        assert_eq!((first.tokens, first.size), (vec![1], 7));
        first.result.expect("stored");
        assert_eq!(commits.recv(), Ok(3), "what waited is one commit");
        let superseded = RegistryError::Superseded {
            epoch: 1,
            newest: 2,
        };
        tell.send(Err(superseded)).expect("a disk");
        let second = stored.recv().expect("a commit");
        assert_eq!(second.tokens, [2, 3, 4]);
        second.result.expect_err("not stored");
        assert!(stored.recv().is_err(), "the thread has ended");
        assert!(
            !writer.store(5, Vec::new()),
            "and nothing is taken any more"
        );
    }
}
