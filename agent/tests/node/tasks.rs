//! Tasks: refused, run, killed.

use api::link::v1::KillTask;
use api::link::v1::agent_frame::Body as FromAgent;
use api::link::v1::master_frame::Body as ToAgent;
use api::v1;
use model::{Reason, TaskState};

use crate::master::Master;
use crate::program::{Agent, busybox_root};

#[test]
fn an_agent_registers_refuses_what_it_cannot_run_and_ends_when_told() {
    let mut master = Master::start(1);
    let agent = Agent::start(&master, None);
    master.admit();
    master.run(
        r#""task_id":{"value":"t1"},"executor":{"executor_id":{"value":"e"},
           "command":{"value":"x"},"container":{"type":"MESOS","linux_info":{"share_pid_namespace":true}}}"#,
    );
    let status = master.update();
    assert_eq!(status.state, TaskState::Failed.number());
    assert_eq!(status.reason, Some(Reason::ContainerLaunchFailed.number()));
    assert_eq!(
        status.message(),
        "Sharing agent pid namespace with container is disallowed"
    );
    // The master counts an executor from the moment that it sends its first task.
    let next = master.hear();
    assert!(matches!(next, FromAgent::ExecutorExited(_)), "{next:?}");
    master.run(r#""task_id":{"value":"t2"},"command":{"value":"true"}"#);
    let status = master.update();
    assert_eq!(
        status.message(),
        "this host was given no root for tasks (--default_rootfs)"
    );

    let state = agent.get_until("/slave(1)/state", r#""id":"t2""#);
    assert!(state.starts_with("HTTP/1.1 200 OK\r\n"), "{state}");
    for part in [
        r#""id":"m-S0""#,
        r#""attributes":{"rack":"a1"}"#,
        r#""domain":{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"z1"}}}"#,
        r#""cpus":2.0"#,
        r#""ports":"[31000-32000]""#,
        r#""state":"TASK_FAILED""#,
    ] {
        assert!(state.contains(part), "{part} is not in {state}");
    }
    agent.get_until("/metrics/snapshot", r#""slave/tasks_failed":2.0"#);
    assert!(agent.get("/slave%281%29/health").contains("200 OK"));
    assert!(agent.get("/nope").contains("404 Not Found"));
    assert!(
        agent
            .get("/files/read?path=/etc/passwd&offset=0")
            .contains("404 Not Found")
    );
    assert!(
        agent
            .get("/files/browse?path=/frameworks/m-0000/executors/../../../../etc")
            .contains("404")
    );
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_task_runs_writes_its_output_fails_with_its_status_and_another_is_killed() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    master.run(r#""task_id":{"value":"t1"},"command":{"value":"echo hello; exit 7"}"#);
    let states = [master.update(), master.update(), master.update()];
    let seen = states
        .each_ref()
        .map(|status| (status.state, status.message()));
    assert_eq!(
        seen,
        [
            (TaskState::Starting.number(), ""),
            (TaskState::Running.number(), ""),
            (TaskState::Failed.number(), "Command exited with status 7"),
        ]
    );
    let path = "/frameworks/m-0000/executors/t1/runs/latest/stdout";
    let read = agent.get(&format!("/files/read?path={path}&offset=0"));
    assert!(read.ends_with(r#"{"data":"hello\n","offset":0}"#), "{read}");
    master.run(r#""task_id":{"value":"t2"},"command":{"value":"sleep 1000"}"#);
    master.update();
    master.update();
    master.say(ToAgent::KillTask(KillTask {
        framework_id: Some(v1::FrameworkId {
            value: "m-0000".into(),
        }),
        task_id: Some(v1::TaskId { value: "t2".into() }),
        kill_policy: None,
    }));
    assert_eq!(master.update().state, TaskState::Killing.number());
    assert_eq!(master.update().state, TaskState::Killed.number());
    assert!(agent.work_dir.path().join("meta/checkpoint.log").exists());
    assert_eq!(agent.stop(), Some(0));
}
