//! Cases: recorded exchanges, one JSON file each, and the order in which they run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::request;

/// One recorded exchange.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) scenario: String,
    pub(super) seq: u32,
    pub(super) request: Request,
    /// Without one the request is sent for the sake of the later steps, and nothing is checked.
    pub(super) response: Option<Answer>,
    #[serde(default)]
    pub(super) events_before: Vec<Event>,
    #[serde(default)]
    pub(super) events_after: Vec<Event>,
    #[serde(default)]
    pub(super) streams_closed: BTreeMap<String, String>,
    /// What the recorder says of it in words.
    pub(super) notes: Option<String>,
    /// Whether an agent was asked, and not a master.
    #[serde(skip)]
    pub(super) of_agent: bool,
}

/// A recorded request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    body: Option<String>,
    body_b64: Option<String>,
}

/// A recorded answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) status_line: String,
    pub(super) headers: Vec<(String, String)>,
    body: Option<String>,
    body_b64: Option<String>,
    pub(super) stream: Option<Stream>,
}

/// What a streaming answer brought.
#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    pub(super) events: Vec<Event>,
    #[serde(default = "open")]
    pub(super) still_open: bool,
}

/// One record of a stream.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) t_ms: u64,
    #[serde(default)]
    pub(super) stream: String,
    record: Option<String>,
    record_b64: Option<String>,
    /// The recorder's own reading of the record; only its type is looked at here.
    #[serde(default)]
    decoded: Value,
}

const fn open() -> bool {
    true
}

impl Case {
    /// The path without the query, and without the `/master` or `/slave(1)` that may stand before it.
    pub(super) fn path(&self) -> &str {
        let path = self.request.path();
        match self.request.slave() {
            Some((before, _)) => &path[before.len()..],
            None => path.strip_prefix("/master").unwrap_or(path),
        }
    }

    /// Whether the path is one of the process, not of the agent in it.
    pub(super) fn is_of_process(&self) -> bool {
        let part = self.request.path().split('/').nth(1).unwrap_or_default();
        let parts = [
            "__processes__",
            "files",
            "help",
            "logging",
            "metrics",
            "profiler",
            "system",
            "version",
        ];
        parts.contains(&part)
    }

    /// The folders of agents that the case names, each with the id of its agent.
    pub(super) fn work_dirs(&self) -> Vec<(String, String)> {
        const BENEATH: &str = "/slaves/";
        let texts = [
            self.request.line.clone(),
            request::call(self).unwrap_or_default().to_string(),
            self.document().to_string(),
        ];
        let mut found = Vec::new();
        for text in &texts {
            for (place, _) in text.match_indices(BENEATH) {
                let start = text[..place].rfind(['"', '\'', '=', ' ', '&', '?', ',', '(']);
                let folder = &text[start.map_or(0, |start| start + 1)..place];
                let rest = &text[place + BENEATH.len()..];
                let id = request::ids_in(rest.split('/').next().unwrap_or_default());
                found.extend(id.into_iter().map(|id| (folder.to_owned(), id)));
            }
        }
        found
    }

    /// The name of the message that a call is.
    pub(super) fn call_name(&self) -> Option<&'static str> {
        match (self.path().trim_end_matches('/'), self.of_agent) {
            ("/api/v1/scheduler", false) => Some("mesos.v1.scheduler.Call"),
            ("/api/v1", false) => Some("mesos.v1.master.Call"),
            ("/api/v1/executor", true) => Some("mesos.v1.executor.Call"),
            ("/api/v1", true) => Some("mesos.v1.agent.Call"),
            _ => None,
        }
    }

    /// The name of the message that the answer to a call of an operator is.
    pub(super) const fn answer_name(&self) -> &'static str {
        match self.of_agent {
            true => "mesos.v1.agent.Response",
            false => "mesos.v1.master.Response",
        }
    }

    /// The answer's body as JSON; null where it is none, or no answer of an operator API.
    pub(super) fn document(&self) -> Value {
        let Some(answer) = &self.response else {
            return Value::Null;
        };
        match answer.header("Content-Type") {
            Some("application/json") => serde_json::from_slice(&answer.body()).unwrap_or_default(),
            Some("application/x-protobuf") => message_of_wire(self.answer_name(), &answer.body()),
            _ => Value::Null,
        }
    }

    /// The offer of this id, where it came just before this step.
    pub(super) fn offer_before(&self, id: &str) -> Option<Value> {
        let events = self.events_before.iter().map(Event::value);
        let offers = events.filter_map(|event| event["offers"]["offers"].as_array().cloned());
        offers.flatten().find(|offer| offer["id"]["value"] == id)
    }

    /// Everything that the recording shows of the streams in this step.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        let stream = self.response.iter().filter_map(|r| r.stream.as_ref());
        stream.flat_map(|s| &s.events).chain(&self.events_after)
    }
}

