//! The operator API: its calls, and the stream of changes.

use std::net::SocketAddr;

use master::Server;
use master::flags::Config;
use serde_json::{Value, json};

use crate::support::agent::{self, Agent};
use crate::support::http::{self, Client};
use crate::support::scheduler::{self, Scheduler};
use crate::support::{config, master, soon, until};

const PATH: &str = "POST /api/v1";
const JSON: [(&str, &str); 2] = [
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
];

async fn call(address: SocketAddr, call: &Value) -> Value {
    let answer = http::ask(address, PATH, &JSON, call.to_string().as_bytes()).await;
    assert_eq!(answer.status, "200 OK", "{call}: {}", answer.text());
    answer.json()
}

/// Subscribes, and reads the head of the answer.
async fn watch(address: SocketAddr) -> Client {
    let mut events = Client::connect(address).await;
    events.send(PATH, &JSON, br#"{"type":"SUBSCRIBE"}"#).await;
    let (status, headers) = soon("SUBSCRIBE's answer", events.head()).await;
    assert_eq!(status, "200 OK");
    let type_ = headers.iter().find(|(name, _)| name == "Content-Type");
    assert_eq!(
        type_.map(|(_, value)| value.as_str()),
        Some("application/json")
    );
    events
}

async fn event(events: &mut Client, kind: &str) -> Value {
    let event = soon(kind, scheduler::event(events)).await;
    assert_eq!(event["type"], kind, "{event}");
    event
}

#[tokio::test]
async fn calls_are_checked_in_the_order_of_mesos() {
    let master = master().await;
    let address = master.address();
    for (line, headers, body, status, text) in [
        (
            "GET /api/v1",
            &JSON[..],
            "",
            "405 Method Not Allowed",
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.",
        ),
        (
            PATH,
            &JSON[1..],
            "{}",
            "400 Bad Request",
            "Expecting 'Content-Type' to be present",
        ),
        (
            PATH,
            &[
                ("Content-Type", "application/json"),
                ("Accept", "text/html"),
            ],
            r#"{"type":"READ_FILE"}"#,
            "400 Bad Request",
            "Failed to validate master::Call: Expecting 'read_file' to be present",
        ),
        (
            PATH,
            &[
                ("Content-Type", "application/json"),
                ("Accept", "text/html"),
            ],
            r#"{"type":"UNKNOWN"}"#,
            "406 Not Acceptable",
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
        ),
        (
            PATH,
            &JSON[..],
            r#"{"type":"UNKNOWN"}"#,
            "501 Not Implemented",
            "501 Not Implemented.",
        ),
        (
            PATH,
            &JSON[..],
            r#"{"type":"TEARDOWN","teardown":{"framework_id":{"value":"zz"}}}"#,
            "400 Bad Request",
            "No framework found with specified ID",
        ),
    ] {
        let answer = http::ask(address, line, headers, body.as_bytes()).await;
        assert_eq!(
            (answer.status.as_str(), answer.text().as_str()),
            (status, text),
            "{line} {body}"
        );
    }
    let health = call(address, &json!({"type": "GET_HEALTH"})).await;
    assert_eq!(
        health,
        json!({"type": "GET_HEALTH", "get_health": {"healthy": true}})
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_watching_operator_is_told_of_every_change_once() {
    let master = master().await;
    let address = master.address();
    let mut first = watch(address).await;
    let subscribed = event(&mut first, "SUBSCRIBED").await;
    assert_eq!(
        subscribed["subscribed"],
        json!({
            "get_state": {
                "get_tasks": {"tasks": [], "unreachable_tasks": [], "completed_tasks": []},
                "get_executors": {"executors": []},
                "get_frameworks": {"frameworks": [], "completed_frameworks": []},
                "get_agents": {"agents": [], "recovered_agents": []},
            },
            "heartbeat_interval_seconds": 15.0,
        })
    );
    event(&mut first, "HEARTBEAT").await;

    let mut agent = Agent::register(address, agent::register("node1")).await;
    let added = event(&mut first, "AGENT_ADDED").await;
    let info = &added["agent_added"]["agent"]["agent_info"];
    assert_eq!(info["hostname"], "node1");

    let mut framework = Scheduler::subscribe(address, scheduler::framework_info("one")).await;
    let added = event(&mut first, "FRAMEWORK_ADDED").await;
    let shown = &added["framework_added"]["framework"];
    assert_eq!(
        shown["framework_info"]["id"]["value"],
        framework.framework_id
    );
    assert_eq!(shown["active"], true);
    assert_eq!(shown["unregistered_time"], json!({"nanoseconds": 0}));

    let offers = framework.expect("OFFERS").await;
    let offered = &offers["offers"]["offers"][0];
    let task = scheduler::task("t1", offered, 0.5, 64.0);
    framework
        .accepted(scheduler::accept(offered, &[task]))
        .await;
    let added = event(&mut first, "TASK_ADDED").await;
    assert_eq!(added["task_added"]["task"]["state"], "TASK_STAGING");

    // A second one begins here: what was before is in its snapshot and does not come again.
    let mut second = watch(address).await;
    let subscribed = event(&mut second, "SUBSCRIBED").await;
    let state = &subscribed["subscribed"]["get_state"];
    assert_eq!(state["get_tasks"]["tasks"][0]["task_id"]["value"], "t1");
    assert_eq!(state["get_agents"]["agents"].as_array().unwrap().len(), 1);
    event(&mut second, "HEARTBEAT").await;
    let metrics = http::get(address, "/metrics/snapshot").await;
    assert_eq!(metrics["master/operator_event_stream_subscribers"], 2.0);

    let run = agent.run_task().await;
    agent.update(&run, model::TaskState::Running, 1).await;
    for events in [&mut first, &mut second] {
        let updated = event(events, "TASK_UPDATED").await;
        assert_eq!(updated["task_updated"]["state"], "TASK_RUNNING");
        let status = &updated["task_updated"]["status"];
        assert_eq!(status["task_id"]["value"], "t1");
    }

    let teardown = json!({"type": "TEARDOWN",
        "teardown": {"framework_id": {"value": framework.framework_id}}});
    let answer = http::ask(address, PATH, &JSON, teardown.to_string().as_bytes()).await;
    assert_eq!(answer.status, "200 OK");
    for events in [&mut first, &mut second] {
        let updated = event(events, "TASK_UPDATED").await;
        assert_eq!(updated["task_updated"]["state"], "TASK_KILLED");
        event(events, "FRAMEWORK_REMOVED").await;
    }
    let tasks = call(address, &json!({"type": "GET_TASKS"})).await;
    let completed = &tasks["get_tasks"]["completed_tasks"][0];
    assert_eq!(completed["state"], "TASK_KILLED");
    assert_eq!(completed["status_update_state"], "TASK_RUNNING");
    master.shutdown().await.unwrap();
    let last = soon("the last chunk", first.chunk()).await;
    assert_eq!(last.as_deref(), Some(&b""[..]));
}

#[tokio::test]
async fn an_executor_is_shown_with_its_framework_and_the_role_it_holds_for() {
    let master = master().await;
    let address = master.address();
    let _agent = Agent::register(address, agent::register("node1")).await;
    let mut framework = Scheduler::subscribe(address, scheduler::framework_info("one")).await;
    let offers = framework.expect("OFFERS").await;
    let offered = &offers["offers"]["offers"][0];
    let mut task = scheduler::task("t1", offered, 0.5, 64.0);
    task.as_object_mut().unwrap().remove("command");
    task["executor"] = json!({
        "executor_id": {"value": "e1"},
        "command": {"value": "run"},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.25}}],
    });
    framework
        .accepted(scheduler::accept(offered, &[task]))
        .await;
    let executors = call(address, &json!({"type": "GET_EXECUTORS"})).await;
    let executor = &executors["get_executors"]["executors"][0];
    let info = &executor["executor_info"];
    assert_eq!(executor["agent_id"], offered["agent_id"], "{executor}");
    assert_eq!(info["executor_id"]["value"], "e1");
    assert_eq!(info["framework_id"]["value"], framework.framework_id);
    assert_eq!(
        info["resources"],
        json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.25},
            "allocation_info": {"role": "*"}}])
    );
    let agents = call(address, &json!({"type": "GET_AGENTS"})).await;
    let agent = &agents["get_agents"]["agents"][0];
    assert_eq!(agent["agent_info"]["checkpoint"], true);
    let held = agent["allocated_resources"].as_array().unwrap();
    let cpus = held.iter().find(|resource| resource["name"] == "cpus");
    assert_eq!(cpus.unwrap()["scalar"]["value"], 0.75);
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_log_is_listed_and_read_where_the_master_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::write(&log, "hello").unwrap();
    let config = Config {
        external_log_file: Some(log),
        ..config()
    };
    let master = Server::start(&config).await.unwrap();
    let address = master.address();
    let list = |path: &str| json!({"type": "LIST_FILES", "list_files": {"path": path}});
    assert_eq!(
        call(address, &list("/master/log")).await,
        json!({"type": "LIST_FILES", "list_files": {}})
    );
    let missing = list("/nope").to_string();
    let answer = http::ask(address, PATH, &JSON, missing.as_bytes()).await;
    assert_eq!(
        (answer.status.as_str(), answer.text()),
        ("404 Not Found", String::new())
    );
    let read = json!({"type": "READ_FILE",
        "read_file": {"path": "/master/log", "offset": 1, "length": 3}});
    assert_eq!(
        call(address, &read).await,
        json!({"type": "READ_FILE", "read_file": {"size": 5, "data": "ZWxs"}})
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_level_of_the_log_that_is_set_is_told_until_its_time_is_over() {
    let master = master().await;
    let address = master.address();
    let get = json!({"type": "GET_LOGGING_LEVEL"});
    let level = async || call(address, &get).await["get_logging_level"]["level"].clone();
    assert_eq!(level().await, 0);
    let set = json!({"type": "SET_LOGGING_LEVEL",
        "set_logging_level": {"level": 2, "duration": {"nanoseconds": 2_000_000_000_i64}}});
    let answer = http::ask(address, PATH, &JSON, set.to_string().as_bytes()).await;
    assert_eq!(
        (answer.status.as_str(), answer.text()),
        ("200 OK", String::new())
    );
    assert_eq!(level().await, 2);
    until("the level to come down", async || {
        (level().await == 0).then_some(())
    })
    .await;
    master.shutdown().await.unwrap();
}
