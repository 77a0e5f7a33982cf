//! Which path is what; every one of the agent's own with and without `/slave(1)` before it.

use std::sync::Arc;

use ::api::http::prometheus;
use ::api::http::query::Query;
use ::api::http::respond::{self, Refusal};
use ::api::http::route;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::containers::Wanted;
use super::files::download::download;
use super::help::HELP;
use super::{Answer, Context, api, executor, explain, files, metrics, state, upgrade};
use crate::again::Failure;
use crate::description::VERSION;

/// The name of the agent among the parts of the program.
const AGENT: &str = "slave(1)";

/// The parts that paths begin with.
const PARTS: [&str; 9] = [
    "files",
    "help",
    "logging",
    "metrics",
    "profiler",
    AGENT,
    "system",
    "version",
    "__processes__",
];

/// A document that is made of what the agent knows.
type Document = fn(&Context) -> Value;

/// A place that answers.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Operator,
    Executor,
    Health,
    Document(Document),
    Containers,
    Explain,
    Browse,
    Read,
    Download,
    Verbosity,
    Help,
    Prometheus,
    Profiler,
    Failure,
    Upgrade,
}

/// The answer to any request.
pub(super) async fn route(context: &Arc<Context>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    if !path.starts_with('/') {
        return Refusal::bad_request("Request URL path must start with '/'").into();
    }
    let Some((endpoint, _)) = route::find(path, &PARTS, AGENT, look) else {
        return respond::not_found();
    };
    if let Endpoint::Operator = endpoint {
        return api::handle(context, request).await;
    }
    if let Endpoint::Executor = endpoint {
        return executor::handle(context, request).await;
    }
    if let Endpoint::Upgrade = endpoint {
        return upgrade::handle(context, request).await;
    }
    if let Endpoint::Failure = endpoint {
        return failure(context, &request);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Refusal::method("GET", request.method()).into();
    }
    let query = Query(request.uri().query().unwrap_or_default());
    let answered = match endpoint {
        Endpoint::Operator
        | Endpoint::Executor
        | Endpoint::Health
        | Endpoint::Failure
        | Endpoint::Upgrade => Ok(respond::empty(StatusCode::OK)),
        Endpoint::Document(make) => rendered(context, &query, make).await,
        Endpoint::Containers => containers(context, &query).await,
        Endpoint::Explain => explained(context, &query).await,
        Endpoint::Browse => files::browse(context, &query).await,
        Endpoint::Read => files::read(context, &query).await,
        Endpoint::Download => download(context, &query, request.headers()).await,
        Endpoint::Verbosity => context.verbosity.toggle(&query),
        Endpoint::Help => HELP.page(request.uri().path(), &query, request.headers()),
        Endpoint::Prometheus => {
            let numbers = context.beside(metrics::all).await;
            numbers.map(|numbers| prometheus::page(&numbers))
        }
        Endpoint::Profiler => Err(Refusal::bad_request(
            "Perftools is disabled. To enable perftools, configure libprocess with \
             --enable-perftools.\n",
        )),
    };
    answered.unwrap_or_else(Into::into)
}

fn look(part: &str, name: &str) -> Option<Endpoint> {
    Some(match (part, name) {
        (AGENT, "api/v1") => Endpoint::Operator,
        (AGENT, "api/v1/executor") => Endpoint::Executor,
        (AGENT, "health") => Endpoint::Health,
        (AGENT, "failure") => Endpoint::Failure,
        (AGENT, "upgrade") => Endpoint::Upgrade,
        (AGENT, "flags") => Endpoint::Document(|context| json!({ "flags": context.flags })),
        (AGENT, "state") => Endpoint::Document(state::state),
        (AGENT, "containers") => Endpoint::Containers,
        (AGENT, "explain") => Endpoint::Explain,
        (AGENT, "containerizer/debug") => Endpoint::Document(|_| json!({ "pending": [] })),
        (AGENT, "monitor/statistics") => Endpoint::Document(state::statistics),
        ("version", "") => Endpoint::Document(|_| version()),
        ("help", "") => Endpoint::Help,
        ("help", part) if HELP.knows(part) => Endpoint::Help,
        ("metrics", "") => Endpoint::Prometheus,
        ("profiler", "start" | "stop") => Endpoint::Profiler,
        ("metrics", "snapshot") => Endpoint::Document(metrics::snapshot),
        ("system", "stats.json") => Endpoint::Document(|_| metrics::system()),
        ("__processes__", "") => Endpoint::Document(|_| processes()),
        ("files", "debug") => Endpoint::Document(files::debug),
        ("files", "browse") => Endpoint::Browse,
        ("files", "read") => Endpoint::Read,
        ("files", "download") => Endpoint::Download,
        ("logging", "toggle") => Endpoint::Verbosity,
        _ => return None,
    })
}

