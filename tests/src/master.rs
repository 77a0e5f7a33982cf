//! A simulated master process: its part in the election, and a master core while it leads.
//!
//! A process that led and no longer may ends, and is started again: what it held in memory is lost.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use master_core::constraints::PatternLimits;
use master_core::election::{Election, SessionNumber};
use master_core::event::{Registry, RegistryChange, StoreId};
use master_core::{Config, Master, WallTime};
use model::resources::Scalar;
use model::{Instant, MasterId};

use crate::zookeeper::SessionId;

/// One master.
#[derive(Debug, Default)]
pub struct MasterProcess {
    /// Counts its starts; happenings of an earlier life are void.
    pub life: u64,
    /// Whether the process is there.
    pub is_up: bool,
    /// While it is stopped: when it goes on.
    pub asleep_until: Option<Instant>,
    /// When this life began: its clock counts from then.
    pub born: Instant,
    /// Its part in the election; none in a cluster without ZooKeeper.
    pub election: Option<Election>,
    /// Its session with ZooKeeper, as both sides call it.
    pub session: Option<(SessionNumber, SessionId)>,
    /// ZooKeeper cannot be reached from it until then.
    pub alone_until: Instant,
    /// The core; none while it does not lead.
    pub core: Option<Master>,
    /// The epoch under which it leads, or led last.
    pub epoch: u64,
    /// Writes to the registry that are not answered, the oldest first; one is on its way.
    pub writes: VecDeque<(StoreId, RegistryChange)>,
    /// When the newest request to ZooKeeper arrives, so that they keep their order.
    pub asks_last: Instant,
    /// When its newest answer does.
    pub answers_last: Instant,
    /// The instant of the earliest wake-up in the queue.
    pub wake_at: Option<Instant>,
}

impl MasterProcess {
    /// Begins a new life.
    pub fn start(&mut self, now: Instant, election: Option<Election>) {
        *self = Self {
            life: self.life + 1,
            is_up: true,
            born: now,
            election,
            alone_until: self.alone_until,
            ..Self::default()
        };
    }

    /// The process ends; writes on their way may or may not be carried out.
    pub fn end(&mut self) {
        *self = Self {
            life: self.life,
            alone_until: self.alone_until,
            ..Self::default()
        };
    }

    /// What its clock says.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Instant {
        Instant::ZERO + now.since(self.born)
    }

    /// When its clock says that.
    #[must_use]
    pub fn when(&self, clock: Instant) -> Instant {
        self.born + clock.since(Instant::ZERO)
    }
}

/// The settings of every simulated master.
///
/// # Errors
/// Never, as long as numbers make a valid id.
pub fn config(
    id: &str,
    epoch: u64,
    clock_start: WallTime,
    seed: u64,
) -> Result<Config, model::IdError> {
    let min = model::resources::parse("cpus:0.01;mem:32").map(|r| r.quantities());
    Ok(Config {
        master_id: MasterId::new(id)?,
        epoch,
        clock_start,
        seed: seed ^ epoch,
        agent_ping_timeout: Duration::from_secs(15),
        max_agent_ping_timeouts: 5,
        agent_reregister_timeout: Duration::from_secs(600),
        allocation_interval: Duration::from_secs(1),
        offer_timeout: None,
        min_allocatable: min.into_iter().collect(),
        filter_gpu_resources: true,
        region: None,
        require_agent_domain: false,
        sorters: master_core::allocator::Sorters::default(),
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
    })
}

/// What the registry held, for the trace.
#[must_use]
pub fn size(registry: &Registry) -> String {
    format!(
        "{} agents, {} unreachable",
        registry.admitted.len(),
        registry.unreachable.len()
    )
}
