//! `tepui exec` against a fake master and agent in this process, on pipes and on a pseudo terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use rustix::termios::tcsetwinsize;

use crate::fake::{Fake, Script};

const STATE: &str = r#"{"version":"1.11.0","id":"m",
    "slaves":[{"id":"m-S0","hostname":"node1","pid":"slave(1)@127.0.0.1:PORT","active":true}],
    "frameworks":[{"id":"f","name":"web","tasks":[
        {"id":"web-1","name":"web","state":"TASK_RUNNING","slave_id":"m-S0","statuses":[
            {"state":"TASK_STARTING","container_status":{"container_id":{"value":"c0"}}},
            {"state":"TASK_RUNNING","container_status":{"container_id":
                {"value":"web","parent":{"value":"pod"}}}}]},
        {"id":"early","name":"early","state":"TASK_STAGING","slave_id":"m-S0"}],
     "completed_tasks":[{"id":"over","name":"over","state":"TASK_FINISHED","slave_id":"m-S0"}]}]}"#;

fn cluster() -> Fake {
    Fake::start(Script {
        state: Some(STATE.to_owned()),
        ..Script::default()
    })
}

fn exec(fake: &Fake, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tepui"));
    command
        .env("TEPUI_MASTER", &fake.address)
        .arg("exec")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(fake: &Fake, arguments: &[&str]) -> (String, String, i32) {
    let output = exec(fake, arguments).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn a_command_runs_nested_in_the_tasks_container_and_ends_with_its_exit_code() {
    let fake = cluster();
    let arguments = [
        "-e", "A=b", "--user", "nobody", "web", "echo", "-n", "hello",
    ];
    let (stdout, stderr, code) = run(&fake, &arguments);
    assert_eq!(
        (stdout.as_str(), stderr.as_str()),
        ("-n hello", "and so on")
    );
    assert_eq!(code, 7);
    let session = fake.session();
    assert!(session.is_removed);
    let parent = session.launch.container_id.parent.unwrap();
    assert_eq!(parent.value, "web");
    assert_eq!(parent.parent.unwrap().value, "pod");
    let command = session.launch.command.unwrap();
    assert_eq!(command.shell, Some(false));
    assert_eq!(command.user.as_deref(), Some("nobody"));
    let variable = &command.environment.unwrap().variables[0];
    assert_eq!((variable.name.as_str(), variable.value()), ("A", "b"));
    assert!(session.launch.container.is_none(), "no terminal");
}

#[test]
fn standard_input_is_handed_on_up_to_its_end() {
    let fake = cluster();
    let mut child = exec(&fake, &["-i", "web-1", "cat"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = "one line\n".repeat(20_000);
    let writer = std::thread::spawn({
        let text = text.clone();
        move || stdin.write_all(text.as_bytes()).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == text.as_bytes(), "{}", output.stdout.len());
}

#[test]
fn without_interactive_the_command_reads_nothing() {
    let (stdout, stderr, code) = run(&cluster(), &["web-1", "cat"]);
    assert_eq!((stdout.as_str(), code), ("", 0), "{stderr}");
}

#[test]
fn what_does_not_run_is_an_error_with_the_reason() {
    let fake = cluster();
    for (arguments, words) in [
        (vec!["web-1", "nothing"], "execute \"nothing\": ENOENT"),
        (vec!["early", "sh"], "early has no container yet"),
        (vec!["over", "sh"], "over is over: TASK_FINISHED"),
        (vec!["webb", "sh"], "no task \"webb\""),
        (vec!["-it", "web-1", "sh"], "leave --tty out"),
    ] {
        let (_, stderr, code) = run(&fake, &arguments);
        assert!(stderr.contains(words), "{stderr}");
        assert_eq!(code, 125, "{stderr}");
    }
}

#[test]
fn a_command_whose_task_ends_is_killed_with_it() {
    let (_, stderr, code) = run(&cluster(), &["web-1", "doomed"]);
    assert!(stderr.contains("the task ended"), "{stderr}");
    assert_eq!(code, 137);
}

#[test]
fn ctrl_c_ends_a_command_without_a_terminal_by_closing_its_connection() {
    let fake = cluster();
    let child = exec(&fake, &["web-1", "sleep"]).spawn().unwrap();
    until(|| fake.has_session());
    signal(&child, Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    until(|| fake.session().is_lost);
}

#[test]
fn a_terminal_is_raw_tells_its_size_and_its_changes_and_is_as_before_in_the_end() {
    let fake = cluster();
    let size = Winsize {
        ws_row: 40,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
    let is_raw = || {
        !tcgetattr(&slave)
            .unwrap()
            .local_flags
            .contains(LocalFlags::ISIG)
    };
    assert!(!is_raw());
    let stream = || Stdio::from(slave.try_clone().unwrap());
    let mut command = exec(&fake, &["-it", "web-1", "window"]);
    command.env("TERM", "vt100");
    let child = command.stdin(stream()).stdout(stream()).spawn().unwrap();
    let mut terminal = File::from(master);

    assert_eq!(line(&mut terminal), "40x100");
    until(is_raw);
    let changed = rustix::termios::Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, changed).unwrap();
    signal(&child, Signal::SIGWINCH);
    assert_eq!(line(&mut terminal), "24x80");
    terminal.write_all(b"\x03").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(!is_raw());
    let launch = fake.session().launch;
    let window = launch.container.unwrap().tty_info.unwrap().window_size;
    let window = window.unwrap();
    assert_eq!((window.rows, window.columns), (40, 100));
    let variable = &launch.command.unwrap().environment.unwrap().variables[0];
    assert_eq!(
        (variable.name.as_str(), variable.value()),
        ("TERM", "vt100")
    );
}

#[test]
fn an_upgrade_of_the_agent_ends_a_command_with_the_reason_a_code_of_its_own_and_the_terminal_as_before()
 {
    let fake = cluster();
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let before = tcgetattr(&slave).unwrap();
    let stream = || Stdio::from(slave.try_clone().unwrap());
    let mut command = exec(&fake, &["-it", "web-1", "upgraded"]);
    let child = command.stdin(stream()).stdout(stream()).spawn().unwrap();
    let mut terminal = File::from(master);
    assert_eq!(line(&mut terminal), "begun");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{stderr}");
    assert!(
        stderr.contains("the agent of this node was upgraded (upgrade to version 2)"),
        "{stderr}"
    );
    assert_eq!(tcgetattr(&slave).unwrap(), before);
}

fn line(terminal: &mut File) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        terminal.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim().to_owned()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_task_is_explained_as_a_table_or_as_its_agent_tells_it_and_what_is_unknown_is_said() {
    let fake = cluster();
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tepui"));
        command.env("TEPUI_MASTER", &fake.address).arg("explain");
        let output = command.args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            text(&output.stdout),
            text(&output.stderr),
            output.status.code(),
        )
    };
    let (stdout, stderr, code) = explain(&["web-1"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("web-1 on node1\n"), "{stdout}");
    assert!(
        stdout.contains("memory  degraded    5 of 5  at most 1 GB    no controller\n"),
        "{stdout}"
    );
    assert!(
        stdout
            .contains("\nExposure 1.5 of 10: CLOSED\nRefused by the kernel: 0 (nothing is told)\n"),
        "{stdout}"
    );
    let (stdout, _, _) = explain(&["--json", "web-1"]);
    assert!(stdout.contains(r#""container_id": "web""#), "{stdout}");
    let (_, stderr, code) = explain(&["over"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(
            "over is in TASK_FINISHED, and its agent has nothing to tell: no container here"
        ),
        "{stderr}"
    );
}
