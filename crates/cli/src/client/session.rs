//! Session: a process in the container of a task, with its input and output here.
//!
//! Two connections to the agent, as Mesos wants it: the answer of LAUNCH_NESTED_CONTAINER_SESSION is
//! the stream of output, and the process lives as long as that connection; the request of
//! ATTACH_CONTAINER_INPUT is the stream of input. The exit status is asked for afterwards.

use std::time::Duration;

use api::recordio::{self, RecordError};
use api::v1::agent::{Call, ProcessIo, Response, call, process_io};
use api::v1::tty_info::WindowSize;
use api::v1::{CommandInfo, ContainerId, ContainerInfo, DurationInfo, TtyInfo, container_info};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use prost::Message;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::address::Address;
use super::http::{Answer, Ask, Connection, HttpError, pour};
use super::{AGENT, ClientError, unexpected};

const PATH: &str = "/api/v1";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const RECORDIO: HeaderValue = HeaderValue::from_static("application/recordio");
const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");
const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");
/// How long a node may take to start the process, or to tell of its end.
const NODE_MAX: Duration = Duration::from_secs(60);
/// How often the agent hears that this end is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);
/// Agents send a heartbeat each 30 s; four missed ones mean that the stream is dead.
const QUIET_MAX: Duration = Duration::from_secs(150);
/// Agents read some kilobytes at a time.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Pieces of input on their way; more are not read from the terminal meanwhile.
const INPUT_PIECES_MAX: usize = 16;

/// Why a session broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{address} broke the session off")]
    Lost {
        address: Address,
        source: hyper::Error,
    },
    #[error("{address} sent nothing for {} s, not even a heartbeat", QUIET_MAX.as_secs())]
    Quiet { address: Address },
    #[error("{address} sends output that is no RecordIO")]
    Records {
        address: Address,
        source: RecordError,
    },
    #[error("{address} sends output that is no ProcessIO")]
    Pieces {
        address: Address,
        source: api::DecodeError,
    },
}

impl From<HttpError> for SessionError {
    fn from(error: HttpError) -> Self {
        Self::Client(error.into())
    }
}

/// A piece of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// A process that runs in a session.
pub(crate) struct Session {
    address: Address,
    container: ContainerId,
    body: Incoming,
    decoder: recordio::Decoder,
}

/// What the process is to be given to read.
pub(crate) struct Input {
    pieces: Sender<Bytes>,
    /// Ends when the agent takes no more.
    carried: JoinHandle<()>,
}

/// Starts a process nested in a container; with a window's size it gets a terminal of its own.
pub(crate) async fn launch(
    agent: &Address,
    container: ContainerId,
    command: CommandInfo,
    window: Option<WindowSize>,
) -> Result<Session, SessionError> {
    let info = window.map(|size| ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        tty_info: Some(TtyInfo {
            window_size: Some(size),
        }),
        ..Default::default()
    });
    let call = Call {
        r#type: Some(call::Type::LaunchNestedContainerSession.into()),
        launch_nested_container_session: Some(call::LaunchNestedContainerSession {
            container_id: container.clone(),
            command: Some(command),
            container: info,
        }),
        ..Default::default()
    };
    let mut ask = ask(&call);
    ask.headers.insert(ACCEPT, RECORDIO);
    ask.headers.insert(MESSAGE_ACCEPT, PROTOBUF);
    let mut connection = Connection::new(agent.clone());
    let response = connection.send_within(&ask, NODE_MAX).await?;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        let answer = Answer::of(&head, body, Duration::from_secs(5)).await;
        return Err(unexpected(agent, AGENT, &ask, &answer).into());
    }
    Ok(Session {
        address: agent.clone(),
        container,
        body,
        decoder: recordio::Decoder::new(RECORD_BYTES_MAX),
    })
}

impl Session {
    /// The next piece of output; `None` at its end.
    ///
    /// Cancelling loses nothing: what has come is kept.
    pub(crate) async fn next(&mut self) -> Result<Option<Output>, SessionError> {
        loop {
            let records = |source| SessionError::Records {
                address: self.address.clone(),
                source,
            };
            if let Some(record) = self.decoder.record().map_err(records)? {
                let piece = api::decode::<ProcessIo>(&record);
                let piece = piece.map_err(|source| SessionError::Pieces {
                    address: self.address.clone(),
                    source,
                })?;
                if let Some(output) = output(piece) {
                    return Ok(Some(output));
                }
                continue;
            }
            let frame = timeout(QUIET_MAX, self.body.frame()).await;
            let Ok(frame) = frame else {
                let address = self.address.clone();
                return Err(SessionError::Quiet { address });
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(&data);
                    }
                }
                Some(Err(source)) => {
                    let address = self.address.clone();
                    return Err(SessionError::Lost { address, source });
                }
            }
        }
    }

    /// Opens the way of input.
    pub(crate) fn attach(&self) -> Input {
        let (mut pieces, body) = Channel::new(INPUT_PIECES_MAX);
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, RECORDIO),
            (MESSAGE_CONTENT_TYPE, PROTOBUF),
            (ACCEPT, PROTOBUF),
        ]);
        let first = input_call(call::AttachContainerInput {
            r#type: Some(call::attach_container_input::Type::ContainerId.into()),
            container_id: Some(self.container.clone()),
            ..Default::default()
        });
        // There is place for the first of them.
        let _ = pieces.try_send(Frame::data(first));
        let agent = self.address.clone();
        let carried = tokio::spawn(async move {
            // The agent's answer comes when either end has had enough; the output tells more.
            let _ = pour(&agent, PATH, headers, body).await;
        });
        Input { pieces, carried }
    }

    /// What the process ended with, as wait(2) tells it, and forgets it; `None` where the agent
    /// knows it no more, since all of the task has ended.
    pub(crate) async fn end(self) -> Result<Option<i32>, SessionError> {
        let mut connection = Connection::new(self.address.clone());
        let wait = ask(&Call {
            r#type: Some(call::Type::WaitNestedContainer.into()),
            wait_nested_container: Some(call::WaitNestedContainer {
                container_id: self.container.clone(),
            }),
            ..Default::default()
        });
        let response = connection.send_within(&wait, NODE_MAX).await?;
        let (head, body) = response.into_parts();
        let answer = Answer::of(&head, body, NODE_MAX).await;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(&self.address, AGENT, &wait, &answer).into()),
        }
        let address = self.address.clone();
        let ended = api::decode::<Response>(&answer.body)
            .map_err(|source| SessionError::Pieces { address, source })?;
        let remove = ask(&Call {
            r#type: Some(call::Type::RemoveNestedContainer.into()),
            remove_nested_container: Some(call::RemoveNestedContainer {
                container_id: self.container,
            }),
            ..Default::default()
        });
        // The agent forgets it by itself at the latest when the task ends.
        let _ = connection.fetch(&remove).await;
        Ok(ended.wait_nested_container.and_then(|end| end.exit_status))
    }
}

