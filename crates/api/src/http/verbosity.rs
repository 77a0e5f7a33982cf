//! How much is logged: a level that an operator raises for a while, and that comes down by itself.
//!
//! Level 0 is what every run logs; 1 adds what helps to find a fault, 2 and more add everything.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::task::AbortHandle;

use super::query::{self, Query};
use super::respond::{self, Refusal};

/// The level that is in force.
#[derive(Debug, Clone)]
pub struct Verbosity(Arc<State>);

#[derive(Debug)]
struct State {
    level: AtomicU32,
    /// Puts a level in force.
    apply: fn(u32),
    /// Counts the settings, so that the end of an earlier one leaves a later one alone.
    settings: AtomicU64,
    /// Waits for the end of the newest one: there is no more than one such task.
    end: Mutex<Option<AbortHandle>>,
}

impl Verbosity {
    /// Level 0, which is in force; others are put in force by `apply`.
    #[must_use]
    pub fn new(apply: fn(u32)) -> Self {
        Self(Arc::new(State {
            level: AtomicU32::new(0),
            apply,
            settings: AtomicU64::new(0),
            end: Mutex::new(None),
        }))
    }

    /// The level in force.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// Sets the level for so long; after that it is 0 again.
    pub fn set(&self, level: u32, time: Duration) {
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
        if self.0.level.swap(level, Ordering::Relaxed) != level {
            (self.0.apply)(level);
        }
    }

    /// `/logging/toggle`: tells the level, or sets it for a while.
    ///
    /// # Errors
    /// What is wrong with the query, in Mesos' words.
    pub fn toggle<B: From<bytes::Bytes>>(&self, query: &Query<'_>) -> Result<Response<B>, Refusal> {
        let (level, time) = match (query.get("level"), query.get("duration")) {
            (None, None) => {
                return Ok(respond::page(respond::TEXT, format!("{}\n", self.level())));
            }
            (Some(_), None) => return Err(missing("duration")),
            (None, Some(_)) => return Err(missing("level")),
            (Some(level), Some(time)) => (level, time),
        };
        let number: i64 = level.parse().map_err(|_| {
            Refusal::bad_request(format!("Failed to convert '{level}' to number.\n"))
        })?;
        let level = u32::try_from(number)
            .map_err(|_| Refusal::bad_request(format!("Invalid level '{number}'.\n")))?;
        let time =
            query::duration(&time).map_err(|fault| Refusal::bad_request(format!("{fault}.\n")))?;
        self.set(level, time);
        Ok(respond::empty(StatusCode::OK))
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::bad_request(format!("Expecting '{name}=value' in query.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_level_comes_down_by_itself_and_a_later_setting_outlives_an_earlier_one() {
        let verbosity = Verbosity::new(|_| {});
        verbosity.set(1, Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(5)).await;
        verbosity.set(2, Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(verbosity.level(), 2);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(verbosity.level(), 0);
    }
}
