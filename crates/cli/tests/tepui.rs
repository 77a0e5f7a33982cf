//! The `tepui` program against a fake master and agent in this process.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use api::v1::scheduler::call::Type;
use model::TaskState;

mod exec;
mod fake;
use fake::{FRAMEWORK, Fake, Script};

fn tepui(master: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tepui"));
    command
        .env("TEPUI_MASTER", master)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end; the text of both outputs, and the exit code.
fn run(master: &str, arguments: &[&str]) -> (String, String, i32) {
    let output = tepui(master, arguments).output().unwrap();
    ended(&output)
}

fn ended(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("no signal ended it");
    (text(&output.stdout), text(&output.stderr), code)
}

/// Waits until `happened`; a test that waits for what never comes fails here.
fn until(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(20), "no {what}");
        sleep(Duration::from_millis(10));
    }
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_run_carries_output_and_exit_code_and_ends_its_framework() {
    let fake = Fake::start(Script {
        end: Some((TaskState::Failed, "Command exited with status 7")),
        stdout: b"hello \xff from node1\n".to_vec(),
        stderr: b"oh\n".to_vec(),
        ..Script::default()
    });
    let arguments = ["run", "--cpus", "0.5", "--name", "web", "-e", "A=1"];
    let command = [&arguments[..], &["--", "echo hello; exit 7"]].concat();
    let output = tepui(&fake.address, &command).output().unwrap();
    assert_eq!(output.stdout, b"hello \xff from node1\n", "bytes are kept");
    assert_eq!(output.stderr, b"oh\n");
    assert_eq!(output.status.code(), Some(7));
    let task = fake.task();
    assert!(task.task_id.value.starts_with("web-"));
    let amounts: Vec<f64> = task
        .resources
        .iter()
        .map(|r| r.scalar.unwrap().value)
        .collect();
    assert_eq!(amounts, [0.5, 64.0]);
    let command = task.command.unwrap();
    assert_eq!(command.value.as_deref(), Some("echo hello; exit 7"));
    use Type::{Accept, Acknowledge, Subscribe, Suppress, Teardown};
    let mut calls = fake.calls();
    calls.dedup();
    assert_eq!(calls, [Subscribe, Accept, Suppress, Acknowledge, Teardown]);
    let info = fake.call(Subscribe).subscribe.unwrap().framework_info;
    assert_eq!(info.failover_timeout, Some(604_800.0));
}

#[test]
fn output_that_was_rotated_away_before_it_was_read_comes_first() {
    let fake = Fake::start(Script {
        older: vec![b"one\n", b"two\n"],
        stdout: b"three\n".to_vec(),
        ..Script::default()
    });
    let (stdout, stderr, code) = run(&fake.address, &["run", "true"]);
    assert_eq!(
        (stdout.as_str(), code),
        ("one\ntwo\nthree\n", 0),
        "{stderr}"
    );
}

#[test]
fn a_task_that_was_refused_is_told_with_its_reason() {
    let fake = Fake::start(Script {
        end: Some((TaskState::Error, "Task uses more resources than available")),
        ..Script::default()
    });
    let (stdout, stderr, code) = run(&fake.address, &["run", "true"]);
    assert_eq!((stdout.as_str(), code), ("", 125));
    assert!(
        stderr.contains("TASK_ERROR: Task uses more resources"),
        "{stderr}"
    );
}

