//! Connections: how many are served at a time, and what a stream gives back.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

/// The place of a connection among those that are served at the same time.
///
/// A stream that has a bound of its own gives it back, so that as many executors as there may be do
/// not keep readers out.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    /// Somebody else may have it.
    pub(super) fn give_back(&self) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(place.take());
    }
}
