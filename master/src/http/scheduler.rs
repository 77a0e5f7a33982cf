//! `POST /api/v1/scheduler`: the checks of a call, in the order in which Mesos makes them.
//!
//! What can be checked without the master's state is checked here, outside the main loop; the rest
//! (framework known, connected, right stream) the loop checks when the call's turn comes.

use api::v1::scheduler::Call;
use api::v1::scheduler::call::Type;
use http::StatusCode;

use super::negotiate::Media;
use super::respond::Refusal;
use super::{Request, Response, call, validate};
use crate::access::Identity;
use crate::connection::Connection;
use crate::convert::calls;
use crate::handle::{Command, Handle};

/// The header that binds a call to its stream.
pub(crate) const STREAM_ID: &str = "Mesos-Stream-Id";

/// Answers a call.
pub(crate) async fn handle(loop_: &Handle, connection: Connection, request: Request) -> Response {
    answer(loop_, connection, request)
        .await
        .unwrap_or_else(|refusal| {
            if refusal.status() == StatusCode::BAD_REQUEST {
                loop_.metrics().invalid_scheduler_call();
            }
            refusal.into()
        })
}

async fn answer(
    loop_: &Handle,
    connection: Connection,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, call) = call::read(request).await?;
    let stream_id = head.headers.get(STREAM_ID);
    let caller = Caller {
        loop_,
        identity: Identity::of(&head.extensions),
        connection,
        stream_id: stream_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
    };
    caller.call(call, || call::accept(&head.headers)).await
}

/// Who calls, by whatever way the call came.
pub(crate) struct Caller<'a> {
    /// The way to the loop.
    pub(crate) loop_: &'a Handle,
    /// Whom the call is by.
    pub(crate) identity: Identity,
    /// Where it came from.
    pub(crate) connection: Connection,
    /// The stream that it names.
    pub(crate) stream_id: Option<String>,
}

impl Caller<'_> {
    /// The checks of a call from its validation on; `accept` tells the form of the answer.
    pub(crate) async fn call(
        self,
        mut call: Call,
        accept: impl FnOnce() -> Result<Media, Refusal>,
    ) -> Result<Response, Refusal> {
        let principal = self.identity.principal();
        let kind = validate::call(&call)
            .and_then(|kind| match principal {
                Some(principal) => validate::principal(&call, principal).map(|()| kind),
                None => Ok(kind),
            })
            .map_err(|fault| {
                Refusal::bad_request(format!("Failed to validate scheduler::Call: {fault}"))
            })?;
        if let Some(principal) = principal {
            name_principal(&mut call, principal);
        }
        match kind {
            Type::Subscribe => {
                let media = accept()?;
                self.subscribe(call, media).await
            }
            Type::ReconcileOperations => {
                accept()?;
                self.submit(kind, call).await
            }
            _ => self.submit(kind, call).await,
        }
    }

    async fn subscribe(self, call: Call, media: Media) -> Result<Response, Refusal> {
        if self.stream_id.is_some() {
            return Err(Refusal::bad_request(
                "Subscribe calls should not include the 'Mesos-Stream-Id' header",
            ));
        }
        // Validated above: there is a `subscribe`.
        let subscribe = call.subscribe.unwrap_or_default();
        let subscription = calls::subscription(&subscribe);
        let command = |answer| Command::Subscribe {
            subscription,
            media,
            connection: self.connection,
            answer,
        };
        Ok(self.loop_.ask(command).await)
    }

    async fn submit(self, kind: Type, call: Call) -> Result<Response, Refusal> {
        let framework_id = call
            .framework_id
            .as_ref()
            .map(|id| id.value.clone())
            .unwrap_or_default();
        let call = calls::submitted(kind, call);
        let command = |answer| Command::Call {
            principal: self.identity.principal().cloned(),
            framework_id,
            stream_id: self.stream_id,
            kind,
            call,
            answer,
        };
        Ok(self.loop_.ask(command).await)
    }
}

/// A framework that subscribes and names no principal has the one it authenticated as. One that
/// updates itself must name it, as in Mesos: it would give it up otherwise.
fn name_principal(call: &mut Call, principal: &str) {
    if let Some(subscribe) = &mut call.subscribe {
        let own = &mut subscribe.framework_info.principal;
        own.get_or_insert_with(|| principal.to_owned());
    }
}
