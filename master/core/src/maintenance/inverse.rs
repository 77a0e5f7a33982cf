//! Inverse offers: frameworks are asked to give back what they have on an agent that will be away.
//!
//!     Outstanding -> Accepted | Declined | Rescinded | Expired
//! An answer is advice for the operator: it frees nothing. Whoever has tasks, executors or offers
//! on such an agent is asked once, and again when the time is over for which it refused to be asked.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use model::{AgentId, FrameworkId, Instant, OfferId};

use super::Unavailability;
use crate::Master;
use crate::event::{AgentFacts, FrameworkEvent, Text, WallTime};
use crate::frameworks::FrameworkState;
use crate::offers::refused_for;
use crate::timers::Timer;

/// A question to one framework about one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct InverseOffer {
    /// Its id; from the same numbers as those of offers.
    pub id: OfferId,
    /// Who is asked.
    pub framework_id: FrameworkId,
    /// Which agent will be away.
    pub agent_id: AgentId,
    /// When.
    pub unavailability: Unavailability,
    /// What else the message tells of the agent.
    pub agent: Arc<AgentFacts>,
}

/// What a framework answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    /// ACCEPT_INVERSE_OFFERS.
    Accept,
    /// DECLINE_INVERSE_OFFERS.
    Decline,
}

/// The newest answer of a framework about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// What.
    pub kind: ResponseKind,
    /// When.
    pub timestamp: WallTime,
}

/// What is known of one agent that will be away.
#[derive(Debug, Default)]
struct Asked {
    outstanding: BTreeMap<FrameworkId, OfferId>,
    responses: BTreeMap<FrameworkId, Response>,
    /// Until when a framework does not want to be asked.
    refused: BTreeMap<FrameworkId, Instant>,
}

/// Inverse offers that are out, and the answers to those that were.
#[derive(Debug, Default)]
pub(crate) struct InverseOffers {
    offers: BTreeMap<OfferId, Arc<InverseOffer>>,
    /// The agents that will be away and are registered.
    agents: BTreeMap<AgentId, Asked>,
    /// Agents about which someone may have to be asked.
    candidates: BTreeSet<AgentId>,
    /// Since when there are any.
    wanted_since: Option<Instant>,
}

impl InverseOffers {
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.wanted_since
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<InverseOffer>> {
        self.offers.values()
    }

    /// The agents that will be away and are registered.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.agents.keys()
    }

    /// The answers about an agent.
    pub(crate) fn responses(
        &self,
        agent_id: &AgentId,
    ) -> impl Iterator<Item = (&FrameworkId, &Response)> {
        let asked = self.agents.get(agent_id).into_iter();
        asked.flat_map(|asked| &asked.responses)
    }

    fn want(&mut self, now: Instant, agent_id: &AgentId) {
        self.agents.entry(agent_id.clone()).or_default();
        self.candidates.insert(agent_id.clone());
        self.wanted_since.get_or_insert(now);
    }

    fn take(&mut self, offer_id: &OfferId) -> Option<Arc<InverseOffer>> {
        let offer = self.offers.remove(offer_id)?;
        if let Some(asked) = self.agents.get_mut(&offer.agent_id) {
            asked.outstanding.remove(&offer.framework_id);
        }
        Some(offer)
    }

    /// Whether a framework may be asked about an agent now.
    fn may_ask(&self, now: Instant, agent_id: &AgentId, framework_id: &FrameworkId) -> bool {
        self.agents.get(agent_id).is_some_and(|asked| {
            let until = asked.refused.get(framework_id);
            !asked.outstanding.contains_key(framework_id) && until.is_none_or(|at| *at <= now)
        })
    }

    /// Nobody has answered about this agent, or refused to be asked.
    pub(crate) fn forget_agent(&mut self, agent_id: &AgentId) {
        self.agents.remove(agent_id);
        self.candidates.remove(agent_id);
    }

    /// What a framework answered means nothing any more.
    pub(crate) fn forget_responses(&mut self, framework_id: &FrameworkId) {
        for asked in self.agents.values_mut() {
            asked.responses.remove(framework_id);
        }
    }
}

impl Master {
    /// Someone may have to be asked about an agent, if that will be away.
    pub(crate) fn ask_back(&mut self, agent_id: &AgentId) {
        let agent = self.agents.get(agent_id);
        if agent.is_some_and(|agent| self.maintenance.unavailability(&agent.facts).is_some()) {
            self.inverse_offers.want(self.now, agent_id);
        }
    }

    /// An agent registered again, maybe on another machine.
    pub(crate) fn recheck_unavailability(&mut self, agent_id: &AgentId) {
        let agent = self.agents.get(agent_id);
        if agent.is_some_and(|agent| self.maintenance.unavailability(&agent.facts).is_none()) {
            self.rescind_inverse_offers_of(agent_id);
            self.inverse_offers.forget_agent(agent_id);
        }
    }

    /// A framework may be asked about everything, whatever it refused before.
    pub(crate) fn ask_again(&mut self, framework_id: &FrameworkId) {
        let mut agents = Vec::new();
        for (agent_id, asked) in &mut self.inverse_offers.agents {
            if let Some(until) = asked.refused.remove(framework_id) {
                let timer = Timer::AskBack(agent_id.clone(), framework_id.clone());
                self.timers.cancel(until, timer);
            }
            agents.push(agent_id.clone());
        }
        for agent_id in agents {
            self.inverse_offers.want(self.now, &agent_id);
        }
    }

