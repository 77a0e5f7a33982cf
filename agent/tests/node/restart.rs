//! Restarts: the agent's program is killed and started again, and its containers do not notice.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::v1;
use model::{Reason, TaskState};
use nix::sys::signal::Signal;

use crate::PATIENCE;
use crate::master::Master;
use crate::program::{Agent, busybox_root};

pub(crate) fn states(master: &mut Master, number: usize) -> Vec<v1::TaskStatus> {
    (0..number).map(|_| master.update()).collect()
}

/// The next update of a task that has ended; those before may come once more, since nobody can know
/// whether the agent that was killed had heard of their acknowledgement.
pub(crate) fn end(master: &mut Master) -> v1::TaskStatus {
    loop {
        let status = master.update();
        if TaskState::from_number(status.state).is_some_and(TaskState::is_terminal) {
            return status;
        }
    }
}

pub(crate) fn pid(status: &v1::TaskStatus) -> u32 {
    let container = status.container_status.as_ref().expect("a container");
    container.executor_pid.expect("a pid")
}

pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn stdout_of(agent: &Agent, task: &str) -> PathBuf {
    let runs = format!("slaves/m-S0/frameworks/m-0000/executors/{task}/runs/latest/stdout");
    agent.work_dir.path().join(runs)
}

/// Whole lines that count from 0.
pub(crate) fn count(path: &PathBuf) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    for (number, line) in lines.clone().enumerate() {
        assert_eq!(
            line.trim(),
            number.to_string(),
            "a line was lost or came twice"
        );
    }
    lines.count()
}

