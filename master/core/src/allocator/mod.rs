//! Allocator: which framework is offered which agent's resources.
//!
//! Invariant: on each agent, the allocations and what is available add up to the total, unless an
//! agent came back with more in use than it has; then nothing is available.
//!
//! The allocator knows resources as allocated, whether they are out on an offer or in use by a
//! task: telling these apart is the master's business.

mod accounts;
mod agent;
mod amounts;
mod bits;
mod conversions;
mod filters;
mod hierarchical;
mod holders;
mod labels;
mod order;
mod picks;
mod run;
mod shares;
mod slots;
mod sorter;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Conversion, ConversionFault, Quantities, Role};
use model::{AgentId, FrameworkId, Instant, Resources};

use crate::constraints::Constraints;
use crate::event::{AgentAttributes, Capabilities};
use crate::quota::Quota;

pub use hierarchical::{Hierarchical, Policy};
pub use sorter::{Sorter, Sorters};

/// What a framework wants and can take.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// The roles it is subscribed to.
    pub roles: BTreeSet<Role>,
    /// Those of them for which it wants nothing for now.
    pub suppressed: BTreeSet<Role>,
    /// What it can take.
    pub capabilities: Capabilities,
    /// For a role, the amounts any one of which makes an offer worth while; the master's own where
    /// there is no entry.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Of which agents it wants offers.
    pub constraints: Arc<Constraints>,
}

/// Resources of an agent given to a framework in a role, to be made an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// To whom.
    pub framework_id: FrameworkId,
    /// In which role; the resources carry it as their allocation role.
    pub role: Role,
    /// Of which agent.
    pub agent_id: AgentId,
    /// What.
    pub resources: Resources,
}

/// A policy of allocation. Calls about what it does not know change nothing.
pub trait Allocator {
    /// A framework appears or changes what it wants; a new one is inactive.
    fn set_framework(&mut self, now: Instant, id: &FrameworkId, demand: Demand);
    /// A framework is gone; its allocations were recovered before.
    fn remove_framework(&mut self, id: &FrameworkId);
    /// A framework takes offers.
    fn activate_framework(&mut self, now: Instant, id: &FrameworkId);
    /// A framework takes no offers; its filters are dropped.
    fn deactivate_framework(&mut self, id: &FrameworkId);
    /// A framework wants nothing for these roles; for all its roles where there are none.
    fn suppress(&mut self, id: &FrameworkId, roles: &[Role]);
    /// A framework wants offers for these roles again and forgets what it refused; for all its
    /// roles where there are none.
    fn revive(&mut self, now: Instant, id: &FrameworkId, roles: &[Role]);

    /// An agent appears, or comes back with another total. What it has in use is told by `hold`.
    fn set_agent(&mut self, now: Instant, id: &AgentId, total: Resources);
    /// What constraints look at in an agent, and the numbers of its capabilities, from now on.
    fn describe_agent(
        &mut self,
        id: &AgentId,
        attributes: Arc<AgentAttributes>,
        capabilities: &[i32],
    );
    /// An agent is gone, and its allocations with it.
    fn remove_agent(&mut self, id: &AgentId);
    /// An agent's resources may be offered.
    fn activate_agent(&mut self, now: Instant, id: &AgentId);
    /// An agent's resources may not be offered for now.
    fn deactivate_agent(&mut self, id: &AgentId);
    /// Whatever was refused of an agent may be offered again.
    fn clear_filters(&mut self, now: Instant, agent: &AgentId);

    /// A framework has these resources in use; the master learned of it late.
    fn hold(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources);
    /// A framework does not have these resources any more. Where it refused them, it is not offered
    /// them, or less, again before `refused` is over and the next batch has come.
    fn recover(
        &mut self,
        now: Instant,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        refused: Option<Duration>,
    );

    /// What a framework holds in a role turns into something else, and with it what the agent has.
    fn update_allocation(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        role: &Role,
        conversions: &[Conversion],
    );
    /// What nobody holds of an agent turns into something else.
    ///
    /// # Errors
    /// It is not there.
    fn update_available(
        &mut self,
        now: Instant,
        agent: &AgentId,
        conversions: &[Conversion],
    ) -> Result<(), ConversionFault>;

    /// A role at the top of its tree has these guarantees and limits from now on.
    fn set_quota(&mut self, now: Instant, role: &Role, quota: &Quota);
    /// A role counts for so much among its siblings from now on.
    fn set_weight(&mut self, now: Instant, role: &Role, weight: f64);
    /// Gives nothing out before so many agents are known or the time has come.
    fn pause(&mut self, until: Instant, agents: usize);

    /// Gives out what can be given out.
    fn allocate(&mut self, now: Instant) -> Vec<Allocation>;
    /// When `allocate` has something to do; in the past where it has already.
    fn deadline(&self) -> Option<Instant>;
}
