//! What operators may do.

use model::FrameworkId;

use super::Action;
use crate::Master;
use crate::event::{OperatorCall, Text};

impl Master {
    /// Whether a principal may ask for this at all. Whether it can be done comes after: who may not
    /// ask learns nothing of the cluster.
    pub(crate) fn may_operate(&self, principal: Option<&str>, call: &OperatorCall) -> bool {
        let acls = &self.config.acls;
        let may = |action| acls.allow(principal, action, None);
        match call {
            // What is no change is refused as such.
            OperatorCall::ChangeResources { change, .. } => change
                .as_ref()
                .map_or(true, |change| acls.check_change(principal, change).is_ok()),
            OperatorCall::Teardown { framework_id } => self.may_tear_down(principal, framework_id),
            OperatorCall::UpdateMaintenanceSchedule { .. } => {
                may(Action::UpdateMaintenanceSchedule)
            }
            OperatorCall::StartMaintenance { .. } => may(Action::StartMaintenance),
            OperatorCall::StopMaintenance { .. } => may(Action::StopMaintenance),
            OperatorCall::DrainAgent { config, .. } => {
                may(Action::DrainAgent) && (!config.mark_gone || may(Action::MarkAgentGone))
            }
            OperatorCall::DeactivateAgent { .. } => may(Action::DeactivateAgent),
            OperatorCall::ReactivateAgent { .. } => may(Action::ReactivateAgent),
            OperatorCall::MarkAgentGone { .. } => may(Action::MarkAgentGone),
            OperatorCall::UpdateQuota { configs, .. } => configs
                .iter()
                .all(|config| acls.allow(principal, Action::UpdateQuota, Some(&config.role))),
            OperatorCall::SetQuota { role, .. } => {
                acls.allow(principal, Action::UpdateQuota, role.as_deref())
            }
            OperatorCall::RemoveQuota { role, .. } => {
                acls.allow(principal, Action::UpdateQuota, Some(role))
            }
            OperatorCall::UpdateWeights { weights } if weights.is_empty() => {
                may(Action::UpdateWeight)
            }
            OperatorCall::UpdateWeights { weights } => weights
                .iter()
                .all(|(role, _)| acls.allow(principal, Action::UpdateWeight, Some(role.trim()))),
        }
    }

    fn may_tear_down(&self, principal: Option<&str>, framework_id: &Text) -> bool {
        let id = FrameworkId::new(framework_id).ok();
        let framework = id.and_then(|id| self.frameworks.get(&id));
        let owner = framework.and_then(|framework| framework.info.principal.as_deref());
        let acls = &self.config.acls;
        acls.allow(principal, Action::TeardownFramework, owner)
    }
}
