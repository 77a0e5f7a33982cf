//! What an operator's call must hold before anybody acts on it, in Mesos' words.

use api::v1::master::Call;
use api::v1::master::call::Type;

use super::resources;

/// The first fault of a call, or its type.
pub(super) fn call(call: &Call) -> Result<Type, String> {
    // An enum's number that this version does not know reads as if the field were unset.
    let kind = call
        .r#type
        .and_then(|number| Type::try_from(number).ok())
        .ok_or_else(|| missing("type"))?;
    match kind {
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetAgents
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetRoles
        | Type::GetWeights
        | Type::GetMaster
        | Type::Subscribe
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => {}
        Type::GetMetrics => present(&call.get_metrics, "get_metrics")?,
        Type::SetLoggingLevel => present(&call.set_logging_level, "set_logging_level")?,
        Type::ListFiles => present(&call.list_files, "list_files")?,
        Type::ReadFile => present(&call.read_file, "read_file")?,
        Type::UpdateWeights => present(&call.update_weights, "update_weights")?,
        Type::ReserveResources => {
            present(&call.reserve_resources, "reserve_resources")?;
            resources::check(kind, call)?;
        }
        Type::UnreserveResources => {
            present(&call.unreserve_resources, "unreserve_resources")?;
            resources::check(kind, call)?;
        }
        Type::CreateVolumes => present(&call.create_volumes, "create_volumes")?,
        Type::DestroyVolumes => present(&call.destroy_volumes, "destroy_volumes")?,
        Type::GrowVolume => {
            present(&call.grow_volume, "grow_volume")?;
            let agent_id = call.grow_volume.as_ref().map(|grow| &grow.agent_id);
            agent_of_volume(agent_id.and_then(Option::as_ref))?;
        }
        Type::ShrinkVolume => {
            present(&call.shrink_volume, "shrink_volume")?;
            let agent_id = call.shrink_volume.as_ref().map(|shrink| &shrink.agent_id);
            agent_of_volume(agent_id.and_then(Option::as_ref))?;
        }
        Type::UpdateMaintenanceSchedule => present(
            &call.update_maintenance_schedule,
            "update_maintenance_schedule",
        )?,
        Type::StartMaintenance => present(&call.start_maintenance, "start_maintenance")?,
        Type::StopMaintenance => present(&call.stop_maintenance, "stop_maintenance")?,
        Type::DrainAgent => present(&call.drain_agent, "drain_agent")?,
        Type::DeactivateAgent => present(&call.deactivate_agent, "deactivate_agent")?,
        Type::ReactivateAgent => present(&call.reactivate_agent, "reactivate_agent")?,
        Type::UpdateQuota => present(&call.update_quota, "update_quota")?,
        Type::SetQuota => present(&call.set_quota, "set_quota")?,
        Type::RemoveQuota => present(&call.remove_quota, "remove_quota")?,
        Type::Teardown => present(&call.teardown, "teardown")?,
        Type::MarkAgentGone => present(&call.mark_agent_gone, "mark_agent_gone")?,
    }
    Ok(kind)
}

fn present<T>(field: &Option<T>, name: &str) -> Result<(), String> {
    field.as_ref().map(|_| ()).ok_or_else(|| missing(name))
}

/// Volumes of resource providers are not for operators: an agent must be named.
fn agent_of_volume<T>(agent_id: Option<&T>) -> Result<(), String> {
    agent_id.map(|_| ()).ok_or_else(|| {
        let missing = missing("agent_id");
        format!("{missing}; only agent default resources are supported right now")
    })
}

fn missing(name: &str) -> String {
    format!("Expecting '{name}' to be present")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::v1::master::call::GrowVolume;

    #[test]
    fn a_call_must_bring_the_field_of_its_type() {
        let typed = |kind: Type| Call {
            r#type: Some(kind.into()),
            ..Call::default()
        };
        for (given, expected) in [
            (Call::default(), Err("Expecting 'type' to be present")),
            (
                Call {
                    r#type: Some(1000),
                    ..Call::default()
                },
                Err("Expecting 'type' to be present"),
            ),
            (typed(Type::Unknown), Ok(Type::Unknown)),
            (typed(Type::GetHealth), Ok(Type::GetHealth)),
            (
                typed(Type::Teardown),
                Err("Expecting 'teardown' to be present"),
            ),
            (
                Call {
                    grow_volume: Some(GrowVolume::default()),
                    ..typed(Type::GrowVolume)
                },
                Err(
                    "Expecting 'agent_id' to be present; only agent default resources are \
                     supported right now",
                ),
            ),
        ] {
            assert_eq!(call(&given), expected.map_err(str::to_owned), "{given:?}");
        }
    }
}
