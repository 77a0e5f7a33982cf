//! Pool: network namespaces that wait for containers.
//!
//! A thread beside the main loop keeps so many ready as it was told; what is taken is made anew. Where
//! none is ready the launch makes its own, and is late by so much. Each one costs the kernel some
//! hundred kB of memory while it waits.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use agent_kernel::network::{Space, SpaceError};
use tracing::warn;

use crate::init::chain;

/// Spaces that wait; the thread that makes them ends with this.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    state: Mutex<State>,
    /// Wakes the thread.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Space>,
    /// One could not be made: nothing is tried again before the next one is taken.
    resting: bool,
    closed: bool,
}

impl Pool {
    /// Fills a pool of this size from now on.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn open(size: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            size,
            state: Mutex::default(),
            taken: Condvar::new(),
        });
        if size > 0 {
            let filled = Arc::clone(&shared);
            let thread = thread::Builder::new().name("network-pool".into());
            thread.spawn(move || filled.fill())?;
        }
        Ok(Self { shared })
    }

    /// A space of one's own; waits for the kernel where none is ready.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn take(&self) -> Result<Space, SpaceError> {
        let ready = {
            let mut state = self.shared.lock();
            state.resting = false;
            state.ready.pop_front()
        };
        self.shared.taken.notify_one();
        ready.map_or_else(Space::make, Ok)
    }

    /// How many are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.shared.lock().ready.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let ready = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.ready)
        };
        drop(ready);
        self.shared.taken.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is held is whole between any two of its changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self) {
        loop {
            let wanted = |state: &mut State| {
                !state.closed && (state.resting || state.ready.len() >= self.size)
            };
            let state = self.taken.wait_while(self.lock(), wanted);
            if state.unwrap_or_else(PoisonError::into_inner).closed {
                return;
            }
            match Space::make() {
                Ok(space) => {
                    let mut state = self.lock();
                    if !state.closed {
                        state.ready.push_back(space);
                    }
                }
                Err(error) => {
                    warn!(error = chain(&error), "no network is made ahead");
                    self.lock().resting = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn wait_until(what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_is_taken_is_made_anew_up_to_the_size_and_goes_with_the_pool() {
        if let Err(error) = Space::make() {
            eprintln!("left out, since it needs root: {}", chain(&error));
            return;
        }
        let pool = Pool::open(3).expect("a pool");
        wait_until("three are ready", || pool.ready() == 3);
        let taken: Vec<Space> = (0..5).map(|_| pool.take().expect("a space")).collect();
        assert_eq!(taken.len(), 5);
        wait_until("three are ready again", || pool.ready() == 3);
        let shared = Arc::clone(&pool.shared);
        drop(pool);
        wait_until("the thread has ended", || Arc::strong_count(&shared) == 1);
        assert!(shared.lock().ready.is_empty());
    }
}
