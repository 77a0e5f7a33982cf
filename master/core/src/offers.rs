//! Offers: resources of an agent held out to a framework until answered or withdrawn.
//!
//!     Outstanding -> Accepted | Declined | Rescinded | Expired
//! Who should get an offer is the allocator's question (`allocator`), not this module's.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Conversion, Role};
use model::{AgentId, FrameworkId, OfferId, Reason, Resources, TaskState};

use crate::Master;
use crate::allocator::{Allocation, Allocator};
use crate::event::{FrameworkEvent, Offer, Operation, Text};
use crate::launch::Refusal;
use crate::timers::Timer;

/// How long refused resources stay away where a framework does not say, or says nonsense.
pub(crate) const REFUSE_DEFAULT: Duration = Duration::from_secs(5);

/// The longest time for which resources can be refused.
const REFUSE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Mesos' durations are nanoseconds in 64 bits.
const REFUSE_REPRESENTABLE_SECS: f64 = 9_223_372_036.0;

/// For how long resources are refused (reference, section 1.7).
pub(crate) fn refused_for(refuse_seconds: Option<f64>) -> Duration {
    refuse_seconds
        .filter(|secs| *secs <= REFUSE_REPRESENTABLE_SECS)
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
        .map_or(REFUSE_DEFAULT, |duration| duration.min(REFUSE_MAX))
}

/// What the offers of one ACCEPT come to.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) agent_id: AgentId,
    pub(crate) role: Role,
    /// What they hold.
    pub(crate) offered: Resources,
    /// What is left of them, as operations converted it.
    pub(crate) resources: Resources,
    /// Their shared resources, which no launch uses up.
    pub(crate) shared: Resources,
    /// What became of resized volumes: nothing in the same ACCEPT can use it.
    pub(crate) resized: Resources,
    /// What operations made of them, one after the other.
    pub(crate) conversions: Vec<Conversion>,
}

impl Master {
    /// Runs the allocator and sends what it gives out: one OFFERS for each framework.
    pub(crate) fn allocate(&mut self) {
        self.counters.count_allocation();
        let mut by_framework: BTreeMap<FrameworkId, Vec<Arc<Offer>>> = BTreeMap::new();
        for allocation in self.allocator.allocate(self.now) {
            if let Some(offer) = self.make_offer(&allocation) {
                by_framework
                    .entry(allocation.framework_id)
                    .or_default()
                    .push(offer);
            }
        }
        for (framework_id, offers) in by_framework {
            let Some(framework) = self.frameworks.get(&framework_id) else {
                continue;
            };
            let capabilities = framework.info.capabilities;
            let event = FrameworkEvent::Offers {
                offers,
                capabilities,
            };
            self.send(&framework_id, event);
        }
    }

    /// The next id, for an offer or an inverse offer.
    pub(crate) fn next_offer_id(&mut self) -> Option<OfferId> {
        let number = self.next_offer;
        self.next_offer = number.saturating_add(1);
        OfferId::new(&format!("{}-O{number}", self.config.master_id)).ok()
    }

    fn make_offer(&mut self, allocation: &Allocation) -> Option<Arc<Offer>> {
        let id = self.next_offer_id()?;
        let framework = self.frameworks.get_mut(&allocation.framework_id)?;
        let agent = self.agents.get_mut(&allocation.agent_id)?;
        let there = |(agent, _): &&(AgentId, _)| *agent == allocation.agent_id;
        let offer = Arc::new(Offer {
            id: id.clone(),
            framework_id: allocation.framework_id.clone(),
            agent_id: allocation.agent_id.clone(),
            role: allocation.role.clone(),
            resources: allocation.resources.clone(),
            executor_ids: framework
                .executors
                .keys()
                .filter(there)
                .map(|(_, executor)| executor.clone())
                .collect(),
            unavailability: self.maintenance.unavailability(&agent.facts),
            agent: agent.facts.clone(),
        });
        framework.offers.insert(id.clone());
        agent.offers.insert(id.clone());
        self.offers.insert(id.clone(), offer.clone());
        if let Some(timeout) = self.config.offer_timeout {
            self.timers.set(self.now + timeout, Timer::Offer(id));
        }
        if offer.unavailability.is_some() {
            self.ask_back(&offer.agent_id);
        }
        Some(offer)
    }