#[test]
fn ctrl_c_kills_the_task_and_exits_with_130() {
    let fake = Fake::start(Script {
        end: None,
        stdout: b"up\n".to_vec(),
        ..Script::default()
    });
    let child = tepui(&fake.address, &["run", "--", "sleep", "1000"]);
    let mut child = { child }.spawn().unwrap();
    let mut first = [0; 3];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(&first, b"up\n", "output comes while the task runs");
    interrupt(&child);
    let (_, stderr, code) = ended(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{stderr}");
    assert!(stderr.contains("killing run-"), "{stderr}");
    let calls = fake.calls();
    assert!(calls.contains(&Type::Kill), "{calls:?}");
    assert_eq!(calls.last(), Some(&Type::Teardown));
}

#[test]
fn a_run_without_a_fitting_offer_says_what_it_waits_for() {
    let fake = Fake::start(Script::default());
    let child = tepui(&fake.address, &["run", "--cpus", "8", "true"]).spawn();
    let mut child = child.unwrap();
    let mut said = String::new();
    let mut byte = [0];
    let stderr = child.stderr.as_mut().unwrap();
    while !said.ends_with('\n') && stderr.read(&mut byte).unwrap() > 0 {
        said.push(char::from(byte[0]));
    }
    let words = "tepui: no node offers 8 cpus; the largest is node1 with 2 cpus\n";
    assert_eq!(said, words);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    use Type::{Decline, Subscribe, Teardown};
    assert_eq!(fake.calls(), [Subscribe, Decline, Teardown]);
}

#[test]
fn a_detached_run_prints_the_id_and_leaves_the_framework() {
    let fake = Fake::start(Script {
        end: None,
        stdout: b"not shown".to_vec(),
        ..Script::default()
    });
    let (stdout, stderr, code) = run(&fake.address, &["run", "-d", "--", "sleep", "9"]);
    let id = fake.task().task_id.value;
    assert_eq!((stdout, code), (format!("{id}\n"), 0), "{stderr}");
    assert!(!fake.calls().contains(&Type::Teardown));
    let arguments = ["run", "-d", "--json", "--", "sleep", "9"];
    let fake = Fake::start(Script {
        end: None,
        ..Script::default()
    });
    let (stdout, ..) = run(&fake.address, &arguments);
    let ids: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(ids["framework_id"], FRAMEWORK);
    assert_eq!(ids["task_id"], fake.task().task_id.value);
}

#[test]
fn a_run_outlives_its_stream_and_reconciles_the_task() {
    let fake = Fake::start(Script {
        end: Some((TaskState::Failed, "Command exited with status 3")),
        drop_stream: true,
        ..Script::default()
    });
    let (_, stderr, code) = run(&fake.address, &["run", "true"]);
    assert_eq!(code, 3, "{stderr}");
    let calls = fake.calls();
    let count = |wanted| calls.iter().filter(|call| **call == wanted).count();
    assert_eq!(count(Type::Subscribe), 2, "{calls:?}");
    assert_eq!(count(Type::Accept), 1, "{calls:?}");
    assert_eq!(count(Type::Reconcile), 1, "{calls:?}");
}

#[test]
fn a_run_that_was_taken_over_watches_the_task_to_its_end() {
    let fake = Fake::start(Script {
        end: Some((TaskState::Killed, "")),
        take_over: true,
        ..Script::default()
    });
    let (_, stderr, code) = run(&fake.address, &["run", "true"]);
    assert_eq!(code, 143, "{stderr}");
    assert!(stderr.contains("another tepui speaks for run-"), "{stderr}");
    assert!(!fake.calls().contains(&Type::Teardown));
}

/// Answers every connection with the same bytes.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            // Whatever was asked, and whether or not the answer is read.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(bytes);
        }
    });
    address
}

#[test]
fn what_is_not_a_master_is_named_so() {
    let page = answering(
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    );
    let other = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let garbage = answering(b"SSH-2.0-OpenSSH_9.2\r\n");
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    for (address, words) in [
        (&page, "is not a Mesos master: it answers"),
        (&other, "is not a Mesos master: its answer to"),
        (&garbage, "does not speak HTTP"),
        (&closed, "Connection refused"),
    ] {
        for (arguments, expected) in [
            (&["nodes"][..], 1),
            (&["tasks"], 1),
            (&["run", "true"], 125),
        ] {
            let (stdout, stderr, code) = run(address, arguments);
            assert_eq!((stdout.as_str(), code), ("", expected), "{arguments:?}");
            assert!(stderr.contains(words), "{arguments:?}: {stderr}");
            assert!(stderr.contains(address.as_str()), "{arguments:?}: {stderr}");
        }
    }
}

