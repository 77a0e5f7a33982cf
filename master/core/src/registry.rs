//! Registry: writes on their way to durable storage, and what waits for them.
//!
//! Invariant: at most one write about an agent is on its way. A registration that arrives meanwhile
//! waits, and only the newest one of an agent does.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model::AgentId;
use model::resources::Role;

use crate::event::{ClusterEntry, LinkId, Registration, RequestId, StoreId, WallTime};

/// A registration that was checked and may be carried out.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) agent_id: AgentId,
    pub(crate) link: LinkId,
    pub(crate) incarnation: u64,
    pub(crate) registration: Registration,
}

/// Why an agent is removed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemovalCause {
    /// Another one registered at its address.
    Replaced,
    /// It said good-bye.
    Unregistered,
    /// Its machine is brought down.
    MachineDown,
}

/// What follows when a write is durable.
#[derive(Debug)]
pub(crate) enum Follow {
    /// The agent is admitted.
    Admit(Admission),
    /// The agent is unreachable since then.
    Unreachable(WallTime),
    /// The agent is removed.
    Remove(RemovalCause),
    /// The agent is gone since then; whoever wanted that is answered.
    Gone {
        since: WallTime,
        request: Option<RequestId>,
    },
    /// Nothing: the agent is known to nobody any more.
    Nothing,
}

/// What is being written about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Admission,
    Unreachability,
    Removal,
    Gone,
}

/// Operators' settings on their way, and the request to answer when they are in force.
#[derive(Debug)]
pub(crate) struct PendingCluster {
    pub(crate) entries: Vec<ClusterEntry>,
    pub(crate) request: Option<RequestId>,
    pub(crate) rescind: Rescind,
}

/// Which offers are taken back when settings are in force.
#[derive(Debug)]
pub(crate) enum Rescind {
    /// None.
    Nothing,
    /// Those against the quota of these roles.
    ForQuotas(Vec<Role>),
    /// Enough to meet the guarantees of a role.
    ForGuarantees(Role),
    /// All of them, where one of these roles is that of anyone.
    ForWeights(Vec<Role>),
}

/// Writes on their way.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    next: u64,
    pending: BTreeMap<StoreId, (AgentId, Follow)>,
    busy: BTreeMap<AgentId, Option<Admission>>,
    cluster: BTreeMap<StoreId, PendingCluster>,
}

impl Registrar {
    /// Whether a write about this agent is on its way.
    pub(crate) fn is_busy(&self, agent: &AgentId) -> bool {
        self.busy.contains_key(agent)
    }

    /// What is being written about this agent.
    pub(crate) fn pending(&self, agent: &AgentId) -> Option<Pending> {
        if !self.is_busy(agent) {
            return None;
        }
        let (_, follow) = self.pending.values().find(|(of, _)| of == agent)?;
        Some(match follow {
            Follow::Admit(_) => Pending::Admission,
            Follow::Unreachable(_) => Pending::Unreachability,
            Follow::Remove(_) | Follow::Nothing => Pending::Removal,
            Follow::Gone { .. } => Pending::Gone,
        })
    }

    /// Notes a write that is to be handed to the shell.
    pub(crate) fn start(&mut self, agent: AgentId, follow: Follow) -> StoreId {
        let store = self.number();
        self.busy.entry(agent.clone()).or_default();
        self.pending.insert(store, (agent, follow));
        store
    }

    /// Notes a write of operators' settings that is to be handed to the shell.
    pub(crate) fn start_cluster(&mut self, pending: PendingCluster) -> StoreId {
        let store = self.number();
        self.cluster.insert(store, pending);
        store
    }

    /// Operators' settings are durable.
    pub(crate) fn stored_cluster(&mut self, store: StoreId) -> Option<PendingCluster> {
        self.cluster.remove(&store)
    }

    /// Operators' settings on their way, the oldest first.
    pub(crate) fn cluster_entries(&self) -> impl Iterator<Item = &ClusterEntry> {
        self.cluster.values().flat_map(|pending| &pending.entries)
    }

    const fn number(&mut self) -> StoreId {
        let store = StoreId(self.next);
        self.next = self.next.saturating_add(1);
        store
    }

    /// Lets a registration wait for the write about its agent; gives back the one that waited.
    pub(crate) fn wait(&mut self, admission: Admission) -> Option<Admission> {
        let slot = self.busy.entry(admission.agent_id.clone()).or_default();
        slot.replace(admission)
    }

    /// A write is durable: what follows, and the registration that waited for it.
    pub(crate) fn stored(
        &mut self,
        store: StoreId,
    ) -> Option<(AgentId, Follow, Option<Admission>)> {
        let (agent, follow) = self.pending.remove(&store)?;
        let waiting = self.busy.remove(&agent).flatten();
        Some((agent, follow, waiting))
    }
}
