//! The switchboard with pipes and terminals of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use agent_kernel::launch::OutputFiles;
use model::sandbox::WindowSize;
use nix::pty::openpty;
use nix::unistd::pipe;

use super::*;

/// The container's ends of three pipes.
struct Process {
    stdin: File,
    stdout: File,
    stderr: File,
}

fn id(text: &str) -> ContainerId {
    ContainerId::new(text).expect("an id")
}

fn pipes() -> (Process, Streams) {
    let (stdin, to_stdin) = pipe().expect("a pipe");
    let (from_stdout, stdout) = pipe().expect("a pipe");
    let (from_stderr, stderr) = pipe().expect("a pipe");
    let process = Process {
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    let streams = Streams::Pipes {
        stdin: to_stdin,
        stdout: from_stdout,
        stderr: from_stderr,
        files: None,
    };
    (process, streams)
}

/// All that comes, as text.
async fn all(output: &mut Output) -> io::Result<(String, String)> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(piece) = output.next().await? {
        match piece {
            Piece::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            Piece::Stderr(bytes) => stderr.extend_from_slice(&bytes),
        }
    }
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ok((text(stdout), text(stderr)))
}

#[tokio::test]
async fn a_session_that_ends_at_once_is_heard_to_its_end() {
    let board = Switchboard::default();
    let (reservation, mut output) = board.reserve(&id("a.s")).expect("a place");
    assert!(board.reserve(&id("a.s")).is_none(), "one at a time");
    let (mut process, streams) = pipes();
    process.stdout.write_all(b"hello").expect("written");
    process.stderr.write_all(b"oh").expect("written");
    drop(process);
    board.connect(&id("a.s"), streams);
    board.disconnect(&id("a.s"));
    let heard = all(&mut output).await.expect("an end");
    assert_eq!(heard, ("hello".to_string(), "oh".to_string()));
    drop(reservation);
    assert!(board.reserve(&id("a.s")).is_some());
}

#[tokio::test]
async fn output_ends_with_the_first_process_whoever_else_could_still_write() {
    let board = Switchboard::default();
    let (_reservation, mut output) = board.reserve(&id("a.s")).expect("a place");
    let (mut process, streams) = pipes();
    board.connect(&id("a.s"), streams);
    process.stdout.write_all(b"last words").expect("written");
    board.disconnect(&id("a.s"));
    let (stdout, _) = all(&mut output).await.expect("an end");
    assert_eq!(stdout, "last words");
    drop(process);
}

#[tokio::test]
async fn a_process_waits_for_the_caller_of_its_session_and_for_nobody_else() {
    let board = Switchboard::default();
    let (_reservation, mut output) = board.reserve(&id("a.s")).expect("a place");
    let (mut process, streams) = pipes();
    board.connect(&id("a.s"), streams);
    let mut slow = board.output(&id("a.s")).expect("output");
    let text = "0123456789abcdef".repeat(1 << 17);
    let writer = std::thread::spawn({
        let text = text.clone();
        move || {
            process.stdout.write_all(text.as_bytes()).expect("written");
            // All ends of it, so that the output ends.
            drop(process);
        }
    });
    let (stdout, _) = all(&mut output).await.expect("all of it");
    assert!(stdout == text, "{} of {}", stdout.len(), text.len());
    writer.join().expect("it could write all");
    let cut = all(&mut slow).await.map_err(|error| error.kind());
    assert!(cut == Err(io::ErrorKind::TimedOut), "not cut off");
}

#[tokio::test]
async fn one_at_a_time_is_attached_to_the_input_and_its_end_is_passed_on() {
    let board = Switchboard::default();
    let (mut process, streams) = pipes();
    board.connect(&id("a.s"), streams);
    let input = board.input(&id("a.s")).expect("input");
    assert_eq!(
        board.input(&id("a.s")).err(),
        Some(AttachError::Taken),
        "somebody is attached"
    );
    input.write(b"one").await.expect("written");
    drop(input);
    let input = board.input(&id("a.s")).expect("input");
    input.write(b"two").await.expect("written");
    input.write(b"").await.expect("the end");
    let mut text = String::new();
    process.stdin.read_to_string(&mut text).expect("text");
    assert_eq!(text, "onetwo");
    let late = input.write(b"three").await.expect_err("after its end");
    assert!(late.to_string().starts_with("Failed writing to stdin"));
    let size = WindowSize {
        rows: 1,
        columns: 1,
    };
    assert!(input.resize(size).is_err(), "a pipe has no size");
}

#[tokio::test]
async fn input_that_nobody_reads_waits_and_ends_with_the_output() {
    let board = Switchboard::default();
    let (process, streams) = pipes();
    board.connect(&id("a.s"), streams);
    let input = board.input(&id("a.s")).expect("input");
    let much = vec![0; 1 << 20];
    tokio::select! {
        written = input.write(&much) => panic!("{written:?}"),
        () = input.until_end() => {}
        () = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            board.disconnect(&id("a.s"));
            std::future::pending().await
        } => {}
    }
    drop(process);
    assert_eq!(board.output(&id("a.s")).err(), Some(AttachError::Disabled));
}

#[tokio::test]
async fn a_terminal_has_a_size_and_its_output_is_kept_in_the_sandbox() {
    let board = Switchboard::default();
    let pty = openpty(None, None).expect("a terminal");
    let kept = tempfile::tempfile().expect("a file");
    let copy = |file: &File| OwnedFd::from(file.try_clone().expect("a file"));
    let files = OutputFiles {
        stdout: copy(&kept),
        stderr: copy(&kept),
    };
    board.connect(
        &id("a"),
        Streams::Terminal {
            terminal: pty.master,
            files: Some(files),
        },
    );
    let mut output = board.output(&id("a")).expect("output");
    let input = board.input(&id("a")).expect("input");
    let size = WindowSize {
        rows: 24,
        columns: 80,
    };
    input.resize(size).expect("resized");
    assert_eq!(agent_kernel::terminal::size(&pty.slave), Ok(size));
    input.write(b"").await.expect("no end");
    input.write(b"hi\n").await.expect("written");
    let mut process = File::from(pty.slave);
    let mut line = [0; 3];
    process.read_exact(&mut line).expect("a line");
    assert_eq!(&line, b"hi\n");
    process.write_all(b"ho").expect("written");
    drop(process);
    let (stdout, _) = all(&mut output).await.expect("an end");
    assert_eq!(stdout, "hi\r\nho", "with the echo");
    let mut text = String::new();
    io::Seek::rewind(&mut &kept).expect("a file");
    (&kept).read_to_string(&mut text).expect("text");
    assert_eq!(text, "hi\r\nho");
}
