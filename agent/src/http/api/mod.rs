//! `POST /api/v1`: the calls of operators, of executors and of their tools.
//!
//! The checks come in the order in which Mesos makes them: method, the forms of body and answer, the
//! call itself, whether it may be a stream. Then each call goes to the file of its topic.

mod agent;
mod answer;
mod attach;
mod containers;
mod files;
mod images;
mod launch;
mod logging;
mod process;
mod providers;
mod state;
pub(super) mod validate;

use std::sync::Arc;
use std::time::Duration;

use agent_core::containers::Caller as Who;
use agent_core::executor_api::Claims;
use api::http::call::decode;
use api::http::forms::{self, Form};
use api::http::read;
use api::http::records::Records;
use api::http::respond::Refusal;
use api::v1::agent::Call;
use api::v1::agent::call::{LaunchContainer, Type};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use model::ContainerId;

use super::connection::Place;
use super::{Answer, Context, executor};
use containers::Name;
use state::Part;

/// How long the first record of a stream may take; what follows comes when there is something.
const FIRST_RECORD_TIME_MAX: Duration = Duration::from_secs(60);

/// What the files of the topics need to know of a request beside its call.
pub(super) struct Caller<'a> {
    /// The way to the snapshot, the facts and the loop.
    context: &'a Arc<Context>,
    /// Whom the call is by.
    who: Who,
    /// The request's line and headers.
    head: Parts,
    /// The form of the answer.
    accept: Form,
    /// What follows the call in the request's body.
    records: Option<Records<Incoming>>,
}

impl Caller<'_> {
    /// Leaves the connection's place to others, for a call that may take as long as it likes.
    fn give_place_back(&self) {
        if let Some(place) = self.head.extensions.get::<Place>() {
            place.give_back();
        }
    }
}

/// Answers a call.
pub(super) async fn handle(context: &Arc<Context>, request: Request<Incoming>) -> Answer {
    let answered = answer(context, request).await;
    answered.unwrap_or_else(Into::into)
}

async fn answer(context: &Arc<Context>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::method("POST", request.method()));
    }
    let content = forms::content(request.headers())?;
    let accept = forms::accept(request.headers())?;
    let (head, body) = request.into_parts();
    let who = match executor::shown(context, &head.headers).map(|claims| claims.map(who)) {
        Ok(None) => Who::Operator,
        Ok(Some(Some(executor))) => executor,
        Ok(Some(None)) => return Err(Refusal::forbidden()),
        Err(asked) => return Ok(executor::unauthorized(&asked)),
    };
    let mut records = None;
    let call: Call = match content {
        Form::Whole(media) => {
            let body = read::body(&head.headers, body).await?;
            decode(media, &body).map_err(Refusal::bad_request)?
        }
        Form::Records(media) => first(records.insert(Records::new(body, media))).await?,
    };
    let kind = validate::call(&call).map_err(|fault| {
        Refusal::bad_request(format!("Failed to validate agent::Call: {fault}"))
    })?;
    may_stream(kind, content, accept)?;
    tracing::debug!(call = kind.as_str_name(), "call of the agent's API");
    let mut caller = Caller {
        context,
        who,
        head,
        accept,
        records,
    };
    dispatch(&mut caller, kind, call).await
}

/// The executor that a token was given to; `None` where its container is none.
fn who(claims: Claims) -> Option<Who> {
    let container = ContainerId::new(&claims.container).ok()?;
    Some(Who::Executor { container })
}

/// The call that begins a stream.
async fn first(records: &mut Records<Incoming>) -> Result<Call, Refusal> {
    let arrived = tokio::time::timeout(FIRST_RECORD_TIME_MAX, records.next());
    match arrived.await {
        Ok(Ok(Some(call))) => Ok(call),
        Ok(Ok(None)) => Err(Refusal::bad_request(
            "Received EOF while reading request body",
        )),
        Ok(Err(fault)) => Err(Refusal::bad_request(fault)),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("The first record did not arrive within {FIRST_RECORD_TIME_MAX:?}"),
        )),
    }
}

