//! A simulated master process: a master core and its registry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use master_core::constraints::PatternLimits;
use master_core::event::{ClusterEntry, Registry, RegistryChange};
use master_core::{Config, Master, WallTime};
use model::resources::Scalar;
use model::{AgentId, Blob, Instant, MasterId};

/// The master and what outlives it.
#[derive(Debug)]
pub struct Leader {
    /// Counts its starts, and is its epoch.
    pub life: u64,
    /// The core; none while the process is down.
    pub core: Option<Master>,
    /// The instant of the earliest wake-up in the queue.
    pub wake_at: Option<Instant>,
    admitted: BTreeMap<AgentId, Blob>,
    unreachable: BTreeMap<AgentId, WallTime>,
    gone: BTreeMap<AgentId, WallTime>,
    cluster: Vec<ClusterEntry>,
}

impl Leader {
    /// A master that was never started.
    pub fn new() -> Self {
        Self {
            life: 0,
            core: None,
            wake_at: None,
            admitted: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            gone: BTreeMap::new(),
            cluster: Vec::new(),
        }
    }

    /// Starts a process under the next epoch; what the registry holds is to be its first event.
    ///
    /// # Errors
    /// Never, as long as a number makes a valid id.
    pub fn start(&mut self, seed: u64) -> Result<Registry, model::IdError> {
        self.life += 1;
        self.wake_at = None;
        let min = model::resources::parse("cpus:0.01;mem:32").map(|r| r.quantities());
        self.core = Some(Master::new(Config {
            master_id: MasterId::new(&format!("m{}", self.life))?,
            epoch: self.life,
            clock_start: WallTime(1_700_000_000_000_000_000),
            seed: seed ^ self.life,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            allocation_interval: Duration::from_secs(1),
            offer_timeout: None,
            min_allocatable: min.into_iter().collect(),
            filter_gpu_resources: true,
            fair_sharing_excluded: BTreeSet::new(),
            allocator_recovery_timeout: Duration::from_secs(600),
            allocator_agent_recovery_factor: Scalar(800),
            agent_removal_rate: None,
            roles: None,
            root_submissions: true,
            pattern_limits: PatternLimits::default(),
            completed_frameworks_max: 50,
            completed_tasks_per_framework_max: 1000,
            unreachable_tasks_per_framework_max: 1000,
            acls: std::sync::Arc::default(),
        }));
        Ok(Registry {
            admitted: self.admitted.clone().into_iter().collect(),
            unreachable: self.unreachable.clone().into_iter().collect(),
            gone: self.gone.clone().into_iter().collect(),
            cluster: self.cluster.clone(),
        })
    }

    /// The process is killed; writes under way may or may not be stored.
    pub fn crash(&mut self) {
        self.core = None;
        self.wake_at = None;
    }

    /// Makes a change durable.
    pub fn apply(&mut self, change: RegistryChange) {
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
    }
}

impl Default for Leader {
    fn default() -> Self {
        Self::new()
    }
}
