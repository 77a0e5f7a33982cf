//! ATTACH_CONTAINER_INPUT, ATTACH_CONTAINER_OUTPUT and LAUNCH_NESTED_CONTAINER_SESSION: the input and
//! output of a container as streams.
//!
//! The process of a session lives as long as the connection that its output goes to.

use std::io;
use std::time::Duration;

use agent_core::containers::{Answer as Decided, Class, ContainerCall};
use agent_core::event::Event;
use api::http::forms::{MESSAGE_CONTENT_TYPE, RECORDIO};
use api::http::respond::{self, Refusal};
use api::recordio;
use api::v1;
use api::v1::agent::call::attach_container_input::Type as Piece;
use api::v1::agent::call::{AttachContainerInput, LaunchContainer, LaunchNestedContainerSession};
use api::v1::agent::{Call, ProcessIo, process_io};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use model::ContainerId;
use model::sandbox::WindowSize;
use tokio::time::{Interval, interval_at};

use super::{Caller, Who, answer, containers};
use crate::handle::Handle;
use crate::http::Answer;
use crate::http::body::Body;
use crate::switchboard::{self, AttachError, Input, InputError, Output};

/// How often a reader of output hears that this end is there (Mesos' `--http_heartbeat_interval`).
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long input is still read once all output is out: what was on its way is not to meet a closed
/// door.
const LINGER: Duration = Duration::from_secs(1);

/// LAUNCH_NESTED_CONTAINER_SESSION.
pub(super) async fn session(
    caller: &Caller<'_>,
    call: LaunchNestedContainerSession,
) -> Result<Answer, Refusal> {
    let launch = LaunchContainer {
        container_id: call.container_id,
        command: call.command,
        container: call.container,
        ..LaunchContainer::default()
    };
    let requested = containers::requested(&launch, Class::Debug)?;
    let container = requested.container.clone();
    let board = &caller.context.switchboard;
    let reserved = board.reserve(&container);
    // From here on the container goes where the client does.
    let mut session = Session {
        handle: caller.context.handle.clone(),
        caller: caller.who.clone(),
        container: Some(container.clone()),
    };
    let decided = containers::ask(caller, ContainerCall::Launch(requested)).await;
    if !matches!(decided, Ok(Decided::Done)) {
        // It never was, or it is another's.
        session.container = None;
        return match decided? {
            Decided::AlreadyLaunched => Ok(respond::empty(StatusCode::ACCEPTED)),
            decided => containers::done(&decided),
        };
    }
    // Agent-core bounds how many containers calls launch.
    caller.give_place_back();
    let output = match reserved {
        Some((_, output)) => output,
        None => {
            let output = board.output(&container);
            output.map_err(|error| refusal(caller, &container, error))?
        }
    };
    Ok(stream(caller, output, Some(session)))
}

/// A session's container, which ends with this.
struct Session {
    handle: Handle,
    caller: Who,
    container: Option<ContainerId>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            self.handle.tell(Event::Container {
                request: self.handle.request(),
                caller: self.caller.clone(),
                call: ContainerCall::Destroy { container },
            });
        }
    }
}

/// ATTACH_CONTAINER_OUTPUT.
pub(super) fn output(caller: &Caller<'_>, container: &v1::ContainerId) -> Result<Answer, Refusal> {
    let container = permitted(caller, container)?;
    let output = caller.context.switchboard.output(&container);
    let output = output.map_err(|error| refusal(caller, &container, error))?;
    Ok(stream(caller, output, None))
}

/// The container of a call that the caller may make.
fn permitted(caller: &Caller<'_>, container: &v1::ContainerId) -> Result<ContainerId, Refusal> {
    let container = containers::id(container)?;
    match caller.who.may(&container) {
        true => Ok(container),
        false => Err(Refusal::forbidden()),
    }
}

fn refusal(caller: &Caller<'_>, container: &ContainerId, error: AttachError) -> Refusal {
    let status = match error {
        AttachError::Disabled => {
            if !caller.context.snapshot().containers.contains_key(container) {
                let words = format!("Container {container} cannot be found");
                return Refusal::new(StatusCode::NOT_FOUND, words);
            }
            StatusCode::INTERNAL_SERVER_ERROR
        }
        AttachError::Taken => StatusCode::CONFLICT,
    };
    Refusal::new(status, error.to_string())
}

/// 200 with output as it comes.
fn stream(caller: &Caller<'_>, output: Output, session: Option<Session>) -> Answer {
    let media = caller.accept.media();
    let beat = interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    let frames = stream::unfold(Some((output, beat, session)), move |state| async move {
        let (mut output, mut beat, session) = state?;
        match piece(&mut output, &mut beat).await {
            Ok(Some(piece)) => {
                let record = recordio::encode(&answer::bytes(media, &piece));
                let frame = Frame::data(Bytes::from(record));
                Some((Ok(frame), Some((output, beat, session))))
            }
            Ok(None) => None,
            // It breaks off, so that nobody takes it for the end.
            Err(error) => Some((Err::<Frame<Bytes>, io::Error>(error), None)),
        }
    });
    let mut response = Response::new(Body::streamed(StreamBody::new(frames)));
    match caller.accept.is_stream() {
        false => respond::set_type(&mut response, media),
        true => {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(RECORDIO));
            headers.insert(MESSAGE_CONTENT_TYPE, media.header());
        }
    }
    response
}

