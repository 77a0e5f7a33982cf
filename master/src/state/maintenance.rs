//! Maintenance, as `/maintenance/schedule`, `/maintenance/status` and the operator API show it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::v1;
use api::v1::TimeInfo;
use api::v1::allocator::InverseOfferStatus;
use api::v1::allocator::inverse_offer_status::Status;
use api::v1::maintenance::cluster_status::DrainingMachine;
use api::v1::maintenance::{ClusterStatus, Schedule};
use master_core::authorization::Action;
use master_core::maintenance::{Machine, Plan, Response, ResponseKind};
use model::FrameworkId;

use super::Snapshot;
use crate::convert::maintenance::{wire_machine, wire_schedule};

/// What is planned, and what frameworks answered to that.
#[derive(Clone)]
pub(super) struct Maintenance {
    pub(super) plan: Arc<Plan>,
    pub(super) responses: BTreeMap<Machine, Vec<(FrameworkId, Response)>>,
}

impl Snapshot {
    /// What is planned.
    pub(crate) fn maintenance_schedule(&self) -> Schedule {
        if !self.view.sight.may(Action::GetMaintenanceSchedule, None) {
            return Schedule::default();
        }
        wire_schedule(&self.view.maintenance.plan.schedule)
    }

    /// Which machines are about to go down, and which are.
    pub(crate) fn maintenance_status(&self) -> ClusterStatus {
        if !self.view.sight.may(Action::GetMaintenanceStatus, None) {
            return ClusterStatus::default();
        }
        let Maintenance { plan, responses } = &self.view.maintenance;
        let scheduled = plan.schedule.windows.iter().flat_map(|w| &w.machines);
        let draining = scheduled.filter(|machine| !plan.down.contains(machine));
        ClusterStatus {
            draining_machines: draining
                .map(|machine| DrainingMachine {
                    id: wire_machine(machine),
                    statuses: statuses(responses.get(machine)),
                })
                .collect(),
            down_machines: plan.down.iter().map(wire_machine).collect(),
        }
    }
}

fn statuses(responses: Option<&Vec<(FrameworkId, Response)>>) -> Vec<InverseOfferStatus> {
    let responses = responses.into_iter().flatten();
    responses
        .map(|(framework_id, response)| InverseOfferStatus {
            status: match response.kind {
                ResponseKind::Accept => Status::Accept.into(),
                ResponseKind::Decline => Status::Decline.into(),
            },
            framework_id: v1::FrameworkId::from(framework_id),
            timestamp: TimeInfo {
                nanoseconds: i64::try_from(response.timestamp.0).unwrap_or(i64::MAX),
            },
        })
        .collect()
}
