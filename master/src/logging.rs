//! The log, one for the process, on standard error.

use std::sync::OnceLock;

use api::http::verbosity::Verbosity;
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

/// A level that begins at 0.
pub(crate) fn verbosity() -> Verbosity {
    Verbosity::new(|level| {
        tracing::info!(level, "level of the log is set");
        if let Some(handle) = FILTER.get()
            && let Err(error) = handle.reload(filter(level))
        {
            tracing::warn!(%error, "set the level of the log");
        }
    })
}

const fn filter(level: u32) -> LevelFilter {
    match level {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    }
}