/// The next piece of output, or a heartbeat.
async fn piece(output: &mut Output, beat: &mut Interval) -> io::Result<Option<ProcessIo>> {
    tokio::select! {
        piece = output.next() => Ok(piece?.map(|piece| match piece {
            switchboard::Piece::Stdout(bytes) => data(process_io::data::Type::Stdout, &bytes),
            switchboard::Piece::Stderr(bytes) => data(process_io::data::Type::Stderr, &bytes),
        })),
        _ = beat.tick() => Ok(Some(heartbeat())),
    }
}

fn data(kind: process_io::data::Type, bytes: &[u8]) -> ProcessIo {
    ProcessIo {
        r#type: Some(process_io::Type::Data.into()),
        data: Some(process_io::Data {
            r#type: Some(kind.into()),
            data: Some(bytes.to_vec()),
        }),
        ..ProcessIo::default()
    }
}

fn heartbeat() -> ProcessIo {
    let nanoseconds = i64::try_from(HEARTBEAT.as_nanos()).unwrap_or(i64::MAX);
    ProcessIo {
        r#type: Some(process_io::Type::Control.into()),
        control: Some(process_io::Control {
            r#type: Some(process_io::control::Type::Heartbeat.into()),
            heartbeat: Some(process_io::control::Heartbeat {
                interval: Some(v1::DurationInfo { nanoseconds }),
            }),
            ..process_io::Control::default()
        }),
        ..ProcessIo::default()
    }
}

/// ATTACH_CONTAINER_INPUT.
pub(super) async fn input(
    caller: &mut Caller<'_>,
    first: &AttachContainerInput,
) -> Result<Answer, Refusal> {
    let container = match (first.r#type(), &first.container_id) {
        (Piece::ContainerId, Some(container)) => permitted(caller, container)?,
        (Piece::ContainerId | Piece::ProcessIo | Piece::Unknown, _) => {
            return Err(Refusal::bad_request(
                "Expecting 'attach_container_input.type' to be CONTAINER_ID",
            ));
        }
    };
    let input = caller.context.switchboard.input(&container);
    let input = input.map_err(|error| refusal(caller, &container, error))?;
    let until_end = async {
        input.until_end().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        carried = carry(caller, &input) => carried?,
        () = until_end => {}
    }
    Ok(respond::empty(StatusCode::OK))
}

/// Carries input up to the end of the request.
async fn carry(caller: &mut Caller<'_>, input: &Input) -> Result<(), Refusal> {
    let Some(records) = &mut caller.records else {
        return Ok(());
    };
    while let Some(call) = records.next::<Call>().await.map_err(Refusal::bad_request)? {
        // A record is a call of its own, and must be a sound one.
        super::validate::call(&call).map_err(|fault| {
            Refusal::bad_request(format!("Failed to validate agent::Call: {fault}"))
        })?;
        let piece = process_io(call.attach_container_input.unwrap_or_default());
        match wanted(piece.map_err(Refusal::bad_request)?) {
            Wanted::Write(bytes) => input.write(&bytes).await.map_err(unwritten)?,
            Wanted::Resize(size) => input.resize(size).map_err(unwritten)?,
            Wanted::Nothing => {}
        }
    }
    Ok(())
}

fn unwritten(error: InputError) -> Refusal {
    match error {
        InputError::Write(_) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        InputError::Size(_) => Refusal::bad_request(error.to_string()),
    }
}

/// What a sound piece of input asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Write(Vec<u8>),
    Resize(WindowSize),
    Nothing,
}

fn wanted(piece: ProcessIo) -> Wanted {
    if let Some(data) = piece.data {
        return Wanted::Write(data.data.unwrap_or_default());
    }
    let window = piece.control.and_then(|control| control.tty_info);
    match window.and_then(|info| info.window_size) {
        Some(size) => Wanted::Resize(WindowSize {
            rows: u16::try_from(size.rows).unwrap_or(u16::MAX),
            columns: u16::try_from(size.columns).unwrap_or(u16::MAX),
        }),
        None => Wanted::Nothing,
    }
}

