//! A fake master with one agent behind the same port: enough HTTP for one `tepui` at a time.
//!
//! What it does with a launched task is a `Script`; every call it gets is kept for the test. Sessions
//! of `tepui exec` are `agent`'s.

mod agent;
mod http;

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use api::v1::scheduler::{Call, Event, call, event};
use api::v1::{
    Address, AgentId, FrameworkId, Offer, OfferId, Resource, TaskId, TaskInfo, TaskStatus, Url,
    resource, value,
};
use model::TaskState;
use prost::Message;

use http::{Request, answer, read_request};

pub(crate) const FRAMEWORK: &str = "f-0000";

/// What the fake does, beyond answering.
#[derive(Clone)]
pub(crate) struct Script {
    /// Cpus in its one offer.
    pub(crate) cpus: f64,
    /// The end of a launched task; `None`: it runs until it is killed.
    pub(crate) end: Option<(TaskState, &'static str)>,
    /// What the task writes.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Other files of the sandbox `mine`, by their path in it; one that ends with a slash is a folder, and
    /// an `@` begins a link.
    pub(crate) files: Vec<(&'static str, &'static str)>,
    /// What of stdout was rotated away, the oldest first.
    pub(crate) older: Vec<&'static [u8]>,
    /// What stands in `/master/state`, in place of an empty cluster.
    pub(crate) state: Option<String>,
    /// The first subscription's stream ends when the task runs; its end comes by reconciliation.
    pub(crate) drop_stream: bool,
    /// Another scheduler takes the framework over when the task runs.
    pub(crate) take_over: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            cpus: 2.0,
            end: Some((TaskState::Finished, "Command exited with status 0")),
            stdout: Vec::new(),
            stderr: Vec::new(),
            files: Vec::new(),
            older: Vec::new(),
            state: None,
            drop_stream: false,
            take_over: false,
        }
    }
}

struct World {
    script: Script,
    calls: Vec<Call>,
    events: Option<Sender<Option<Event>>>,
    task: Option<TaskInfo>,
    subscriptions: u32,
    port: u16,
    session: Option<agent::Session>,
    looks: u32,
}

/// A running fake; it ends with the process.
pub(crate) struct Fake {
    pub(crate) address: String,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(Mutex::new(World {
            script,
            calls: Vec::new(),
            events: None,
            task: None,
            subscriptions: 0,
            port,
            session: None,
            looks: 0,
        }));
        let shared = Arc::clone(&world);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = Arc::clone(&shared);
                // A client that goes away in the middle is its own affair.
                thread::spawn(move || serve(&world, stream).ok());
            }
        });
        Self {
            address: format!("127.0.0.1:{port}"),
            world,
        }
    }

    /// Whether `tepui exec` has begun a session.
    pub(crate) fn has_session(&self) -> bool {
        self.world.lock().unwrap().session.is_some()
    }

    /// The session of `tepui exec`, as it stands.
    pub(crate) fn session(&self) -> agent::Session {
        self.world.lock().unwrap().session.clone().unwrap()
    }

    /// The calls so far, by type.
    pub(crate) fn calls(&self) -> Vec<call::Type> {
        let world = self.world.lock().unwrap();
        world.calls.iter().map(Call::r#type).collect()
    }

    /// The task that was launched.
    pub(crate) fn task(&self) -> TaskInfo {
        self.world.lock().unwrap().task.clone().unwrap()
    }

    /// The first call of a type.
    pub(crate) fn call(&self, wanted: call::Type) -> Call {
        let world = self.world.lock().unwrap();
        let found = world.calls.iter().find(|call| call.r#type() == wanted);
        found.unwrap().clone()
    }
}

const REPORT: &str = r#"{"container_id":"web","exposure":1.5,"verdict":"CLOSED","rows":[
    {"area":"users","what":"ids of its own","state":"ENFORCED","reason":"","weight":12,"exposure":0.0},
    {"area":"memory","what":"at most 1 GB","state":"DEGRADED","reason":"no controller","weight":5,"exposure":5.0}],
    "denials":{"how":"nothing is told","count":0,"last":[]}}"#;

