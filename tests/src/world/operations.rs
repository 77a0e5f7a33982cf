//! Operations on resources: which ones schedulers make, and how each side writes them.

use std::sync::Arc;

use agent_core::FromMaster;
use agent_core::effect::{OperationStatus as AgentStatus, Register};
use agent_core::event::Operation as AgentOperation;
use agent_core::holdings::VolumeName;
use master_core::event::{
    Call, Offer, Operation, OperationInfo, OperationStatus, ReportedOperation, ResourceOperation,
    Text,
};
use model::resources::{Change, Resource};
use model::{Blob, FrameworkId, OperationState, OperationUuid, Resources};

use super::{World, below};
use crate::notation;

/// Operations with an id are acknowledged by their scheduler, the others by the master.
type Made = (Option<Text>, Change);

impl World {
    /// What a scheduler does about its reservations before it launches; `left` follows.
    pub(super) fn changes(
        &mut self,
        number: usize,
        offer: &Offer,
        left: &mut Resources,
    ) -> Vec<Operation> {
        let mut made = Vec::new();
        if !self.faults_go_on() && self.schedulers[number].is_done() {
            self.give_back(number, left, &mut made);
        } else if self.schedulers[number].changes > 0 && self.chance(2) {
            self.schedulers[number].changes -= 1;
            match below(&mut self.random, 5) {
                0 => self.reserve(number, left, &mut made),
                1 => {
                    self.reserve(number, left, &mut made);
                    self.create(number, left, &mut made);
                }
                2 => self.create(number, left, &mut made),
                3 => self.destroy(number, left, &mut made),
                _ => self.give_back(number, left, &mut made),
            }
        }
        let on = &offer.agent_id;
        for (id, change) in &made {
            let kind = change.kind().name();
            self.note(&format!("scheduler{number} {kind} on {on} as {id:?}"));
        }
        made.into_iter()
            .map(|(id, change)| {
                Operation::Resources(ResourceOperation {
                    id,
                    kind: change.kind(),
                    change: Ok(change),
                })
            })
            .collect()
    }

    fn push(&mut self, number: usize, left: &mut Resources, change: Change, made: &mut Vec<Made>) {
        let conversions = change.conversions().unwrap_or_default();
        let Ok(after) = left.convert_all(&conversions) else {
            return;
        };
        *left = after;
        let scheduler = &mut self.schedulers[number];
        scheduler.named += 1;
        let id = format!("op{number}-{}", scheduler.named);
        let created = match &change {
            Change::Create { volumes } => volumes.first().and_then(VolumeName::of),
            _ => None,
        };
        if let Change::Destroy { volumes } = &change {
            for volume in volumes.iter().filter_map(VolumeName::of) {
                scheduler.volumes.remove(&*volume.id);
                scheduler.destroyed.insert(volume.id.to_string());
            }
        }
        // A volume is always made under an id, so that its scheduler hears of it.
        let id = if let Some(volume) = created {
            let scheduler = &mut self.schedulers[number];
            let volume = volume.id.to_string();
            scheduler.creating.insert(id.clone(), volume);
            Some(id)
        } else {
            self.chance(2).then_some(id)
        };
        made.push((id.map(Text::from), change));
    }

    fn reserve(&mut self, number: usize, left: &mut Resources, made: &mut Vec<Made>) {
        let resources = vec![notation::reserved_disk(number)];
        let source = Vec::new();
        self.push(number, left, Change::Reserve { source, resources }, made);
    }

    fn create(&mut self, number: usize, left: &mut Resources, made: &mut Vec<Made>) {
        let id = format!("v{number}-{}", self.schedulers[number].named);
        let volumes = vec![notation::volume(number, &id)];
        self.push(number, left, Change::Create { volumes }, made);
    }

    fn destroy(&mut self, number: usize, left: &mut Resources, made: &mut Vec<Made>) {
        for volume in own(number, left, Resource::is_persistent_volume) {
            let volumes = vec![volume];
            self.push(number, left, Change::Destroy { volumes }, made);
        }
    }

    /// Destroys all volumes and takes back all reservations.
    fn give_back(&mut self, number: usize, left: &mut Resources, made: &mut Vec<Made>) {
        self.destroy(number, left, made);
        for resource in own(number, left, |one| !one.is_persistent_volume()) {
            let resources = vec![resource];
            self.push(number, left, Change::Unreserve { resources }, made);
        }
    }

