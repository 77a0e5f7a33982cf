//! Resend: when what waits for its acknowledgement is sent again.
//!
//! The wait begins at [`RETRY_MIN`] and doubles up to [`RETRY_MAX`]. While there is no master nothing
//! is sent, and no wait runs.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use model::Instant;

/// The first wait for an acknowledgement (Mesos' `STATUS_UPDATE_RETRY_INTERVAL_MIN`).
pub const RETRY_MIN: Duration = Duration::from_secs(10);
/// The longest wait; each wait is twice the one before (`STATUS_UPDATE_RETRY_INTERVAL_MAX`).
pub const RETRY_MAX: Duration = Duration::from_secs(600);

/// Whether there is a master to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Held,
    Open,
}

/// What is with the master, by what names it.
#[derive(Debug)]
pub(crate) struct Resend<K> {
    flow: Flow,
    /// When each is sent again, and the wait that ends then.
    waits: BTreeMap<K, (Instant, Duration)>,
    due: BTreeSet<(Instant, K)>,
}

impl<K> Default for Resend<K> {
    fn default() -> Self {
        Self {
            flow: Flow::Held,
            waits: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Resend<K> {
    /// Whether there is a master to send to.
    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// A master is there.
    pub(crate) fn resume(&mut self) {
        self.flow = Flow::Open;
    }

    /// The master is gone, and with it all that was sent.
    pub(crate) fn pause(&mut self) {
        *self = Self::default();
    }

    /// It is sent now; a wait begins.
    pub(crate) fn sent(&mut self, now: Instant, key: &K, wait: Duration) {
        let at = now + wait;
        if let Some((before, _)) = self.waits.insert(key.clone(), (at, wait)) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((at, key.clone()));
    }

    /// It needs not be sent again.
    pub(crate) fn forget(&mut self, key: &K) {
        if let Some((at, _)) = self.waits.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// What is to be sent again, each with its next wait.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(K, Duration)> {
        let mut all = Vec::new();
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            let wait = self.waits.remove(&key).map_or(RETRY_MIN, |(_, wait)| wait);
            self.due.remove(&(at, key.clone()));
            all.push((key, (wait * 2).min(RETRY_MAX)));
        }
        all
    }

    /// When [`Self::due`] next has something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}
