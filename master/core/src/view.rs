//! View: what the shell may read between two steps, for state endpoints and metrics.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::Role;
use model::{AgentId, FrameworkId, Resources};

use crate::agents::{Agent, RecoveredAgent};
use crate::counters::Counters;
use crate::draining::Drain;
use crate::event::{Offer, WallTime};
use crate::frameworks::Framework;
use crate::maintenance::{InverseOffer, Machine, Plan, Response};
use crate::operations::Operation;
use crate::quota::Quota;
use crate::weights::Weights;
use crate::{Config, Master};

/// A reader of a master's state.
#[derive(Debug, Clone, Copy)]
pub struct View<'a>(&'a Master);

impl Master {
    /// The state as it is now.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View(self)
    }
}

impl<'a> View<'a> {
    /// What the master was told at its start.
    #[must_use]
    pub const fn config(self) -> &'a Config {
        &self.0.config
    }

    /// Frameworks that are not over, by id.
    pub fn frameworks(self) -> impl Iterator<Item = &'a Framework> {
        self.0.frameworks.values()
    }

    /// One framework that is not over.
    #[must_use]
    pub fn framework(self, id: &FrameworkId) -> Option<&'a Framework> {
        self.0.frameworks.get(id)
    }

    /// Frameworks that are over and remembered, the oldest first.
    pub fn completed_frameworks(self) -> impl Iterator<Item = &'a Framework> {
        self.0.completed_frameworks.iter()
    }

    /// Registered agents, by id.
    pub fn agents(self) -> impl Iterator<Item = &'a Agent> {
        self.0.agents.values().map(|agent| &**agent)
    }

    /// One registered agent.
    #[must_use]
    pub fn agent(self, id: &AgentId) -> Option<&'a Agent> {
        self.0.agents.get(id).map(|agent| &**agent)
    }

    /// Agents of the registry that have not come back, by id.
    pub fn recovered_agents(self) -> impl Iterator<Item = (&'a AgentId, &'a RecoveredAgent)> {
        self.0.recovered_agents.iter()
    }

    /// Agents that were given up, and since when, by id.
    pub fn unreachable_agents(self) -> impl Iterator<Item = (&'a AgentId, WallTime)> {
        self.0.unreachable_agents.iter()
    }

    /// The maintenance that is planned.
    #[must_use]
    pub const fn maintenance(self) -> &'a Arc<Plan> {
        self.0.maintenance.plan()
    }

    /// What frameworks answered to the inverse offers about the agents on each machine that is in
    /// maintenance and has agents.
    #[must_use]
    pub fn inverse_offer_responses(self) -> BTreeMap<Machine, Vec<(FrameworkId, Response)>> {
        let mut by_machine: BTreeMap<Machine, Vec<(FrameworkId, Response)>> = BTreeMap::new();
        for agent_id in self.0.inverse_offers.agents() {
            let Some(agent) = self.agent(agent_id) else {
                continue;
            };
            let responses = self.0.inverse_offers.responses(agent_id);
            by_machine
                .entry(Machine::of(&agent.facts))
                .or_default()
                .extend(responses.map(|(id, response)| (id.clone(), *response)));
        }
        by_machine
    }

    /// Outstanding inverse offers, by id.
    pub fn inverse_offers(self) -> impl Iterator<Item = &'a Arc<InverseOffer>> {
        self.0.inverse_offers.iter()
    }

    /// Whether resources of an agent may be offered.
    #[must_use]
    pub fn is_active(self, agent: &AgentId) -> bool {
        self.0.is_active(agent)
    }

    /// Whether an operator deactivated an agent.
    #[must_use]
    pub fn is_deactivated(self, agent: &AgentId) -> bool {
        self.0.deactivations.is_deactivated(agent)
    }

    /// How far an agent has drained, where it does.
    #[must_use]
    pub fn drain(self, agent: &AgentId) -> Option<Drain> {
        self.0.deactivations.drain(agent)
    }

    /// Outstanding offers, by id.
    pub fn offers(self) -> impl Iterator<Item = &'a Arc<Offer>> + Clone {
        self.0.offers.values()
    }

    /// Operations on resources whose end is not acknowledged.
    pub fn operations(self) -> impl Iterator<Item = &'a Operation> {
        self.0.operations.iter()
    }

    /// The counters.
    #[must_use]
    pub const fn counters(self) -> &'a Counters {
        &self.0.counters
    }

    /// The roles for which a framework wants no offers for now.
    #[must_use]
    pub fn suppressed_roles(self, id: &FrameworkId) -> BTreeSet<Role> {
        let demand = self.0.allocator.demand(id);
        demand.map(|d| d.suppressed.clone()).unwrap_or_default()
    }

    /// The quotas that were set, by role, those included that were cleared since.
    #[must_use]
    pub const fn quotas(self) -> &'a Arc<BTreeMap<Role, Quota>> {
        self.0.quotas.by_role()
    }

    /// The weights that were set, by role.
    #[must_use]
    pub const fn weights(self) -> &'a Weights {
        &self.0.weights
    }

    /// How many filters stand against offers, for each role that has any.
    #[must_use]
    pub const fn filter_counts(self) -> &'a BTreeMap<Role, usize> {
        self.0.allocator.filter_counts()
    }

    /// Roles that have subscribers, offers or tasks, each with its subscribers.
    #[must_use]
    pub fn roles(self) -> BTreeMap<Role, BTreeSet<FrameworkId>> {
        let mut roles: BTreeMap<Role, BTreeSet<FrameworkId>> = BTreeMap::new();
        for framework in self.frameworks() {
            for role in framework.roles() {
                roles.entry(role).or_default().insert(framework.id.clone());
            }
        }
        for agent in self.agents() {
            for (_, role, _) in self.0.allocator.allocations(&agent.id) {
                roles.entry(role.clone()).or_default();
            }
        }
        roles
    }

    /// What tasks and executors hold on an agent.
    #[must_use]
    pub fn used_on(self, agent: &Agent) -> Resources {
        let mut used = Resources::new();
        for (framework_id, task_id) in &agent.tasks {
            let framework = self.framework(framework_id);
            if let Some(task) = framework.and_then(|f| f.tasks.get(task_id))
                && !task.state.is_terminal()
            {
                used.add_all(&task.resources);
            }
        }
        for (framework_id, executor_id) in &agent.executors {
            let key = (agent.id.clone(), executor_id.clone());
            let framework = self.framework(framework_id);
            if let Some(executor) = framework.and_then(|f| f.executors.get(&key)) {
                used.add_all(&executor.resources);
            }
        }
        used
    }

    /// What of an agent is out on offers.
    #[must_use]
    pub fn offered_on(self, agent: &Agent) -> Resources {
        let mut sum = Resources::new();
        for offer in agent.offers.iter().filter_map(|id| self.0.offers.get(id)) {
            sum.add_all(&offer.resources);
        }
        sum
    }
}