    /// Asks whoever has something on the candidates; each agent in an event of its own, as each is
    /// a decision of its own.
    pub(crate) fn send_inverse_offers(&mut self) {
        self.inverse_offers.wanted_since = None;
        for agent_id in core::mem::take(&mut self.inverse_offers.candidates) {
            for framework_id in self.holders_on(&agent_id) {
                if let Some(offer) = self.make_inverse_offer(&agent_id, &framework_id) {
                    let offers = vec![offer];
                    self.send(&framework_id, FrameworkEvent::InverseOffers { offers });
                }
            }
        }
    }

    /// The frameworks with tasks, executors or offers on an agent.
    fn holders_on(&self, agent_id: &AgentId) -> BTreeSet<FrameworkId> {
        let Some(agent) = self.agents.get(agent_id) else {
            return BTreeSet::new();
        };
        let tasks = agent.tasks.iter().map(|(framework_id, _)| framework_id);
        let executors = agent.executors.iter().map(|(framework_id, _)| framework_id);
        let offers = agent.offers.iter().filter_map(|id| self.offers.get(id));
        let offers = offers.map(|offer| &offer.framework_id);
        tasks.chain(executors).chain(offers).cloned().collect()
    }

    fn make_inverse_offer(
        &mut self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
    ) -> Option<Arc<InverseOffer>> {
        let agent = self.agents.get(agent_id)?;
        let facts = agent.facts.clone();
        let unavailability = self.maintenance.unavailability(&facts)?;
        let has_stream = matches!(
            self.frameworks.get(framework_id)?.state,
            FrameworkState::Connected { .. }
        );
        let may_ask = self
            .inverse_offers
            .may_ask(self.now, agent_id, framework_id);
        if !(has_stream && may_ask && self.is_active(agent_id)) {
            return None;
        }
        let id = self.next_offer_id()?;
        let offer = Arc::new(InverseOffer {
            id: id.clone(),
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            unavailability,
            agent: facts,
        });
        let asked = self.inverse_offers.agents.get_mut(agent_id)?;
        asked.outstanding.insert(framework_id.clone(), id.clone());
        self.inverse_offers.offers.insert(id.clone(), offer.clone());
        if let Some(timeout) = self.config.offer_timeout {
            self.timers.set(self.now + timeout, Timer::InverseOffer(id));
        }
        Some(offer)
    }

    /// A framework answers.
    pub(crate) fn respond(
        &mut self,
        framework_id: &FrameworkId,
        offer_ids: &[Text],
        kind: ResponseKind,
        refuse_seconds: Option<f64>,
    ) {
        let timestamp = self.wall_time();
        // As with offers, whoever does not refuse for some time is asked again with the next batch.
        let refused = refused_for(refuse_seconds).max(self.config.allocation_interval);
        let until = self.now + refused;
        for text in offer_ids {
            let offer_id = OfferId::new(text).ok();
            let own = offer_id.filter(|id| {
                let offer = self.inverse_offers.offers.get(id);
                offer.is_some_and(|offer| offer.framework_id == *framework_id)
            });
            let Some(offer) = own.and_then(|id| self.inverse_offers.take(&id)) else {
                let why = format!("inverse offer {text} is no longer valid");
                self.drop_message("inverse offer", why);
                continue;
            };
            if let Some(asked) = self.inverse_offers.agents.get_mut(&offer.agent_id) {
                let response = Response { kind, timestamp };
                asked.responses.insert(framework_id.clone(), response);
                let before = asked.refused.insert(framework_id.clone(), until);
                let timer = Timer::AskBack(offer.agent_id.clone(), framework_id.clone());
                if let Some(before) = before {
                    self.timers.cancel(before, timer.clone());
                }
                self.timers.set(until, timer);
            }
        }
    }

    pub(crate) fn inverse_offer_timeout(&mut self, offer_id: &OfferId) {
        if let Some(offer) = self.rescind_inverse_offer(offer_id) {
            self.ask_back(&offer.agent_id);
        }
    }

    pub(crate) fn rescind_inverse_offers_of(&mut self, agent_id: &AgentId) {
        let asked = self.inverse_offers.agents.get(agent_id);
        let ids: Vec<OfferId> = asked
            .map(|asked| asked.outstanding.values().cloned().collect())
            .unwrap_or_default();
        for id in ids {
            self.rescind_inverse_offer(&id);
        }
    }

    fn rescind_inverse_offer(&mut self, offer_id: &OfferId) -> Option<Arc<InverseOffer>> {
        let offer = self.inverse_offers.take(offer_id)?;
        let inverse_offer_id = offer_id.clone();
        let event = FrameworkEvent::RescindInverseOffer { inverse_offer_id };
        self.send(&offer.framework_id, event);
        Some(offer)
    }

    /// Takes back what was asked of a framework that has no stream to be told on.
    pub(crate) fn recover_inverse_offers_of(&mut self, framework_id: &FrameworkId) {
        for (agent_id, asked) in &mut self.inverse_offers.agents {
            if let Some(until) = asked.refused.remove(framework_id) {
                let timer = Timer::AskBack(agent_id.clone(), framework_id.clone());
                self.timers.cancel(until, timer);
            }
            if let Some(offer_id) = asked.outstanding.remove(framework_id) {
                self.inverse_offers.offers.remove(&offer_id);
            }
        }
    }
}