impl Input {
    /// Sends bytes to the process; false where it takes no more.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> bool {
        self.piece(ProcessIo {
            r#type: Some(process_io::Type::Data.into()),
            data: Some(process_io::Data {
                r#type: Some(process_io::data::Type::Stdin.into()),
                data: Some(bytes.to_vec()),
            }),
            ..Default::default()
        })
        .await
    }

    /// Tells the process that nothing more comes.
    pub(crate) async fn finish(&mut self) -> bool {
        self.send(Bytes::new()).await
    }

    /// Tells the process' terminal how large the window is.
    pub(crate) async fn resize(&mut self, size: WindowSize) -> bool {
        self.control(process_io::Control {
            r#type: Some(process_io::control::Type::TtyInfo.into()),
            tty_info: Some(TtyInfo {
                window_size: Some(size),
            }),
            ..Default::default()
        })
        .await
    }

    /// Keeps whoever stands between from taking the connection for dead.
    pub(crate) async fn heartbeat(&mut self) -> bool {
        let nanoseconds = i64::try_from(HEARTBEAT.as_nanos()).unwrap_or(i64::MAX);
        self.control(process_io::Control {
            r#type: Some(process_io::control::Type::Heartbeat.into()),
            heartbeat: Some(process_io::control::Heartbeat {
                interval: Some(DurationInfo { nanoseconds }),
            }),
            ..Default::default()
        })
        .await
    }

    async fn control(&mut self, control: process_io::Control) -> bool {
        self.piece(ProcessIo {
            r#type: Some(process_io::Type::Control.into()),
            control: Some(control),
            ..Default::default()
        })
        .await
    }

    async fn piece(&mut self, piece: ProcessIo) -> bool {
        let record = input_call(call::AttachContainerInput {
            r#type: Some(call::attach_container_input::Type::ProcessIo.into()),
            process_io: Some(piece),
            ..Default::default()
        });
        self.pieces.send_data(record).await.is_ok()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.carried.abort();
    }
}

/// One record of the stream of input.
fn input_call(input: call::AttachContainerInput) -> Bytes {
    let call = Call {
        r#type: Some(call::Type::AttachContainerInput.into()),
        attach_container_input: Some(input),
        ..Default::default()
    };
    recordio::encode(&call.encode_to_vec()).into()
}

fn ask(call: &Call) -> Ask {
    Ask {
        method: Method::POST,
        path: PATH.to_owned(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, PROTOBUF), (ACCEPT, PROTOBUF)]),
        body: call.encode_to_vec().into(),
    }
}

/// The output in a piece; heartbeats and what is unknown are none.
fn output(piece: ProcessIo) -> Option<Output> {
    let data = piece.data?;
    let kind = data.r#type();
    let bytes = Bytes::from(data.data?);
    match kind {
        process_io::data::Type::Stdout => Some(Output::Stdout(bytes)),
        process_io::data::Type::Stderr => Some(Output::Stderr(bytes)),
        process_io::data::Type::Stdin | process_io::data::Type::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_output_is_left_out() {
        let data = |kind: process_io::data::Type| ProcessIo {
            r#type: Some(process_io::Type::Data.into()),
            data: Some(process_io::Data {
                r#type: Some(kind.into()),
                data: Some(b"x".to_vec()),
            }),
            ..Default::default()
        };
        use process_io::data::Type::{Stderr, Stdin, Stdout, Unknown};
        let x = Bytes::from_static(b"x");
        assert_eq!(output(data(Stdout)), Some(Output::Stdout(x.clone())));
        assert_eq!(output(data(Stderr)), Some(Output::Stderr(x)));
        assert_eq!(output(data(Stdin)), None);
        assert_eq!(output(data(Unknown)), None);
        assert_eq!(output(ProcessIo::default()), None);
    }
}
