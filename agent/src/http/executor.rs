//! `POST /api/v1/executor`: the calls of custom executors, and their streams of events.
//!
//! The checks come in the order in which Mesos makes them: method, form of the body, the call itself,
//! the form of the stream, whose the call is. What it means is agent-core's question. A stream is
//! RecordIO and lasts until the executor closes it, another takes its place, or the executor does
//! not read; a HEARTBEAT every [`HEARTBEAT_EVERY`] shows a connection that is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use agent_core::containers::RequestId;
use agent_core::effect::Answer as CoreAnswer;
use agent_core::event::Event;
use agent_core::executor_api::{Claims, ExecutorRefusal, Taken};
use api::http::call;
use api::http::negotiate::{self, Media};
use api::http::respond::{self, Refusal};
use api::v1::executor as wire;
use api::v1::executor::call::Type;
use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::body::Body;
use super::connection::Place;
use super::{Answer, Context};
use crate::handle::{Ended, Handle};
use crate::wire::executor::{self, CallError};

/// Mesos' `DEFAULT_EXECUTOR_HEARTBEAT_INTERVAL`.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30 * 60);
/// What a client that shows no token, or a bad one, is asked for.
const REALM: &str = "mesos-agent-executor";

/// Answers a call.
pub(super) async fn handle(context: &Arc<Context>, request: Request<Incoming>) -> Answer {
    let answered = answer(context, request).await;
    answered.unwrap_or_else(Into::into)
}

async fn answer(context: &Arc<Context>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let claims = match authenticate(context, request.headers()) {
        Ok(claims) => claims,
        Err(asked) => return Ok(unauthorized(&asked)),
    };
    let (head, call): (_, wire::Call) = call::read(request).await?;
    let kind = call.r#type.unwrap_or_default();
    let taken = match (call.r#type, Type::try_from(kind)) {
        (Some(_), Ok(Type::Unknown) | Err(_)) => None,
        _ => Some(executor::call(&call).map_err(invalid)?),
    };
    let media = match call.r#type() {
        Type::Subscribe => negotiate::accept(&head.headers).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_ACCEPTABLE,
                "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
            )
        })?,
        // Mesos' own executors send it with names that are nobody's.
        Type::Heartbeat => return Ok(respond::empty(StatusCode::ACCEPTED)),
        Type::Unknown | Type::Update | Type::Message => Media::Json,
    };
    let Some((framework_id, executor_id)) = executor::names(&call) else {
        return Err(refused(&ExecutorRefusal::Framework));
    };
    let Some(taken) = taken else {
        return Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "501 Not Implemented.",
        ));
    };
    let request = context.handle.request();
    let event = Event::ExecutorCall {
        request,
        framework_id,
        executor_id,
        claims,
        call: taken,
    };
    let reply = context.handle.ask(request, event).await;
    let reply = reply
        .map_err(|ended: Ended| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ended.to_string()))?;
    match (reply.answer, reply.events) {
        (CoreAnswer::Executor(Ok(Taken::Subscribed)), Some(events)) => {
            // Streams are as many as executors, which agent-core bounds.
            if let Some(place) = head.extensions.get::<Place>() {
                place.give_back();
            }
            Ok(stream(context.handle.clone(), request, events, media))
        }
        (CoreAnswer::Executor(Err(refusal)), _) => Err(refused(&refusal)),
        (CoreAnswer::Executor(Ok(_)), _) => Ok(respond::empty(StatusCode::ACCEPTED)),
        // Not to a call of an executor.
        (CoreAnswer::Container(_), _) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the main loop answered another question",
        )),
    }
}

fn invalid(error: CallError) -> Refusal {
    Refusal::bad_request(format!("Failed to validate Executor::Call: {error}"))
}

fn refused(refusal: &ExecutorRefusal) -> Refusal {
    let status = match refusal {
        ExecutorRefusal::Framework | ExecutorRefusal::Executor => StatusCode::BAD_REQUEST,
        ExecutorRefusal::NotSubscribed | ExecutorRefusal::Claims(_) => StatusCode::FORBIDDEN,
    };
    Refusal::new(status, refusal.to_string())
}

/// What the caller's token says; `None` where this agent asks for none, or why it is refused.
fn authenticate(context: &Context, headers: &HeaderMap) -> Result<Option<Claims>, String> {
    let is_asked_for = context
        .tokens
        .as_ref()
        .is_some_and(|tokens| tokens.asked_for);
    match shown(context, headers)? {
        None if is_asked_for => Err(format!("Bearer realm=\"{REALM}\"")),
        claims => Ok(claims),
    }
}

/// What a token says that the caller shows; `None` where it shows none, or nobody could check it.
pub(super) fn shown(context: &Context, headers: &HeaderMap) -> Result<Option<Claims>, String> {
    let Some(tokens) = &context.tokens else {
        return Ok(None);
    };
    let shown = headers.get(AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer "));
    let claims = token.map(|token| tokens.key.verify(token)).transpose();
    claims.map_err(|error| {
        format!("Bearer realm=\"{REALM}\", error=\"invalid_token\", error_description=\"{error}\"")
    })
}

pub(super) fn unauthorized(asked: &str) -> Answer {
    let mut answer: Answer = respond::text(StatusCode::UNAUTHORIZED, "401 Unauthorized.");
    if let Ok(asked) = HeaderValue::from_str(asked) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, asked);
    }
    answer
}

fn stream(
    handle: Handle,
    request: RequestId,
    events: mpsc::Receiver<wire::Event>,
    media: Media,
) -> Answer {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT_EVERY, HEARTBEAT_EVERY);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events {
        handle,
        request,
        events,
        media,
        heartbeat,
    };
    let mut answer = Response::new(Body::streamed(events));
    respond::set_type(&mut answer, media);
    answer
}

/// The body of a stream; the end of it is told, whoever brought it about.
struct Events {
    handle: Handle,
    request: RequestId,
    events: mpsc::Receiver<wire::Event>,
    media: Media,
    heartbeat: Interval,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let event = match this.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => event,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                if this.heartbeat.poll_tick(cx).is_pending() {
                    return Poll::Pending;
                }
                wire::Event {
                    r#type: Some(wire::event::Type::Heartbeat.into()),
                    ..wire::Event::default()
                }
            }
        };
        let record = match this.media {
            Media::Json => api::json::to_json(&event).into_bytes(),
            Media::Protobuf => event.encode_to_vec(),
        };
        let framed = api::recordio::encode(&record);
        Poll::Ready(Some(Ok(Frame::data(framed.into()))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.handle.tell(Event::ExecutorClosed {
            stream: self.request,
        });
    }
}
