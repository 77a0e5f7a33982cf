//! The operations of an ACCEPT, carried out in order on what is left of its offers.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Change, ChangeKind, Conversion};
use model::{FrameworkId, OfferId, OperationState, Resources};

use super::validate::{self, Ground};
use crate::Master;
use crate::agents::AgentCapability;
use crate::allocator::Allocator;
use crate::event::{
    FrameworkEvent, Launch, LaunchGroup, Operation, OperationInfo, OperationStatus,
    ResourceOperation, Text,
};
use crate::offers::Accepted;

impl Accepted {
    /// What a task may be launched on: of shared resources also what others of this ACCEPT took.
    pub(crate) fn available(&self) -> Resources {
        let mut available = self.resources.non_shared();
        available.add_all(&self.shared);
        available
    }

    /// Takes what a task or an executor holds. Copies of shared resources that the offers do not
    /// have are made.
    pub(crate) fn take(&mut self, held: &Resources) {
        let more = held.shared().minus(&self.resources.shared());
        if !more.is_empty() {
            self.conversions
                .push(Conversion::new(Resources::new(), more));
        }
        self.resources.subtract_all(held);
    }
}

impl Master {
    /// Carries out the operations of an ACCEPT and gives back what they leave.
    pub(crate) fn carry_out(
        &mut self,
        id: &FrameworkId,
        mut accepted: Accepted,
        operations: &[Operation],
        refused: Option<Duration>,
    ) {
        // What is not well formed is answered first, as Mesos does.
        let mut admitted = Vec::with_capacity(operations.len());
        for operation in operations {
            match operation {
                Operation::Resources(operation) => {
                    match self.admissible(&accepted, operation) {
                        Ok(info) => admitted.push(Admitted::Change(info)),
                        Err(fault) => {
                            self.refuse_change(id, operation.kind, operation.id.as_ref(), fault);
                        }
                    };
                }
                Operation::Launch(launch) => {
                    if self.admits_launch(id, launch) {
                        admitted.push(Admitted::Launch(launch));
                    }
                }
                Operation::LaunchGroup(group) => {
                    if self.admits_group(id, group) {
                        admitted.push(Admitted::LaunchGroup(group));
                    }
                }
                Operation::Unknown => {
                    self.drop_message("operation", "its type is unknown".into());
                }
            }
        }
        for operation in admitted {
            match operation {
                Admitted::Launch(launch) => self.launch(id, &mut accepted, launch),
                Admitted::LaunchGroup(group) => self.launch_group(id, &mut accepted, group),
                Admitted::Change(info) => {
                    let (kind, operation_id) = (info.change.kind(), info.id.clone());
                    if let Err(fault) = self.change(id, &mut accepted, info) {
                        self.refuse_change(id, kind, operation_id.as_ref(), fault);
                    }
                }
            }
        }
        self.give_back_rest(id, &accepted, refused);
    }

    /// What can be said of an operation before anything is carried out.
    fn admissible(
        &self,
        accepted: &Accepted,
        operation: &ResourceOperation,
    ) -> Result<OperationInfo, String> {
        let invalid = |fault: &str| format!("Operation attempted with invalid resources: {fault}");
        let change = operation.change.clone().map_err(|fault| invalid(&fault))?;
        if matches!(&change, Change::Reserve { source, .. } if !source.is_empty()) {
            return Err(invalid(
                "Reservation updates are not yet implemented for the scheduler API.",
            ));
        }
        let agent = self.agents.get(&accepted.agent_id);
        if let (Some(_), Some(agent)) = (&operation.id, agent) {
            let provides = agent.has(AgentCapability::ResourceProvider);
            if !provides {
                return Err(format!(
                    "Operation requested feedback, but agent {} does not have the required \
                     RESOURCE_PROVIDER capability",
                    agent.id
                ));
            }
            let first = change.resources().next();
            let own = first.is_none_or(|resource| resource.provider_id.is_none());
            if own && !agent.has(AgentCapability::AgentOperationFeedback) {
                return Err(format!(
                    "Operation on agent default resources requested feedback, but agent {} does \
                     not have the required AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER \
                     capabilities",
                    agent.id
                ));
            }
        }
        let role = &accepted.role;
        Ok(OperationInfo {
            id: operation.id.clone(),
            change: change.map_resources(|resource| {
                resource.allocation_role.get_or_insert_with(|| role.clone());
            }),
        })
    }

