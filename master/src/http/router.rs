//! Which path is what. Every path of the master answers with and without `/master`.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::negotiate::{self, Media};
use super::respond::Refusal;
use super::{Request, Response, body::Body, gate, legacy, operator, redirect, respond, scheduler};
use crate::connection::Connection;
use crate::handle::Handle;
use crate::state;

/// Answers below so many bytes are not worth packing.
const GZIP_BYTES_MIN: usize = 1024;

/// The answer to any request but those of agents' links.
pub(crate) async fn route(
    loop_: &Handle,
    connection: Connection,
    mut request: Request,
) -> Response {
    let gzip = negotiate::accepts_gzip(request.headers());
    let path = request.uri().path().to_owned();
    let Some(endpoint) = endpoint(&path) else {
        return respond::not_found();
    };
    if let Err(response) = gate::pass(loop_, &mut request) {
        return response;
    }
    match endpoint {
        Endpoint::Scheduler => scheduler::handle(loop_, connection, request).await,
        Endpoint::Operator => operator::handle(loop_, request).await,
        Endpoint::Action(action) => legacy::handle(loop_, action, request).await,
        Endpoint::Health => respond::empty(StatusCode::OK),
        Endpoint::Redirect => redirect::answer(loop_.facts(), request.uri()),
        Endpoint::Document(document) => {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return Refusal::method("GET", request.method()).into();
            }
            let query = request.uri().query().unwrap_or_default();
            let text = match state::document(loop_, document, &Query(query)).await {
                Ok(text) => text,
                Err(fault) => return Refusal::bad_request(fault).into(),
            };
            json(text, Query(query).get("jsonp"), gzip)
        }
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
}

fn endpoint(path: &str) -> Option<Endpoint> {
    use state::Document as D;
    // One slash at the end is no difference.
    let path = path.strip_suffix('/').unwrap_or(path);
    let own = path.strip_prefix("/master").unwrap_or(path);
    Some(match own {
        "/api/v1/scheduler" => Endpoint::Scheduler,
        "/api/v1" => Endpoint::Operator,
        "/health" => Endpoint::Health,
        "/redirect" => Endpoint::Redirect,
        own if own.starts_with("/redirect/") => Endpoint::Redirect,
        "/teardown" => Endpoint::Action(legacy::Action::Teardown),
        "/state" => Endpoint::Document(D::State),
        "/state-summary" => Endpoint::Document(D::StateSummary),
        "/slaves" => Endpoint::Document(D::Slaves),
        "/frameworks" => Endpoint::Document(D::Frameworks),
        "/tasks" => Endpoint::Document(D::Tasks),
        "/roles" => Endpoint::Document(D::Roles),
        "/flags" => Endpoint::Document(D::Flags),
        // These belong to the process, not to the master: they have no prefix.
        _ => match path {
            "/version" => Endpoint::Document(D::Version),
            "/metrics/snapshot" => Endpoint::Document(D::Metrics),
            "/system/stats.json" => Endpoint::Document(D::SystemStats),
            _ => return None,
        },
    })
}

fn json(text: Bytes, jsonp: Option<String>, gzip: bool) -> Response {
    let mut response = match jsonp {
        None => respond::ok(Media::Json, text),
        Some(function) => {
            let wrapped = [function.as_bytes(), b"(", &text, b")"].concat();
            let mut response = Response::new(Body::whole(wrapped));
            response.headers_mut().insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("text/javascript"),
            );
            response
        }
    };
    if gzip {
        pack(&mut response);
    }
    response
}

/// Packs an answer that is large enough.
pub(super) fn pack(response: &mut Response) {
    use std::io::Write;
    let Body::Whole(Some(bytes)) = response.body() else {
        return;
    };
    if bytes.len() < GZIP_BYTES_MIN {
        return;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    // Writing into memory does not go wrong; if it did, the answer would go out as it is.
    if let Ok(packed) = packed {
        *response.body_mut() = Body::whole(packed);
        response.headers_mut().insert(
            http::header::CONTENT_ENCODING,
            http::HeaderValue::from_static("gzip"),
        );
    }
}

/// The query of a request.
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl Query<'_> {
    /// The first value of this name, decoded.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(found) == name).then(|| percent_decode(value))
        })
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |digit: &u8| char::from(*digit).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let byte = hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0);
                bytes.push(u8::try_from(byte).unwrap_or(b'?'));
                rest = tail;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_answer_with_and_without_the_prefix_and_never_with_json_at_the_end() {
        use state::Document as D;
        for (path, expected) in [
            ("/state", Some(Endpoint::Document(D::State))),
            ("/master/state", Some(Endpoint::Document(D::State))),
            ("/master/slaves/", Some(Endpoint::Document(D::Slaves))),
            ("/api/v1/scheduler", Some(Endpoint::Scheduler)),
            ("/master/api/v1/scheduler/", Some(Endpoint::Scheduler)),
            ("/api/v1", Some(Endpoint::Operator)),
            ("/master/api/v1", Some(Endpoint::Operator)),
            ("/version", Some(Endpoint::Document(D::Version))),
            ("/master/version", None),
            ("/state.json", None),
            ("/master/state.json", None),
            ("/master//health", None),
            ("//master/health", None),
            ("/master/../master/health", None),
            ("/master/redirect/x", Some(Endpoint::Redirect)),
            ("/master", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }

    #[test]
    fn query_values_are_decoded() {
        let query = Query("a=b%20c&d=e+f&g&h=%zz%4");
        assert_eq!(query.get("a").as_deref(), Some("b c"));
        assert_eq!(query.get("d").as_deref(), Some("e f"));
        assert_eq!(query.get("g").as_deref(), Some(""));
        assert_eq!(query.get("h").as_deref(), Some("%zz%4"));
        assert_eq!(query.get("x"), None);
    }
}