impl Request {
    /// The path as it was written, without the query.
    fn path(&self) -> &str {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// The part of the path that names an agent of several in a process, and its number from 1.
    pub(super) fn slave(&self) -> Option<(&str, usize)> {
        let path = self.path();
        [("/slave(", ")"), ("/slave%28", "%29")]
            .into_iter()
            .find_map(|(open, close)| {
                let number = path.strip_prefix(open)?.split(close).next()?;
                let length = open.len() + number.len() + close.len();
                Some((path.get(..length)?, number.parse().ok()?))
            })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        bytes(self.body.as_deref(), self.body_b64.as_deref())
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        bytes(self.body.as_deref(), self.body_b64.as_deref())
    }
}

impl Event {
    /// The event as JSON; null where it is none of the scheduler or operator API.
    pub(super) fn value(&self) -> Value {
        match (&self.record, &self.record_b64) {
            (Some(text), _) => serde_json::from_str(text).unwrap_or_default(),
            (None, Some(_)) => {
                let bytes = bytes(None, self.record_b64.as_deref());
                let all = [Api::Scheduler, Api::Operator, Api::Executor, Api::Process];
                let read = all.map(|api| event_of_wire(api, &bytes));
                let wanted = &self.decoded["type"];
                let fits = |event: &&Value| event["type"] == *wanted;
                let found = read.iter().find(fits).or(read.first());
                found.cloned().unwrap_or_default()
            }
            (None, None) => Value::Null,
        }
    }
}

/// Whose events a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Scheduler,
    Operator,
    Executor,
    /// The input and output of a container.
    Process,
}

/// An event's encoded bytes as JSON; null where they are none.
pub(super) fn event_of_wire(api: Api, bytes: &[u8]) -> Value {
    let name = match api {
        Api::Scheduler => "mesos.v1.scheduler.Event",
        Api::Operator => "mesos.v1.master.Event",
        Api::Executor => "mesos.v1.executor.Event",
        Api::Process => "mesos.v1.agent.ProcessIO",
    };
    message_of_wire(name, bytes)
}

/// The encoded bytes of a message as JSON; null where they are none.
pub(super) fn message_of_wire(name: &str, bytes: &[u8]) -> Value {
    let text = api::descriptor::Message::named(name)
        .and_then(|message| api::json::wire_to_json(message, bytes).ok());
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// The header's value, whatever the case of its name.
pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn bytes(text: Option<&str>, base64: Option<&str>) -> Vec<u8> {
    match (text, base64) {
        (_, Some(base64)) => STANDARD.decode(base64).unwrap_or_default(),
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, None) => Vec::new(),
    }
}

/// Reads every case of a folder; files that hold another kind of recording are left out.
pub(super) fn read(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("list {}", folder.display()))?
        .collect::<Result<Vec<_>, _>>()?;
    for path in entries.iter().map(std::fs::DirEntry::path) {
        if path.extension().is_none_or(|e| e != "json") || path.ends_with("cluster.json") {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let value: Value =
            serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))?;
        if value.get("request").is_none() {
            continue;
        }
        cases.push(
            serde_json::from_value(value).with_context(|| format!("parse {}", path.display()))?,
        );
    }
    Ok(cases)
}

/// Puts cases into scenarios, each in its order. Scenarios whose steps lie between one another's, or
/// that saw the ids of one master, ran on one cluster, so they are one here.
pub(super) fn scenarios(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let mut of_host: BTreeMap<(String, String), Vec<Case>> = BTreeMap::new();
    for case in cases {
        let host = case.request.header("Host").unwrap_or_default().to_owned();
        let key = (case.group.clone(), host);
        of_host.entry(key).or_default().push(case);
    }
    let mut scenarios = Vec::new();
    for mut cases in of_host.into_values() {
        cases.sort_by_key(|case| case.seq);
        // One port is one process.
        let of_agent = cases.iter().any(|case| case.request.slave().is_some());
        cases.iter_mut().for_each(|case| case.of_agent = of_agent);
        let mut last = BTreeMap::new();
        for (place, case) in cases.iter().enumerate() {
            last.insert(case.scenario.clone(), place);
        }
        let mut open = BTreeSet::new();
        let mut scenario = Vec::new();
        let mut of_one_master: Vec<(BTreeSet<String>, Vec<Case>)> = Vec::new();
        for (place, case) in cases.into_iter().enumerate() {
            open.insert(case.scenario.clone());
            scenario.push(case);
            open.retain(|name| last.get(name).is_some_and(|&end| end > place));
            if open.is_empty() {
                let cases = std::mem::take(&mut scenario);
                let masters = cases.iter().flat_map(request::masters).collect();
                match of_one_master.last_mut() {
                    Some((known, before)) if !known.is_disjoint(&masters) => {
                        known.extend(masters);
                        before.extend(cases);
                    }
                    _ => of_one_master.push((masters, cases)),
                }
            }
        }
        scenarios.extend(of_one_master.into_iter().map(|(_, cases)| cases));
    }
    scenarios
}