    /// Carries out one operation, or says why not.
    fn change(
        &mut self,
        id: &FrameworkId,
        accepted: &mut Accepted,
        info: OperationInfo,
    ) -> Result<(), String> {
        let (Some(framework), Some(agent)) =
            (self.frameworks.get(id), self.agents.get(&accepted.agent_id))
        else {
            return Err("Agent removed".into());
        };
        let used = self.used_against(agent, &info.change);
        let ground = Ground {
            framework: Some(framework),
            principal: framework.info.principal.as_deref(),
            agent,
            used: &used,
        };
        validate::validate(&info.change, ground)
            .map_err(|fault| format!("{fault}; on agent {agent}"))?;
        let acls = &self.config.acls;
        acls.check_change(ground.principal, &info.change)?;
        if self.operations.is_full(&agent.id) {
            return Err(format!(
                "Too many operations on agent {agent} wait for an acknowledgement"
            ));
        }
        if let Change::Destroy { volumes } = &info.change {
            for offer_id in self.offers_of_volumes(&accepted.agent_id, volumes) {
                self.rescind(&offer_id);
            }
        }
        let kind = info.change.kind();
        let missing = |left: &Resources, wanted: &Resources| {
            format!(
                "Invalid {} operation: {left} does not contain {wanted}",
                kind.name()
            )
        };
        match &info.change {
            // Only a resource provider carries these out, and no agent has one: what they name is
            // in no offer.
            Change::CreateDisk { source, .. } | Change::DestroyDisk { source } => {
                return Err(format!(
                    "Invalid {} Operation: {} does not contain {source}",
                    kind.name(),
                    accepted.resources
                ));
            }
            Change::GrowVolume { .. } | Change::ShrinkVolume { .. } => {
                // What becomes of the volume is for later ACCEPTs.
                let conversions = info.change.conversions().map_err(|f| format!("{f}"))?;
                for conversion in &conversions {
                    if !accepted.resources.contains(&conversion.consumed) {
                        return Err(missing(&accepted.resources, &conversion.consumed));
                    }
                    accepted.resources.subtract_all(&conversion.consumed);
                    accepted.resized.add_all(&conversion.converted);
                }
                accepted.conversions.extend(conversions);
            }
            Change::Reserve { .. }
            | Change::Unreserve { .. }
            | Change::Create { .. }
            | Change::Destroy { .. } => {
                let conversions = info.change.conversions().map_err(|f| format!("{f}"))?;
                let left = accepted.resources.convert_all(&conversions);
                accepted.resources = left.map_err(|fault| format!("{fault}"))?;
                accepted.conversions.extend(conversions);
                if matches!(kind, ChangeKind::Create | ChangeKind::Destroy) {
                    accepted.shared = accepted.resources.shared();
                }
            }
        }
        self.apply_operation(&accepted.agent_id, Some(id), Arc::new(info));
        Ok(())
    }

    /// The offers of an agent that hold one of these volumes.
    fn offers_of_volumes(
        &self,
        agent_id: &model::AgentId,
        volumes: &[model::resources::Resource],
    ) -> Vec<OfferId> {
        let agent = self.agents.get(agent_id);
        let offers = agent.into_iter().flat_map(|agent| &agent.offers);
        let holds = |offer_id: &&OfferId| {
            self.offers.get(*offer_id).is_some_and(|offer| {
                let mut held = offer.resources.iter();
                held.any(|resource| volumes.iter().any(|volume| resource.contains(volume)))
            })
        };
        offers.filter(holds).cloned().collect()
    }

    /// Gives back what the operations of an ACCEPT leave. What was converted was not offered before,
    /// so that it is not refused by not being used.
    fn give_back_rest(&mut self, id: &FrameworkId, accepted: &Accepted, refused: Option<Duration>) {
        let Accepted {
            agent_id,
            role,
            offered,
            resources,
            resized,
            conversions,
            ..
        } = accepted;
        if !conversions.is_empty() {
            self.allocator
                .update_allocation(id, agent_id, role, conversions);
        }
        let converted = resources.plus(resized).minus(offered);
        let declined = resources.plus(resized).minus(&converted);
        for (rest, refused) in [(converted, None), (declined, refused)] {
            if !rest.is_empty() {
                self.allocator
                    .recover(self.now, id, agent_id, &rest, refused);
            }
        }
    }

    /// Tells a framework that its operation is not carried out, where it asked to be told.
    pub(crate) fn refuse_change(
        &mut self,
        id: &FrameworkId,
        kind: ChangeKind,
        operation_id: Option<&Text>,
        message: String,
    ) {
        self.counters.count_operation(kind, OperationState::Error);
        match operation_id.cloned() {
            Some(operation_id) => {
                let status = OperationStatus {
                    message: Some(message),
                    ..OperationStatus::new(Some(operation_id), OperationState::Error)
                };
                self.send(id, FrameworkEvent::OperationStatus(status));
            }
            None => self.drop_message("operation", message),
        }
    }
}

/// An operation that may be tried.
enum Admitted<'a> {
    Launch(&'a Launch),
    LaunchGroup(&'a LaunchGroup),
    Change(OperationInfo),
}