    /// A volume of the offer that a task is to use.
    pub(super) fn volume_to_use(&mut self, number: usize, left: &Resources) -> Option<Resource> {
        let volume = own(number, left, Resource::is_persistent_volume).pop();
        volume.filter(|_| self.chance(2))
    }

    /// A scheduler hears what became of an operation.
    pub(super) fn operation_told(&mut self, number: usize, status: &OperationStatus) {
        let state = status.state;
        let (Some(id), Some(agent)) = (&status.operation_id, &status.agent_id) else {
            return;
        };
        self.note(&format!("scheduler{number} hears {id} {state}"));
        let scheduler = &mut self.schedulers[number];
        if state.is_terminal()
            && let Some(volume) = scheduler.creating.remove(&**id)
            && state == OperationState::Finished
            && !scheduler.destroyed.contains(&volume)
        {
            scheduler.volumes.insert(volume);
            self.check_kept();
        }
        if let Some(uuid) = status.uuid {
            let acknowledge = Call::AcknowledgeOperation {
                agent_id: agent.clone(),
                operation_id: id.clone(),
                uuid,
            };
            self.send_call(number, acknowledge);
        }
    }

    /// Every volume that a scheduler was told to have is on some disk.
    pub(super) fn check_kept(&mut self) {
        let kept = self.nodes.iter().flat_map(|node| node.kept.iter());
        let kept: Vec<VolumeName> = kept.filter_map(VolumeName::of).collect();
        let promised = self.schedulers.iter().flat_map(|s| &s.volumes);
        let lost = promised
            .filter(|id| !kept.iter().any(|name| *name.id == ***id))
            .map(|id| format!("volume {id} is lost"));
        let lost: Vec<String> = lost.collect();
        lost.into_iter().for_each(|line| self.violation(line));
    }

    /// An operation as an agent hears of it; what it does is found again by its number.
    pub(super) fn operation_for_agent(
        &mut self,
        framework_id: Option<FrameworkId>,
        uuid: OperationUuid,
        info: Arc<OperationInfo>,
    ) -> FromMaster {
        let number = self.operations.len().to_string();
        let frame = FromMaster::ApplyOperation {
            operation: AgentOperation {
                uuid,
                framework_id,
                id: info.id.as_ref().map(ToString::to_string),
                info: Blob::new(number.as_bytes()),
            },
            change: Ok(info.change.clone()),
            resource_version: vec![1; 16],
        };
        self.operations.push(info);
        frame
    }

    /// The operations of a registration.
    pub(super) fn reported(&self, register: &Register) -> Vec<ReportedOperation> {
        let agent_id = register.agent_id.as_ref().map(ToString::to_string);
        let agent_id = agent_id.unwrap_or_default();
        let operations = register.operations.iter();
        operations
            .filter_map(|(operation, told)| {
                let number = String::from_utf8_lossy(operation.info.as_bytes());
                let info = self.operations.get(number.parse::<usize>().ok()?)?;
                let latest = status(operation, told, &agent_id);
                Some(ReportedOperation {
                    uuid: operation.uuid,
                    framework_id: operation.framework_id.clone(),
                    info: Arc::clone(info),
                    statuses: vec![latest.clone()],
                    latest,
                })
            })
            .collect()
    }
}

/// Operations that the master asks after.
pub(super) fn asked(
    operations: Vec<(OperationUuid, Option<FrameworkId>, Option<Text>)>,
) -> Vec<AgentOperation> {
    let all = operations.into_iter();
    all.map(|(uuid, framework_id, id)| AgentOperation {
        uuid,
        framework_id,
        id: id.as_ref().map(ToString::to_string),
        info: Blob::default(),
    })
    .collect()
}

/// A status as the master hears of it.
pub(super) fn status(
    operation: &AgentOperation,
    status: &AgentStatus,
    agent_id: &str,
) -> OperationStatus {
    OperationStatus {
        message: status.message.clone(),
        uuid: status.uuid,
        agent_id: Some(Text::from(agent_id)),
        ..OperationStatus::new(operation.id.as_deref().map(Text::from), status.state)
    }
}

/// What of these a scheduler reserved for its own role.
fn own(number: usize, left: &Resources, wanted: impl Fn(&Resource) -> bool) -> Vec<Resource> {
    let role = notation::role(number);
    let all = left
        .iter()
        .filter(|one| one.reservation_role() == Some(&role));
    all.filter(|one| wanted(one)).cloned().collect()
}