/// Whether a call of this type may be a stream, or be answered by one.
fn may_stream(kind: Type, content: Form, accept: Form) -> Result<(), Refusal> {
    let name = kind.as_str_name();
    let takes = kind == Type::AttachContainerInput;
    if content.is_stream() != takes {
        let words = match takes {
            false => format!(
                "Streaming 'Content-Type' {} is not supported for {name} call",
                forms::RECORDIO
            ),
            true => format!(
                "Expecting 'Content-Type' to be {} for {name} call",
                forms::RECORDIO
            ),
        };
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let gives = matches!(
        kind,
        Type::AttachContainerOutput | Type::LaunchNestedContainerSession
    );
    if accept.is_stream() && !gives {
        return Err(Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            format!("Streaming response is not supported for {name} call"),
        ));
    }
    Ok(())
}

async fn dispatch(caller: &mut Caller<'_>, kind: Type, call: Call) -> Result<Answer, Refusal> {
    match kind {
        Type::GetHealth => Ok(process::health(caller)),
        Type::GetFlags => Ok(process::flags(caller)),
        Type::GetVersion => Ok(process::version(caller)),
        Type::GetMetrics => process::metrics(caller).await,
        Type::GetLoggingLevel => Ok(logging::get(caller)),
        Type::SetLoggingLevel => Ok(logging::set(
            caller,
            &call.set_logging_level.unwrap_or_default(),
        )),
        Type::GetAgent => Ok(agent::get(caller)),
        Type::GetResourceProviders => Ok(providers::get(caller)),
        Type::AddResourceProviderConfig => {
            let add = call.add_resource_provider_config.unwrap_or_default();
            Err(providers::configure(&add.info))
        }
        Type::UpdateResourceProviderConfig => {
            let update = call.update_resource_provider_config.unwrap_or_default();
            Err(providers::configure(&update.info))
        }
        Type::RemoveResourceProviderConfig => Err(providers::no_configuration()),
        Type::MarkResourceProviderGone => Ok(providers::mark_gone()),
        Type::PruneImages => images::prune(caller, call.prune_images.unwrap_or_default()).await,
        Type::ListFiles => files::list(caller, call.list_files.unwrap_or_default()).await,
        Type::ReadFile => files::read(caller, call.read_file.unwrap_or_default()).await,
        Type::GetState => state::read(caller, Part::State).await,
        Type::GetFrameworks => state::read(caller, Part::Frameworks).await,
        Type::GetExecutors => state::read(caller, Part::Executors).await,
        Type::GetTasks => state::read(caller, Part::Tasks).await,
        Type::GetOperations => Ok(state::operations(caller)),
        Type::GetContainers => {
            let wanted = call.get_containers.unwrap_or_default();
            state::containers(caller, wanted).await
        }
        Type::LaunchContainer => {
            containers::launch(caller, &call.launch_container.unwrap_or_default()).await
        }
        Type::LaunchNestedContainer => {
            let launch = call.launch_nested_container.unwrap_or_default();
            let launch = LaunchContainer {
                container_id: launch.container_id,
                command: launch.command,
                container: launch.container,
                ..LaunchContainer::default()
            };
            containers::launch(caller, &launch).await
        }
        Type::WaitContainer => {
            let id = call.wait_container.unwrap_or_default().container_id;
            containers::wait(caller, &id, Name::Container).await
        }
        Type::WaitNestedContainer => {
            let id = call.wait_nested_container.unwrap_or_default().container_id;
            containers::wait(caller, &id, Name::NestedContainer).await
        }
        Type::KillContainer => {
            let kill = call.kill_container.unwrap_or_default();
            containers::kill(caller, &kill.container_id, kill.signal).await
        }
        Type::KillNestedContainer => {
            let kill = call.kill_nested_container.unwrap_or_default();
            containers::kill(caller, &kill.container_id, kill.signal).await
        }
        Type::RemoveContainer => {
            let id = call.remove_container.unwrap_or_default().container_id;
            containers::remove(caller, &id).await
        }
        Type::RemoveNestedContainer => {
            let id = call
                .remove_nested_container
                .unwrap_or_default()
                .container_id;
            containers::remove(caller, &id).await
        }
        Type::LaunchNestedContainerSession => {
            let launch = call.launch_nested_container_session.unwrap_or_default();
            attach::session(caller, launch).await
        }
        Type::AttachContainerInput => {
            let first = call.attach_container_input.unwrap_or_default();
            attach::input(caller, &first).await
        }
        Type::AttachContainerOutput => {
            let id = call
                .attach_container_output
                .unwrap_or_default()
                .container_id;
            attach::output(caller, &id)
        }
        Type::Unknown => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "501 Not Implemented.",
        )),
    }
}
