//! A master in this process, with frameworks over raw HTTP and a stand-in for an agent.

use std::time::Duration;

use crate::support::agent::{self, Agent};
use crate::support::http::{self, Client};
use crate::support::scheduler::{self, Scheduler, framework_info};
use crate::support::{config, master, soon, until};
use api::link::v1::master_frame::Body as MasterBody;
use model::TaskState;
use serde_json::{Value, json};

/// The first offer of the next OFFERS.
async fn offer(framework: &mut Scheduler) -> Value {
    let offers = framework.expect("OFFERS").await;
    offers["offers"]["offers"][0].clone()
}

#[tokio::test]
async fn a_task_goes_from_the_offer_to_its_end() {
    let master = master().await;
    let address = master.address();
    let mut agent = Agent::register(address, agent::register("node1")).await;
    let mut framework = Scheduler::subscribe(address, framework_info("one")).await;

    let offered = offer(&mut framework).await;
    assert_eq!(offered["hostname"], "node1");
    assert_eq!(offered["agent_id"]["value"], agent.agent_id.as_str());
    assert_eq!(
        offered["url"],
        json!({"scheme": "http", "path": "/slave(1)", "address":
            {"hostname": "node1", "ip": "127.0.1.9", "port": 5051}})
    );
    assert_eq!(offered["attributes"][0]["text"]["value"], "a");
    assert_eq!(offered.get("allocation_info"), None, "without MULTI_ROLE");
    for resource in offered["resources"].as_array().unwrap() {
        assert_eq!(resource["role"], "*", "the older format");
        assert_eq!(resource.get("allocation_info"), None);
    }

    let task = scheduler::task("t1", &offered, 0.5, 64.0);
    framework
        .accepted(scheduler::accept(&offered, &[task]))
        .await;
    let run = agent.run_task().await;
    let info = run.task_info.clone().unwrap();
    let framework_id = run.framework_info.as_ref().unwrap().id.clone().unwrap();
    assert_eq!(framework_id.value, framework.framework_id);
    for resource in &info.resources {
        let role = resource.allocation_info.as_ref().unwrap().role.as_deref();
        assert_eq!(role, Some("*"));
    }

    for (number, state) in [
        (1, TaskState::Starting),
        (2, TaskState::Running),
        (3, TaskState::Finished),
    ] {
        let uuid = agent.update(&run, state, number).await;
        let update = framework.wait_for("UPDATE").await;
        assert_eq!(update["update"]["status"]["state"], state.name());
        framework.acknowledge(&update).await;
        match agent.frame().await {
            MasterBody::AcknowledgeUpdate(acknowledged) => {
                assert_eq!(acknowledged.uuid, uuid);
                assert_eq!(acknowledged.task_id.unwrap().value, "t1");
            }
            other => panic!("not AcknowledgeUpdate: {other:?}"),
        }
    }

    let state = http::get(address, "/master/state").await;
    let completed = &state["frameworks"][0]["completed_tasks"][0];
    assert_eq!(completed["id"], "t1");
    assert_eq!(completed["state"], "TASK_FINISHED");
    assert_eq!(completed["statuses"].as_array().unwrap().len(), 3);
    let metrics = http::get(address, "/metrics/snapshot").await;
    assert_eq!(metrics["master/tasks_finished"], 1.0);
    let counted = format!(
        "master/frameworks/one/{}/calls/acknowledge",
        framework.framework_id
    );
    assert_eq!(metrics[counted], 3.0);
    master.shutdown().await.unwrap();
}

