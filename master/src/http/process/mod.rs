//! Endpoints that belong to the process, not to the master: files, help, log level, metrics.
//!
//! Every program made with libprocess has them, under the names of its parts.

mod files;
pub(crate) mod help;

use api::http::prometheus;
use serde_json::{Value, json};

use super::query::Query;
use super::respond::{self, Refusal};
use super::{Request, Response};
use crate::handle::Handle;
use crate::state;

/// The parts of the program that paths begin with.
pub(crate) const PARTS: [&str; 11] = [
    "__processes__",
    "allocator",
    "files",
    "help",
    "logging",
    "master",
    "metrics",
    "profiler",
    "registrar(1)",
    "system",
    "version",
];

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A listing of a virtual folder.
    Browse,
    /// A part of a file.
    Read,
    /// A whole file.
    Download,
    /// The virtual files, each with the real one.
    Debug,
    /// Texts for people.
    Help,
    /// The verbosity of the log.
    Logging,
    /// A profiler that is not there.
    Profiler,
    /// The parts of the program.
    Processes,
    /// Metrics in the form of Prometheus.
    Prometheus,
}

/// Answers a request for one of them.
pub(crate) async fn handle(
    loop_: &Handle,
    place: Place,
    path: &str,
    request: &Request,
) -> Response {
    let query = Query(request.uri().query().unwrap_or_default());
    let outcome = match place {
        Place::Browse => files::browse(loop_.files(), &query),
        Place::Read => files::read(loop_.files(), &query).await,
        Place::Download => files::download(loop_.files(), &query).await,
        Place::Debug => Ok(respond::json(
            files::debug(loop_.files()).to_string(),
            &query,
        )),
        Place::Help => help::HELP.page(path, &query, request.headers()),
        Place::Logging => loop_.verbosity().toggle(&query),
        Place::Profiler => Err(Refusal::bad_request(
            "Perftools is disabled. To enable perftools, configure libprocess with \
             --enable-perftools.\n",
        )),
        Place::Processes => Ok(respond::json(processes().to_string(), &query)),
        Place::Prometheus => Ok(prometheus::page(&state::metrics(loop_).await)),
    };
    outcome.unwrap_or_else(Response::from)
}

/// The parts; none of them has a queue of events that could be shown.
fn processes() -> Value {
    let part = |id: &&str| json!({ "events": [], "id": id });
    PARTS.iter().map(part).collect()
}
