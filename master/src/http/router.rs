//! Which path is what.

use api::http::route;
use bytes::Bytes;
use http::{Method, StatusCode};

use super::body::Body;
use super::negotiate::{self, Media};
use super::pieces::Made;
use super::respond::Refusal;
use super::{
    Request, Response, gate, legacy, operator, pack, process, redirect, respond, scheduler,
};
use crate::access::Identity;
use crate::connection::Connection;
use crate::handle::Handle;
use crate::state;

pub(crate) use super::query::Query;

/// The answer to any request but those of agents' links.
pub(crate) async fn route(loop_: &Handle, connection: Connection, request: Request) -> Response {
    let gzip = negotiate::accepts_gzip(request.headers());
    let mut response = dispatch(loop_, connection, request).await;
    if gzip {
        pack::pack(&mut response);
    }
    response
}

async fn dispatch(loop_: &Handle, connection: Connection, mut request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if !path.starts_with('/') {
        return Refusal::bad_request("Request URL path must start with '/'").into();
    }
    let Some((endpoint, place)) = endpoint(&path) else {
        return respond::not_found();
    };
    if let Err(response) = gate::pass(loop_, &place, &mut request) {
        return *response;
    }
    match endpoint {
        Endpoint::Scheduler => scheduler::handle(loop_, connection, request).await,
        Endpoint::Operator => operator::handle(loop_, connection, request).await,
        Endpoint::Action(action) => legacy::handle(loop_, action, request).await,
        Endpoint::Health => respond::empty(StatusCode::OK),
        Endpoint::Redirect => redirect::answer(loop_.facts(), request.uri()),
        Endpoint::Process(asked) => process::handle(loop_, asked, &path, &request).await,
        // Any method reads, as in Mesos.
        Endpoint::Document(document) => read(loop_, document, &request).await,
        Endpoint::Either(document, _) if request.method() == Method::GET => {
            read(loop_, document, &request).await
        }
        Endpoint::Either(_, Some(action)) => legacy::handle(loop_, action, request).await,
        Endpoint::Either(_, None) => Refusal::method("GET", request.method()).into(),
    }
}

async fn read(loop_: &Handle, document: state::Document, request: &Request) -> Response {
    let query = Query(request.uri().query().unwrap_or_default());
    let identity = Identity::of(request.extensions());
    match state::document(loop_, document, &query, &identity).await {
        Ok(made) => made_json(made, &query),
        Err(fault) => Refusal::bad_request(fault).into(),
    }
}

/// A place that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Scheduler,
    Operator,
    Health,
    Redirect,
    Action(legacy::Action),
    Document(state::Document),
    /// Read by GET alone, and changed by other methods if at all.
    Either(state::Document, Option<legacy::Action>),
    Process(process::Place),
}

/// The endpoint at a path, and its own path.
fn endpoint(path: &str) -> Option<(Endpoint, String)> {
    route::find(path, &process::PARTS, "master", |part, name| match part {
        "master" => of_master(name),
        part => of_process(part, name),
    })
}

/// The master's own endpoints.
fn of_master(name: &str) -> Option<Endpoint> {
    use state::Document as D;
    Some(match name {
        "api/v1/scheduler" => Endpoint::Scheduler,
        "api/v1" => Endpoint::Operator,
        "health" => Endpoint::Health,
        "redirect" => Endpoint::Redirect,
        "reserve" => Endpoint::Action(legacy::Action::Reserve),
        "unreserve" => Endpoint::Action(legacy::Action::Unreserve),
        "create-volumes" => Endpoint::Action(legacy::Action::CreateVolumes),
        "destroy-volumes" => Endpoint::Action(legacy::Action::DestroyVolumes),
        "teardown" => Endpoint::Action(legacy::Action::Teardown),
        "machine/down" => Endpoint::Action(legacy::Action::MachineDown),
        "machine/up" => Endpoint::Action(legacy::Action::MachineUp),
        "maintenance/schedule" => {
            let update = legacy::Action::MaintenanceSchedule;
            Endpoint::Either(D::MaintenanceSchedule, Some(update))
        }
        "maintenance/status" => Endpoint::Either(D::MaintenanceStatus, None),
        "quota" => Endpoint::Either(D::Quota, Some(legacy::Action::Quota)),
        "weights" => Endpoint::Either(D::Weights, Some(legacy::Action::Weights)),
        "state" => Endpoint::Document(D::State),
        "state-summary" => Endpoint::Document(D::StateSummary),
        "slaves" => Endpoint::Document(D::Slaves),
        "frameworks" => Endpoint::Document(D::Frameworks),
        "tasks" => Endpoint::Document(D::Tasks),
        "roles" => Endpoint::Document(D::Roles),
        "flags" => Endpoint::Document(D::Flags),
        _ => return None,
    })
}

