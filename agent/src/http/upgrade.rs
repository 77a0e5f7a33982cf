//! `POST /upgrade`: another program in the place of this one. The body is the program, the headers say who
//! wants it (`model::upgrade`); the answer comes when it is checked, and before it is executed.

use std::sync::{Arc, Mutex, PoisonError};

use api::http::query::Query;
use api::http::respond::{self, Refusal};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use hyper::{Method, Request, StatusCode};
use model::upgrade::{SIGNATURE, STATEMENT};
use serde_json::json;

use super::{Answer, Context};
use crate::handle::Handle;
use crate::init::chain;
use crate::node::wall;
use crate::upgrade::permit::PermitError;
use crate::upgrade::{Arrived, Ask, UpgradeError};

/// What is executed when a connection has ended, and with it the answer is on its way.
#[derive(Debug, Clone, Default)]
pub(super) struct Afterwards(Arc<Mutex<Option<Arrived>>>);

impl Afterwards {
    fn put(&self, arrived: Arrived) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(arrived);
    }

    /// The connection has ended.
    pub(super) async fn go(&self, handle: &Handle) {
        let arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(arrived) = arrived {
            handle.exchange(arrived).await;
        }
    }
}

/// Answers a request.
pub(super) async fn handle(context: &Arc<Context>, request: Request<Incoming>) -> Answer {
    if request.method() != Method::POST {
        return Refusal::method("POST", request.method()).into();
    }
    let answered = answer(context, request).await;
    answered.unwrap_or_else(|error| refusal(&error).into())
}

async fn answer(
    context: &Arc<Context>,
    request: Request<Incoming>,
) -> Result<Answer, UpgradeError> {
    let (head, body) = request.into_parts();
    let header = |name: &'static str| {
        let value = head.headers.get(name);
        let value = value.and_then(|value| value.to_str().ok());
        value.ok_or(PermitError::Missing(name))
    };
    let length = head.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let query = Query(head.uri.query().unwrap_or_default());
    let is_forced = match query.get("force").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(UpgradeError::Force(other.to_owned())),
    };
    let ends = context.switchboard.ends();
    let snapshot = context.snapshot();
    let ask = Ask {
        statement: header(STATEMENT)?,
        signature: header(SIGNATURE)?,
        length,
        agent: snapshot.agent_id.as_ref(),
        now: wall(),
        terminals: match is_forced {
            true => 0,
            false => ends.terminals,
        },
    };
    let arrived = context.upgrades.take(ask, body).await?;
    // Some may have come or gone while it was checked.
    let ends = context.switchboard.ends();
    let told = json!({
        "from": arrived.from,
        "to": arrived.to,
        "sessions": ends.sessions,
        "terminals": ends.terminals,
    });
    let mut answer: Answer = respond::page("application/json", told.to_string());
    *answer.status_mut() = StatusCode::ACCEPTED;
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    match head.extensions.get::<Afterwards>() {
        Some(afterwards) => afterwards.put(arrived),
        None => context.handle.exchange(arrived).await,
    }
    Ok(answer)
}

fn refusal(error: &UpgradeError) -> Refusal {
    let status = match error {
        UpgradeError::Permit(PermitError::Missing(_) | PermitError::Statement(_)) => {
            StatusCode::UNAUTHORIZED
        }
        UpgradeError::Permit(_) => StatusCode::FORBIDDEN,
        UpgradeError::Busy
        | UpgradeError::OnTrial
        | UpgradeError::Same
        | UpgradeError::Terminals(_) => StatusCode::CONFLICT,
        UpgradeError::Long(_) => StatusCode::PAYLOAD_TOO_LARGE,
        UpgradeError::Force(_)
        | UpgradeError::Length { .. }
        | UpgradeError::Body(_)
        | UpgradeError::Digest(_)
        | UpgradeError::Elf(_)
        | UpgradeError::Check(_) => StatusCode::BAD_REQUEST,
        UpgradeError::Memory(_) | UpgradeError::Room { .. } => StatusCode::INSUFFICIENT_STORAGE,
        UpgradeError::Take(_)
        | UpgradeError::Own(_)
        | UpgradeError::Launches(_)
        | UpgradeError::Execute(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, chain(error))
}