fn serve(world: &Mutex<World>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let path = request.path.split('?').next().unwrap();
        match (request.method.as_str(), path) {
            ("GET", "/master/state") => {
                let state = state(&world.lock().unwrap());
                answer(&mut stream, "200 OK", "application/json", state.as_bytes())?;
            }
            // An agent that has just begun.
            ("GET", "/metrics/snapshot") => {
                let figures = br#"{"slave/uptime_secs":0.01}"#;
                answer(&mut stream, "200 OK", "application/json", figures)?;
            }
            ("GET", "/state") => {
                let history = br#"{"tepui_history":{"executed_again_for":"upgrade to version 2"}}"#;
                answer(&mut stream, "200 OK", "application/json", history)?;
            }
            ("GET", "/monitor/statistics") => {
                let statistics = statistics(&mut world.lock().unwrap());
                answer(
                    &mut stream,
                    "200 OK",
                    "application/json",
                    statistics.as_bytes(),
                )?;
            }
            ("GET", "/explain") => {
                let known = request.path.ends_with("?framework_id=f&task_id=web-1");
                let (status, media, told) = match known {
                    true => ("200 OK", "application/json", REPORT),
                    false => ("404 Not Found", "text/plain", "no container here"),
                };
                answer(&mut stream, status, media, told.as_bytes())?;
            }
            ("GET", "/files/browse") if in_sandbox(&request).is_some() => {
                let listed = list(&world.lock().unwrap(), in_sandbox(&request).unwrap());
                let (status, listed) = match &listed {
                    Some(listed) => ("200 OK", listed.as_str()),
                    None => ("404 Not Found", ""),
                };
                answer(&mut stream, status, "application/json", listed.as_bytes())?;
            }
            ("GET", "/files/browse") => {
                let listed = browse(&world.lock().unwrap(), &request);
                answer(&mut stream, "200 OK", "application/json", listed.as_bytes())?;
            }
            ("GET", "/files/download") => files(world, &mut stream, &request)?,
            ("POST", "/api/v1") if request.headers["content-type"] == "application/recordio" => {
                return agent::input(world, &mut stream, &mut reader);
            }
            ("POST", "/api/v1") => agent::call(world, &mut stream, &request)?,
            ("POST", "/api/v1/scheduler") => {
                assert_eq!(request.headers["content-type"], "application/x-protobuf");
                let call = api::decode::<Call>(&request.body).unwrap();
                if call.r#type() == call::Type::Subscribe {
                    return subscribe(world, &mut stream, call);
                }
                assert_eq!(call.framework_id.as_ref().unwrap().value, FRAMEWORK);
                let current = world.lock().unwrap().subscriptions.to_string();
                assert_eq!(request.headers["mesos-stream-id"], current);
                on_call(&mut world.lock().unwrap(), call);
                answer(&mut stream, "202 Accepted", "", b"")?;
            }
            _ => answer(&mut stream, "404 Not Found", "text/html", b"<html>")?,
        }
    }
    Ok(())
}

/// The path in the sandbox `mine`.
fn in_sandbox(request: &Request) -> Option<&str> {
    let sandbox = "/frameworks/f-0000/executors/mine/runs/latest";
    let path = request.path.split_once(sandbox)?.1;
    Some(path.trim_start_matches('/'))
}

/// What is in a folder of that sandbox; nothing is in a file.
fn list(world: &World, folder: &str) -> Option<String> {
    let files = &world.script.files;
    let entry = |(name, text): &(&str, &str)| {
        let mode = match (name.ends_with('/'), text.starts_with('@')) {
            (true, _) => "drwxr-xr-x",
            (_, true) => "lrwxrwxrwx",
            (false, false) => "-rw-r--r--",
        };
        let path = format!(
            "/frameworks/f-0000/executors/mine/runs/latest/{}",
            name.trim_end_matches('/')
        );
        format!(
            r#"{{"path":"{path}","size":{},"mtime":1.0,"mode":"{mode}"}}"#,
            text.len()
        )
    };
    if files.iter().any(|(name, _)| *name == folder) {
        return Some("[]".to_owned());
    }
    let inside = files.iter().filter(|(name, _)| {
        let name = name.trim_end_matches('/');
        let (parent, _) = name.rsplit_once('/').unwrap_or(("", name));
        parent == folder
    });
    let listed: Vec<String> = inside.map(entry).collect();
    (!listed.is_empty()).then(|| format!("[{}]", listed.join(",")))
}

/// A second of a whole processor more at each look, a second after the one before.
fn statistics(world: &mut World) -> String {
    world.looks += 1;
    let looks = world.looks;
    format!(
        r#"[{{"executor_id":"mine","framework_id":"f-0000","statistics":{{"timestamp":{looks}.0,
            "cpus_user_time_secs":{looks}.0,"cpus_system_time_secs":0.5,"cpus_limit":2.0,
            "mem_rss_bytes":33554432,"mem_limit_bytes":67108864,"processes":3}}}}]"#
    )
}

