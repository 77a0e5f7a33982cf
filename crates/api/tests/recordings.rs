//! Bodies recorded from a real Mesos 1.11 go through the messages and come out the same.
//!
//! A handful is kept in `data/`; where the whole set of recordings lies beside the workspace, or
//! where `TEPUI_CONFORMANCE` says, all of it is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use api::descriptor::Message;
use api::json::{from_json, json_to_wire, to_json, wire_to_json};
use api::{Described, decode, v1};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One body with what is known about it.
struct Body {
    /// The file it is from, and where in it.
    from: String,
    bytes: Vec<u8>,
    /// Protobuf, or else JSON.
    binary: bool,
    /// Whether Mesos made it, and did not only take it.
    by_mesos: bool,
    expect: Expect,
}

/// What must become of a body.
#[derive(Clone)]
enum Expect {
    /// It is read.
    Message,
    /// It is refused in these words.
    Refusal(String),
    /// It is read or not: Mesos' answer to it was not recorded, or was given without reading it.
    Either,
}

#[test]
fn recorded_bodies_come_out_as_they_went_in() {
    let mut seen = BTreeMap::new();
    let mut faults = Vec::new();
    for folder in folders() {
        for (message, body) in bodies(&folder) {
            *seen.entry((message, body.binary)).or_insert(0) += 1;
            if let Err(fault) = check(message, &body) {
                faults.push(format!("{} as {message}: {fault}", body.from));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    for message in [
        "scheduler.Call",
        "scheduler.Event",
        "master.Call",
        "master.Response",
        "agent.Call",
        "agent.Response",
    ] {
        for binary in [false, true] {
            assert!(
                seen.contains_key(&(message, binary)),
                "no {message}, binary: {binary}"
            );
        }
    }
}

fn folders() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("TEPUI_CONFORMANCE")
        .map_or_else(|| here.join("../../../shared/conformance"), PathBuf::from);
    let mut folders = vec![here.join("tests/data")];
    folders.extend(shared.is_dir().then_some(shared));
    folders
}

/// Every body in a folder of recordings that holds a v1 message, with the message's name.
fn bodies(folder: &Path) -> Vec<(&'static str, Body)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "json") || name == "agent-protocol__session.json" {
            continue;
        }
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let line = case["request"]["line"].as_str().unwrap_or_default();
        let target = line.split(' ').nth(1).unwrap_or_default();
        let target = target.split('?').next().unwrap_or_default();
        let on_agent = target.starts_with("/slave(");
        let Some((call, response, event)) = messages(target, on_agent) else {
            continue;
        };
        if !line.starts_with("POST ") {
            continue;
        }
        let answer = &case["response"];
        let expect = expect(&name, answer);
        // What was compressed on the way is recorded so.
        let answered = if name.contains("gzip") {
            Expect::Either
        } else {
            Expect::Message
        };
        let good = answer["status_line"]
            .as_str()
            .is_some_and(|s| s.contains(" 200 "));
        found.extend(body(&name, "request", &case["request"], false, expect).map(|b| (call, b)));
        if good && let Some(response) = response {
            found.extend(body(&name, "response", answer, true, answered).map(|b| (response, b)));
        }
        let streams = [
            &answer["stream"]["events"],
            &case["events_before"],
            &case["events_after"],
        ];
        for record in streams.into_iter().filter_map(Value::as_array).flatten() {
            // Some scenarios have an operator's stream beside a scheduler's.
            let event = match record["stream"].as_str() {
                Some("EV") => "master.Event",
                Some("INV") => "scheduler.Event",
                _ => event,
            };
            found.extend(record_body(&name, record).map(|b| (event, b)));
        }
    }
    found
}

/// What must become of a request that was answered so.
fn expect(name: &str, answer: &Value) -> Expect {
    let text = answer["body"].as_str().unwrap_or_default();
    let broken = [
        "bad-base64",
        "camel-case",
        "chunked-request",
        "duration-as-string",
        "gzip",
        "json-string",
        "malformed",
    ];
    if text.starts_with("Failed to parse body") || text.starts_with("Failed to convert JSON") {
        return Expect::Refusal(text.to_string());
    }
    if broken.iter().any(|part| name.contains(part)) {
        return Expect::Either;
    }
    match answer["status_line"].as_str() {
        Some(status) if status.contains(" 20") => Expect::Message,
        // Refused for what it says, so it was read.
        Some(_) if text.starts_with("Failed to validate") => Expect::Message,
        Some(_) => Expect::Either,
        None => Expect::Message,
    }
}

/// Names of the call, the response and the event of an API path.
fn messages(
    target: &str,
    on_agent: bool,
) -> Option<(&'static str, Option<&'static str>, &'static str)> {
    if target.ends_with("/api/v1/scheduler") {
        Some((
            "scheduler.Call",
            Some("scheduler.Response"),
            "scheduler.Event",
        ))
    } else if target.ends_with("/api/v1/executor") {
        Some(("executor.Call", None, "executor.Event"))
    } else if target.ends_with("/api/v1") && on_agent {
        Some(("agent.Call", Some("agent.Response"), "agent.ProcessIO"))
    } else if target.ends_with("/api/v1") {
        Some(("master.Call", Some("master.Response"), "master.Event"))
    } else {
        None
    }
}

