//! The log, one for the process, on standard error.

use std::sync::OnceLock;

use api::http::verbosity::Verbosity;
use master_core::event::Note;
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

/// Writes down what changed in the core.
pub(crate) fn note(note: &Note) {
    match note {
        Note::Framework {
            framework_id,
            change,
        } => tracing::info!(%framework_id, change, "framework changed state"),
        Note::Agent { agent_id, change } => {
            tracing::info!(%agent_id, change, "agent changed state");
        }
        Note::Task {
            framework_id,
            task_id,
            agent_id,
            from,
            to,
            reason,
        } => {
            let reason = reason.map_or("", model::Reason::name);
            tracing::info!(%task_id, %framework_id, %agent_id, %from, %to, reason, "task changed state");
        }
        Note::Role { role, change } => tracing::info!(%role, change, "role has a new setting"),
        Note::Dropped { what, why } => tracing::warn!(what, why, "dropped"),
    }
}
