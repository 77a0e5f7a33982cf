//! The unversioned endpoints that change something: forms in, plain answers out.
//!
//! Each topic has a file that makes an `OperatorCall` of the form; how the answer reads is the same
//! for all of them.

mod maintenance;
mod resources;
mod roles;
mod teardown;

use http::{Method, StatusCode};
use master_core::event::Answer;

use super::query::Query;
use super::respond::{self, Refusal};
use super::{Request, Response, read};
use crate::access::Identity;
use crate::handle::Handle;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Reserve resources of an agent.
    Reserve,
    /// Take a reservation back.
    Unreserve,
    /// Make volumes on an agent.
    CreateVolumes,
    /// Delete them and their data.
    DestroyVolumes,
    /// End a framework.
    Teardown,
    /// Plan maintenance.
    MaintenanceSchedule,
    /// Bring machines down.
    MachineDown,
    /// Bring machines up.
    MachineUp,
    /// Set or remove the quota of a role.
    Quota,
    /// Change weights of roles.
    Weights,
}

impl Action {
    /// The methods that the path has.
    const fn methods(self) -> &'static str {
        match self {
            Self::Reserve
            | Self::Unreserve
            | Self::CreateVolumes
            | Self::DestroyVolumes
            | Self::Teardown
            | Self::MachineDown
            | Self::MachineUp => "POST",
            Self::MaintenanceSchedule => "GET, POST",
            Self::Quota => "GET, POST, DELETE",
            Self::Weights => "GET, PUT",
        }
    }

    /// Whether the body is a form; others have JSON.
    const fn takes_form(self) -> bool {
        match self {
            Self::Reserve
            | Self::Unreserve
            | Self::CreateVolumes
            | Self::DestroyVolumes
            | Self::Teardown => true,
            Self::MaintenanceSchedule
            | Self::MachineDown
            | Self::MachineUp
            | Self::Quota
            | Self::Weights => false,
        }
    }
}

/// Answers a request to one of them.
pub(crate) async fn handle(loop_: &Handle, action: Action, request: Request) -> Response {
    answer(loop_, action, request)
        .await
        .unwrap_or_else(Response::from)
}

async fn answer(loop_: &Handle, action: Action, request: Request) -> Result<Response, Refusal> {
    let is_meant = match (action, request.method()) {
        (Action::Weights, method) => method == Method::PUT,
        (Action::Quota, &Method::DELETE) => true,
        (_, method) => method == Method::POST,
    };
    if !is_meant {
        return Err(Refusal::method(action.methods(), request.method()));
    }
    let (head, body) = request.into_parts();
    let body = read::body(&head.headers, body).await?;
    let form = String::from_utf8_lossy(&body).into_owned();
    if action.takes_form() {
        Query(&form).check().map_err(|fault| {
            Refusal::bad_request(format!("Unable to decode query string: {fault}"))
        })?;
    }
    let call = match action {
        Action::Reserve => resources::reserve(&form)?,
        Action::Unreserve => resources::unreserve(&form)?,
        Action::CreateVolumes => resources::create_volumes(&form)?,
        Action::DestroyVolumes => resources::destroy_volumes(&form)?,
        Action::Teardown => teardown::call(&form)?,
        Action::MaintenanceSchedule => maintenance::schedule(&body)?,
        Action::MachineDown => maintenance::down(&body)?,
        Action::MachineUp => maintenance::up(&body)?,
        Action::Quota => roles::quota(&head, &body)?,
        Action::Weights => roles::weights(&body)?,
    };
    let principal = Identity::of(&head.extensions).principal().cloned();
    respond_to(loop_.operate(principal, call).await)
}

/// An operator's answer as HTTP, for these endpoints and for the v1 API.
pub(crate) fn respond_to(answer: Answer) -> Result<Response, Refusal> {
    let (status, why) = match answer {
        Answer::Ok => return Ok(respond::empty(StatusCode::OK)),
        Answer::Accepted => return Ok(respond::empty(StatusCode::ACCEPTED)),
        Answer::BadRequest(why) => (StatusCode::BAD_REQUEST, why),
        Answer::Forbidden(why) => (StatusCode::FORBIDDEN, why),
        Answer::NotFound(why) => (StatusCode::NOT_FOUND, why),
        Answer::Conflict(why) => (StatusCode::CONFLICT, why),
        Answer::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    Err(Refusal::new(status, why))
}
