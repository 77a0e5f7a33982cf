//! Request: the bytes that go to the master, made of recorded ones and of this run's ids.

use std::net::SocketAddr;

use api::descriptor::Message;
use serde_json::Value;

use super::case::Case;
use super::ids::{self, Ids, Piece};
use super::streams::Unrecorded;

/// What stands in recordings for the folder that they were made in.
const FOLDER: &[u8] = b"<WORK_DIR>";

/// The recorded request with the ids of this run.
pub(crate) fn bytes(case: &Case, ids: &Ids, address: SocketAddr) -> Vec<u8> {
    let request = &case.request;
    let recorded = request.body();
    // What stands for a folder has another length than it had.
    let names_folder = recorded.windows(FOLDER.len()).any(|part| part == FOLDER);
    let body = body(case, ids).unwrap_or_else(|| recorded.clone());
    let host = request.header("Host").unwrap_or_default();
    let line = ids.rewrite(&request.line);
    // An agent of several in a process is the only one of its process here.
    let line = match request.slave() {
        Some((name, number)) => {
            let only = name.replacen(&number.to_string(), "1", 1);
            line.replacen(name, &only, 1)
        }
        None => line,
    };
    let line = line.replace(host, &address.to_string());
    let mut head = format!("{line}\r\n");
    for (name, value) in &request.headers {
        let value = match name.to_ascii_lowercase().as_str() {
            "host" => address.to_string(),
            "content-length" if names_folder || *value == recorded.len().to_string() => {
                body.len().to_string()
            }
            _ => ids.rewrite(value),
        };
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [before(case).into_bytes(), head.into_bytes(), body].concat()
}

/// What a note says was written on the connection just before: a request whose answer came first,
/// and is the recorded one.
fn before(case: &Case) -> String {
    let note = case.notes.as_deref().unwrap_or_default();
    let said = note.split_once(" was written just before on the same connection");
    let Some((line, host)) = said.and_then(|(said, _)| said.split_once(" (Host: ")) else {
        return String::new();
    };
    let host = host.trim_end_matches(')');
    format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// The body with the ids of this run; `None` where there are none in it.
fn body(case: &Case, ids: &Ids) -> Option<Vec<u8>> {
    let body = case.request.body();
    let message = message(case).filter(|_| is_protobuf(case));
    let Some(message) = message else {
        let text = std::str::from_utf8(&body).ok()?;
        let rewritten = ids.rewrite(text);
        // The length of a chunk would have to follow; no recorded one holds an id.
        return (rewritten != text).then(|| rewritten.into_bytes());
    };
    let text = api::json::wire_to_json(message, &body).ok()?;
    let rewritten = ids.rewrite(&text);
    if rewritten == text {
        return None;
    }
    api::json::json_to_wire(message, rewritten.as_bytes()).ok()
}

fn is_protobuf(case: &Case) -> bool {
    case.request.header("Content-Type") == Some("application/x-protobuf")
}

/// What the call of this case is.
fn message(case: &Case) -> Option<&'static Message> {
    case.call_name().and_then(Message::named)
}

/// The call as JSON, where it is one.
pub(crate) fn call(case: &Case) -> Option<Value> {
    let body = case.request.body();
    if !is_protobuf(case) {
        return serde_json::from_slice(&body).ok();
    }
    let text = api::json::wire_to_json(message(case)?, &body).ok()?;
    serde_json::from_str(&text).ok()
}

/// Every id that the request names.
pub(crate) fn ids(case: &Case) -> Vec<String> {
    let body = call(case).map_or_else(
        || String::from_utf8_lossy(&case.request.body()).into_owned(),
        |call| call.to_string(),
    );
    ids_in(&format!("{} {body}", case.request.line))
}

/// The ids of the masters that gave out what a case names.
pub(super) fn masters(case: &Case) -> Vec<String> {
    let shown = case.events().map(|event| event.value().to_string());
    let shown = shown.flat_map(|event| ids_in(&event));
    let named = ids(case).into_iter().chain(shown);
    named
        .filter_map(|id| ids::prefix(&id).map(str::to_owned))
        .collect()
}

/// The ids in a text.
pub(crate) fn ids_in(text: &str) -> Vec<String> {
    let ids = ids::pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Id(id) => Some(id.to_owned()),
            Piece::Text(_) => None,
        });
    ids.collect()
}

/// A call that was not recorded.
pub(crate) fn unrecorded(unrecorded: &Unrecorded) -> Vec<u8> {
    let body = unrecorded.call.to_string();
    // A subscription has none.
    let id = match unrecorded.stream_id.as_str() {
        "" => String::new(),
        id => format!("Mesos-Stream-Id: {id}\r\n"),
    };
    format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: master\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\n{id}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
