//! Conversions: what becomes of resources while a framework holds them, or while nobody does.
//!
//! They turn amounts into the same amounts reserved or used otherwise: shares stay as they are,
//! accounts do not.

use alloc::vec::Vec;

use model::resources::{Conversion, ConversionFault, Role};
use model::{AgentId, FrameworkId, Instant, Resources};

use super::agent::Agent;
use super::amounts::Amounts;
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
        let client = self.open(role, framework);
        let Some(agent) = self
            .slot(agent_id)
            .and_then(|slot| self.agents.get_mut(slot))
        else {
            self.forget_idle(client.0);
            return;
        };
        let held = agent.held_by(client.0).cloned().unwrap_or_default();
        let after = held.convert_all(&conversions).unwrap_or(held.clone());
        let mut total = Resources::clone(agent.total());
        for conversion in &conversions {
            // Another copy of a shared resource is no more of it.
            if !conversion.consumed.is_empty()
                && let Ok(converted) = total.convert(conversion)
            {
                total = converted;
            }
        }
        let before = self.accounts.take(&mut self.names, agent, client, &held);
        self.change_total(agent_id, total);
        let mut holding = None;
        if let Some(agent) = self
            .slot(agent_id)
            .and_then(|slot| self.agents.get_mut(slot))
            && !after.is_empty()
        {
            holding = Some(self.accounts.give(&mut self.names, agent, client, &after));
        }
        // The amounts are the same: what may change is whether it holds anything there.
        match (
            before.is_edge,
            holding.is_some_and(|holding| holding.is_edge),
        ) {
            (true, false) => self.shares.hold_fewer(client.0),
            (false, true) => self.shares.hold_more(client.0),
            (true, true) | (false, false) => {}
        }
        self.forget_idle(client.0);
    }

    pub(super) fn convert_available(
        &mut self,
        now: Instant,
        agent_id: &AgentId,
        conversions: &[Conversion],
    ) -> Result<(), ConversionFault> {
        if let Some(agent) = self.slot(agent_id).and_then(|slot| self.agents.get(slot)) {
            agent.available().convert_all(conversions)?;
            let total = agent.total().convert_all(conversions)?;
            self.change_total(agent_id, total);
            self.want(now, agent_id);
        }
        Ok(())
    }

    /// An agent has this from now on.
    pub(super) fn change_total(&mut self, id: &AgentId, total: Resources) {
        let names = &mut self.names;
        self.shares.add_total(&names.scalars(&total));
        self.accounts.add_total(names, &total);
        let slot = self.slots.get(id).copied();
        match slot.and_then(|slot| self.agents.get_mut(slot)) {
            Some(agent) => {
                self.shares.subtract_total(&names.scalars(agent.total()));
                self.accounts.subtract_total(names, agent.total());
                let free = agent.free().clone();
                agent.set_total(names, total);
                self.accounts.set_free(&free, agent.free());
            }
            None => {
                let agent = Agent::new(names, id.clone(), total);
                self.accounts.set_free(&Amounts::default(), agent.free());
                let slot = self.agents.insert(agent);
                self.slots.insert(id.clone(), slot);
            }
        }
    }
}
