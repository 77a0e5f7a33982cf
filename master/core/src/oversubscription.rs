//! Oversubscription: what an agent lets be given out twice, until it is needed.
//!
//! What an agent says of it takes the place of what it said before. At every change the offers that
//! hold some of it are withdrawn, as in Mesos. What tasks have of it stays theirs, even where that is
//! more than there is now: then nothing of it is offered, and to end tasks is the agent's business.

use alloc::vec::Vec;

use model::{AgentId, Resources};

use crate::Master;
use crate::event::Offer;

impl Master {
    /// An agent has these revocable resources from now on.
    pub(crate) fn oversubscribed(&mut self, agent_id: &AgentId, revocable: &Resources) {
        self.counters.count("messages_update_slave");
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let own = agent.total.filter(|resource| !resource.revocable);
        let total = own.plus(revocable);
        if *agent.total == total {
            return;
        }
        let offers = agent.offers.iter();
        let offers = offers.filter(|id| self.offers.get(*id).is_some_and(|one| holds_some(one)));
        for offer_id in offers.cloned().collect::<Vec<_>>() {
            self.rescind(&offer_id);
        }
        self.set_total(agent_id, total);
    }
}

fn holds_some(offer: &Offer) -> bool {
    offer.resources.iter().any(|resource| resource.revocable)
}
