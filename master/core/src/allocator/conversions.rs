//! Conversions: what becomes of resources while a framework holds them, or while nobody does.
//!
//! They turn amounts into the same amounts reserved or used otherwise: shares stay as they are,
//! accounts do not.

use alloc::vec::Vec;

use model::resources::{Conversion, ConversionFault, Quantities, Role};
use model::{AgentId, FrameworkId, Instant, Resources};

use super::agent::Agent;
use super::hierarchical::Hierarchical;

impl Hierarchical {
    pub(super) fn convert_allocation(
        &mut self,
        framework: &FrameworkId,
        agent_id: &AgentId,
        role: &Role,
        conversions: &[Conversion],
    ) {
        let conversions: Vec<Conversion> = conversions.iter().map(Conversion::unallocate).collect();
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let key = (framework.clone(), role.clone());
        let held = agent.allocations().get(&key).cloned().unwrap_or_default();
        let after = held.convert_all(&conversions).unwrap_or(held.clone());
        let mut total = agent.total().clone();
        for conversion in &conversions {
            // Another copy of a shared resource is no more of it.
            if !conversion.consumed.is_empty()
                && let Ok(converted) = total.convert(conversion)
            {
                total = converted;
            }
        }
        self.accounts.take(agent, framework, role, &held);
        self.change_total(agent_id, total);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            self.accounts.give(agent, framework, role, &after);
        }
    }

    pub(super) fn convert_available(
        &mut self,
        now: Instant,
        agent_id: &AgentId,
        conversions: &[Conversion],
    ) -> Result<(), ConversionFault> {
        if let Some(agent) = self.agents.get(agent_id) {
            agent.available().convert_all(conversions)?;
            let total = agent.total().convert_all(conversions)?;
            self.change_total(agent_id, total);
            self.want(now, agent_id);
        }
        Ok(())
    }

    /// An agent has this from now on.
    pub(super) fn change_total(&mut self, id: &AgentId, total: Resources) {
        self.shares.add_total(&total.quantities());
        self.accounts.add_total(&total);
        match self.agents.get_mut(id) {
            Some(agent) => {
                self.shares.subtract_total(&agent.total().quantities());
                self.accounts.subtract_total(agent.total());
                let free = agent.free();
                agent.set_total(total);
                self.accounts.set_free(&free, &agent.free());
            }
            None => {
                let agent = Agent::new(total);
                self.accounts.set_free(&Quantities::new(), &agent.free());
                self.agents.insert(id.clone(), agent);
            }
        }
    }
}
