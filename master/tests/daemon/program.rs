//! The program: exit codes, what it says, and its end on a signal.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use master::Server;
use master::flags::{Config, RegistryKind};

use crate::support::{config, http, until};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tepui-master"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn check(arguments: &[&str], code: i32, says: &str) {
    let Output { status, stderr, .. } = program().args(arguments).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(says), "{stderr:?} does not say {says:?}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn wrong_settings_end_with_2_and_are_all_named() {
    check(
        &["--nope=1", "--port=x"],
        2,
        "--nope: unknown flag\n--port=x: ",
    );
    check(&[], 2, "--work_dir: missing");
}

#[test]
fn help_and_version_are_printed() {
    let help = program().arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("--work_dir=FOLDER")
    );
    let version = program().arg("--version").output().unwrap();
    assert!(
        String::from_utf8(version.stdout)
            .unwrap()
            .starts_with("tepui-master ")
    );
}

#[test]
fn what_cannot_be_had_is_named_and_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let port_flag = format!("--port={port}");
    check(
        &["--ip=127.0.0.1", &port_flag, "--registry=in_memory"],
        1,
        &format!("port {port} of 127.0.0.1 is taken; stop what listens there, or choose another"),
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let work_dir = format!("--work_dir={}", file.join("below").display());
    check(
        &["--ip=127.0.0.1", "--port=0", &work_dir],
        1,
        "create the folder ",
    );

    std::fs::write(folder.path().join("registry.redb"), "cut short").unwrap();
    let work_dir = format!("--work_dir={}", folder.path().display());
    check(
        &["--ip=127.0.0.1", "--port=0", &work_dir],
        1,
        "registry.redb is damaged (",
    );
}

#[test]
fn a_signal_ends_it_in_good_order() {
    let mut child = program()
        .args(["--ip=127.0.0.1", "--port=0", "--registry=in_memory"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("master leads"), "{first}");
    let kill = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(
        rest.iter().any(|line| line.contains("shutting down")),
        "{rest:?}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_low_limit_of_descriptors_is_said_at_start() {
    let mut child = Command::new("sh")
        .env_clear()
        .args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_tepui-master"))
        .args(["--ip=127.0.0.1", "--port=0", "--registry=in_memory"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let said = lines.find(|line| line.contains("limit of descriptors"));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said.unwrap();
    assert!(said.contains("descriptors=300 connections=236"), "{said}");
}

/// Runs `tepui-master registry`, with something on standard input.
fn registry(act: &str, work_dir: &std::path::Path, input: &[u8]) -> (Option<i32>, String) {
    let mut child = program()
        .args(["registry", act])
        .arg(format!("--work_dir={}", work_dir.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code(), text)
}

#[tokio::test]
async fn a_registry_is_shown_and_moved_by_an_operator() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = Config {
        registry: RegistryKind::Redb,
        work_dir: Some(old.path().to_path_buf()),
        ..config()
    };
    let master = Server::start(&config).await.unwrap();
    let json = [("Content-Type", "application/json")];
    let weights = br#"[{"role":"a/b","weight":3.5}]"#;
    let set = http::ask(master.address(), "PUT /weights", &json, weights).await;
    assert_eq!(set.status, "200 OK", "{}", set.text());
    let (code, text) = registry("show", old.path(), b"");
    assert!(
        code == Some(1) && text.contains("in use by another master"),
        "{text}"
    );
    master.shutdown().await.unwrap();

    // The thread that writes lets go of the file a little later.
    let shown = until("the registry", async || {
        let (code, text) = registry("show", old.path(), b"");
        (code == Some(0)).then_some(text)
    });
    let shown = shown.await;
    assert!(shown.contains(r#""weights/a/b": 3.5"#), "{shown}");
    let (_, exported) = registry("export", old.path(), b"");
    let (code, text) = registry("show", new.path(), b"");
    assert!(
        code == Some(1) && text.contains("there is no registry in"),
        "{text}"
    );
    let (code, text) = registry("import", new.path(), exported.as_bytes());
    assert_eq!(
        (code, text.trim()),
        (Some(0), "tepui-master: imported 1 entries")
    );
    let (code, text) = registry("import", new.path(), exported.as_bytes());
    assert!(
        code == Some(1) && text.contains("the registry holds 1 entries"),
        "{text}"
    );
    assert_eq!(
        registry("show", new.path(), b"").1,
        shown.replace(r#""epoch": 1"#, r#""epoch": 0"#)
    );
}