/// The piece in a record of input; else what is wrong with it, in Mesos' words.
fn process_io(record: AttachContainerInput) -> Result<ProcessIo, String> {
    use process_io::Type;
    use process_io::control::Type as Control;
    if record.r#type() != Piece::ProcessIo {
        return Err(format!(
            "Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of: '{}'",
            record.r#type().as_str_name()
        ));
    }
    let missing = |what: &str| format!("Expecting '{what}' to be present");
    let piece = record
        .process_io
        .ok_or_else(|| missing("attach_container_input.process_io"))?;
    if piece.r#type.is_none() {
        return Err(missing("process_io.type"));
    }
    match (piece.r#type(), &piece.control, &piece.data) {
        (Type::Unknown, _, _) => return Err("'process_io.type' is unknown".to_owned()),
        (Type::Control, None, _) => return Err(missing("process_io.control")),
        (Type::Control, Some(control), _) if control.r#type.is_none() => {
            return Err(missing("process_io.control.type"));
        }
        (Type::Control, Some(control), _) => match control.r#type() {
            Control::Unknown => return Err("'process_io.control.type' is unknown".to_owned()),
            Control::TtyInfo => match &control.tty_info {
                None => return Err(missing("process_io.control.tty_info")),
                Some(info) if info.window_size.is_none() => {
                    return Err(missing("tty_info.window_size"));
                }
                Some(_) => {}
            },
            Control::Heartbeat if control.heartbeat.is_none() => {
                return Err(missing("process_io.control.heartbeat"));
            }
            Control::Heartbeat => {}
        },
        (Type::Data, _, None) => return Err(missing("process_io.data")),
        (Type::Data, _, Some(data)) if data.r#type.is_none() => {
            return Err(missing("process_io.data.type"));
        }
        (Type::Data, _, Some(data)) if data.r#type() != process_io::data::Type::Stdin => {
            return Err("Expecting 'process_io.data.type' to be 'STDIN'".to_owned());
        }
        (Type::Data, _, Some(data)) if data.data.is_none() => {
            return Err(missing("process_io.data.data"));
        }
        (Type::Data, _, Some(_)) => {}
    }
    // What a piece of one type holds beside it is not meant.
    Ok(match piece.r#type() {
        Type::Data => ProcessIo {
            control: None,
            ..piece
        },
        Type::Control | Type::Unknown => ProcessIo {
            data: None,
            ..piece
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(piece: &str, expected: Result<Wanted, &str>) {
        let record = format!(r#"{{"type":"PROCESS_IO","process_io":{piece}}}"#);
        let record = api::json::from_json(record.as_bytes()).expect("a record");
        let found = process_io(record).map(wanted);
        assert_eq!(found, expected.map_err(str::to_owned), "{piece}");
    }

    #[test]
    fn a_piece_of_input_is_bytes_or_the_size_of_a_window_or_a_sign_of_life() {
        check(
            r#"{"type":"DATA","data":{"type":"STDIN","data":"aGk="}}"#,
            Ok(Wanted::Write(b"hi".to_vec())),
        );
        check(
            r#"{"type":"CONTROL","control":{"type":"TTY_INFO",
                "tty_info":{"window_size":{"rows":24,"columns":99999}}}}"#,
            Ok(Wanted::Resize(WindowSize {
                rows: 24,
                columns: u16::MAX,
            })),
        );
        check(
            r#"{"type":"CONTROL","control":{"type":"HEARTBEAT","heartbeat":{}},
                "data":{"type":"STDIN","data":"aGk="}}"#,
            Ok(Wanted::Nothing),
        );
    }

    #[test]
    fn what_a_piece_lacks_is_named_as_mesos_names_it() {
        for (piece, fault) in [
            ("{}", "Expecting 'process_io.type' to be present"),
            (r#"{"type":"UNKNOWN"}"#, "'process_io.type' is unknown"),
            (
                r#"{"type":"DATA"}"#,
                "Expecting 'process_io.data' to be present",
            ),
            (
                r#"{"type":"DATA","data":{"data":"aGk="}}"#,
                "Expecting 'process_io.data.type' to be present",
            ),
            (
                r#"{"type":"DATA","data":{"type":"STDOUT","data":"aGk="}}"#,
                "Expecting 'process_io.data.type' to be 'STDIN'",
            ),
            (
                r#"{"type":"DATA","data":{"type":"STDIN"}}"#,
                "Expecting 'process_io.data.data' to be present",
            ),
            (
                r#"{"type":"CONTROL"}"#,
                "Expecting 'process_io.control' to be present",
            ),
            (
                r#"{"type":"CONTROL","control":{"type":"TTY_INFO","tty_info":{}}}"#,
                "Expecting 'tty_info.window_size' to be present",
            ),
            (
                r#"{"type":"CONTROL","control":{"type":"HEARTBEAT"}}"#,
                "Expecting 'process_io.control.heartbeat' to be present",
            ),
        ] {
            check(piece, Err(fault));
        }
        let first = AttachContainerInput {
            r#type: Some(Piece::ContainerId.into()),
            ..AttachContainerInput::default()
        };
        assert_eq!(
            process_io(first),
            Err(
                "Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of: \
                 'CONTAINER_ID'"
                    .to_owned()
            )
        );
    }
}
