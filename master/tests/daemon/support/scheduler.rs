//! A framework that speaks JSON.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::{Answer, Client};
use super::soon;

const PATH: &str = "POST /api/v1/scheduler";

/// A subscribed framework: its event stream, and a second connection for calls.
pub(crate) struct Scheduler {
    pub(crate) events: Client,
    pub(crate) calls: Client,
    pub(crate) stream_id: String,
    pub(crate) framework_id: String,
}

/// A FrameworkInfo without capabilities, as pymesos sends it.
pub(crate) fn framework_info(name: &str) -> Value {
    json!({"user": "root", "name": name, "failover_timeout": 60.0})
}

impl Scheduler {
    /// Subscribes and reads SUBSCRIBED and HEARTBEAT.
    pub(crate) async fn subscribe(address: SocketAddr, info: Value) -> Self {
        let (events, stream_id) = Self::open(address, info).await;
        let mut this = Self {
            events,
            calls: Client::connect(address).await,
            stream_id,
            framework_id: String::new(),
        };
        let subscribed = this.event().await;
        assert_eq!(subscribed["type"], "SUBSCRIBED", "{subscribed}");
        let id = &subscribed["subscribed"]["framework_id"]["value"];
        this.framework_id = id.as_str().unwrap().to_owned();
        assert_eq!(this.event().await["type"], "HEARTBEAT");
        this
    }

    /// Sends SUBSCRIBE, as pymesos does, and reads the head of the answer.
    pub(crate) async fn open(address: SocketAddr, info: Value) -> (Client, String) {
        let mut events = Client::connect(address).await;
        let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        if let Some(id) = call["subscribe"]["framework_info"].get("id").cloned() {
            call["framework_id"] = id;
        }
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("Connection", "close"),
        ];
        events
            .send(PATH, &headers, call.to_string().as_bytes())
            .await;
        let (status, headers) = soon("SUBSCRIBE's answer", events.head()).await;
        assert_eq!(status, "200 OK");
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(header("Transfer-Encoding"), "chunked");
        assert_eq!(header("Content-Type"), "application/json");
        let stream_id = header("Mesos-Stream-Id");
        (events, stream_id)
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        event(&mut self.events).await
    }

    /// The next event of this type; others but HEARTBEAT are a fault.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            match event["type"].as_str().unwrap() {
                found if found == kind => return event,
                "HEARTBEAT" => {}
                _ => panic!("expected {kind}: {event}"),
            }
        }
    }

    /// The next event of this type, whatever comes before.
    pub(crate) async fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// A call on the second connection.
    pub(crate) async fn call(&mut self, mut call: Value) -> Answer {
        call["framework_id"] = json!({"value": self.framework_id});
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("Mesos-Stream-Id", self.stream_id.as_str()),
        ];
        let body = call.to_string();
        soon(
            "a call's answer",
            self.calls.ask(PATH, &headers, body.as_bytes()),
        )
        .await
    }

    /// A call that must be accepted.
    pub(crate) async fn accepted(&mut self, call: Value) {
        let answer = self.call(call.clone()).await;
        assert_eq!(answer.status, "202 Accepted", "{call}: {}", answer.text());
        assert_eq!(answer.header("Content-Length"), Some("0"));
    }

    /// Acknowledges an UPDATE.
    pub(crate) async fn acknowledge(&mut self, update: &Value) {
        let status = &update["update"]["status"];
        self.accepted(json!({"type": "ACKNOWLEDGE", "acknowledge": {
            "agent_id": status["agent_id"],
            "task_id": status["task_id"],
            "uuid": status["uuid"],
        }}))
        .await;
    }
}

/// The event of the next chunk: one chunk holds one record.
pub(crate) async fn event(events: &mut Client) -> Value {
    let chunk = soon("an event", events.chunk())
        .await
        .expect("an open stream");
    let newline = chunk
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a record's length");
    let (length, record) = (&chunk[..newline], &chunk[newline + 1..]);
    assert_eq!(length, record.len().to_string().as_bytes());
    assert!(!record.contains(&b'\n'), "JSON events hold no newline");
    serde_json::from_slice(record).unwrap()
}

/// A command task of this size on the offer's agent.
pub(crate) fn task(id: &str, offer: &Value, cpus: f64, mem: f64) -> Value {
    json!({
        "name": id,
        "task_id": {"value": id},
        "agent_id": offer["agent_id"],
        "command": {"value": "exit 0"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
        ],
    })
}

/// An ACCEPT that launches these tasks.
pub(crate) fn accept(offer: &Value, tasks: &[Value]) -> Value {
    json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
    }})
}
