//! Operations: changes of this agent's resources, each applied whole or not at all.
//!
//! What an operation makes of the resources and what its status says are one fact: no crash comes
//! between them. The status is sent until it is acknowledged; then nothing of the operation is left
//! but what it did.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Change;
use model::{FrameworkId, Instant, OperationState, OperationUuid, Resources, StatusUuid};

use crate::agent::{Agent, Phase, Step};
use crate::effect::{Effect, Fact, OperationStatus, ToMaster};
use crate::event::Operation;
use crate::executor::Life;
use crate::holdings::VolumeName;
use crate::resend::{Flow, RETRY_MIN, Resend};

/// Operations whose status may wait for its acknowledgement. One past it is dropped with a status
/// that is neither stored nor sent again.
pub const OPERATIONS_MAX: usize = 10_000;

/// The operations whose status is not acknowledged.
#[derive(Debug, Default)]
pub struct Operations {
    /// In the order in which they came.
    waiting: BTreeMap<u64, Told>,
    numbers: BTreeMap<OperationUuid, u64>,
    next: u64,
    resend: Resend<OperationUuid>,
}

/// A status to be sent now.
pub(crate) type Told = (Operation, OperationStatus);

impl Operations {
    /// Each with its status, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &(Operation, OperationStatus)> {
        self.waiting.values()
    }

    fn get(&self, uuid: OperationUuid) -> Option<&Told> {
        self.waiting.get(self.numbers.get(&uuid)?)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn push(&mut self, operation: Operation, status: OperationStatus) {
        self.next += 1;
        self.numbers.insert(operation.uuid, self.next);
        self.waiting.insert(self.next, (operation, status));
    }

    pub(crate) fn forget(&mut self, uuid: OperationUuid) {
        if let Some(number) = self.numbers.remove(&uuid) {
            self.waiting.remove(&number);
        }
        self.resend.forget(&uuid);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn send(&mut self, now: Instant, uuid: OperationUuid) -> Option<Told> {
        self.send_after(now, uuid, RETRY_MIN)
    }

    /// A master is there: every status is to be sent now.
    pub(crate) fn resume(&mut self, now: Instant) -> Vec<Told> {
        self.resend.resume();
        self.send_where(now, |_| true)
    }

    /// A framework listens again: its statuses are to be sent now.
    pub(crate) fn hasten(&mut self, now: Instant, framework_id: &FrameworkId) -> Vec<Told> {
        self.send_where(now, |operation| {
            operation.framework_id.as_ref() == Some(framework_id)
        })
    }

    pub(crate) fn pause(&mut self) {
        self.resend.pause();
    }

    pub(crate) fn due(&mut self, now: Instant) -> Vec<Told> {
        let due = self.resend.due(now).into_iter();
        due.filter_map(|(uuid, wait)| self.send_after(now, uuid, wait))
            .collect()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.resend.deadline()
    }

    fn send_where(&mut self, now: Instant, wanted: impl Fn(&Operation) -> bool) -> Vec<Told> {
        let uuids: Vec<_> = self
            .iter()
            .filter(|(operation, _)| wanted(operation))
            .map(|(operation, _)| operation.uuid)
            .collect();
        uuids
            .into_iter()
            .filter_map(|uuid| self.send(now, uuid))
            .collect()
    }

    fn send_after(&mut self, now: Instant, uuid: OperationUuid, wait: Duration) -> Option<Told> {
        if self.resend.flow() == Flow::Held {
            return None;
        }
        let told = self.get(uuid)?.clone();
        self.resend.sent(now, &uuid, wait);
        Some(told)
    }
}

impl Agent {
    pub(crate) fn apply_operation(
        &mut self,
        step: &mut Step,
        operation: Operation,
        change: Result<Change, String>,
        resource_version: &[u8],
    ) {
        let uuid = operation.uuid;
        if self.phase != Phase::Active {
            return step.ignore(format!("operation {uuid} for an agent that ends"));
        }
        if self.operations.get(uuid).is_some() {
            return step.ignore(format!("operation {uuid} is here already"));
        }
        if self.operations.waiting.len() >= OPERATIONS_MAX {
            let message =
                format!("This agent already holds {OPERATIONS_MAX} operations, its bound");
            return self.drop_operation(step, operation, message);
        }
        let (state, message, kept) = if self.is_other_version(resource_version) {
            let message = "Operation was made for resources that this agent no longer has";
            (OperationState::Dropped, Some(message.to_string()), None)
        } else {
            match change.and_then(|change| self.kept_after(&change)) {
                Ok(kept) => (OperationState::Finished, None, Some(kept)),
                Err(message) => (OperationState::Error, Some(message), None),
            }
        };
        let status = OperationStatus {
            state,
            uuid: Some(self.random.uuid()),
            message,
        };
        step.out.push(Effect::Store(Fact::Operation {
            operation: operation.clone(),
            status: status.clone(),
            kept: kept.clone(),
        }));
        self.change_holdings(step, kept);
        self.operations.push(operation.clone(), status.clone());
        step.out.push(Effect::OperationEnded { operation, status });
        if let Some(told) = self.operations.send(step.now, uuid) {
            self.tell_of_operation(step, told);
        }
    }

    /// What is kept after a change of which no task holds a part that would be gone.
    fn kept_after(&self, change: &Change) -> Result<Resources, String> {
        let change = change.clone().unallocate();
        let kept = self
            .holdings
            .after(&change)
            .map_err(|fault| fault.to_string())?;
        let alive = self.tasks.values().filter(|task| task.life != Life::Ended);
        for task in alive {
            let mut used = task
                .spec
                .held
                .iter()
                .filter(|one| one.is_persistent_volume());
            let gone = |volume: &&_| !kept.iter().any(|have| have.contains(volume));
            if let Some(volume) = used.find(gone) {
                let id = &task.spec.id;
                return Err(format!("Persistent volume '{volume}' is used by task {id}"));
            }
        }
        Ok(kept)
    }

    fn change_holdings(&mut self, step: &mut Step, kept: Option<Resources>) {
        let Some(kept) = kept else {
            return;
        };
        let changed = self.holdings.keep(kept);
        let destroyed = changed.destroyed.into_iter();
        step.out
            .extend(destroyed.map(|volume| Effect::DestroyVolume { volume }));
        let created = changed.created.into_iter();
        step.out
            .extend(created.map(|volume| Effect::CreateVolume { volume }));
    }

    pub(crate) fn acknowledge_operation(
        &mut self,
        step: &mut Step,
        operation: OperationUuid,
        status: StatusUuid,
    ) {
        let known = self.operations.get(operation);
        if known.is_none_or(|(_, ours)| ours.uuid != Some(status)) {
            return step.ignore(format!(
                "acknowledgement {status} for operation {operation}"
            ));
        }
        self.operations.forget(operation);
        step.out
            .push(Effect::Store(Fact::OperationAcknowledged { operation }));
    }

    pub(crate) fn reconcile_operations(&mut self, step: &mut Step, asked: Vec<Operation>) {
        for operation in asked {
            match self.operations.send(step.now, operation.uuid) {
                Some(told) => self.tell_of_operation(step, told),
                None => {
                    let message = "Reconciliation: operation unknown to the agent".to_string();
                    self.drop_operation(step, operation, message);
                }
            }
        }
    }

    /// Answers for an operation that this agent does not hold. The answer is neither stored nor
    /// sent again: should it be lost with its link, the next registration brings the question back.
    fn drop_operation(&mut self, step: &mut Step, operation: Operation, message: String) {
        let status = OperationStatus {
            state: OperationState::Dropped,
            uuid: None,
            message: Some(message),
        };
        step.out.push(Effect::OperationEnded {
            operation: operation.clone(),
            status: status.clone(),
        });
        self.tell_of_operation(step, (operation, status));
    }

    pub(crate) fn tell_of_operation(&self, step: &mut Step, (operation, status): Told) {
        let total = match status.state {
            OperationState::Finished => None,
            _ => Some(self.holdings.total().clone()),
        };
        self.send(
            step,
            ToMaster::OperationUpdate {
                operation,
                status,
                total,
            },
        );
    }

    pub(crate) fn volume_destroyed(&mut self, step: &mut Step, volume: VolumeName) {
        self.holdings.destroyed(&volume);
        step.out
            .push(Effect::Store(Fact::VolumeDestroyed { volume }));
    }
}
