//! The virtual clock: what is going to happen, in order.
//!
//! Happenings of one instant come in the order in which they were put in, so that a run is the same
//! every time.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Instant;

/// Happenings to come.
#[derive(Debug)]
pub struct Queue<T> {
    now: Instant,
    order: u64,
    items: BTreeMap<(Instant, u64), T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            now: Instant::ZERO,
            order: 0,
            items: BTreeMap::new(),
        }
    }
}

impl<T> Queue<T> {
    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Puts something in, to happen after a delay.
    pub fn after(&mut self, delay: Duration, item: T) {
        self.at(self.now + delay, item);
    }

    /// Puts something in, to happen at an instant; at once if that is past.
    pub fn at(&mut self, at: Instant, item: T) {
        self.order += 1;
        self.items.insert((at.max(self.now), self.order), item);
    }

    /// Takes the next happening out and moves the clock to it.
    pub fn pop(&mut self) -> Option<T> {
        let ((at, _), item) = self.items.pop_first()?;
        self.now = at;
        Some(item)
    }
}