    pub(crate) fn accept(
        &mut self,
        framework_id: &FrameworkId,
        offer_ids: &[Text],
        operations: &[Operation],
        refuse_seconds: Option<f64>,
    ) {
        for operation in operations {
            if let Operation::Launch(launch) = operation {
                // To launch nothing is to decline.
                self.counters.count(if launch.tasks.is_empty() {
                    "messages_decline_offers"
                } else {
                    "messages_launch_tasks"
                });
            }
        }
        let refused = Some(refused_for(refuse_seconds));
        match self.take_offers(framework_id, offer_ids) {
            Ok(accepted) => self.carry_out(framework_id, accepted, operations, refused),
            Err(fault) => {
                // Nothing was refused: they are offered again with the next batch.
                self.give_back(framework_id, offer_ids, Some(Duration::ZERO));
                for operation in operations {
                    self.refuse_operation(framework_id, operation, &fault);
                }
            }
        }
    }

    pub(crate) fn decline(
        &mut self,
        framework_id: &FrameworkId,
        offer_ids: &[Text],
        refuse_seconds: Option<f64>,
    ) {
        self.counters.count("messages_decline_offers");
        self.give_back(framework_id, offer_ids, Some(refused_for(refuse_seconds)));
    }

    /// Takes back those of the offers that are this framework's.
    fn give_back(&mut self, id: &FrameworkId, offers: &[Text], refused: Option<Duration>) {
        for offer in offers {
            match OfferId::new(offer).ok().filter(|o| self.is_own(id, o)) {
                Some(offer_id) => self.recover_offer(&offer_id, refused),
                None => self.drop_message("offer", format!("offer {offer} is no longer valid")),
            }
        }
    }

    fn is_own(&self, framework_id: &FrameworkId, offer_id: &OfferId) -> bool {
        self.offers
            .get(offer_id)
            .is_some_and(|offer| offer.framework_id == *framework_id)
    }

    /// Takes the offers of an ACCEPT out of the outstanding ones, all of them or none.
    fn take_offers(&mut self, id: &FrameworkId, offer_ids: &[Text]) -> Result<Accepted, String> {
        let offers = self.check_offers(id, offer_ids)?;
        let mut resources = Resources::new();
        for offer in &offers {
            resources.add_all(&offer.resources);
            self.forget_offer(&offer.id);
        }
        let first = offers.into_iter().next().ok_or("No offers specified")?;
        Ok(Accepted {
            agent_id: first.agent_id.clone(),
            role: first.role.clone(),
            offered: resources.clone(),
            shared: resources.shared(),
            resources,
            resized: Resources::new(),
            conversions: Vec::new(),
        })
    }

