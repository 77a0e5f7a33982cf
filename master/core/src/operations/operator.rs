//! Operations of operators: on what nobody uses, offers taken back where that is needed.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::{Change, ChangeKind};
use model::{AgentId, OfferId, Resources};

use super::validate::{self, Ground};
use crate::Master;
use crate::allocator::Allocator;
use crate::event::{Answer, OperationInfo, Text};
use crate::offers::REFUSE_DEFAULT;

impl Master {
    /// RESERVE_RESOURCES to SHRINK_VOLUME.
    pub(crate) fn operate_on_agent(
        &mut self,
        principal: Option<&Text>,
        agent: &Text,
        change: Result<Change, String>,
    ) -> Answer {
        let agent_id = AgentId::new(agent).ok();
        let Some(agent_id) = agent_id.filter(|id| self.agents.contains_key(id)) else {
            return Answer::BadRequest("No agent found with specified ID".into());
        };
        match change
            .map_err(Answer::BadRequest)
            .and_then(|change| self.change_available(principal, &agent_id, change))
        {
            Ok(()) => Answer::Accepted,
            Err(answer) => answer,
        }
    }

    fn change_available(
        &mut self,
        principal: Option<&Text>,
        agent_id: &AgentId,
        change: Change,
    ) -> Result<(), Answer> {
        self.check_change(principal, agent_id, &change)
            .map_err(Answer::BadRequest)?;
        if self.operations.is_full(agent_id) {
            return Err(Answer::Conflict(format!(
                "Too many operations on agent {agent_id} wait for an acknowledgement"
            )));
        }
        let conversions = change.conversions().map_err(|fault| {
            Answer::BadRequest(format!(
                "Invalid {} operation: {fault}",
                change.kind().name()
            ))
        })?;
        let mut wanted = Resources::new();
        for conversion in &conversions {
            wanted.add_all(&conversion.consumed);
        }
        // One offer after the other goes back, until the change fits into what came back.
        let mut recovered = Resources::new();
        for offer_id in self.offers_on(agent_id) {
            let Some(offer) = self.offers.get(&offer_id) else {
                continue;
            };
            let offered = offer.resources.unallocate();
            let left = wanted.minus(&offered);
            if left == wanted {
                continue;
            }
            wanted = left;
            recovered.add_all(&offered);
            // Refused for a while, so that they are not offered again before they are changed.
            self.rescind_refused(&offer_id, Some(REFUSE_DEFAULT));
            if recovered.convert_all(&conversions).is_ok() {
                break;
            }
        }
        self.allocator
            .update_available(self.now, agent_id, &conversions)
            .map_err(|fault| Answer::Conflict(format!("{fault}")))?;
        let info = OperationInfo { id: None, change };
        self.apply_operation(agent_id, None, Arc::new(info));
        Ok(())
    }

    fn check_change(
        &self,
        principal: Option<&Text>,
        agent_id: &AgentId,
        change: &Change,
    ) -> Result<(), String> {
        let Some(agent) = self.agents.get(agent_id) else {
            return Err("No agent found with specified ID".into());
        };
        let used = self.used_against(agent, change);
        let ground = Ground {
            framework: None,
            principal: principal.map(|principal| &**principal),
            agent,
            used: &used,
        };
        let kind = change.kind();
        validate::validate(change, ground).map_err(|fault| match kind {
            ChangeKind::Unreserve | ChangeKind::Destroy => {
                format!("Invalid {} operation: {fault}", kind.name())
            }
            ChangeKind::Reserve
            | ChangeKind::Create
            | ChangeKind::GrowVolume
            | ChangeKind::ShrinkVolume
            | ChangeKind::CreateDisk
            | ChangeKind::DestroyDisk => {
                format!(
                    "Invalid {} operation on agent {agent}: {fault}",
                    kind.name()
                )
            }
        })
    }

    fn offers_on(&self, agent_id: &AgentId) -> Vec<OfferId> {
        let agent = self.agents.get(agent_id);
        let offers = agent.into_iter().flat_map(|agent| &agent.offers);
        offers.cloned().collect()
    }
}