#[test]
fn a_task_outlives_the_agents_program_with_its_output_and_is_killed_by_the_next_one() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    master.run(
        r#""task_id":{"value":"t1"},
           "command":{"value":"i=0; while true; do echo $i; i=$((i+1)); sleep 0.01; done"}"#,
    );
    let before = pid(&states(&mut master, 2)[1]);
    let stdout = stdout_of(&agent, "t1");
    wait_until("it writes", || count(&stdout) > 5);
    let work_dir = agent.crash();
    assert!(is_running(before));
    let written = count(&stdout);
    wait_until("it goes on without an agent", || {
        count(&stdout) > written + 5
    });

    let mut master = Master::start(2);
    let agent = Agent::start_in(work_dir, &master, Some(root.path()));
    let register = master.admit();
    let tasks: Vec<_> = register.tasks.iter().map(|task| task.state).collect();
    assert_eq!(tasks, [TaskState::Running.number()]);
    assert!(is_running(before));
    let written = count(&stdout);
    wait_until("it goes on", || count(&stdout) > written + 5);
    // A second restart finds it as the first did.
    let work_dir = agent.crash();
    let mut master = Master::start(3);
    let agent = Agent::start_in(work_dir, &master, Some(root.path()));
    master.admit();
    assert!(
        agent
            .get_until("/containers", r#""container_id""#)
            .contains("m-0000")
    );
    master.kill("t1");
    let status = end(&mut master);
    assert_eq!(status.state, TaskState::Killed.number());
    assert_eq!(pid(&status), before);
    assert!(!is_running(before));
    count(&stdout);
    // What a new container gets was nobody else's.
    master.run(r#""task_id":{"value":"t2"},"command":{"value":"exit 3"}"#);
    let status = end(&mut master);
    assert_eq!(status.message(), "Command exited with status 3");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_task_that_ends_without_an_agent_ended_as_it_did() {
    let Some(root) = busybox_root() else {
        return;
    };
    for (command, message) in [
        ("exit 7", "Command exited with status 7"),
        ("kill -9 $$", "Command terminated with signal Killed"),
    ] {
        let mut master = Master::start(1);
        let agent = Agent::start(&master, Some(root.path()));
        master.admit();
        let command = format!("while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.01; done; {command}");
        master.run(&format!(
            r#""task_id":{{"value":"t1"}},"command":{{"value":"{command}"}}"#
        ));
        let before = pid(&states(&mut master, 2)[1]);
        let go = stdout_of(&agent, "t1").with_file_name("go");
        let work_dir = agent.crash();
        fs::write(go, "").expect("a file");
        wait_until("it ends", || !is_running(before));
        let mut master = Master::start(2);
        let agent = Agent::start_in(work_dir, &master, Some(root.path()));
        master.admit();
        let status = end(&mut master);
        assert_eq!(status.state, TaskState::Failed.number());
        assert_eq!(status.message(), message);
        assert_eq!(agent.stop(), Some(0));
    }
}

#[test]
fn a_pod_outlives_the_agents_program_with_its_tasks() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    let command = "while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.01; done";
    let task =
        |name: &str| format!(r#""task_id":{{"value":"{name}"}},"command":{{"value":"{command}"}}"#);
    master.run_pod(&[&task("a"), &task("b")], false);
    let running = states(&mut master, 4);
    assert!(
        running[2..]
            .iter()
            .all(|status| status.state == TaskState::Running.number())
    );
    let pids: Vec<u32> = running[2..].iter().map(pid).collect();
    let sandbox = stdout_of(&agent, "pod").with_file_name("tasks");
    let work_dir = agent.crash();
    let mut master = Master::start(2);
    let agent = Agent::start_in(work_dir, &master, Some(root.path()));
    master.admit();
    assert!(pids.iter().all(|pid| is_running(*pid)));
    // One more is nested in it.
    let more = r#""task_id":{"value":"c"},"command":{"value":"exit 4"}"#;
    master.run_pod(&[more], true);
    let status = end(&mut master);
    assert_eq!(status.message(), "Command exited with status 4");
    for name in ["a", "b"] {
        fs::write(sandbox.join(name).join("go"), "").expect("a file");
        let status = end(&mut master);
        assert_eq!(status.state, TaskState::Finished.number());
        assert_eq!(status.task_id.value, name);
    }
    agent.get_until("/containers", "\r\n\r\n[]");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn whatever_befalls_the_program_it_is_executed_again_and_its_tasks_do_not_notice() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let work_dir = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let flags = ["--failure_test", "--stall_timeout=2secs"];
    let agent = Agent::launch(work_dir, &master, Some(root.path()), &flags);
    master.admit();
    master.run(
        r#""task_id":{"value":"t1"},
           "command":{"value":"i=0; while true; do echo $i; i=$((i+1)); sleep 0.01; done"}"#,
    );
    let task = pid(&states(&mut master, 2)[1]);
    let stdout = stdout_of(&agent, "t1");
    let program = nix::unistd::Pid::from_raw(agent.pid().cast_signed());
    for (number, (what, cause)) in [
        ("SIGSEGV", "SIGSEGV in thread "),
        ("SIGABRT", "SIGABRT in thread "),
        ("panic", "panic in thread main at agent/src/again.rs"),
        ("overflow", "in thread overflow"),
        ("stall", "the main loop stood still for 2 s"),
    ]
    .into_iter()
    .enumerate()
    {
        let begun = Instant::now();
        master.expect_next();
        match what {
            "SIGSEGV" | "SIGABRT" => {
                let signal: Signal = what.parse().expect("a signal");
                nix::sys::signal::kill(program, signal).expect("a signal");
            }
            kind => {
                let answer = agent.ask("POST", &format!("/failure?kind={kind}"));
                assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
            }
        }
        let register = master.admit();
        println!("{what}: registered again after {:?}", begun.elapsed());
        assert_eq!(register.tasks.len(), 1);
        assert!(is_running(task));
        let state = agent.get_until("/state", "tepui_history");
        assert!(state.contains(cause), "{cause} is not in {state}");
        let lately = format!(r#""executed_again_lately":{}"#, number + 1);
        assert!(state.contains(&lately), "{lately} is not in {state}");
        let written = count(&stdout);
        wait_until("it goes on", || count(&stdout) > written + 5);
    }
    // Once more is too often: it ends, and the next start says why.
    let work_dir = std::sync::Arc::clone(&agent.work_dir);
    nix::sys::signal::kill(program, Signal::SIGBUS).expect("a signal");
    assert_eq!(agent.ended(), Some(1));
    assert!(is_running(task));
    let mut master = Master::start(7);
    let agent = Agent::start_in(work_dir, &master, Some(root.path()));
    master.admit();
    let state = agent.get_until("/state", "tepui_history");
    assert!(
        state.contains(r#""ended_by":"SIGBUS in thread "#),
        "{state}"
    );
    assert!(
        agent
            .ask("POST", "/failure?kind=abort")
            .starts_with("HTTP/1.1 404")
    );
    master.kill("t1");
    assert_eq!(end(&mut master).state, TaskState::Killed.number());
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn containers_of_frameworks_without_checkpoints_and_all_at_a_cleanup_end() {
    let Some(root) = busybox_root() else {
        return;
    };
    for (about, flags) in [
        ("", &[][..]),
        (r#""checkpoint":true,"#, &["--recover=cleanup"][..]),
    ] {
        let mut master = Master::start(1);
        let agent = Agent::start(&master, Some(root.path()));
        master.admit();
        master.run_of(
            about,
            "",
            r#""task_id":{"value":"t1"},"command":{"value":"sleep 1000"}"#,
        );
        let before = pid(&states(&mut master, 2)[1]);
        let work_dir = agent.crash();
        assert!(is_running(before));
        let mut incarnation = 2;
        if !flags.is_empty() {
            let cleaning = Agent::launch(
                std::sync::Arc::clone(&work_dir),
                &master,
                Some(root.path()),
                flags,
            );
            assert_eq!(cleaning.ended(), Some(0));
            assert!(!is_running(before));
            incarnation += 1;
        }
        let mut master = Master::start(incarnation);
        let agent = Agent::start_in(work_dir, &master, Some(root.path()));
        master.admit();
        let status = end(&mut master);
        assert_eq!(status.state, TaskState::Failed.number());
        assert_eq!(status.reason, Some(Reason::AgentRestarted.number()));
        assert!(!is_running(before));
        assert_eq!(agent.stop(), Some(0));
    }
}