fn browse(world: &World, request: &Request) -> String {
    let folder = request.path.split("path=").nth(1).unwrap();
    let older = world.script.older.iter().rev().zip(1..);
    let older = older.map(|(bytes, number)| (format!("stdout.{number}"), bytes.len()));
    let own = [
        ("stdout".to_owned(), world.script.stdout.len()),
        ("stderr".to_owned(), world.script.stderr.len()),
    ];
    let listed = own.into_iter().chain(older);
    let listed = listed.map(|(name, size)| {
        format!(r#"{{"path":"{folder}/{name}","size":{size},"mtime":1.0,"mode":"-rw-r--r--"}}"#)
    });
    format!("[{}]", listed.collect::<Vec<_>>().join(","))
}

fn files(world: &Mutex<World>, out: &mut TcpStream, request: &Request) -> std::io::Result<()> {
    let world = world.lock().unwrap();
    let sandbox = |file: &str| {
        let task = world.task.as_ref()?;
        let id = &task.task_id.value;
        let path = format!("/frameworks/{FRAMEWORK}/executors/{id}/runs/latest/{file}");
        request.path.ends_with(&path).then_some(())
    };
    if let Some((_, file)) = request.path.split_once("/runs/latest/tasks/") {
        let bytes = match file.ends_with("/stdout") {
            true => &world.script.stdout[..],
            false => b"",
        };
        return answer(out, "200 OK", "application/octet-stream", bytes);
    }
    let mut older = world.script.older.iter().rev().zip(1..);
    let older = older.find(|(_, number)| sandbox(&format!("stdout.{number}")).is_some());
    let bytes = match (sandbox("stdout"), sandbox("stderr"), older) {
        (Some(()), _, _) => &world.script.stdout[..],
        (_, Some(()), _) => &world.script.stderr[..],
        (_, _, Some((older, _))) => older,
        (None, None, None) if in_sandbox(request).is_some() => b"",
        (None, None, None) => return answer(out, "404 Not Found", "text/plain", b"no such file\n"),
    };
    let own = in_sandbox(request).and_then(|path| {
        let mut files = world.script.files.iter();
        files.find(|(name, _)| *name == path)
    });
    let bytes = own.map_or(bytes, |(_, text)| text.as_bytes());
    let range = &request.headers["range"];
    let from: usize = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .map(|(from, _)| from.parse().unwrap())
        .unwrap();
    match bytes.get(from..) {
        Some(rest) if !rest.is_empty() => {
            let media = "application/octet-stream";
            answer(out, "206 Partial Content", media, rest)
        }
        Some(_) | None => answer(out, "416 Range Not Satisfiable", "text/plain", b""),
    }
}

fn subscribe(world: &Mutex<World>, out: &mut TcpStream, call: Call) -> std::io::Result<()> {
    let (sender, events) = channel();
    let stream_id = {
        let mut world = world.lock().unwrap();
        world.subscriptions += 1;
        world.calls.push(call);
        let subscribed = Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(event::Subscribed {
                framework_id: framework_id(),
                ..Default::default()
            }),
            ..Default::default()
        };
        sender.send(Some(subscribed)).unwrap();
        if world.task.is_none() {
            sender.send(Some(offers(&world))).unwrap();
        }
        world.events = Some(sender);
        world.subscriptions
    };
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: {stream_id}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    for event in events {
        let Some(event) = event else { break };
        let record = api::recordio::encode(&event.encode_to_vec());
        write!(out, "{:x}\r\n", record.len())?;
        out.write_all(&record)?;
        out.write_all(b"\r\n")?;
        out.flush()?;
    }
    out.write_all(b"0\r\n\r\n")
}

fn on_call(world: &mut World, call: Call) {
    let kind = call.r#type();
    match kind {
        call::Type::Accept => {
            let accept = call.accept.as_ref().unwrap();
            if accept.operations[0].launch_group.is_some() {
                on_group(world, accept);
                world.calls.push(call);
                return;
            }
            let launch = accept.operations[0].launch.as_ref().unwrap();
            world.task = Some(launch.task_infos[0].clone());
            world.update(TaskState::Starting, "", b"1");
        }
        call::Type::Acknowledge => on_acknowledge(world, &call),
        call::Type::Kill => world.update(TaskState::Killed, "Command terminated", b"9"),
        call::Type::Reconcile => {
            let (state, message) = world.script.end.unwrap();
            // The master's answer is without the exit code, which the agent's update has.
            world.reconciled(state);
            world.update(state, message, b"3");
        }
        _ => {}
    }
    world.calls.push(call);
}

/// All run, then the first ends as scripted, and the others are killed for it.
fn on_group(world: &World, accept: &call::Accept) {
    let group = accept.operations[0].launch_group.as_ref().unwrap();
    let (end, message) = world.script.end.unwrap();
    let status = |task: &TaskInfo, state: TaskState, message: &str| TaskStatus {
        task_id: task.task_id.clone(),
        state: state.number(),
        message: Some(message.to_owned()),
        ..Default::default()
    };
    let tasks = &group.task_group.tasks;
    for task in tasks {
        world.tell_of(status(task, TaskState::Running, ""));
    }
    world.tell_of(status(&tasks[0], end, message));
    for task in &tasks[1..] {
        world.tell_of(status(task, TaskState::Killed, ""));
    }
}

