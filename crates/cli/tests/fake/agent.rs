//! The agent's part of the fake: one session, whose process is played by what it is called.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use api::recordio;
use api::v1::agent::{Call, ProcessIo, Response, call, process_io, response};
use prost::Message;

use super::World;
use super::http::{Request, answer};

/// What became of the one session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) launch: call::LaunchNestedContainerSession,
    /// What came over the way of input, without heartbeats.
    pub(crate) input: Vec<ProcessIo>,
    /// What the process ended with, as wait(2) has it.
    pub(crate) status: Option<i32>,
    pub(crate) is_removed: bool,
    /// Whether the client went before the process ended.
    pub(crate) is_lost: bool,
    pieces: Sender<ProcessIo>,
}

pub(super) fn call(
    world: &Mutex<World>,
    out: &mut TcpStream,
    request: &Request,
) -> std::io::Result<()> {
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    let call = api::decode::<Call>(&request.body).unwrap();
    match call.r#type() {
        call::Type::LaunchNestedContainerSession => {
            assert_eq!(request.headers["accept"], "application/recordio");
            assert_eq!(request.headers["message-accept"], "application/x-protobuf");
            let launch = call.launch_nested_container_session.unwrap();
            session(world, out, launch)
        }
        call::Type::WaitNestedContainer => {
            let waited = call.wait_nested_container.unwrap().container_id;
            let session = world.lock().unwrap().session.clone().unwrap();
            assert_eq!(waited, session.launch.container_id);
            let Some(status) = session.status else {
                return answer(out, "404 Not Found", "text/plain", b"cannot be found");
            };
            let response = Response {
                r#type: Some(response::Type::WaitNestedContainer.into()),
                wait_nested_container: Some(response::WaitNestedContainer {
                    exit_status: Some(status),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let media = "application/x-protobuf";
            answer(out, "200 OK", media, &response.encode_to_vec())
        }
        call::Type::RemoveNestedContainer => {
            world.lock().unwrap().session.as_mut().unwrap().is_removed = true;
            answer(out, "200 OK", "", b"")
        }
        other => panic!("{other:?}"),
    }
}

/// Plays the process, and streams its output.
fn session(
    world: &Mutex<World>,
    out: &mut TcpStream,
    launch: call::LaunchNestedContainerSession,
) -> std::io::Result<()> {
    let arguments = launch.command.as_ref().unwrap().arguments.clone();
    if arguments[0] == "nothing" {
        let why = b"execute \"nothing\": ENOENT: No such file or directory";
        return answer(out, "400 Bad Request", "text/plain; charset=utf-8", why);
    }
    let (pieces, input) = channel();
    world.lock().unwrap().session = Some(Session {
        launch,
        input: Vec::new(),
        status: None,
        is_removed: false,
        is_lost: false,
        pieces,
    });
    let kind = "Content-Type: application/recordio\r\nMessage-Content-Type: application/x-protobuf";
    write!(
        out,
        "HTTP/1.1 200 OK\r\n{kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    let status = play(&arguments, out, &input);
    let mut world = world.lock().unwrap();
    let session = world.session.as_mut().unwrap();
    match status {
        Ok(status) => {
            session.status = status;
            out.write_all(b"0\r\n\r\n")
        }
        Err(error) => {
            session.is_lost = true;
            Err(error)
        }
    }
}

/// What a process does that is called like that; its wait status.
fn play(
    arguments: &[String],
    out: &mut TcpStream,
    input: &Receiver<ProcessIo>,
) -> std::io::Result<Option<i32>> {
    let rest = arguments[1..].join(" ");
    match arguments[0].as_str() {
        "echo" => {
            heartbeat(out)?;
            write_data(out, process_io::data::Type::Stdout, rest.as_bytes())?;
            write_data(out, process_io::data::Type::Stderr, b"and so on")?;
            Ok(Some(7 << 8))
        }
        // What it is given, up to the end of input.
        "cat" => {
            let mut last = 0;
            for piece in input {
                let Some(data) = piece.data else { continue };
                let bytes = data.data.unwrap();
                if bytes.is_empty() {
                    return Ok(Some(0));
                }
                last = *bytes.last().unwrap();
                write_data(out, process_io::data::Type::Stdout, &bytes)?;
            }
            panic!("the input broke off after {last}");
        }
        // A terminal: tells the size of its window, and ends by Ctrl-C.
        "window" => {
            for piece in input {
                if let Some(info) = piece.control.and_then(|control| control.tty_info) {
                    let size = info.window_size.unwrap();
                    let text = format!("{}x{}\n", size.rows, size.columns);
                    write_data(out, process_io::data::Type::Stdout, text.as_bytes())?;
                }
                if piece.data.is_some_and(|data| data.data() == b"\x03") {
                    return Ok(Some(2));
                }
            }
            panic!("the input broke off");
        }
        // The agent's program is executed again, and its connections end.
        "upgraded" => {
            write_data(out, process_io::data::Type::Stdout, b"begun\n")?;
            std::thread::sleep(Duration::from_millis(100));
            out.shutdown(Shutdown::Both)?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        // Its task ends, and the agent forgets all of it.
        "doomed" => Ok(None),
        "sleep" => loop {
            heartbeat(out)?;
            std::thread::sleep(Duration::from_millis(20));
        },
        other => panic!("nobody plays {other}"),
    }
}

fn write_data(
    out: &mut TcpStream,
    kind: process_io::data::Type,
    data: &[u8],
) -> std::io::Result<()> {
    write_piece(
        out,
        &ProcessIo {
            r#type: Some(process_io::Type::Data.into()),
            data: Some(process_io::Data {
                r#type: Some(kind.into()),
                data: Some(data.to_vec()),
            }),
            ..Default::default()
        },
    )
}

fn heartbeat(out: &mut TcpStream) -> std::io::Result<()> {
    write_piece(
        out,
        &ProcessIo {
            r#type: Some(process_io::Type::Control.into()),
            control: Some(process_io::Control {
                r#type: Some(process_io::control::Type::Heartbeat.into()),
                ..Default::default()
            }),
            ..Default::default()
        },
    )
}

fn write_piece(out: &mut TcpStream, piece: &ProcessIo) -> std::io::Result<()> {
    let record = recordio::encode(&piece.encode_to_vec());
    write!(out, "{:x}\r\n", record.len())?;
    out.write_all(&record)?;
    out.write_all(b"\r\n")?;
    out.flush()
}

/// The way of input, up to its end.
pub(super) fn input(
    world: &Mutex<World>,
    out: &mut TcpStream,
    body: &mut BufReader<TcpStream>,
) -> std::io::Result<()> {
    let mut decoder = recordio::Decoder::new(1 << 20);
    let mut is_first = true;
    while let Some(chunk) = chunk(body)? {
        decoder.push(&chunk);
        while let Some(record) = decoder.record().unwrap() {
            let call = api::decode::<Call>(&record).unwrap();
            assert_eq!(call.r#type(), call::Type::AttachContainerInput);
            let input = call.attach_container_input.unwrap();
            let mut world = world.lock().unwrap();
            let session = world.session.as_mut().unwrap();
            if is_first {
                let container = Some(session.launch.container_id.clone());
                assert_eq!(input.container_id, container);
                is_first = false;
                continue;
            }
            let piece = input.process_io.unwrap();
            session.input.push(piece.clone());
            // The process may have ended meanwhile.
            let _ = session.pieces.send(piece);
        }
    }
    answer(out, "200 OK", "", b"")
}

fn chunk(body: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    body.read_line(&mut line)?;
    let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
    let mut bytes = vec![0; length + 2];
    body.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok((length > 0).then_some(bytes))
}
