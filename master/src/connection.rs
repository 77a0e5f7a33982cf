//! One connection, as its requests see it: where it comes from, and how to cut it.
//!
//! A reader that does not read cannot be told anything: its connection is dropped as a whole.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;

/// A handle on a connection; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    peer: SocketAddr,
    cut: Arc<Notify>,
}

impl Connection {
    /// A connection from `peer`.
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            cut: Arc::new(Notify::new()),
        }
    }

    /// Where it comes from.
    pub(crate) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Drops the connection with whatever waits on it.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Returns once [`Self::cut`] was called.
    pub(crate) async fn was_cut(&self) {
        self.cut.notified().await;
    }
}