/// The next update comes when the one before was acknowledged, as from a real agent.
fn on_acknowledge(world: &mut World, call: &Call) {
    let uuid = &call.acknowledge.as_ref().unwrap().uuid;
    match (uuid.as_slice(), world.script.end) {
        (b"1", _) => world.update(TaskState::Running, "", b"2"),
        (b"2", _) if world.script.drop_stream => world.send(None),
        (b"2", _) if world.script.take_over => {
            world.send(Some(Event {
                r#type: Some(event::Type::Error.into()),
                error: Some(event::Error {
                    message: "Framework failed over".into(),
                }),
                ..Default::default()
            }));
        }
        (b"2", Some((state, message))) => {
            // Long enough for the output to be followed while the task runs.
            thread::sleep(Duration::from_millis(150));
            world.update(state, message, b"3");
        }
        _ => {}
    }
}

impl World {
    fn send(&mut self, event: Option<Event>) {
        let ended = event.is_none();
        let sent = self
            .events
            .as_ref()
            .map(|events| events.send(event).is_ok());
        assert!(sent == Some(true), "nobody listens");
        if ended {
            self.events = None;
        }
    }

    fn reconciled(&mut self, state: TaskState) {
        self.tell(TaskStatus {
            state: state.number(),
            message: Some("Reconciliation: Latest task state".to_owned()),
            reason: Some(model::Reason::Reconciliation.number()),
            ..Default::default()
        });
    }

    fn update(&mut self, state: TaskState, message: &str, uuid: &[u8]) {
        self.tell(TaskStatus {
            state: state.number(),
            message: Some(message.to_owned()),
            uuid: Some(uuid.to_vec()),
            ..Default::default()
        });
    }

    fn tell(&mut self, status: TaskStatus) {
        let task_id = self.task.as_ref().map_or_else(
            || TaskId {
                value: "mine".to_owned(),
            },
            |task| task.task_id.clone(),
        );
        let status = TaskStatus {
            task_id,
            agent_id: Some(agent_id()),
            ..status
        };
        self.send(Some(update(status)));
    }

    fn tell_of(&self, status: TaskStatus) {
        let events = self.events.as_ref().expect("a subscription");
        events.send(Some(update(status))).expect("nobody listens");
    }
}

fn update(status: TaskStatus) -> Event {
    Event {
        r#type: Some(event::Type::Update.into()),
        update: Some(event::Update { status }),
        ..Default::default()
    }
}

fn framework_id() -> FrameworkId {
    FrameworkId {
        value: FRAMEWORK.to_owned(),
    }
}

fn agent_id() -> AgentId {
    AgentId {
        value: "m-S0".to_owned(),
    }
}

fn offers(world: &World) -> Event {
    let scalar = |name: &str, amount| Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        allocation_info: Some(resource::AllocationInfo {
            role: Some("*".to_owned()),
        }),
        ..Default::default()
    };
    let offer = Offer {
        id: OfferId {
            value: "m-O0".to_owned(),
        },
        framework_id: framework_id(),
        agent_id: agent_id(),
        hostname: "node1".to_owned(),
        url: Some(Url {
            scheme: "http".to_owned(),
            address: Address {
                ip: Some("127.0.0.1".to_owned()),
                port: world.port.into(),
                ..Default::default()
            },
            ..Default::default()
        }),
        resources: vec![
            scalar("cpus", world.script.cpus),
            scalar("mem", 1024.0),
            scalar("disk", 1024.0),
        ],
        ..Default::default()
    };
    Event {
        r#type: Some(event::Type::Offers.into()),
        offers: Some(event::Offers {
            offers: vec![offer],
        }),
        ..Default::default()
    }
}

fn state(world: &World) -> String {
    if let Some(state) = &world.script.state {
        return state.replace("PORT", &world.port.to_string());
    }
    let task = world.task.as_ref().map_or("", |task| &task.task_id.value);
    let (end, _) = world.script.end.unwrap_or((TaskState::Running, ""));
    let over = world.script.take_over && !task.is_empty();
    let framework = format!(
        r#"{{"id":"{FRAMEWORK}","name":"tepui run","completed_tasks":[{{"id":"{task}","state":"{end}"}}]}}"#
    );
    let cpus = world.script.cpus;
    format!(
        r#"{{"version":"1.11.0","id":"m","slaves":[{{"id":"m-S0","hostname":"node1","active":true,
           "resources":{{"cpus":{cpus},"mem":1024.0,"disk":0.0,"ports":"[1-2]"}}}}],"frameworks":[],
           "completed_frameworks":[{}]}}"#,
        if over { &framework } else { "" }
    )
}
