//! Calls about maintenance, and about draining single agents.

use api::v1;
use api::v1::AgentId;
use api::v1::maintenance::{ClusterStatus, Schedule};
use api::v1::master::Response as Message;
use api::v1::master::call::DrainAgent;
use api::v1::master::response::{GetMaintenanceSchedule, GetMaintenanceStatus, Type};
use master_core::draining::DrainConfig;
use master_core::event::{OperatorCall, Text};

use super::{Caller, answer};
use crate::convert::maintenance as convert;
use crate::http::Response;

/// GET_MAINTENANCE_SCHEDULE.
pub(super) async fn schedule(caller: &Caller<'_>) -> Response {
    let schedule: Schedule = caller
        .handle
        .snapshot_for(&caller.identity)
        .await
        .maintenance_schedule();
    answer::message(
        caller,
        &Message {
            get_maintenance_schedule: Some(GetMaintenanceSchedule { schedule }),
            ..answer::typed(Type::GetMaintenanceSchedule)
        },
    )
}

/// GET_MAINTENANCE_STATUS.
pub(super) async fn status(caller: &Caller<'_>) -> Response {
    let status: ClusterStatus = caller
        .handle
        .snapshot_for(&caller.identity)
        .await
        .maintenance_status();
    answer::message(
        caller,
        &Message {
            get_maintenance_status: Some(GetMaintenanceStatus { status }),
            ..answer::typed(Type::GetMaintenanceStatus)
        },
    )
}

/// UPDATE_MAINTENANCE_SCHEDULE.
pub(super) fn update(schedule: Schedule) -> OperatorCall {
    OperatorCall::UpdateMaintenanceSchedule {
        schedule: convert::schedule(schedule),
    }
}

/// START_MAINTENANCE.
pub(super) fn start(machines: Vec<v1::MachineId>) -> OperatorCall {
    OperatorCall::StartMaintenance {
        machines: machines.into_iter().map(convert::machine).collect(),
    }
}

/// STOP_MAINTENANCE.
pub(super) fn stop(machines: Vec<v1::MachineId>) -> OperatorCall {
    OperatorCall::StopMaintenance {
        machines: machines.into_iter().map(convert::machine).collect(),
    }
}

/// DRAIN_AGENT.
pub(super) fn drain(call: DrainAgent) -> OperatorCall {
    let mark_gone = call.mark_gone();
    let max_grace_ns = call.max_grace_period.map(|period| {
        let secs = period.seconds.saturating_mul(1_000_000_000);
        secs.saturating_add(i64::from(period.nanos))
    });
    OperatorCall::DrainAgent {
        agent_id: Text::from(call.agent_id.value),
        config: DrainConfig {
            max_grace_ns,
            mark_gone,
        },
    }
}

/// DEACTIVATE_AGENT.
pub(super) fn deactivate(agent_id: AgentId) -> OperatorCall {
    OperatorCall::DeactivateAgent {
        agent_id: Text::from(agent_id.value),
    }
}

/// REACTIVATE_AGENT.
pub(super) fn reactivate(agent_id: AgentId) -> OperatorCall {
    OperatorCall::ReactivateAgent {
        agent_id: Text::from(agent_id.value),
    }
}

/// MARK_AGENT_GONE.
pub(super) fn mark_gone(agent_id: AgentId) -> OperatorCall {
    OperatorCall::MarkAgentGone {
        agent_id: Text::from(agent_id.value),
    }
}
