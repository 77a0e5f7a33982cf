//! Operators' requests: each is checked, carried out or stored, and answered once.
//!
//! What must outlive this master is in force when the registry has it, and is answered then. Another
//! request may come meanwhile: who checks one against settings must know of those on their way.

use alloc::format;
use alloc::vec::Vec;

use model::FrameworkId;

use crate::Master;
use crate::event::{
    Answer, ClusterEntry, Effect, Note, OperatorCall, RegistryChange, RequestId, Text,
};
use crate::quota::Quota;
use crate::registry::{PendingCluster, Rescind};

impl Master {
    pub(crate) fn request(
        &mut self,
        request: RequestId,
        principal: Option<&Text>,
        call: &OperatorCall,
    ) {
        if !self.may_operate(principal.map(|principal| &**principal), call) {
            // What Mesos says where it says nothing else.
            let answer = Answer::Forbidden("403 Forbidden.".into());
            self.answer(request, answer);
            return;
        }
        match call {
            OperatorCall::ChangeResources { agent_id, change } => {
                let answer = self.operate_on_agent(principal, agent_id, change.clone());
                self.answer(request, answer);
            }
            OperatorCall::Teardown { framework_id } => {
                let answer = self.operator_teardown(framework_id);
                self.answer(request, answer);
            }
            OperatorCall::UpdateMaintenanceSchedule { schedule } => {
                self.update_maintenance_schedule(request, schedule);
            }
            OperatorCall::StartMaintenance { machines } => {
                self.start_maintenance(request, machines);
            }
            OperatorCall::StopMaintenance { machines } => self.stop_maintenance(request, machines),
            OperatorCall::DrainAgent { agent_id, config } => {
                self.drain_agent(request, agent_id, *config);
            }
            OperatorCall::DeactivateAgent { agent_id } => self.deactivate_agent(request, agent_id),
            OperatorCall::ReactivateAgent { agent_id } => self.reactivate_agent(request, agent_id),
            OperatorCall::MarkAgentGone { agent_id } => self.mark_agent_gone(request, agent_id),
            OperatorCall::UpdateQuota { configs, force } => {
                self.update_quota(request, configs, *force);
            }
            OperatorCall::SetQuota {
                role,
                guarantee,
                force,
            } => self.set_quota(request, role.as_ref(), guarantee, *force),
            OperatorCall::RemoveQuota { role, path } => {
                self.remove_quota(request, role, path.as_ref());
            }
            OperatorCall::UpdateWeights { weights } => self.update_weights(request, weights),
        }
    }

    pub(crate) fn answer(&mut self, request: RequestId, answer: Answer) {
        self.out.push(Effect::Answer { request, answer });
    }

    fn operator_teardown(&mut self, framework_id: &Text) -> Answer {
        let id = FrameworkId::new(framework_id).ok();
        match id.filter(|id| self.frameworks.contains_key(id)) {
            Some(id) => {
                self.remove_framework(&id, "torn down by an operator");
                Answer::Ok
            }
            None => Answer::BadRequest("No framework found with specified ID".into()),
        }
    }

    /// Has settings written, all or none; they are in force, and the request answered with
    /// [`Answer::Ok`], when that is durable.
    pub(crate) fn store_cluster(&mut self, entries: Vec<ClusterEntry>, request: Option<RequestId>) {
        self.store_cluster_then(entries, request, Rescind::Nothing);
    }

    /// The same, and then takes offers back that stand against them.
    pub(crate) fn store_cluster_then(
        &mut self,
        entries: Vec<ClusterEntry>,
        request: Option<RequestId>,
        rescind: Rescind,
    ) {
        let change = RegistryChange::Cluster(entries.clone());
        let store = self.registrar.start_cluster(PendingCluster {
            entries,
            request,
            rescind,
        });
        self.out.push(Effect::Store { store, change });
    }

    pub(crate) fn cluster_stored(&mut self, pending: PendingCluster) {
        let notes = pending.entries.iter().filter_map(note_of_role);
        self.out.extend(notes.map(Effect::Note));
        self.apply_cluster(pending.entries);
        match pending.rescind {
            Rescind::Nothing => {}
            Rescind::ForQuotas(roles) => self.rescind_for_quotas(&roles),
            Rescind::ForGuarantees(role) => self.rescind_for_guarantees(&role),
            Rescind::ForWeights(roles) => self.rescind_for_weights(&roles),
        }
        if let Some(request) = pending.request {
            self.answer(request, Answer::Ok);
        }
    }

    /// Puts settings in force that are durable, now or from a master before.
    pub(crate) fn apply_cluster(&mut self, entries: Vec<ClusterEntry>) {
        for entry in entries {
            match entry {
                ClusterEntry::Maintenance(plan) => self.put_plan(plan),
                ClusterEntry::Deactivated(agent_id) => self.put_deactivated(agent_id),
                ClusterEntry::Draining(agent_id, info) => self.put_draining(agent_id, info),
                ClusterEntry::Reactivated(agent_id) => self.put_reactivated(&agent_id),
                ClusterEntry::Quota { role, quota } => self.apply_quota(&role, quota),
                ClusterEntry::Weight { role, weight } => self.apply_weight(&role, weight),
            }
        }
    }
}

fn note_of_role(entry: &ClusterEntry) -> Option<Note> {
    let (role, change) = match entry {
        ClusterEntry::Quota { role, quota } => {
            let Quota { guarantees, limits } = quota.clone().unwrap_or_default();
            (role, format!("quota {guarantees} within {limits}"))
        }
        ClusterEntry::Weight { role, weight } => (role, format!("weight {weight}")),
        ClusterEntry::Maintenance(_)
        | ClusterEntry::Deactivated(_)
        | ClusterEntry::Draining(..)
        | ClusterEntry::Reactivated(_) => return None,
    };
    let role = role.clone();
    Some(Note::Role { role, change })
}
