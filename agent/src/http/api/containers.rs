//! LAUNCH, WAIT, KILL and REMOVE of containers: nested ones, and those that stand alone.
//!
//! Agent-core decides; here a call becomes its words, and its words an answer. Where a client goes
//! before it is answered, agent-core hears of it.

use agent_core::containers::{
    Answer as Decided, Class, ContainerCall, Refusal as Refused, RequestId, Requested, Termination,
};
use agent_core::effect;
use agent_core::event::{Event, ExitStatus};
use api::http::respond::{self, Refusal};
use api::v1;
use api::v1::agent::Response as Message;
use api::v1::agent::call::LaunchContainer;
use api::v1::agent::response::{Type, WaitContainer, WaitNestedContainer};
use hyper::StatusCode;
use model::sandbox::ExitStatus as Status;
use model::{Blob, ContainerId};
use prost::Message as _;

use super::{Caller, Who, answer};
use crate::handle::Handle;
use crate::http::Answer;

/// SIGKILL, which a call means that names no signal.
const SIGKILL: i32 = 9;

/// The two names of each call; they differ in the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// WAIT_CONTAINER.
    Container,
    /// WAIT_NESTED_CONTAINER.
    NestedContainer,
}

/// The id in a call; what it has to hold was checked before.
pub(super) fn id(id: &v1::ContainerId) -> Result<ContainerId, Refusal> {
    ContainerId::try_from(id).map_err(|fault| Refusal::bad_request(fault.to_string()))
}

/// LAUNCH_CONTAINER, LAUNCH_NESTED_CONTAINER.
pub(super) async fn launch(
    caller: &Caller<'_>,
    launch: &LaunchContainer,
) -> Result<Answer, Refusal> {
    let requested = requested(launch, Class::Default)?;
    match ask(caller, ContainerCall::Launch(requested)).await? {
        Decided::AlreadyLaunched => Ok(respond::empty(StatusCode::ACCEPTED)),
        decided => done(&decided),
    }
}

/// What agent-core is asked to launch.
pub(super) fn requested(launch: &LaunchContainer, class: Class) -> Result<Requested, Refusal> {
    Ok(Requested {
        container: id(&launch.container_id)?,
        class,
        launch: Blob::new(&launch.encode_to_vec()),
    })
}

/// WAIT_CONTAINER, WAIT_NESTED_CONTAINER.
pub(super) async fn wait(
    caller: &Caller<'_>,
    container: &v1::ContainerId,
    name: Name,
) -> Result<Answer, Refusal> {
    let container = id(container)?;
    // Agent-core bounds how many wait.
    caller.give_place_back();
    match ask(caller, ContainerCall::Wait { container }).await? {
        Decided::Ended(termination) => Ok(answer::message(caller, &ended(&termination, name))),
        decided => done(&decided),
    }
}

/// KILL_CONTAINER, KILL_NESTED_CONTAINER.
pub(super) async fn kill(
    caller: &Caller<'_>,
    container: &v1::ContainerId,
    signal: Option<i32>,
) -> Result<Answer, Refusal> {
    let call = ContainerCall::Kill {
        container: id(container)?,
        signal: signal.unwrap_or(SIGKILL),
    };
    done(&ask(caller, call).await?)
}

/// REMOVE_CONTAINER, REMOVE_NESTED_CONTAINER.
pub(super) async fn remove(
    caller: &Caller<'_>,
    container: &v1::ContainerId,
) -> Result<Answer, Refusal> {
    let container = id(container)?;
    done(&ask(caller, ContainerCall::Remove { container }).await?)
}

/// 200 for what is done, and the reason for what is not.
pub(super) fn done(decided: &Decided) -> Result<Answer, Refusal> {
    match decided {
        Decided::Done | Decided::AlreadyLaunched | Decided::Ended(_) => {
            Ok(respond::empty(StatusCode::OK))
        }
        Decided::Refused(refused) => Err(refusal(refused)),
    }
}

