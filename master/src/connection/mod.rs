//! One connection, as its requests see it: where it comes from, what it costs, and how to cut it.
//!
//! A reader that does not read cannot be told anything: its connection is dropped as a whole.
//!     Idle -> Busy -> Idle …      a request, from its first byte to the last one of its answer
//!     Busy -> Kept                an event stream or an agent's link, which has bounds of its own
//!     any  -> Cut                 by whoever has a reason
//! What a busy connection holds is counted, and all together are bounded: see [`table`].

pub(crate) mod descriptors;
pub(crate) mod opening;
pub(crate) mod socket;
pub(crate) mod table;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use table::Shared;

/// A handle on a connection; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<One>);

#[derive(Debug)]
struct One {
    number: u64,
    peer: SocketAddr,
    cut: Notify,
    state: Mutex<State>,
    table: Arc<Shared>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Since when it is idle or busy.
    since: Instant,
    /// Bytes in memory for the sake of the request and its answer, about.
    held: usize,
    /// Whether the answer is made, and only has to be read.
    answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Busy,
    Kept,
    Cut,
}

impl Connection {
    fn new(number: u64, peer: SocketAddr, table: Arc<Shared>) -> Self {
        let state = State {
            phase: Phase::Idle,
            since: Instant::now(),
            held: 0,
            answered: false,
        };
        Self(Arc::new(One {
            number,
            peer,
            cut: Notify::new(),
            state: Mutex::new(state),
            table,
        }))
    }

    /// Where it comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Drops the connection with whatever waits on it.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        state.phase = Phase::Cut;
        self.release(&mut state);
        self.0.cut.notify_one();
    }

    /// Returns once [`Self::cut`] was called.
    pub(crate) async fn was_cut(&self) {
        self.0.cut.notified().await;
    }

    /// So many bytes of a request came in.
    fn took(&self, bytes: usize) {
        let mut state = self.state();
        match state.phase {
            Phase::Kept | Phase::Cut => return,
            Phase::Busy => {}
            Phase::Idle => {
                state.phase = Phase::Busy;
                state.since = Instant::now();
            }
        }
        state.held += bytes;
        let is_too_much = self.0.table.add(bytes);
        drop(state);
        if is_too_much {
            self.0.table.relieve();
        }
    }

    /// The request is carried out; so many bytes of its answer are in memory.
    pub(crate) fn answers(&self, bytes: usize) {
        self.release(&mut self.state());
        self.took(bytes);
    }

    /// The answer is made; its reader may still have to take it.
    pub(crate) fn answered(&self) {
        self.state().answered = true;
    }

    /// Nothing waits to be sent.
    fn flushed(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.answered) && state.phase == Phase::Busy {
            state.phase = Phase::Idle;
            state.since = Instant::now();
            self.release(&mut state);
        }
    }

    /// From now on it carries a stream, and stays as long as that does.
    pub(crate) fn keep(&self) {
        let mut state = self.state();
        if state.phase != Phase::Cut {
            state.phase = Phase::Kept;
            self.release(&mut state);
        }
    }

    /// Since when it could be cut for the sake of others; `None` where it must not be.
    fn spare_since(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Idle | Phase::Busy => Some(state.since),
            Phase::Kept | Phase::Cut => None,
        }
    }

    /// How long its request has been under way, and what it holds; `None` where there is none.
    fn under_way(&self) -> Option<(Duration, usize)> {
        let state = self.state();
        (state.phase == Phase::Busy).then(|| (state.since.elapsed(), state.held))
    }

    fn release(&self, state: &mut State) {
        self.0.table.subtract(std::mem::take(&mut state.held));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
