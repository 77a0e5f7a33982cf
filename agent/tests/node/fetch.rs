//! Files that a command names: in its sandbox before it runs, or told why not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use model::{Reason, TaskState};

use crate::master::Master;
use crate::program::{Agent, busybox_root};

/// Serves one archive, and nothing else; ends with the test's process.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    lines
        .find(|line| line.as_ref().is_ok_and(String::is_empty))?
        .ok()?;
    if !first.contains("/app.tar") {
        let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        return stream.write_all(head.as_bytes()).ok();
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    let script = b"#!/bin/sh\necho fetched; ls -n app.tar\n";
    header.set_size(script.len() as u64);
    tar.append_data(&mut header, "app/run", &script[..]).ok()?;
    let tar = tar.into_inner().ok()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", tar.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&tar).ok()
}

#[test]
fn what_a_command_names_is_fetched_and_extracted_before_it_runs() {
    let Some(root) = busybox_root() else {
        return;
    };
    let server = serve();
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    master.run(&format!(
        r#""task_id":{{"value":"t1"}},"command":{{"value":"app/run",
            "uris":[{{"value":"http://{server}/app.tar"}}]}}"#
    ));
    for state in [TaskState::Starting, TaskState::Running, TaskState::Finished] {
        let status = master.update();
        assert_eq!(status.state, state.number(), "{}", status.message());
    }
    let path = "/files/read?path=/frameworks/m-0000/executors/t1/runs/latest/stdout&offset=0";
    let output = agent.get_until(path, "app.tar");
    assert!(output.contains("fetched"), "{output}");
    // As numbers: the task's own user, and not another.
    assert!(output.contains(" 0        0 "), "{output}");

    master.run(&format!(
        r#""task_id":{{"value":"t2"}},"command":{{"value":"true",
            "uris":[{{"value":"http://{server}/none?token=secret"}}]}}"#
    ));
    let status = master.update();
    assert_eq!(status.state, TaskState::Failed.number());
    assert_eq!(status.reason, Some(Reason::ContainerLaunchFailed.number()));
    let message = format!("fetch http://{server}/none?…: the server answered 404 Not Found");
    assert_eq!(status.message(), message);
    assert_eq!(agent.stop(), Some(0));
}