/// The recording `scheduler-json/tasks/reconcile-explicit-known-no-agent`.
#[tokio::test]
async fn a_reconciled_command_task_names_no_executor() {
    let master = master().await;
    let address = master.address();
    let mut agent = Agent::register(address, agent::register("node1")).await;
    let mut framework = Scheduler::subscribe(address, framework_info("one")).await;
    let offered = offer(&mut framework).await;
    let task = scheduler::task("t1", &offered, 0.5, 64.0);
    framework
        .accepted(scheduler::accept(&offered, &[task]))
        .await;
    let run = agent.run_task().await;
    agent.update(&run, TaskState::Running, 1).await;
    let update = framework.wait_for("UPDATE").await;
    assert_eq!(update["update"]["status"]["executor_id"]["value"], "t1");

    let tasks = json!({"tasks": [{"task_id": {"value": "t1"}}]});
    framework
        .accepted(json!({"type": "RECONCILE", "reconcile": tasks}))
        .await;
    let update = framework.wait_for("UPDATE").await;
    let status = &update["update"]["status"];
    assert_eq!(status["message"], "Reconciliation: Latest task state");
    assert_eq!(status.get("executor_id"), None);
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_silent_agent_becomes_unreachable_and_its_tasks_with_it() {
    let config = master::flags::Config {
        agent_ping_timeout: Duration::from_millis(100),
        max_agent_ping_timeouts: 2,
        ..config()
    };
    let master = master::Server::start(&config).await.unwrap();
    let address = master.address();
    let mut agent = Agent::register(address, agent::register("node1")).await;
    let mut info = framework_info("one");
    info["checkpoint"] = json!(true);
    info["capabilities"] = json!([{"type": "PARTITION_AWARE"}]);
    let mut framework = Scheduler::subscribe(address, info).await;
    let offered = offer(&mut framework).await;
    let task = scheduler::task("t1", &offered, 0.5, 64.0);
    framework
        .accepted(scheduler::accept(&offered, &[task]))
        .await;
    let run = agent.run_task().await;
    agent.update(&run, TaskState::Running, 1).await;
    let running = framework.wait_for("UPDATE").await;
    framework.acknowledge(&running).await;

    agent.answers = false;
    let silence = async { while agent.next().await.is_some() {} };
    let lost = async {
        let update = framework.wait_for("UPDATE").await;
        assert_eq!(update["update"]["status"]["state"], "TASK_UNREACHABLE");
        assert_eq!(update["update"]["status"].get("uuid"), None);
        let failure = framework.wait_for("FAILURE").await;
        assert_eq!(
            failure["failure"]["agent_id"],
            running["update"]["status"]["agent_id"]
        );
    };
    soon("the end of the link and the updates", async {
        tokio::join!(silence, lost)
    })
    .await;
    let state = http::get(address, "/state").await;
    assert_eq!(state["unreachable_slaves"], 1.0);
    assert_eq!(state["slaves"], json!([]));
    let tasks = &state["frameworks"][0]["unreachable_tasks"];
    assert_eq!(tasks[0]["state"], "TASK_UNREACHABLE");
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cut_and_its_framework_is_disconnected() {
    let master = master().await;
    let address = master.address();
    let mut framework = Scheduler::subscribe(address, framework_info("slow")).await;
    // Each call makes one UPDATE; what waits grows until the bound of the stream, past what the
    // buffers of the kernel on both sides take.
    let many: Vec<Value> = (0..500)
        .map(|number| json!({"task_id": {"value": format!("{number}-{}", "x".repeat(2000))}}))
        .collect();
    let call = json!({"type": "RECONCILE", "reconcile": {"tasks": many}});
    let cut = until("the cut", async || {
        let answer = framework.call(call.clone()).await;
        (answer.status != "202 Accepted").then_some(answer)
    })
    .await;
    assert_eq!(cut.status, "403 Forbidden");
    assert_eq!(cut.text(), "Framework is not subscribed");
    let state = http::get(address, "/state").await;
    assert_eq!(state["frameworks"][0]["connected"], false);
    let closed = async { while framework.events.chunk().await.is_some() {} };
    soon("the end of the connection", closed).await;
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_read_is_not_cut_for_what_one_call_brings() {
    let master = master().await;
    let mut framework = Scheduler::subscribe(master.address(), framework_info("many")).await;
    let many: Vec<Value> = (0..10_000)
        .map(|number| json!({"task_id": {"value": number.to_string()}}))
        .collect();
    let call = json!({"type": "RECONCILE", "reconcile": {"tasks": many}});
    framework.accepted(call).await;
    for _ in 0..10_000 {
        framework.expect("UPDATE").await;
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_closed_stream_disconnects_and_a_second_subscribe_takes_over() {
    let master = master().await;
    let address = master.address();
    let mut first = Scheduler::subscribe(address, framework_info("one")).await;
    let mut info = framework_info("one");
    info["id"] = json!({"value": first.framework_id});
    let mut second = Scheduler::subscribe(address, info.clone()).await;
    assert_eq!(second.framework_id, first.framework_id);
    let error = first.expect("ERROR").await;
    assert_eq!(error["error"]["message"], "Framework failed over");
    assert_eq!(first.events.chunk().await, Some(vec![]), "the last chunk");
    let stale = first.call(json!({"type": "REVIVE"})).await;
    assert_eq!(stale.status, "400 Bad Request");
    assert!(
        stale.text().starts_with("The stream ID '"),
        "{}",
        stale.text()
    );
    second.accepted(json!({"type": "REVIVE"})).await;

    let Scheduler {
        events,
        mut calls,
        stream_id,
        framework_id,
    } = second;
    drop(events);
    let body = json!({"type": "REVIVE", "framework_id": {"value": framework_id}}).to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("Mesos-Stream-Id", stream_id.as_str()),
    ];
    until("the disconnection", async || {
        let line = "POST /master/api/v1/scheduler";
        let answer = calls.ask(line, &headers, body.as_bytes()).await;
        (answer.status == "403 Forbidden").then_some(())
    })
    .await;
    let mut third = Scheduler::subscribe(address, info).await;
    third.accepted(json!({"type": "TEARDOWN"})).await;
    assert_eq!(third.events.chunk().await, Some(vec![]), "the last chunk");
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_agent_comes_back_under_its_id_after_a_restart_of_the_master() {
    let folder = tempfile::tempdir().unwrap();
    let config = master::flags::Config {
        registry: master::flags::RegistryKind::Redb,
        work_dir: Some(folder.path().to_owned()),
        ..config()
    };
    let master = master::Server::start(&config).await.unwrap();
    let first = Agent::register(master.address(), agent::register("node1")).await;
    master.shutdown().await.unwrap();

    let master = until("the registry's lock", async || {
        master::Server::start(&config).await.ok()
    })
    .await;
    let state = http::get(master.address(), "/state").await;
    assert_eq!(state["recovered_slaves"][0]["hostname"], "node1");
    let mut register = agent::register("node1");
    register.agent_id = Some(api::v1::AgentId {
        value: first.agent_id.clone(),
    });
    if let Some(info) = &mut register.agent_info {
        info.id = register.agent_id.clone();
    }
    let again = Agent::register(master.address(), register).await;
    assert_eq!(again.agent_id, first.agent_id);
    let state = http::get(master.address(), "/state").await;
    assert_eq!(state["slaves"][0]["id"], first.agent_id.as_str());
    assert_eq!(state["recovered_slaves"], json!([]));
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_link_that_does_not_register_well_is_refused_with_the_reason() {
    let master = master().await;
    let mut register = agent::register("node1");
    register.agent_info = None;
    let mut agent = Agent::open(master.address(), register, 3).await;
    match agent.frame().await {
        MasterBody::Refused(refused) => {
            assert_eq!(refused.reason, "register.agent_info is missing");
        }
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(agent.next().await, None);
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_link_that_says_nothing_is_refused_after_10_seconds() {
    let master = master().await;
    let begin = tokio::time::Instant::now();
    let mut agent = Agent::open_silent(master.address()).await;
    // From here on the clock runs ahead whenever nobody has anything to do.
    tokio::time::pause();
    match agent.frame().await {
        MasterBody::Refused(refused) => assert_eq!(refused.reason, "no frame within 10s"),
        other => panic!("not refused: {other:?}"),
    }
    assert!(begin.elapsed().as_secs() >= 10, "{:?}", begin.elapsed());
    assert_eq!(agent.next().await, None);
    tokio::time::resume();
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_say_gets_a_heartbeat_every_15_seconds() {
    let master = master().await;
    let mut framework = Scheduler::subscribe(master.address(), framework_info("one")).await;
    // From here on the clock runs ahead whenever nobody has anything to do.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    for number in 1..=3 {
        assert_eq!(framework.event().await["type"], "HEARTBEAT");
        let passed = begin.elapsed().as_secs_f64();
        let expected = f64::from(number) * 15.0;
        assert!((passed - expected).abs() < 1.0, "{number}: {passed}");
    }
    tokio::time::resume();
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn at_a_shutdown_streams_get_their_last_chunk() {
    let master = master().await;
    let mut framework = Scheduler::subscribe(master.address(), framework_info("one")).await;
    master.shutdown().await.unwrap();
    let end = soon("the end", framework.events.chunk()).await;
    assert!(matches!(end.as_deref(), Some([]) | None));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = master().await;
    let config = master::flags::Config {
        port: first.address().port(),
        ..config()
    };
    let error = master::Server::start(&config).await.err().unwrap();
    let expected = format!(
        "port {} of 127.0.0.1 is taken; stop what listens there, or choose another with --port",
        first.address().port()
    );
    assert_eq!(error.to_string(), expected);
    let mut client = Client::connect(first.address()).await;
    let version = client.ask("GET /version", &[], b"").await.json();
    assert_eq!(version["version"], "1.11.0");
    first.shutdown().await.unwrap();
}
