//! Compare: the first difference between what was recorded and what came.
//!
//! Ids are bound (`ids`), times, addresses and names of this machine are only looked at for their
//! kind, and so are figures and flags. Resources, and things with ids, may stand in any order.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::case::{self, Answer};
use super::http::Reply;
use super::ids::Ids;

/// Fields whose values differ from run to run, or from machine to machine.
const ABSTRACT: [&str; 30] = [
    "build_date",
    "build_time",
    "build_user",
    "elected_time",
    "executor_pid",
    "git_branch",
    "git_sha",
    "git_tag",
    "hostname",
    "ip",
    "log_dir",
    "nanoseconds",
    "path",
    "pid",
    "port",
    "recovered_time",
    "registered_time",
    "reregistered_time",
    "start_time",
    "timestamp",
    "unregistered_time",
    "avg_load_15min",
    "avg_load_1min",
    "avg_load_5min",
    "cpus_total",
    "mem_free_bytes",
    "mem_total_bytes",
    "cpus_system_time_secs",
    "cpus_user_time_secs",
    "mem_rss_bytes",
];

/// Headers that a client may look at.
const HEADERS: [&str; 5] = [
    "Content-Type",
    "Transfer-Encoding",
    "Content-Encoding",
    "Allow",
    "Location",
];

/// How much of a text is shown.
const SHOWN_MAX: usize = 160;

/// The first difference of status and headers.
pub(super) fn head(recorded: &Answer, actual: &Reply, ids: &mut Ids) -> Option<String> {
    let status = |line: &str| line.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
    let (was, is) = (status(&recorded.status_line), status(&actual.status_line));
    if was != is {
        let body = String::from_utf8_lossy(&actual.body);
        return Some(format!("status: {was:?} became {is:?} {}", shown(&body)));
    }
    for name in HEADERS {
        let (was, is) = (recorded.header(name), actual.header(name));
        let same = match (was, is) {
            (Some(was), Some(is)) => ids.same(was, is),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            return Some(format!("header {name}: {was:?} became {is:?}"));
        }
    }
    let (was, is) = (
        recorded.header("Mesos-Stream-Id"),
        actual.header("Mesos-Stream-Id"),
    );
    match (was, is) {
        (Some(was), Some(is)) if ids.bind(was, is) => None,
        (None, None) => None,
        _ => Some(format!("header Mesos-Stream-Id: {was:?} became {is:?}")),
    }
}

/// The first difference of two bodies of the recorded answer's type.
pub(super) fn body(name: &str, recorded: &Answer, actual: &Reply, ids: &mut Ids) -> Option<String> {
    let (was, is) = (
        plain(recorded.body(), recorded.header("Content-Encoding")),
        plain(actual.body.clone(), actual.header("Content-Encoding")),
    );
    match recorded.header("Content-Type") {
        Some("application/json" | "text/javascript") => {
            let Ok(was) = serde_json::from_slice(argument(&was)) else {
                return None;
            };
            match serde_json::from_slice(argument(&is)) {
                Ok(is) => value(&was, &is, ids, "body"),
                Err(_) => Some(format!(
                    "body: no JSON: {}",
                    shown(&String::from_utf8_lossy(&is))
                )),
            }
        }
        Some("application/x-protobuf") => {
            let (was, is) = (
                case::message_of_wire(name, &was),
                case::message_of_wire(name, &is),
            );
            value(&was, &is, ids, "body")
        }
        _ => {
            let (was, is) = (String::from_utf8_lossy(&was), String::from_utf8_lossy(&is));
            let same = ids.same(&was, &is);
            (!same).then(|| format!("body: {} became {}", shown(&was), shown(&is)))
        }
    }
}

/// What JSONP hands to its function; JSON that stands alone is left as it is.
fn argument(body: &[u8]) -> &[u8] {
    let open = body.iter().position(|byte| *byte == b'(');
    let close = body.iter().rposition(|byte| *byte == b')');
    match (body.first(), open, close) {
        (Some(first), Some(open), Some(close)) if first.is_ascii_alphabetic() && open < close => {
            &body[open + 1..close]
        }
        _ => body,
    }
}

/// A body without its encoding.
fn plain(body: Vec<u8>, encoding: Option<&str>) -> Vec<u8> {
    if encoding != Some("gzip") {
        return body;
    }
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(body.as_slice());
    match std::io::Read::read_to_end(&mut decoder, &mut plain) {
        Ok(_) => plain,
        Err(_) => body,
    }
}

/// The first difference of two values.
pub(super) fn value(was: &Value, is: &Value, ids: &mut Ids, path: &str) -> Option<String> {
    let differs = || Some(format!("{path}: {} became {}", shown(was), shown(is)));
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => object(was, is, ids, path),
        (Value::Array(was), Value::Array(is)) => {
            let (was, is) = (in_order(was), in_order(is));
            if was.len() != is.len() {
                return Some(format!("{path}: {} items became {}", was.len(), is.len()));
            }
            if was.iter().chain(&is).all(|item| has_name(item)) {
                return in_any_order(&was, is, ids, path);
            }
            let pairs = was.iter().zip(&is).enumerate();
            pairs
                .map(|(place, (was, is))| value(was, is, ids, &format!("{path}[{place}]")))
                .find_map(|difference| difference)
        }
        (Value::String(was), Value::String(is)) if ids.same(was, is) => None,
        (Value::Number(was), Value::Number(is)) if was.as_f64() == is.as_f64() => None,
        _ if was == is => None,
        _ => differs(),
    }
}