/// Endpoints of the process, which every program with libprocess has.
fn of_process(part: &str, name: &str) -> Option<Endpoint> {
    use process::Place as P;
    use state::Document as D;
    Some(match (part, name) {
        ("version", "") => Endpoint::Document(D::Version),
        ("metrics", "snapshot") => Endpoint::Document(D::Metrics),
        ("system", "stats.json") => Endpoint::Document(D::SystemStats),
        ("registrar(1)", "registry") => Endpoint::Document(D::Registry),
        ("metrics", "") => Endpoint::Process(P::Prometheus),
        ("files", "browse") => Endpoint::Process(P::Browse),
        ("files", "read") => Endpoint::Process(P::Read),
        ("files", "download") => Endpoint::Process(P::Download),
        ("files", "debug") => Endpoint::Process(P::Debug),
        ("logging", "toggle") => Endpoint::Process(P::Logging),
        ("profiler", "start" | "stop") => Endpoint::Process(P::Profiler),
        ("__processes__", "") => Endpoint::Process(P::Processes),
        ("help", "") => Endpoint::Process(P::Help),
        ("help", part) if process::help::HELP.knows(part) => Endpoint::Process(P::Help),
        _ => return None,
    })
}

/// Whether a connection whose first request begins so is one of somebody who reads documents.
pub(crate) fn begins_with_document(request: &[u8]) -> bool {
    let line = request.split(|byte| *byte == b'\n').next();
    let target = line.and_then(|line| line.split(|byte| *byte == b' ').nth(1));
    let path = target.and_then(|target| target.split(|byte| *byte == b'?').next());
    let path = path.and_then(|path| std::str::from_utf8(path).ok());
    let found = path.filter(|path| path.starts_with('/')).and_then(endpoint);
    matches!(found, Some((Endpoint::Document(_), _)))
}

/// 200 with a document of JSON that was made, in which the function is called already.
fn made_json(made: Made, query: &Query<'_>) -> Response {
    let kind = match query.get("jsonp") {
        Some(_) => respond::JAVASCRIPT,
        None => Media::Json.name(),
    };
    match made {
        Made::Whole(text) => respond::page(kind, text),
        Made::Pieces(pieces) => {
            let mut response = respond::page(kind, Bytes::new());
            *response.body_mut() = Body::Pieces(Box::new(pieces));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_with_a_document_is_told_from_who_schedules() {
        for (request, expected) in [
            ("GET /master/state HTTP/1.1\r\nHost: m\r\n\r\n", true),
            ("GET /state?jsonp=f HTTP/1.0\n", true),
            ("POST /tasks HTTP/1.1\r\n", true),
            ("POST /master/api/v1/scheduler HTTP/1.1\r\n", false),
            ("GET /health HTTP/1.1\r\n", false),
            ("GET http://m/state HTTP/1.1\r\n", false),
            ("GET \u{ff} HTTP/1.1\r\n", false),
            ("", false),
        ] {
            let found = begins_with_document(request.as_bytes());
            assert_eq!(found, expected, "{request:?}");
        }
    }

    #[test]
    fn paths_are_matched_as_libprocess_does() {
        use process::Place as P;
        use state::Document as D;
        let found = |endpoint, place: &str| Some((endpoint, place.to_owned()));
        let document = |document, place| found(Endpoint::Document(document), place);
        let process = |process, place| found(Endpoint::Process(process), place);
        let teardown = Endpoint::Action(legacy::Action::Teardown);
        for (path, expected) in [
            ("/state", document(D::State, "/state")),
            ("/master/state", document(D::State, "/state")),
            ("/%6Daster/state", document(D::State, "/state")),
            ("/state/any/thing", document(D::State, "/state")),
            ("/master/slaves/", document(D::Slaves, "/slaves")),
            ("/slaves//", document(D::Slaves, "/slaves")),
            ("/master//health", found(Endpoint::Health, "/health")),
            ("/master//teardown/x", found(teardown, "/teardown")),
            (
                "/master/api/v1/scheduler/",
                found(Endpoint::Scheduler, "/api/v1/scheduler"),
            ),
            ("/api/v1", found(Endpoint::Operator, "/api/v1")),
            ("/master/api/v1/x", found(Endpoint::Operator, "/api/v1")),
            ("/version", document(D::Version, "/version")),
            ("/version/x", None),
            (
                "/metrics/snapshot",
                document(D::Metrics, "/metrics/snapshot"),
            ),
            ("/metrics/", process(P::Prometheus, "/metrics")),
            ("/files/read", process(P::Read, "/files/read")),
            ("/%66iles//debug", process(P::Debug, "/files/debug")),
            ("/files/read.json", None),
            (
                "/registrar(1)/registry",
                document(D::Registry, "/registrar(1)/registry"),
            ),
            ("/help/master/state", process(P::Help, "/help/master")),
            ("/__processes__/master", None),
            ("/master/version", None),
            ("/master/metrics/snapshot", None),
            ("/state.json", None),
            ("/master/state.json", None),
            ("/master%2Fhealth", None),
            ("//master//health", None),
            ("/master/../master/health", None),
            ("/api", None),
            ("/master", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }
}