    /// Checks the offers of an ACCEPT as Mesos does: unique, this framework's, of one role and of
    /// one agent.
    fn check_offers(&self, id: &FrameworkId, texts: &[Text]) -> Result<Vec<Arc<Offer>>, String> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = texts.iter().find(|text| !seen.insert(*text)) {
            return Err(format!("Duplicate offer {twice} in offer list"));
        }
        let offers = texts.iter().map(|text| {
            let offer_id = OfferId::new(text).ok();
            let offer = offer_id.and_then(|offer_id| self.offers.get(&offer_id));
            let gone = || format!("Offer {text} is no longer valid");
            offer.cloned().ok_or_else(gone)
        });
        let offers: Vec<Arc<Offer>> = offers.collect::<Result<_, _>>()?;
        if let Some(other) = offers.iter().find(|offer| offer.framework_id != *id) {
            return Err(format!(
                "Offer {} has invalid framework {} while framework {id} is expected",
                other.id, other.framework_id
            ));
        }
        let first = offers.first().ok_or("No offers specified")?;
        if let Some(other) = offers.iter().find(|offer| offer.role != first.role) {
            return Err(format!(
                "Aggregated offers must be allocated to the same role. Offer {} uses role '{} but \
                 another is using role '{}",
                other.id, other.role, first.role
            ));
        }
        if let Some(other) = offers.iter().find(|offer| offer.agent_id != first.agent_id) {
            return Err(format!(
                "Aggregated offers must belong to one single agent. Offer {} uses agent {} and \
                 agent {}",
                other.id, other.agent_id, first.agent_id
            ));
        }
        Ok(offers)
    }

    /// Answers for an operation on offers that are none.
    fn refuse_operation(&mut self, id: &FrameworkId, operation: &Operation, fault: &str) {
        let refusal = || Refusal {
            state: self.state_for(id, TaskState::Dropped),
            reason: Reason::InvalidOffers,
            message: format!("Task launched with invalid offers: {fault}"),
        };
        match operation {
            Operation::Launch(launch) => self.refuse_tasks(id, &launch.tasks, &refusal()),
            Operation::LaunchGroup(group) => self.refuse_tasks(id, &group.tasks, &refusal()),
            Operation::Resources(operation) => {
                let message = format!("Operation attempted with invalid offers: {fault}");
                self.refuse_change(id, operation.kind, operation.id.as_ref(), message);
            }
            Operation::Unknown => {}
        }
    }

    pub(crate) fn offer_timeout(&mut self, offer_id: &OfferId) {
        if self.offers.contains_key(offer_id) {
            self.rescind(offer_id);
        }
    }

    /// Withdraws an offer and tells its framework.
    pub(crate) fn rescind(&mut self, offer_id: &OfferId) {
        self.rescind_refused(offer_id, None);
    }

    /// Withdraws an offer, as if its framework had refused it for a while.
    pub(crate) fn rescind_refused(&mut self, offer_id: &OfferId, refused: Option<Duration>) {
        let Some(offer) = self.offers.get(offer_id).cloned() else {
            return;
        };
        self.recover_offer(offer_id, refused);
        let offer_id = offer_id.clone();
        self.send(&offer.framework_id, FrameworkEvent::Rescind { offer_id });
    }

    /// Withdraws all offers of an agent.
    pub(crate) fn rescind_offers_of(&mut self, agent_id: &AgentId) {
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        for offer_id in agent.offers.clone() {
            self.rescind(&offer_id);
        }
    }

    /// Takes back all offers of a framework that has no stream to be told on.
    pub(crate) fn recover_offers_of(&mut self, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        for offer_id in framework.offers.clone() {
            self.recover_offer(&offer_id, None);
        }
    }

    /// Takes back an offer.
    fn recover_offer(&mut self, offer_id: &OfferId, refused: Option<Duration>) {
        if let Some(offer) = self.forget_offer(offer_id) {
            let Offer {
                framework_id,
                agent_id,
                resources,
                ..
            } = &*offer;
            self.allocator
                .recover(self.now, framework_id, agent_id, resources, refused);
        }
    }

    fn forget_offer(&mut self, offer_id: &OfferId) -> Option<Arc<Offer>> {
        let offer = self.offers.remove(offer_id)?;
        if let Some(framework) = self.frameworks.get_mut(&offer.framework_id) {
            framework.offers.remove(offer_id);
        }
        if let Some(agent) = self.agents.get_mut(&offer.agent_id) {
            agent.offers.remove(offer_id);
        }
        Some(offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuse_seconds_follow_the_rules_of_mesos() {
        for (given, secs) in [
            (None, 5.0),
            (Some(0.0), 0.0),
            (Some(0.25), 0.25),
            (Some(-1.0), 5.0),
            (Some(f64::NAN), 5.0),
            (Some(f64::INFINITY), 5.0),
            (Some(1e300), 5.0),
            (Some(1e9), 31_536_000.0),
        ] {
            let duration = refused_for(given).as_secs_f64();
            assert!((duration - secs).abs() < 1e-9, "{given:?}: {duration}");
        }
    }
}
