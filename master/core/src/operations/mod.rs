//! Operations on the resources of agents: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME,
//! SHRINK_VOLUME.
//!
//!     Pending -> Finished | Failed | Error | Dropped, then acknowledged and forgotten
//! The master takes the agent's success for granted, so that what follows in the same ACCEPT can
//! build on it; the agent has the last word. An operation that it did not carry out is taken back
//! (`lifecycle`). Until its end is acknowledged an operation is kept, with a bound for each agent.

mod accept;
mod lifecycle;
mod operator;
mod reconcile;
mod validate;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::{Change, ChangeKind};
use model::{AgentId, FrameworkId, OperationUuid, Resources};

use crate::Master;
use crate::agents::Agent;
use crate::event::{OperationInfo, OperationStatus, Text};

/// How many operations of one agent may wait for their end or its acknowledgement. Mesos has no
/// bound; a framework that acknowledges nothing would fill the master.
const OPERATIONS_PER_AGENT_MAX: usize = 10_000;

/// How many statuses of one operation are kept.
const STATUSES_MAX: usize = 16;

/// One operation that is not forgotten yet.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Names it between master and agent.
    pub uuid: OperationUuid,
    /// Whose; none for an operator's.
    pub framework_id: Option<FrameworkId>,
    /// Where.
    pub agent_id: AgentId,
    /// What it does; its resources carry the role in which they were offered.
    pub info: Arc<OperationInfo>,
    /// What is known last.
    pub latest: OperationStatus,
    /// What the agent told, the oldest first.
    pub statuses: Vec<OperationStatus>,
    /// Grows with each operation: the order in which agents carry them out.
    pub(crate) sequence: u64,
}

impl Operation {
    /// Notes another status; what is over stays as it ended.
    fn add_status(&mut self, status: &OperationStatus) {
        if !self.latest.state.is_terminal() {
            self.latest = status.clone();
        }
        if self.statuses.last() != Some(status) {
            if self.statuses.len() >= STATUSES_MAX {
                self.statuses.remove(0);
            }
            self.statuses.push(status.clone());
        }
    }
}

/// The operations of all agents.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    all: BTreeMap<OperationUuid, Operation>,
    of_agents: BTreeMap<AgentId, BTreeSet<OperationUuid>>,
    /// Those that a framework gave an id; of several with one id the newest.
    named: BTreeMap<FrameworkId, BTreeMap<Text, OperationUuid>>,
    next: u64,
}

impl Operations {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.all.values()
    }

    pub(crate) fn get(&self, uuid: &OperationUuid) -> Option<&Operation> {
        self.all.get(uuid)
    }

    fn get_mut(&mut self, uuid: &OperationUuid) -> Option<&mut Operation> {
        self.all.get_mut(uuid)
    }

    /// The operation that a framework calls so.
    pub(crate) fn named(&self, framework: &FrameworkId, id: &Text) -> Option<&Operation> {
        self.all.get(self.named.get(framework)?.get(id)?)
    }

    /// The operations of an agent.
    pub(crate) fn of_agent(&self, agent: &AgentId) -> impl Iterator<Item = &Operation> {
        let uuids = self.of_agents.get(agent).into_iter().flatten();
        uuids.filter_map(|uuid| self.all.get(uuid))
    }

    fn is_full(&self, agent: &AgentId) -> bool {
        self.of_agents
            .get(agent)
            .is_some_and(|uuids| uuids.len() >= OPERATIONS_PER_AGENT_MAX)
    }

    pub(crate) fn insert(&mut self, mut operation: Operation) {
        operation.sequence = self.next;
        self.next = self.next.saturating_add(1);
        let uuid = operation.uuid;
        let of_agent = self.of_agents.entry(operation.agent_id.clone());
        of_agent.or_default().insert(uuid);
        if let (Some(framework), Some(id)) = (&operation.framework_id, &operation.info.id) {
            let named = self.named.entry(framework.clone()).or_default();
            named.insert(id.clone(), uuid);
        }
        self.all.insert(uuid, operation);
    }

    pub(crate) fn remove(&mut self, uuid: &OperationUuid) -> Option<Operation> {
        let operation = self.all.remove(uuid)?;
        if let Some(of_agent) = self.of_agents.get_mut(&operation.agent_id) {
            of_agent.remove(uuid);
            if of_agent.is_empty() {
                self.of_agents.remove(&operation.agent_id);
            }
        }
        if let (Some(framework), Some(id)) = (&operation.framework_id, &operation.info.id)
            && let Some(named) = self.named.get_mut(framework)
        {
            if named.get(id) == Some(uuid) {
                named.remove(id);
            }
            if named.is_empty() {
                self.named.remove(framework);
            }
        }
        Some(operation)
    }
}

impl Master {
    /// What is in use on an agent, where a change must not touch that.
    fn used_against(&self, agent: &Agent, change: &Change) -> Resources {
        match change.kind() {
            ChangeKind::Destroy => self.view().used_on(agent),
            ChangeKind::Reserve
            | ChangeKind::Unreserve
            | ChangeKind::Create
            | ChangeKind::GrowVolume
            | ChangeKind::ShrinkVolume
            | ChangeKind::CreateDisk
            | ChangeKind::DestroyDisk => Resources::new(),
        }
    }
}

/// What an agent keeps on disk of its resources: what was reserved at run time, and volumes.
pub(crate) fn checkpointed(total: &Resources) -> Resources {
    total.filter(|resource| {
        resource.provider_id.is_none()
            && (resource.is_dynamically_reserved() || resource.is_persistent_volume())
    })
}