fn body(name: &str, part: &str, side: &Value, by_mesos: bool, expect: Expect) -> Option<Body> {
    let (bytes, binary) = match (side["body_b64"].as_str(), side["body"].as_str()) {
        (Some(base64), _) => (STANDARD.decode(base64).unwrap(), true),
        (None, Some(text)) => (text.as_bytes().to_vec(), false),
        (None, None) => return None,
    };
    (!bytes.is_empty()).then(|| Body {
        from: format!("{name} {part}"),
        bytes,
        binary,
        by_mesos,
        expect,
    })
}

fn record_body(name: &str, record: &Value) -> Option<Body> {
    let (bytes, binary) = match (record["record_b64"].as_str(), record["record"].as_str()) {
        (Some(base64), _) => (STANDARD.decode(base64).unwrap(), true),
        (None, Some(text)) => (text.as_bytes().to_vec(), false),
        (None, None) => return None,
    };
    Some(Body {
        from: format!("{name} event at {}", record["t_ms"]),
        bytes,
        binary,
        by_mesos: true,
        expect: Expect::Message,
    })
}

fn check(message: &str, body: &Body) -> Result<(), String> {
    match message {
        "scheduler.Call" => check_as::<v1::scheduler::Call>(body),
        "scheduler.Event" => check_as::<v1::scheduler::Event>(body),
        "scheduler.Response" => check_as::<v1::scheduler::Response>(body),
        "executor.Call" => check_as::<v1::executor::Call>(body),
        "executor.Event" => check_as::<v1::executor::Event>(body),
        "master.Call" => check_as::<v1::master::Call>(body),
        "master.Event" => check_as::<v1::master::Event>(body),
        "master.Response" => check_as::<v1::master::Response>(body),
        "agent.Call" => check_as::<v1::agent::Call>(body),
        "agent.Response" => check_as::<v1::agent::Response>(body),
        "agent.ProcessIO" => check_as::<v1::agent::ProcessIo>(body),
        _ => Err("no such message".to_string()),
    }
}

fn check_as<T: Described + PartialEq>(body: &Body) -> Result<(), String> {
    let read: Result<T, String> = if body.binary {
        decode(&body.bytes).map_err(|e| e.to_string())
    } else {
        from_json(&body.bytes).map_err(|e| e.to_string())
    };
    let message = match (&body.expect, read) {
        (Expect::Refusal(words), Err(error)) => return same(&error, words),
        (Expect::Refusal(words), Ok(_)) => return Err(format!("is read, and not {words}")),
        (Expect::Either, Err(_)) => return Ok(()),
        (Expect::Message, Err(error)) => return Err(error),
        (Expect::Message | Expect::Either, Ok(message)) => message,
    };
    let wire = message.encode_to_vec();
    let json = to_json(&message);
    if body.by_mesos && body.binary && wire != body.bytes {
        // An enum's unknown number is dropped, and a map has no order; then JSON tells.
        same(
            &json,
            &wire_to_json(T::descriptor(), &body.bytes).map_err(|e| e.to_string())?,
        )?;
    }
    if body.by_mesos && !body.binary {
        let want = String::from_utf8_lossy(&body.bytes);
        same(&json, &want).or_else(|differs| same_values(&json, &want).ok_or(differs))?;
    }
    stable::<T>(T::descriptor(), &json)
}

/// What was written is read back the same, and written the same again.
fn stable<T: Described + PartialEq>(
    descriptor: &'static Message,
    json: &str,
) -> Result<(), String> {
    let wire = json_to_wire(descriptor, json.as_bytes()).map_err(|e| e.to_string())?;
    same(
        &wire_to_json(descriptor, &wire).map_err(|e| e.to_string())?,
        json,
    )?;
    let again: T = decode(&wire).map_err(|e| e.to_string())?;
    same(&to_json(&again), json)
}

/// Whether two texts hold the same, maps having no order and doubles more than one spelling.
fn same_values(got: &str, want: &str) -> Option<()> {
    let mut want: Value = serde_json::from_str(want).ok()?;
    // v0's field of SlaveInfo, which v1 does not have, shows in GET_AGENTS alone.
    for list in ["/get_agents/agents", "/get_state/get_agents/agents"] {
        let agents = want.pointer_mut(list).and_then(Value::as_array_mut);
        for agent in agents.into_iter().flatten() {
            agent["agent_info"].as_object_mut()?.remove("checkpoint");
        }
    }
    (serde_json::from_str::<Value>(got).ok()? == want).then_some(())
}

fn same(got: &str, want: &str) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    let at = got
        .bytes()
        .zip(want.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let from = |text: &str| {
        text.chars()
            .skip(at.saturating_sub(40))
            .take(120)
            .collect::<String>()
    };
    Err(format!(
        "differs at byte {at}\n   got …{}\n  want …{}",
        from(got),
        from(want)
    ))
}
