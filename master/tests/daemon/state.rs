//! The state endpoints and the metrics: their keys and their order.

use crate::support::agent::{self, Agent};
use crate::support::http;
use crate::support::master;
use crate::support::scheduler::{self, Scheduler};
use serde_json::{Value, json};

#[tokio::test]
async fn small_endpoints_answer_as_recorded() {
    let master = master().await;
    let address = master.address();
    let not_found = "404 Not Found.";
    let port = address.port();
    for (line, status, body) in [
        ("GET /health", "200 OK", ""),
        ("GET /master/health", "200 OK", ""),
        ("GET /master/redirect?a=b", "307 Temporary Redirect", ""),
        ("GET /redirect", "307 Temporary Redirect", ""),
        ("GET /", "404 Not Found", not_found),
        ("GET /master/nope", "404 Not Found", not_found),
        ("GET /master/state.json", "404 Not Found", not_found),
        ("GET /master/version", "404 Not Found", not_found),
        (
            "GET /metrics/snapshot?timeout=abc",
            "400 Bad Request",
            "Invalid timeout 'abc': Failed to convert '' to number.\n",
        ),
    ] {
        let answer = http::ask(address, line, &[], b"").await;
        assert_eq!(
            (answer.status.as_str(), answer.text().as_str()),
            (status, body),
            "{line}"
        );
        let place = format!("//localhost:{port}");
        let location = line.contains("redirect").then_some(place.as_str());
        assert_eq!(answer.header("Location"), location);
    }
    let version = http::get(address, "/version").await;
    let keys: Vec<&String> = version.as_object().unwrap().keys().collect();
    let expected = [
        "build_date",
        "build_time",
        "build_user",
        "git_sha",
        "git_tag",
        "version",
    ];
    assert_eq!(keys, expected);
    master.shutdown().await.unwrap();
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_state_has_the_keys_of_mesos_in_their_order() {
    let master = master().await;
    let address = master.address();
    let mut agent = Agent::register(address, agent::register("node1")).await;
    let info = json!({"user": "root", "name": "one", "roles": ["web"], "failover_timeout": 60,
        "capabilities": [{"type": "MULTI_ROLE"}], "labels": {"labels": [{"key": "k"}]}});
    let mut framework = Scheduler::subscribe(address, info).await;
    let offers = framework.expect("OFFERS").await;
    let offered = &offers["offers"]["offers"][0];
    assert_eq!(offered["allocation_info"], json!({"role": "web"}));
    let task = scheduler::task("t1", offered, 0.5, 64.0);
    framework
        .accepted(scheduler::accept(offered, &[task]))
        .await;
    let run = agent.run_task().await;
    agent.update(&run, model::TaskState::Running, 1).await;
    framework.wait_for("UPDATE").await;

    let state = http::get(address, "/master/state").await;
    assert_eq!(
        keys(&state).join(" "),
        "version git_sha git_tag build_date build_time build_user start_time elected_time id pid \
         hostname capabilities activated_slaves deactivated_slaves unreachable_slaves leader \
         leader_info flags slaves recovered_slaves frameworks completed_frameworks orphan_tasks \
         unregistered_frameworks"
    );
    let slave = &state["slaves"][0];
    assert_eq!(
        keys(slave).join(" "),
        "id hostname port attributes pid registered_time resources used_resources \
         offered_resources reserved_resources unreserved_resources active deactivated version \
         capabilities"
    );
    assert_eq!(slave["pid"], "slave(1)@127.0.1.9:5051");
    assert_eq!(slave["attributes"], json!({"rack": "a"}));
    assert_eq!(slave["capabilities"], json!(["MULTI_ROLE"]));
    assert_eq!(
        slave["resources"].to_string(),
        r#"{"disk":10240.0,"mem":4096.0,"gpus":0.0,"cpus":4.0,"ports":"[31000-32000]"}"#
    );
    assert_eq!(
        slave["used_resources"].to_string(),
        r#"{"disk":0.0,"mem":64.0,"gpus":0.0,"cpus":0.5}"#
    );
    let shown = &state["frameworks"][0];
    assert_eq!(
        keys(shown).join(" "),
        "id name used_resources offered_resources capabilities hostname webui_url active \
         connected recovered user failover_timeout checkpoint registered_time unregistered_time \
         resources roles tasks unreachable_tasks completed_tasks offers executors labels \
         offer_constraints"
    );
    let task = &shown["tasks"][0];
    assert_eq!(
        keys(task).join(" "),
        "id name framework_id executor_id slave_id state resources role statuses"
    );
    assert_eq!(task["executor_id"], "");
    assert_eq!(task["role"], "web");
    assert_eq!(task["statuses"][0]["state"], "TASK_RUNNING");

    let slaves = http::get(address, "/slaves").await;
    let full = "reserved_resources_full unreserved_resources_full used_resources_full \
                offered_resources_full";
    assert!(keys(&slaves["slaves"][0]).join(" ").ends_with(full));
    let nobody = http::get(address, "/master/slaves?slave_id=zz").await;
    assert_eq!(nobody, json!({"slaves": [], "recovered_slaves": []}));
    let tasks = http::get(address, "/tasks?task_id=t1").await;
    assert_eq!(tasks["tasks"][0], *task);
    let roles = http::get(address, "/roles").await;
    assert_eq!(roles["roles"][0]["name"], "web");
    let summary = http::get(address, "/state-summary").await;
    assert_eq!(summary["slaves"][0]["TASK_RUNNING"], 1);
    assert_eq!(
        summary["frameworks"][0]["slave_ids"][0],
        agent.agent_id.as_str()
    );
    master.shutdown().await.unwrap();
}

/// Names that a real master reports in a cluster with an agent and a framework `one` in role `web`.
const METRICS: &str = include_str!("data/metrics.txt");

#[tokio::test]
async fn every_metric_that_mesos_has_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = master::flags::Config {
        registry: master::flags::RegistryKind::Redb,
        work_dir: Some(folder.path().to_owned()),
        ..crate::support::config()
    };
    let master = master::Server::start(&config).await.unwrap();
    let address = master.address();
    let _agent = Agent::register(address, agent::register("node1")).await;
    let info = json!({"user": "root", "name": "busy b", "roles": ["web"],
        "capabilities": [{"type": "MULTI_ROLE"}]});
    let mut framework = Scheduler::subscribe(address, info).await;
    let offers = framework.expect("OFFERS").await;
    let task = scheduler::task("t1", &offers["offers"]["offers"][0], 0.5, 64.0);
    let launch = scheduler::accept(&offers["offers"]["offers"][0], &[task]);
    framework.accepted(launch).await;
    let metrics = http::get(address, "/metrics/snapshot").await;
    let missing: Vec<String> = METRICS
        .lines()
        .map(|name| name.replace("FRAMEWORK", &format!("busy%20b/{}", framework.framework_id)))
        .filter(|name| !metrics[name].is_f64())
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    master.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_a_time_share_a_state_and_each_sees_what_happened_before_it_asked() {
    let master = master().await;
    let address = master.address();
    let mut agents = Vec::new();
    for number in 1..=5 {
        let mut register = agent::register(&format!("node{number}"));
        // Two at one address would be one that has lost its memory.
        register.advertise_ip = format!("127.0.1.{number}");
        agents.push(Agent::register(address, register).await);
        let mut readers = tokio::task::JoinSet::new();
        for path in ["/state", "/master/state", "/slaves", "/state-summary"].repeat(5) {
            readers.spawn(async move { http::get(address, path).await });
        }
        while let Some(state) = readers.join_next().await {
            let state = state.unwrap();
            assert_eq!(state["slaves"].as_array().unwrap().len(), number, "{state}");
        }
    }
    drop(agents.pop());
    crate::support::until("an agent that is gone is shown as such", async || {
        let state = http::get(address, "/state").await;
        (state["deactivated_slaves"] == 1.0).then_some(())
    })
    .await;
    let state = http::get(address, "/state").await;
    let slaves = state["slaves"].as_array().unwrap();
    let active = slaves.iter().filter(|slave| slave["active"] == true);
    assert_eq!(active.count(), 4);
    master.shutdown().await.unwrap();
}
