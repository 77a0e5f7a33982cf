//! `POST /api/v1`: the calls of operators and their tools.
//!
//! The checks come in the order in which Mesos makes them: method, type and form of the body, the
//! call itself, what the client accepts. Then each call goes to the file of its topic. Reads come
//! from the published snapshot; what changes the cluster goes through the main loop.

mod answer;
mod files;
mod frameworks;
mod logging;
mod maintenance;
mod process;
pub(crate) mod resources;
mod roles;
mod state;
mod validate;
pub(crate) mod watch;

use api::v1::master::Call;
use api::v1::master::call::Type;
use http::StatusCode;
use master_core::authorization::Action;
use master_core::event::{OperatorCall, Text};

use super::negotiate::Media;
use super::respond::Refusal;
use super::{Request, Response, call};
use crate::access::Identity;
use crate::connection::Connection;
use crate::convert::quota;
use crate::handle::Handle;
use crate::http::legacy::respond_to;
use state::Part;

/// What the files of the topics need to know of a request beside its call.
pub(super) struct Caller<'a> {
    /// The way to the snapshot, the facts and the loop.
    pub(super) handle: &'a Handle,
    /// Where the call came from.
    pub(super) connection: Connection,
    /// Who calls, and what they may do.
    pub(super) identity: Identity,
    /// The form of the answer.
    pub(super) media: Media,
}

/// Answers a call.
pub(super) async fn handle(handle: &Handle, connection: Connection, request: Request) -> Response {
    match answer(handle, connection, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into(),
    }
}

async fn answer(
    handle: &Handle,
    connection: Connection,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, call) = call::read(request).await?;
    let kind = validate::call(&call).map_err(|fault| {
        Refusal::bad_request(format!("Failed to validate master::Call: {fault}"))
    })?;
    let caller = Caller {
        handle,
        connection,
        identity: Identity::of(&head.extensions),
        media: call::accept(&head.headers)?,
    };
    tracing::debug!(call = kind.as_str_name(), "operator calls");
    dispatch(&caller, kind, call).await
}

async fn dispatch(caller: &Caller<'_>, kind: Type, call: Call) -> Result<Response, Refusal> {
    match kind {
        Type::GetHealth => Ok(process::health(caller)),
        Type::GetFlags => {
            caller.must_be_allowed(Action::ViewFlags)?;
            Ok(process::flags(caller))
        }
        Type::GetVersion => Ok(process::version(caller)),
        Type::GetMetrics => Ok(process::metrics(caller).await),
        Type::GetMaster => Ok(process::master(caller)),
        Type::GetLoggingLevel => Ok(logging::get(caller)),
        Type::SetLoggingLevel => {
            caller.must_be_allowed(Action::SetLogLevel)?;
            let set = call.set_logging_level.unwrap_or_default();
            Ok(logging::set(caller, set))
        }
        Type::ListFiles => files::list(caller, &call.list_files.unwrap_or_default()),
        Type::ReadFile => files::read(caller, &call.read_file.unwrap_or_default()).await,
        Type::Subscribe => watch::subscribe(caller).await,
        Type::GetState => state::read(caller, Part::State).await,
        Type::GetAgents => state::read(caller, Part::Agents).await,
        Type::GetFrameworks => state::read(caller, Part::Frameworks).await,
        Type::GetExecutors => state::read(caller, Part::Executors).await,
        Type::GetTasks => state::read(caller, Part::Tasks).await,
        Type::GetOperations => Ok(resources::operations(caller).await),
        Type::ReserveResources => {
            let reserve = call.reserve_resources.unwrap_or_default();
            caller.operate(resources::reserve(reserve)).await
        }
        Type::UnreserveResources => {
            let unreserve = call.unreserve_resources.unwrap_or_default();
            caller.operate(resources::unreserve(unreserve)).await
        }
        Type::CreateVolumes => {
            let create = call.create_volumes.unwrap_or_default();
            caller.operate(resources::create(create)).await
        }
        Type::DestroyVolumes => {
            let destroy = call.destroy_volumes.unwrap_or_default();
            caller.operate(resources::destroy(destroy)).await
        }
        Type::GrowVolume => {
            let grow = call.grow_volume.unwrap_or_default();
            caller.operate(resources::grow(grow)).await
        }
        Type::ShrinkVolume => {
            let shrink = call.shrink_volume.unwrap_or_default();
            caller.operate(resources::shrink(shrink)).await
        }
        Type::Teardown => {
            let teardown = call.teardown.unwrap_or_default();
            caller.operate(frameworks::teardown(teardown)).await
        }
        Type::GetMaintenanceSchedule => Ok(maintenance::schedule(caller).await),
        Type::GetMaintenanceStatus => Ok(maintenance::status(caller).await),
        Type::UpdateMaintenanceSchedule => {
            let update = call.update_maintenance_schedule.unwrap_or_default();
            caller.operate(maintenance::update(update.schedule)).await
        }
        Type::StartMaintenance => {
            let start = call.start_maintenance.unwrap_or_default();
            caller.operate(maintenance::start(start.machines)).await
        }
        Type::StopMaintenance => {
            let stop = call.stop_maintenance.unwrap_or_default();
            caller.operate(maintenance::stop(stop.machines)).await
        }
        Type::DrainAgent => {
            let drain = call.drain_agent.unwrap_or_default();
            caller.operate(maintenance::drain(drain)).await
        }
        Type::DeactivateAgent => {
            let deactivate = call.deactivate_agent.unwrap_or_default();
            let call = maintenance::deactivate(deactivate.agent_id);
            caller.operate(call).await
        }
        Type::ReactivateAgent => {
            let reactivate = call.reactivate_agent.unwrap_or_default();
            let call = maintenance::reactivate(reactivate.agent_id);
            caller.operate(call).await
        }
        Type::MarkAgentGone => {
            let gone = call.mark_agent_gone.unwrap_or_default();
            caller.operate(maintenance::mark_gone(gone.agent_id)).await
        }
        Type::GetRoles => Ok(roles::roles(caller).await),
        Type::GetQuota => Ok(roles::quota(caller).await),
        Type::GetWeights => Ok(roles::weights(caller).await),
        Type::UpdateQuota => {
            let update = call.update_quota.unwrap_or_default();
            caller.operate(quota::update(update)).await
        }
        Type::SetQuota => {
            let set = call.set_quota.unwrap_or_default();
            caller.operate(quota::set(set.quota_request)).await
        }
        Type::RemoveQuota => {
            let role = Text::from(call.remove_quota.unwrap_or_default().role);
            let call = OperatorCall::RemoveQuota { role, path: None };
            caller.operate(call).await
        }
        Type::UpdateWeights => {
            let update = call.update_weights.unwrap_or_default();
            caller.operate(quota::weights(update.weight_infos)).await
        }
        Type::Unknown => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "501 Not Implemented.",
        )),
    }
}

impl Caller<'_> {
    /// Whether the rules let this caller do that.
    fn must_be_allowed(&self, action: Action) -> Result<(), Refusal> {
        match self.identity.may(action, None) {
            true => Ok(()),
            false => Err(Refusal::forbidden()),
        }
    }

    /// Has the loop carry out what the call asks for.
    async fn operate(&self, call: OperatorCall) -> Result<Response, Refusal> {
        respond_to(
            self.handle
                .operate(self.identity.principal().cloned(), call)
                .await,
        )
    }
}
