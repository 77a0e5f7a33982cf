//! The log, one for the process, on standard error: a line an event.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use agent_kernel::clock;
use api::http::verbosity::Verbosity;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LoggingLevel;
use crate::init::Machine;

/// The filter of the log and what it lets through as it was configured, where there is a log.
static FILTER: OnceLock<(Handle<LevelFilter, Registry>, LevelFilter)> = OnceLock::new();

/// Begins to log; to be called once, at the start of the program.
pub fn start(level: LoggingLevel, machine: Machine) {
    let level = match level {
        LoggingLevel::Debug => LevelFilter::DEBUG,
        LoggingLevel::Info => LevelFilter::INFO,
        LoggingLevel::Warning => LevelFilter::WARN,
        LoggingLevel::Error => LevelFilter::ERROR,
    };
    let (filter, handle) = reload::Layer::new(level);
    let log = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        // A console that is gone must not make a panic of each event.
        .log_internal_errors(false);
    let started = match machine {
        // A serial line is read by programs and in files, and the clock may not be right yet.
        Machine::Whole | Machine::Namespace => log
            .with(lines.with_ansi(false).with_timer(SinceBoot))
            .try_init(),
        Machine::Host => log
            .with(
                lines
                    .with_ansi(io::stderr().is_terminal())
                    .with_timer(SystemTime),
            )
            .try_init(),
    };
    // A second start changes nothing.
    if started.is_ok() {
        drop(FILTER.set((handle, level)));
    }
}

/// What operators set how much is logged by: level 0 is what the agent was configured with.
pub(crate) fn verbosity() -> Verbosity {
    Verbosity::new(|level| {
        tracing::info!(level, "level of the log is set");
        let Some((handle, configured)) = FILTER.get() else {
            return;
        };
        let wanted = match level {
            0 => LevelFilter::OFF,
            1 => LevelFilter::DEBUG,
            2.. => LevelFilter::TRACE,
        };
        if let Err(error) = handle.reload(wanted.max(*configured)) {
            tracing::warn!(%error, "set the level of the log");
        }
    })
}

/// Seconds since the kernel's start, as its own log has them.
struct SinceBoot;

impl FormatTime for SinceBoot {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:9.3}", clock::since_boot().as_secs_f64())
    }
}