#[test]
fn a_bad_command_line_is_refused_with_2() {
    for (arguments, words) in [
        (&["run"][..], "required"),
        (&["run", "--mem", "lots", "true"], "lots"),
        (&["run", "--cpus", "-1", "true"], "-1"),
        (&["run", "--env", "=x", "true"], "NAME=VALUE"),
        (&["run", "--json", "true"], "--detach"),
        (&["run", "--uri", "file", "true"], "must be a URI"),
        (&["run", "--volume", "/a", "true"], "SOURCE:PATH"),
        (
            &["run", "--health-cmd", "x", "--health-tcp", "true"],
            "cannot be used with",
        ),
        (
            &["run", "--image", "a", "--appc", "b"],
            "cannot be used with",
        ),
        (&["--master", "a:b", "nodes"], "HOST:PORT"),
        (&["nodes", "--wrong"], "--wrong"),
        (&["walk"], "walk"),
    ] {
        let (_, stderr, code) = run("127.0.0.1:1", arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
    let (_, stderr, code) = run("127.0.0.1:1", &["run", "--health-tcp", "true"]);
    assert_eq!(code, 125);
    assert!(stderr.contains("--health-port"), "{stderr}");
    let (_, stderr, code) = run("127.0.0.1:1", &["run", "--name", "a/b", "true"]);
    assert_eq!(code, 125);
    assert!(stderr.contains("invalid characters"), "{stderr}");
}

#[test]
fn without_a_master_the_ways_to_name_one_are_told() {
    let folder = tempfile::tempdir().unwrap();
    // A copy, since the program looks beside itself too.
    let program = folder.path().join("bin/tepui");
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_tepui"), &program).unwrap();
    let output = Command::new(&program)
        .arg("nodes")
        .env_remove("TEPUI_MASTER")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (_, stderr, code) = ended(&output);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("./qemu/up") && stderr.contains("--master"),
        "{stderr}"
    );
    let cluster = folder.path().join("cluster");
    std::fs::create_dir(&cluster).unwrap();
    let fake = Fake::start(Script::default());
    let state = format!(r#"{{"master":"{}","nodes":[]}}"#, fake.address);
    std::fs::write(cluster.join("cluster.json"), state).unwrap();
    let output = Command::new(&program)
        .arg("nodes")
        .env_remove("TEPUI_MASTER")
        .output();
    let (stdout, stderr, code) = ended(&output.unwrap());
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("node1"), "{stdout}");
}

const STATE: &str = r#"{"version":"1.11.0","id":"m","slaves":[{"id":"m-S0","hostname":"node1",
  "port":PORT,"pid":"slave(1)@127.0.0.1:PORT","active":true,"registered_time":1.0,
  "resources":{"cpus":2.0,"mem":1536.0,"disk":0.0},"used_resources":{"cpus":0.5,"mem":64.0,"disk":0.0}}],
  "frameworks":[
   {"id":"f-0000","name":"tepui run","user":"root","roles":["*"],"connected":false,"tasks":[
    {"id":"mine","name":"run","slave_id":"m-S0","state":"TASK_RUNNING","resources":{"cpus":0.5,"mem":64.0}}],
    "completed_tasks":[{"id":"old","name":"run","slave_id":"m-S0","state":"TASK_FINISHED"}]},
   {"id":"f-0001","name":"marathon","tasks":[
    {"id":"theirs","name":"web","slave_id":"m-S0","state":"TASK_RUNNING"}]}]}"#;

fn with_state() -> Fake {
    Fake::start(Script {
        state: Some(STATE.to_owned()),
        ..Script::default()
    })
}

#[test]
fn nodes_and_tasks_are_listed_for_people_and_for_programs() {
    let fake = with_state();
    let (stdout, _, code) = run(&fake.address, &["nodes"]);
    assert_eq!(code, 0);
    let row = format!(
        "node1  active  {}  0.5/2  64 MB/1.5 GB  0 MB/0 MB      2",
        fake.address
    );
    assert!(stdout.lines().nth(1).unwrap().starts_with(&row), "{stdout}");
    let (stdout, ..) = run(&fake.address, &["nodes", "--json"]);
    let nodes: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(nodes[0]["resources"]["mem"], 1536.0);
    let (stdout, ..) = run(&fake.address, &["tasks"]);
    assert!(
        stdout.contains("mine    run   RUNNING  node1   0.5  64 MB  tepui run"),
        "{stdout}"
    );
    assert!(!stdout.contains("old"), "{stdout}");
    let (stdout, ..) = run(&fake.address, &["tasks", "--all", "--json"]);
    let tasks: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let ids: Vec<&str> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["mine", "old", "theirs"]);
    let (stdout, _, code) = run(&fake.address, &["version"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("1.11.0"), "{stdout}");
}

