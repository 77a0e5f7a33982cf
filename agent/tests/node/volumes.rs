//! Reservations and persistent volumes: made, used, kept, destroyed.

use std::fs;
use std::sync::Arc;

use model::{OperationState, TaskState};

use crate::master::Master;
use crate::program::{Agent, busybox_root};

const RESERVED: &str = r#""name":"disk","type":"SCALAR","scalar":{"value":64},
    "reservations":[{"type":"DYNAMIC","role":"a/b"}]"#;
const VOLUME: &str =
    r#""disk":{"persistence":{"id":"v"},"volume":{"mode":"RW","container_path":"data/here"}}"#;

fn finished(master: &mut Master, number: u8, operation: &str) {
    let status = master.apply(number, operation);
    assert_eq!(
        status.state,
        OperationState::Finished.number(),
        "{status:?}"
    );
}

#[test]
fn reservations_and_volumes_are_there_again_after_a_restart() {
    let mut master = Master::start(1);
    let agent = Agent::start(&master, None);
    assert_eq!(master.admit().operations, []);
    finished(
        &mut master,
        1,
        &format!(r#"{{"type":"RESERVE","reserve":{{"resources":[{{{RESERVED}}}]}}}}"#),
    );
    let volumes = format!("[{{{RESERVED},{VOLUME}}}]");
    finished(
        &mut master,
        2,
        &format!(r#"{{"type":"CREATE","create":{{"volumes":{volumes}}}}}"#),
    );
    let refused = master.apply(3, r#"{"type":"CREATE_DISK"}"#);
    assert_eq!(refused.state, OperationState::Error.number());
    let state = agent.get_until("/slave(1)/state", "persistence");
    assert!(
        state.contains(r#""reserved_resources":{"a/b":{"#),
        "{state}"
    );
    let directory = agent.work_dir.path().join("volumes/roles/a b/v");
    fs::write(directory.join("file"), "kept").expect("a file in the volume");
    let work_dir = Arc::clone(&agent.work_dir);
    assert_eq!(agent.stop(), Some(0));

    let mut master = Master::start(2);
    let agent = Agent::start_in(work_dir, &master, None);
    let register = master.admit();
    let total = api::convert::resources(&register.total_resources).expect("resources");
    assert!(
        total.iter().any(|one| one.is_persistent_volume()),
        "{total:?}"
    );
    assert_eq!(
        fs::read_to_string(directory.join("file")).expect("the file"),
        "kept"
    );
    finished(
        &mut master,
        4,
        &format!(r#"{{"type":"DESTROY","destroy":{{"volumes":{volumes}}}}}"#),
    );
    assert!(!directory.exists());
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_task_finds_what_another_left_in_their_volume() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    let volume = format!("{{{RESERVED},{VOLUME}}}");
    finished(
        &mut master,
        1,
        &format!(r#"{{"type":"RESERVE","reserve":{{"resources":[{{{RESERVED}}}]}}}}"#),
    );
    finished(
        &mut master,
        2,
        &format!(r#"{{"type":"CREATE","create":{{"volumes":[{volume}]}}}}"#),
    );
    for (task, command) in [
        ("t1", "echo kept >data/here/file"),
        ("t2", "cat data/here/file"),
    ] {
        let task = format!(r#""task_id":{{"value":"{task}"}},"command":{{"value":"{command}"}}"#);
        master.run_with(&format!("{volume},"), &task);
        let states = [master.update(), master.update(), master.update()];
        assert_eq!(states[2].state, TaskState::Finished.number(), "{states:?}");
    }
    let path = "/frameworks/m-0000/executors/t2/runs/latest/stdout";
    let read = agent.get(&format!("/files/read?path={path}&offset=0"));
    assert!(read.ends_with(r#"{"data":"kept\n","offset":0}"#), "{read}");
    assert_eq!(agent.stop(), Some(0));
}