/// `POST /failure?kind=KIND`, and with `next=true` of the program that is to take this one's place, for tests of what becomes of an agent that fails (`--failure_test`).
fn failure(context: &Context, request: &Request<Incoming>) -> Answer {
    if !context.failure_test {
        return respond::not_found();
    }
    if request.method() != Method::POST {
        return Refusal::method("POST", request.method()).into();
    }
    let query = Query(request.uri().query().unwrap_or_default());
    let kind = query.get("kind").unwrap_or_default();
    match Failure::named(&kind) {
        Some(_) if query.get("next").as_deref() == Some("true") => {
            context.upgrades.next_fails(&kind);
            respond::empty(StatusCode::ACCEPTED)
        }
        Some(failure) => {
            context.handle.fail(failure);
            respond::empty(StatusCode::ACCEPTED)
        }
        None => Refusal::bad_request(format!(
            "'{kind}' is no kind of failure: {}",
            Failure::NAMES.join(", ")
        ))
        .into(),
    }
}

async fn rendered(
    context: &Arc<Context>,
    query: &Query<'_>,
    make: Document,
) -> Result<Answer, Refusal> {
    let made = context.beside(move |context| make(context).to_string());
    Ok(respond::json(made.await?, query))
}

async fn containers(context: &Arc<Context>, query: &Query<'_>) -> Result<Answer, Refusal> {
    let wanted = Wanted::parse(query)?;
    let made = context.beside(move |context| state::containers(context, &wanted).to_string());
    Ok(respond::json(made.await?, query))
}

async fn explained(context: &Arc<Context>, query: &Query<'_>) -> Result<Answer, Refusal> {
    let wanted = explain::Wanted::parse(query)?;
    let made = context.beside(move |context| explain::explain(context, &wanted));
    Ok(respond::json(made.await??.to_string(), query))
}

fn version() -> Value {
    json!({
        "git_sha": "",
        "git_tag": VERSION,
        "build_date": "",
        "build_time": 0.0,
        "build_user": "",
        "version": VERSION,
    })
}

/// The parts; none of them has a queue of events that could be shown.
fn processes() -> Value {
    let part = |id: &&str| json!({ "events": [], "id": id });
    PARTS.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_paths_answer_with_and_without_its_name() {
        let known = |path: &str| route::find(path, &PARTS, AGENT, look).map(|(_, place)| place);
        for (path, place) in [
            ("/state", Some("/state")),
            ("/slave(1)/state", Some("/state")),
            ("/slave%281%29/state", Some("/state")),
            ("/slave(1)/api/v1", Some("/api/v1")),
            ("/api/v1/", Some("/api/v1")),
            ("/slave(1)/api/v1/executor", Some("/api/v1/executor")),
            ("/slave(1)/explain", Some("/explain")),
            ("/files/read", Some("/files/read")),
            ("/version", Some("/version")),
            ("/slave(2)/state", None),
            ("/slave(1)/state.json", None),
            ("/slave(1)/version", None),
            ("/slave(1)/files/read", None),
            ("/state/../flags", None),
            ("/slave(1)", None),
            ("/", None),
        ] {
            assert_eq!(known(path).as_deref(), place, "{path}");
        }
    }
}