/// Whether a thing of a list goes by an id or a name, and not by its place.
fn has_name(item: &Value) -> bool {
    let names = [
        "/container_id",
        "/executor_id",
        "/id",
        "/name",
        "/agent_info/id",
        "/task_id",
        "/framework_info/id",
        "/executor_info/executor_id",
        "/operation_id",
        "/role",
    ];
    names.iter().any(|name| item.pointer(name).is_some())
}

/// The first difference of lists of things with ids: Mesos lists them as its hash tables do.
fn in_any_order(was: &[&Value], mut is: Vec<&Value>, ids: &mut Ids, path: &str) -> Option<String> {
    for (place, was) in was.iter().enumerate() {
        let path = format!("{path}[{place}]");
        let id = format!("{path}.id");
        let mut first: Option<String> = None;
        let found = is.iter().position(|is| {
            let mut trial = ids.clone();
            let difference = value(was, is, &mut trial, &path);
            let same = difference.is_none();
            if same {
                *ids = trial;
            }
            // That the ids differ says less than what differs in the thing of this id.
            first = first.take().filter(|d| !d.starts_with(&id)).or(difference);
            same
        });
        match found {
            Some(place) => drop(is.remove(place)),
            None => return first,
        }
    }
    None
}

fn object(
    was: &Map<String, Value>,
    is: &Map<String, Value>,
    ids: &mut Ids,
    path: &str,
) -> Option<String> {
    let name = was.get("name").and_then(Value::as_str);
    let has_path_name = name.is_some_and(|name| name.contains('/'));
    for (key, was) in was {
        let path = format!("{path}.{key}");
        // The names of a framework's figures hold its id.
        let Some(is) = is.get(&ids.rewrite(key)) else {
            return Some(format!("{path}: {} is missing", shown(was)));
        };
        let same_kind = std::mem::discriminant(was) == std::mem::discriminant(is);
        let leaf = !was.is_object() && !was.is_array();
        // A figure's name has slashes, be it the key or beside it; flags are this program's own.
        let is_figure = was.is_number() && (key.contains('/') || key == "value" && has_path_name);
        let abstracted = leaf && (is_figure || ABSTRACT.contains(&key.as_str())) || key == "flags";
        if same_kind && abstracted {
            continue;
        }
        let difference = value(was, is, ids, &path);
        if difference.is_some() {
            return difference;
        }
    }
    let known: BTreeSet<String> = was.keys().map(|key| ids.rewrite(key)).collect();
    let more = is.iter().find(|(key, _)| !known.contains(*key));
    more.map(|(key, is)| format!("{path}.{key}: {} was not there", shown(is)))
}

/// A list in an order of its own where it is one of resources.
fn in_order(list: &[Value]) -> Vec<&Value> {
    let mut list: Vec<&Value> = list.iter().collect();
    let is_resource = |value: &&Value| {
        let kind = |key| value.get(key).is_some();
        value.get("name").is_some() && (kind("scalar") || kind("ranges") || kind("set"))
    };
    if list.iter().all(is_resource) {
        list.sort_by_key(|value| {
            let text = |key: &str| value.get(key).map(Value::to_string);
            (text("name"), text("reservations"), text("disk"))
        });
    }
    list
}

fn shown(value: &impl std::fmt::Display) -> String {
    let text = value.to_string().replace(['\n', '\r'], " ");
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(was: &Value, is: &Value, expected: Option<&str>) {
        let difference = value(was, is, &mut Ids::default(), "e");
        assert_eq!(difference.as_deref(), expected);
    }

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        check(
            &json!({"a": [1, 2]}),
            &json!({"a": [1.0, 3]}),
            Some("e.a[1]: 2 became 3"),
        );
        check(&json!({"a": 1}), &json!({}), Some("e.a: 1 is missing"));
        check(&json!({}), &json!({"b": 1}), Some("e.b: 1 was not there"));
    }

    #[test]
    fn figures_are_looked_at_for_their_kind() {
        check(
            &json!({"a/b": 1, "metrics": [{"name": "c/d", "value": 2}]}),
            &json!({"a/b": 3, "metrics": [{"name": "c/d", "value": 4}]}),
            None,
        );
        check(
            &json!({"name": "cpus", "value": 2}),
            &json!({"name": "cpus", "value": 4}),
            Some("e.value: 2 became 4"),
        );
    }

    #[test]
    fn times_and_the_order_of_resources_are_no_difference() {
        let resource = |name| json!({"name": name, "scalar": {"value": 1}});
        check(
            &json!({"timestamp": 1.5, "r": [resource("mem"), resource("cpus")]}),
            &json!({"timestamp": 2.5, "r": [resource("cpus"), resource("mem")]}),
            None,
        );
        check(
            &json!({"timestamp": 1}),
            &json!({"timestamp": "1"}),
            Some("e.timestamp: 1 became \"1\""),
        );
    }
}
