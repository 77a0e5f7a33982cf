//! The scheduler API over gRPC: the service `tepui.scheduler.v1.Scheduler`, on the port of the others.
//!
//! Calls go through the checks that HTTP's go through (`http::scheduler`), and events come from the
//! same bounded queue. Calls of one stream are answered one after another: who sends faster waits.

mod codec;
mod events;
pub(crate) mod status;

use std::future::Ready;
use std::time::Duration;

use api::v1::scheduler::Call;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use tonic::server::{Grpc, StreamingService};
use tonic::{Status, Streaming};

use crate::access::{Identity, Realm};
use crate::connection::Connection;
use crate::handle::Handle;
use crate::http::body::Body;
use crate::http::negotiate::Media;
use crate::http::respond::Refusal;
use crate::http::scheduler::{Caller, STREAM_ID};
use crate::http::stream::EventStream;
use crate::http::{Request, Response};
use codec::Raw;
use events::Events;

/// The only method.
pub(crate) const PATH: &str = "/tepui.scheduler.v1.Scheduler/Connect";
/// How long a new stream may stay silent.
const SUBSCRIBE_TIME_MAX: Duration = Duration::from_secs(60);
/// The largest call, as over HTTP.
const CALL_BYTES_MAX: usize = 32 << 20;

/// Answers a request to open a stream.
pub(crate) async fn connect(loop_: &Handle, connection: Connection, request: Request) -> Response {
    let scheduler = Scheduler {
        loop_: loop_.clone(),
        connection,
    };
    let mut grpc = Grpc::new(Raw).max_decoding_message_size(CALL_BYTES_MAX);
    grpc.streaming(scheduler, request).await.map(Body::Grpc)
}

/// The service, for one request.
struct Scheduler {
    loop_: Handle,
    connection: Connection,
}

impl StreamingService<Bytes> for Scheduler {
    type Response = Bytes;
    type ResponseStream = Events;
    type Future = Ready<Result<tonic::Response<Events>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        std::future::ready(self.open(request).map(tonic::Response::new))
    }
}

impl Scheduler {
    /// The stream of events; its headers do not wait for SUBSCRIBE, as some clients send it only when
    /// they have them.
    fn open(&self, request: tonic::Request<Streaming<Bytes>>) -> Result<Events, Status> {
        let headers = request.metadata().clone().into_headers();
        let access = self.loop_.access();
        let identity = access
            .authenticate(Realm::Scheduler, &headers)
            .map_err(|_| Status::unauthenticated("401 Unauthorized."))?;
        if !self.loop_.leads() {
            return Err(status::not_leading(self.loop_.facts()));
        }
        let (opening, opened) = oneshot::channel();
        let (refusing, refused) = oneshot::channel();
        let (reading, unread) = oneshot::channel();
        let calls = Calls {
            loop_: self.loop_.clone(),
            connection: self.connection.clone(),
            identity,
            calls: request.into_inner(),
            unread,
        };
        tokio::spawn(async move {
            if let Err(status) = calls.read(opening).await {
                // A client that is gone needs no reason.
                drop(refusing.send(status));
            }
        });
        Ok(Events::new(opened, refused, reading))
    }
}

/// The calls of one framework.
struct Calls {
    loop_: Handle,
    connection: Connection,
    identity: Identity,
    calls: Streaming<Bytes>,
    /// Resolves when nobody reads the events any more.
    unread: oneshot::Receiver<()>,
}

impl Calls {
    /// Carries out every call; the error is for the end of the stream.
    async fn read(mut self, opening: oneshot::Sender<EventStream>) -> Result<(), Status> {
        let first = tokio::time::timeout(SUBSCRIBE_TIME_MAX, self.next());
        let Some(call) = first.await.map_err(|_| {
            Status::deadline_exceeded(format!("no SUBSCRIBE within {SUBSCRIBE_TIME_MAX:?}"))
        })?
        else {
            return Ok(());
        };
        let response = self.carry_out(call?, None).await?;
        let stream_id = response.headers().get(STREAM_ID);
        let stream_id = stream_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let Body::Events(events) = response.into_body() else {
            return Err(Status::failed_precondition(
                "the first call is not SUBSCRIBE",
            ));
        };
        self.connection.keep();
        if opening.send(events).is_err() {
            return Ok(());
        }
        while let Some(call) = self.next().await {
            self.carry_out(call?, stream_id.clone()).await?;
        }
        Ok(())
    }

    /// The next call; `None` where there are no more, or nobody reads what would come of it.
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        tokio::select! {
            call = self.calls.next() => call,
            _ = &mut self.unread => None,
        }
    }

    async fn carry_out(&self, call: Bytes, stream_id: Option<String>) -> Result<Response, Status> {
        let refused = |refusal: Refusal| {
            if refusal.status() == http::StatusCode::BAD_REQUEST {
                self.loop_.metrics().invalid_scheduler_call();
            }
            status::of(refusal.status(), refusal.reason())
        };
        let call: Call =
            api::decode(&call).map_err(|error| refused(Refusal::bad_request(error.to_string())))?;
        let caller = Caller {
            loop_: &self.loop_,
            identity: self.identity.clone(),
            connection: self.connection.clone(),
            stream_id,
        };
        let response = caller
            .call(call, || Ok(Media::Protobuf))
            .await
            .map_err(refused)?;
        status::check(response)
    }
}