fn refusal(refused: &Refused) -> Refusal {
    let status = match refused {
        Refused::Forbidden => return Refusal::forbidden(),
        Refused::Unknown(_) | Refused::UnknownToKill(_) => StatusCode::NOT_FOUND,
        Refused::NoParent(_)
        | Refused::ParentStarts(_)
        | Refused::ParentEnds(_)
        | Refused::Launch(_) => StatusCode::BAD_REQUEST,
        Refused::Alive | Refused::NoRoot | Refused::Signal => StatusCode::INTERNAL_SERVER_ERROR,
        Refused::TooMany | Refused::TooManyWait | Refused::AgentEnds => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    Refusal::new(status, refused.to_string())
}

/// Brings a call before agent-core.
pub(super) async fn ask(caller: &Caller<'_>, call: ContainerCall) -> Result<Decided, Refusal> {
    let handle = caller.context.handle.clone();
    let mut listening = Listening {
        request: Some(handle.request()),
        handle,
        caller: caller.who.clone(),
    };
    listening.ask(call).await
}

/// A request whose client listens; where this is dropped before the answer, it does no more.
struct Listening {
    handle: Handle,
    caller: Who,
    request: Option<RequestId>,
}

impl Listening {
    async fn ask(&mut self, call: ContainerCall) -> Result<Decided, Refusal> {
        let request = self.request.unwrap_or(RequestId(0));
        let event = self.event(request, call);
        let reply = self.handle.ask(request, event).await;
        self.request = None;
        match reply.map(|reply| reply.answer) {
            Ok(effect::Answer::Container(decided)) => Ok(decided),
            Ok(effect::Answer::Executor(_)) | Err(_) => Err(refusal(&Refused::AgentEnds)),
        }
    }

    fn event(&self, request: RequestId, call: ContainerCall) -> Event {
        Event::Container {
            request,
            caller: self.caller.clone(),
            call,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.handle.tell(self.event(request, ContainerCall::Leave));
        }
    }
}

/// How a container ended, as Mesos tells it.
fn ended(termination: &Termination, name: Name) -> Message {
    let exit_status = match termination.status {
        ExitStatus::Code(code) => Some(Status::Exited(code).wait_status()),
        ExitStatus::Signal(signal) => Some(Status::Signaled(signal.into()).wait_status()),
        ExitStatus::Unknown => None,
    };
    let cause = termination.cause.as_ref();
    let state = cause.map(|cause| cause.state.number());
    let reason = cause
        .and_then(|cause| cause.reason)
        .map(model::Reason::number);
    let message = cause.map(|cause| cause.message.clone());
    let limitation = cause
        .and_then(|cause| cause.limitation)
        .map(crate::wire::limitation);
    match name {
        Name::Container => Message {
            wait_container: Some(WaitContainer {
                exit_status,
                state,
                reason,
                limitation,
                message,
            }),
            ..answer::typed(Type::WaitContainer)
        },
        Name::NestedContainer => Message {
            wait_nested_container: Some(WaitNestedContainer {
                exit_status,
                state,
                reason,
                limitation,
                message,
            }),
            ..answer::typed(Type::WaitNestedContainer)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_under_the_name_that_was_asked_by() {
        let killed = Termination {
            status: ExitStatus::Signal(9),
            cause: None,
        };
        assert_eq!(
            api::json::to_json(&ended(&killed, Name::NestedContainer)),
            r#"{"type":"WAIT_NESTED_CONTAINER","wait_nested_container":{"exit_status":9}}"#
        );
        let exited = Termination {
            status: ExitStatus::Code(7),
            cause: None,
        };
        assert_eq!(
            api::json::to_json(&ended(&exited, Name::Container)),
            r#"{"type":"WAIT_CONTAINER","wait_container":{"exit_status":1792}}"#
        );
    }
}
