//! How much is logged: a level that an operator raises for a while.
//!
//! Level 0 is what every run logs; 1 adds what helps to find a fault, 2 and more add everything. The
//! log is one for the process, as is the level that is in force; a level set comes down by itself.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

/// The filter of the log, where this process has one.
static FILTER: OnceLock<Handle<LevelFilter, Registry>> = OnceLock::new();

/// Begins to log to standard error; to be called once, at the start of the program.
pub fn start() {
    let (filter, handle) = reload::Layer::new(filter(0));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    // A second start changes nothing.
    if started.is_ok() {
        drop(FILTER.set(handle));
    }
}

/// The level that is in force.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logging(Arc<State>);

#[derive(Debug, Default)]
struct State {
    level: AtomicU32,
    /// Counts the settings, so that the end of an earlier one leaves a later one alone.
    settings: AtomicU64,
    /// Waits for the end of the newest one: there is no more than one such task.
    end: Mutex<Option<AbortHandle>>,
}

impl Logging {
    /// The level in force.
    pub(crate) fn level(&self) -> u32 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// Sets the level for so long; after that it is 0 again.
    pub(crate) fn set(&self, level: u32, time: Duration) {
        let setting = self.0.settings.fetch_add(1, Ordering::Relaxed) + 1;
        self.apply(level);
        if level == 0 {
            return;
        }
        let this = self.clone();
        let end = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if this.0.settings.load(Ordering::Relaxed) == setting {
                this.apply(0);
            }
        });
        let mut waiting = self.0.end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = waiting.replace(end.abort_handle()) {
            before.abort();
        }
    }

    fn apply(&self, level: u32) {
        if self.0.level.swap(level, Ordering::Relaxed) == level {
            return;
        }
        tracing::info!(level, "level of the log is set");
        if let Some(handle) = FILTER.get()
            && let Err(error) = handle.reload(filter(level))
        {
            tracing::warn!(%error, "set the level of the log");
        }
    }
}

const fn filter(level: u32) -> LevelFilter {
    match level {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_level_comes_down_by_itself_and_a_later_setting_outlives_an_earlier_one() {
        let logging = Logging::default();
        logging.set(1, Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(5)).await;
        logging.set(2, Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(logging.level(), 2);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(logging.level(), 0);
    }
}
