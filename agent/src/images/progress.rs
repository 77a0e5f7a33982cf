//! Progress: how far a pull is, for whoever reads the log.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::info;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(5);

/// Counters of one pull.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    bytes_total: AtomicU64,
    layers: AtomicU64,
    layers_total: AtomicU64,
}

impl Progress {
    /// A layer of so many bytes, packed, is to come.
    pub fn expects(&self, bytes: u64) {
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
        self.layers_total.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes came.
    pub fn got(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes come again.
    pub fn back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A layer is unpacked.
    pub fn unpacked(&self) {
        self.layers.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells, from time to time, for as long as it is polled.
    pub async fn tell(&self, image: &str) -> Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            info!(
                image,
                bytes = self.bytes.load(Ordering::Relaxed),
                bytes_total = self.bytes_total.load(Ordering::Relaxed),
                layers = self.layers.load(Ordering::Relaxed),
                layers_total = self.layers_total.load(Ordering::Relaxed),
                "pulling image"
            );
        }
    }
}
