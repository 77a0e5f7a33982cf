//! What outlives every master: the registry of a simulated cluster.
//!
//! Invariant: only the master of the newest epoch writes. Real stores keep it by the version of the
//! znode that holds the epoch, or by the lock on their file.

use std::collections::BTreeMap;
use std::iter;

use master_core::WallTime;
use master_core::event::{ClusterEntry, Registry, RegistryChange};
use model::{AgentId, Blob};

/// The entries, and under which epoch they may be changed.
#[derive(Debug, Default)]
pub struct Ledger {
    epoch: u64,
    admitted: BTreeMap<AgentId, Blob>,
    unreachable: BTreeMap<AgentId, WallTime>,
    gone: BTreeMap<AgentId, WallTime>,
    cluster: Vec<ClusterEntry>,
}

/// Another master has begun to lead since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded;

impl Ledger {
    /// Begins an epoch: whoever wrote before can no more.
    ///
    /// # Errors
    /// A later one has begun.
    pub fn begin(&mut self, epoch: u64) -> Result<Registry, Superseded> {
        if epoch < self.epoch {
            return Err(Superseded);
        }
        self.epoch = epoch;
        Ok(Registry {
            admitted: self.admitted.clone().into_iter().collect(),
            unreachable: self.unreachable.clone().into_iter().collect(),
            gone: self.gone.clone().into_iter().collect(),
            cluster: self.cluster.clone(),
        })
    }

    /// The epoch that has begun last.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether an agent is admitted.
    #[must_use]
    pub fn is_admitted(&self, agent_id: &AgentId) -> bool {
        self.admitted.contains_key(agent_id)
    }

    /// How many settings of operators were ever written: a moment, for [`Ledger::about`].
    #[must_use]
    pub fn settings(&self) -> usize {
        self.cluster.len()
    }

    /// What was in force about an agent at a moment, and what was set since, in order; none where
    /// nothing was.
    pub fn about(
        &self,
        agent_id: &AgentId,
        since: usize,
    ) -> impl Iterator<Item = Option<&ClusterEntry>> {
        let is_about = move |entry: &&ClusterEntry| match entry {
            ClusterEntry::Deactivated(id)
            | ClusterEntry::Draining(id, _)
            | ClusterEntry::Reactivated(id) => id == agent_id,
            ClusterEntry::Maintenance(_)
            | ClusterEntry::Quota { .. }
            | ClusterEntry::Weight { .. } => false,
        };
        let (before, after) = self.cluster.split_at(since.min(self.cluster.len()));
        let then = before.iter().rev().find(is_about);
        iter::once(then).chain(after.iter().filter(move |entry| is_about(entry)).map(Some))
    }

    /// Makes a change durable.
    ///
    /// # Errors
    /// The epoch is over.
    pub fn write(&mut self, epoch: u64, change: RegistryChange) -> Result<(), Superseded> {
        if epoch != self.epoch {
            return Err(Superseded);
        }
        match change {
            RegistryChange::Admit { agent_id, info } => {
                self.unreachable.remove(&agent_id);
                self.admitted.insert(agent_id, info);
            }
            RegistryChange::MarkUnreachable { agent_id, since } => {
                self.admitted.remove(&agent_id);
                self.unreachable.insert(agent_id, since);
            }
            RegistryChange::MarkGone { agent_id, since } => {
                self.admitted.remove(&agent_id);
                self.unreachable.remove(&agent_id);
                self.cluster
                    .push(ClusterEntry::Reactivated(agent_id.clone()));
                self.gone.insert(agent_id, since);
            }
            RegistryChange::Remove { agent_id } => {
                self.admitted.remove(&agent_id);
                self.unreachable.remove(&agent_id);
                self.gone.remove(&agent_id);
            }
            // Each says what holds from then on, so they can be read in order.
            RegistryChange::Cluster(entries) => self.cluster.extend(entries),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_whose_epoch_is_over_writes_nothing() {
        let mut ledger = Ledger::default();
        let agent_id = AgentId::new("a").unwrap();
        let admit = || RegistryChange::Admit {
            agent_id: agent_id.clone(),
            info: Blob::default(),
        };
        assert!(ledger.begin(3).is_ok());
        assert!(ledger.begin(4).is_ok());
        assert_eq!(ledger.write(3, admit()), Err(Superseded));
        assert!(!ledger.is_admitted(&agent_id));
        assert_eq!(ledger.write(4, admit()), Ok(()));
        assert_eq!(ledger.begin(4).unwrap().admitted.len(), 1);
        assert!(ledger.begin(3).is_err());
    }
}