#[test]
fn kill_takes_a_run_over_and_leaves_other_frameworks_alone() {
    let fake = with_state();
    let (_, stderr, code) = run(&fake.address, &["kill", "theirs"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("belongs to the framework \"marathon\""),
        "{stderr}"
    );
    let (_, stderr, code) = run(&fake.address, &["kill", "min"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("is \"mine\" meant?"), "{stderr}");
    assert_eq!(fake.calls(), []);
    // Two tasks are called so, of which one has ended.
    let (_, stderr, code) = run(&fake.address, &["kill", "run"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("mine ended as TASK_KILLED"), "{stderr}");
    let info = fake.call(Type::Subscribe).subscribe.unwrap().framework_info;
    assert_eq!(info.id.unwrap().value, FRAMEWORK);
    until("teardown", || fake.calls().last() == Some(&Type::Teardown));
}

#[test]
fn logs_of_a_task_that_left_nothing_are_empty() {
    let fake = with_state();
    let (stdout, stderr, code) = run(&fake.address, &["logs", "old"]);
    assert_eq!((stdout.as_str(), stderr.as_str(), code), ("", "", 0));
    let (_, stderr, code) = run(&fake.address, &["logs", "nothing"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no task \"nothing\""), "{stderr}");
}

#[test]
fn top_shows_what_tasks_use_between_two_looks() {
    let fake = with_state();
    let (stdout, stderr, code) = run(&fake.address, &["top", "-d", "0.1"]);
    assert_eq!(code, 0, "{stderr}");
    let row = "mine    node1  1.00   2  32 MB  64 MB    50      3  tepui run";
    assert_eq!(stdout.lines().nth(1), Some(row), "{stdout}");
    assert!(stdout.contains("theirs"), "{stdout}");
    let (stdout, ..) = run(&fake.address, &["top", "-d", "0.1", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(rows[0]["mem_bytes"], 33_554_432.0);
    assert_eq!(rows[1]["cpus"], serde_json::Value::Null);
}

#[test]
fn files_are_copied_out_of_a_sandbox_and_nothing_of_it_leads_elsewhere() {
    let fake = Fake::start(Script {
        state: Some(STATE.to_owned()),
        files: vec![
            ("a.txt", "one"),
            ("logs/", ""),
            ("logs/b", "two"),
            ("logs/link", "@/etc/passwd"),
            ("logs/deep/", ""),
            ("logs/deep/c", ""),
            ("logs/deep/..", "out"),
        ],
        ..Script::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let copy = |words: &[&str]| {
        let output = tepui(&fake.address, &["cp"])
            .args(words)
            .current_dir(folder.path())
            .output();
        ended(&output.unwrap())
    };
    let text = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    let (_, stderr, code) = copy(&["mine:/mnt/mesos/sandbox/a.txt", "."]);
    assert_eq!((code, text("a.txt").as_str()), (0, "one"), "{stderr}");
    let (_, stderr, code) = copy(&["mine:logs", "copied"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("left out: 2"), "{stderr}");
    assert_eq!(
        (text("copied/b").as_str(), text("copied/deep/c").as_str()),
        ("two", "")
    );
    let names = std::fs::read_dir(folder.path().join("copied")).unwrap();
    assert_eq!(names.count(), 2);
    for (words, said) in [
        (&["mine:../x", "."][..], "leads out"),
        (&["mine:/etc/passwd", "."], "is beneath it"),
        (
            &["a.txt", "mine:a.txt"],
            "tepui exec -i mine sh -c 'cat > a.txt' < a.txt",
        ),
        (&["a.txt", "b.txt"], "neither side is a task's"),
        (&["nobody:a", "."], "no task \"nobody\""),
        (&["mine:nothing", "."], "there is no such file"),
        (
            &["mine:a.txt", "no/such/folder/x"],
            "write no/such/folder/x",
        ),
    ] {
        let (_, stderr, code) = copy(words);
        assert_eq!(code, 1, "{words:?}");
        assert!(stderr.contains(said), "{words:?}: {stderr}");
    }
}

#[test]
fn a_pod_runs_as_one_group_with_labelled_output_and_the_code_of_what_failed() {
    let fake = Fake::start(Script {
        end: Some((TaskState::Failed, "Command exited with status 7")),
        stdout: b"hello\nagain\n".to_vec(),
        ..Script::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.json");
    let pod = r#"{"tasks": [{"name": "a", "command": "x", "cpus": 0.5, "env": {"A": "1"}},
                            {"name": "b", "command": ["y", "z"]}]}"#;
    std::fs::write(&file, pod).unwrap();
    let (stdout, stderr, code) = run(&fake.address, &["pod", "run", file.to_str().unwrap()]);
    assert_eq!(code, 7, "{stderr}");
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a: again", "a: hello", "b: again", "b: hello"]);
    assert!(stderr.contains("a ended with 7"), "{stderr}");
    assert!(
        stderr.contains("b: the task ended as TASK_KILLED"),
        "{stderr}"
    );
    use Type::{Accept, Subscribe, Suppress, Teardown};
    assert_eq!(fake.calls(), [Subscribe, Accept, Suppress, Teardown]);
    let accept = fake.call(Accept).accept.unwrap();
    let group = accept.operations[0].launch_group.as_ref().unwrap();
    assert_eq!(group.executor.r#type().as_str_name(), "DEFAULT");
    let id = &group.executor.executor_id.value;
    assert!(id.starts_with("web-"), "{id}");
    let amounts = |resources: &[api::v1::Resource]| -> Vec<f64> {
        let scalars = resources.iter().map(|r| r.scalar.unwrap().value);
        scalars.collect()
    };
    assert_eq!(amounts(&group.executor.resources), [0.1, 32.0, 32.0]);
    let tasks = &group.task_group.tasks;
    assert_eq!(tasks[0].task_id.value, format!("{id}-a"));
    assert_eq!(amounts(&tasks[0].resources), [0.5, 64.0]);
    assert_eq!(tasks[1].command.as_ref().unwrap().arguments, ["y", "z"]);

    std::fs::write(&file, r#"{"tasks": [{"name": "a"}]}"#).unwrap();
    let (_, stderr, code) = run(&fake.address, &["pod", "run", file.to_str().unwrap()]);
    assert_eq!(code, 125);
    assert!(
        stderr.contains("web.json: tasks[0].command: is missing"),
        "{stderr}"
    );
}
