//! Admission: how an agent becomes one of the registered.
//!
//!     registered frame -> (registry) -> admitted, and told so
//! A write to the registry comes first wherever it does not hold the agent as it is now.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use model::{AgentId, Blob, Resources};

use crate::Master;
use crate::agents::{Acquaintance, Agent, AgentState, Ping, RecoveredAgent};
use crate::allocator::Allocator;
use crate::event::{
    AgentFacts, Change, Effect, LinkId, MasterMessage, Registration, Registry, RegistryChange,
    StoreId,
};
use crate::gone::GONE;
use crate::maintenance::Machine;
use crate::registry::{Admission, Follow, RemovalCause};
use crate::timers::Timer;

/// Where an agent comes from that is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is new.
    Fresh,
    /// It was registered with this master all the time.
    Registered,
    /// It was registered with the master before.
    Recovered,
    /// It was given up.
    Unreachable,
    /// It is not known, or not any more.
    Unknown,
}

impl Master {
    pub(crate) fn recovered(&mut self, registry: Registry) {
        self.has_recovered = true;
        for (agent_id, info) in registry.admitted {
            self.expect_back(agent_id, info);
        }
        for (agent_id, since) in registry.unreachable {
            self.unreachable_agents.insert(agent_id, since);
        }
        for (agent_id, since) in registry.gone {
            self.gone_agents.insert(agent_id, since);
        }
        self.apply_cluster(registry.cluster);
        self.pause_for_quota();
    }

    /// What roles have is known only when the agents are back: guarantees would be met again with
    /// what others had.
    fn pause_for_quota(&mut self) {
        if !self.quotas.by_role().is_empty() {
            let until = self.now + self.config.allocator_recovery_timeout;
            let part = self.config.allocator_agent_recovery_factor.thousandths();
            let part = usize::try_from(part).unwrap_or(0);
            let agents = self.recovered_agents.len().saturating_mul(part) / 1000;
            self.allocator.pause(until, agents);
        }
    }

    /// Waits for an agent of the registry.
    pub(crate) fn expect_back(&mut self, agent_id: AgentId, info: Blob) {
        let until = self.now + self.config.agent_reregister_timeout;
        self.timers.set(until, Timer::Recovered(agent_id.clone()));
        let agent = RecoveredAgent { info, until };
        self.recovered_agents.insert(agent_id, agent);
    }

    pub(crate) fn register(&mut self, link: LinkId, incarnation: u64, registration: Registration) {
        if !self.has_recovered {
            let reason = "the master has not read its registry yet".into();
            self.refuse(link, incarnation, reason);
            return;
        }
        if self.links.contains_key(&link) {
            self.drop_message("registration", "the link is registered already".into());
            return;
        }
        if self.refuse_if_down(link, incarnation, &registration)
            || self.refuse_by_domain(link, incarnation, &registration)
        {
            return;
        }
        match registration.agent_id.clone() {
            None => {
                self.counters.count("messages_register_slave");
                if self.is_overtaken(link, &registration) {
                    let why = "the agent at its address came by a later link";
                    self.drop_message("registration", why.into());
                    self.close_link(link);
                    return;
                }
                if let Some(agent_id) = self.next_agent_id() {
                    self.remove_predecessor(&registration);
                    self.admit_when_stored(Admission {
                        agent_id,
                        link,
                        incarnation,
                        registration,
                    });
                }
            }
            Some(agent_id) => {
                self.counters.count("messages_reregister_slave");
                self.register_again(Admission {
                    agent_id,
                    link,
                    incarnation,
                    registration,
                });
            }
        }
    }

    /// The next id that nobody has, not even someone who made it up.
    fn next_agent_id(&mut self) -> Option<AgentId> {
        loop {
            let number = self.next_agent;
            self.next_agent = number.saturating_add(1);
            let id = AgentId::new(&format!("{}-S{number}", self.config.master_id)).ok()?;
            let is_known = self.agents.contains_key(&id)
                || self.recovered_agents.contains_key(&id)
                || self.unreachable_agents.get(&id).is_some()
                || self.gone_agents.get(&id).is_some()
                || self.registrar.is_busy(&id);
            if !is_known {
                return Some(id);
            }
        }
    }

    /// Whether the agent at this address is here by a link that was opened later: what is heard on
    /// the older one is late, and of a program that is no more.
    fn is_overtaken(&self, link: LinkId, registration: &Registration) -> bool {
        let at_address = self.addresses.get(&registration.address);
        let agent = at_address.and_then(|id| self.agents.get(id));
        agent
            .and_then(|agent| agent.link())
            .is_some_and(|current| link < current)
    }

    /// An agent without an id at the address of a registered one: that one has lost its memory.
    pub(crate) fn remove_predecessor(&mut self, registration: &Registration) {
        let at_address = self.addresses.get(&registration.address).cloned();
        if let Some(agent_id) = at_address.filter(|id| !self.registrar.is_busy(id)) {
            self.remove_when_stored(&agent_id, RemovalCause::Replaced);
        }
    }

    pub(crate) fn register_again(&mut self, admission: Admission) {
        let agent_id = &admission.agent_id;
        if self.gone_agents.get(agent_id).is_some() {
            self.refuse_for_good(admission.link, admission.incarnation, GONE.into());
            return;
        }
        if self.registrar.is_busy(agent_id) {
            self.links.insert(admission.link, agent_id.clone());
            if let Some(older) = self.registrar.wait(admission) {
                self.close_link(older.link);
            }
            return;
        }
        let info = &admission.registration.info;
        let is_stored = match self.agents.get(agent_id) {
            Some(agent) if admission.incarnation < agent.incarnation => {
                let reason = format!(
                    "agent {agent_id} was seen in incarnation {}",
                    agent.incarnation
                );
                self.refuse(admission.link, admission.incarnation, reason);
                return;
            }
            Some(agent) => agent.facts.info == *info,
            None => self
                .recovered_agents
                .get(agent_id)
                .is_some_and(|recovered| recovered.info == *info),
        };
        if is_stored {
            self.links.insert(admission.link, agent_id.clone());
            self.admit(admission);
        } else {
            self.admit_when_stored(admission);
        }
    }

    pub(crate) fn admit_when_stored(&mut self, admission: Admission) {
        self.links
            .insert(admission.link, admission.agent_id.clone());
        let change = RegistryChange::Admit {
            agent_id: admission.agent_id.clone(),
            info: admission.registration.info.clone(),
        };
        self.store(change, Follow::Admit(admission));
    }

    pub(crate) fn store(&mut self, change: RegistryChange, follow: Follow) {
        let agent_id = match &change {
            RegistryChange::Admit { agent_id, .. }
            | RegistryChange::MarkUnreachable { agent_id, .. }
            | RegistryChange::MarkGone { agent_id, .. }
            | RegistryChange::Remove { agent_id } => agent_id.clone(),
            // These do not come this way: `Master::store_cluster`.
            RegistryChange::Cluster(_) => return,
        };
        let store = self.registrar.start(agent_id, follow);
        self.out.push(Effect::Store { store, change });
    }

    pub(crate) fn stored(&mut self, store: StoreId) {
        if let Some(pending) = self.registrar.stored_cluster(store) {
            self.cluster_stored(pending);
            return;
        }
        let Some((agent_id, follow, waiting)) = self.registrar.stored(store) else {
            return;
        };
        match follow {
            Follow::Admit(admission) => {
                if self.links.get(&admission.link) == Some(&agent_id)
                    && self.refuse_if_down(
                        admission.link,
                        admission.incarnation,
                        &admission.registration,
                    )
                {
                    self.admitted_without_link(admission);
                    // One that was registered when its machine went down is removed now.
                    if self.agents.contains_key(&agent_id) {
                        self.remove_when_stored(&agent_id, RemovalCause::MachineDown);
                    }
                } else if self.links.get(&admission.link) == Some(&agent_id) {
                    self.admit(admission);
                } else {
                    self.admitted_without_link(admission);
                }
            }
            Follow::Unreachable(since) => self.marked_unreachable(&agent_id, since),
            Follow::Remove(cause) => self.removed(&agent_id, cause),
            Follow::Gone { since, request } => self.marked_gone(&agent_id, since, request),
            Follow::Nothing => {}
        }
        // One whose link ended while it waited is void: its agent asks again on the next link.
        if let Some(admission) = waiting
            && self.links.remove(&admission.link).is_some()
        {
            self.register_again(admission);
        }
    }

    /// The link broke before the agent was told that it is admitted.
    pub(crate) fn admitted_without_link(&mut self, admission: Admission) {
        let Admission {
            agent_id,
            registration,
            ..
        } = admission;
        if registration.agent_id.is_none() {
            // It never learned this id, and will ask for another.
            let change = RegistryChange::Remove { agent_id };
            self.store(change, Follow::Nothing);
        } else if !self.agents.contains_key(&agent_id) {
            self.unreachable_agents.remove(&agent_id);
            self.expect_back(agent_id, registration.info);
        }
    }

    /// Makes an agent one of the registered, with all that it tells of.
    pub(crate) fn admit(&mut self, admission: Admission) {
        let Admission {
            agent_id,
            link,
            incarnation,
            registration,
        } = admission;
        let origin = self.origin(&agent_id, &registration);
        self.spare(&agent_id);
        if origin == Origin::Registered {
            self.rescind_offers_of(&agent_id);
        }
        self.take_link(&agent_id, link);
        self.put_agent(&agent_id, link, incarnation, &registration);
        self.set_total(&agent_id, registration.total());
        let message = MasterMessage::Registered {
            agent_id: agent_id.clone(),
            total_ping_timeout: self
                .config
                .agent_ping_timeout
                .saturating_mul(self.config.max_agent_ping_timeouts),
        };
        self.send_to_agent(&agent_id, message);
        let change = if origin == Origin::Fresh {
            self.counters.count("slave_registrations");
            "registered"
        } else {
            self.counters.count("slave_reregistrations");
            "registered again"
        };
        self.note_agent(&agent_id, change);
        if origin != Origin::Registered {
            let agent_id = agent_id.clone();
            self.publish(Change::AgentAdded { agent_id });
        }
        let attributes = registration.attributes.clone();
        let capabilities = Arc::clone(&registration.capabilities);
        self.allocator
            .describe_agent(&agent_id, attributes, &capabilities);
        self.learn(&agent_id, &registration, origin);
        self.recheck_unavailability(&agent_id);
        if origin != Origin::Fresh {
            self.activate_agent(&agent_id);
        }
        self.tell_drain(&agent_id);
        self.may_have_drained(&agent_id);
        self.ping(&agent_id);
    }

    pub(crate) fn origin(&mut self, agent_id: &AgentId, registration: &Registration) -> Origin {
        if registration.agent_id.is_none() {
            return Origin::Fresh;
        }
        if self.agents.contains_key(agent_id) {
            return Origin::Registered;
        }
        match self.recovered_agents.remove(agent_id) {
            Some(recovered) => {
                let timer = Timer::Recovered(agent_id.clone());
                self.timers.cancel(recovered.until, timer);
                Origin::Recovered
            }
            None => match self.unreachable_agents.remove(agent_id) {
                Some(_) => Origin::Unreachable,
                None => Origin::Unknown,
            },
        }
    }

    /// Ends the link that an agent had before this one.
    pub(crate) fn take_link(&mut self, agent_id: &AgentId, link: LinkId) {
        let old = self.agents.get(agent_id).and_then(|agent| agent.link());
        if let Some(old) = old.filter(|old| *old != link) {
            self.close_link(old);
        }
    }

    /// An agent has this from now on; it is there once, for the allocator and for all others.
    pub(crate) fn set_total(&mut self, agent_id: &AgentId, total: Resources) {
        self.allocator.set_agent(self.now, agent_id, total);
        if let Some(agent) = self.agents.get_mut(agent_id)
            && let Some(total) = self.allocator.total(agent_id)
        {
            agent.total = Arc::clone(total);
        }
    }

    pub(crate) fn put_agent(
        &mut self,
        agent_id: &AgentId,
        link: LinkId,
        incarnation: u64,
        registration: &Registration,
    ) {
        let now = self.wall_time();
        let facts = Arc::new(AgentFacts {
            hostname: registration.hostname.clone(),
            address: registration.address.clone(),
            version: registration.version.clone(),
            capabilities: registration.capabilities.clone(),
            attributes: registration.attributes.clone(),
            info: registration.info.clone(),
            in_offers: registration.in_offers.clone(),
        });
        let known = self.agents.remove(agent_id);
        if let Some(known) = &known {
            self.addresses.remove(&known.facts.address);
            if known.facts.info != facts.info {
                self.allocator.clear_filters(self.now, agent_id);
            }
            self.timers
                .cancel(known.ping.until, Timer::Ping(agent_id.clone()));
        }
        if !facts.address.is_empty() {
            self.addresses
                .insert(facts.address.clone(), agent_id.clone());
        }
        let again = known.is_some() || registration.agent_id.is_some();
        let (registered_time, tasks, executors, kills, sequence) = match known {
            Some(agent) => (
                agent.registered_time,
                agent.tasks,
                agent.executors,
                agent.kills,
                agent.ping.sequence,
            ),
            None => (now, BTreeSet::new(), BTreeSet::new(), BTreeMap::new(), 0),
        };
        let agent = Agent {
            id: agent_id.clone(),
            facts,
            // It is set when the allocator knows it.
            total: Arc::default(),
            state: AgentState::Connected { link },
            registered_time,
            reregistered_time: again.then_some(now),
            tasks,
            executors,
            offers: BTreeSet::new(),
            kills,
            resource_version: registration.resource_version.clone(),
            incarnation,
            ping: Ping {
                sequence,
                answered: true,
                missed: 0,
                until: self.now,
            },
            acquaintance: match &registration.agent_id {
                Some(_) => Acquaintance::Known,
                None => Acquaintance::Named,
            },
        };
        self.agents.insert(agent_id.clone(), Box::new(agent));
    }

    /// Refuses whoever is on a machine that is down: an agent of before for good, and one that has
    /// no id yet until the machine is up again.
    fn refuse_if_down(
        &mut self,
        link: LinkId,
        incarnation: u64,
        registration: &Registration,
    ) -> bool {
        let machine = Machine::at(&registration.hostname, &registration.address);
        if !self.maintenance.is_down(&machine) {
            return false;
        }
        let reason = "Machine is `DOWN`".into();
        if registration.agent_id.is_some() {
            self.refuse_for_good(link, incarnation, reason);
        } else {
            self.refuse(link, incarnation, reason);
        }
        true
    }

    /// Refuses whoever has a domain where this master has none, since it cannot tell how far away that
    /// is, and whoever has none where it must. What runs there goes on: the agent may be given another
    /// domain without losing its tasks.
    fn refuse_by_domain(
        &mut self,
        link: LinkId,
        incarnation: u64,
        registration: &Registration,
    ) -> bool {
        let own = &self.config.region;
        let reason = match &registration.attributes.region {
            Some(region) if own.is_none() => {
                format!(
                    "the agent has a domain, in region {region}, and the master has none: give the \
                     master --domain, or take it from the agent"
                )
            }
            None if self.config.require_agent_domain => {
                "the agent has no domain, and the master wants one (--require_agent_domain): give the \
                 agent --domain"
                    .into()
            }
            Some(_) | None => return false,
        };
        self.refuse(link, incarnation, reason);
        true
    }

    pub(crate) fn refuse(&mut self, link: LinkId, incarnation: u64, reason: String) {
        let is_final = false;
        self.refuse_with(
            link,
            incarnation,
            MasterMessage::Refused { reason, is_final },
        );
    }

    /// Refuses an agent that is to end its tasks and to forget its id.
    pub(crate) fn refuse_for_good(&mut self, link: LinkId, incarnation: u64, reason: String) {
        let is_final = true;
        self.refuse_with(
            link,
            incarnation,
            MasterMessage::Refused { reason, is_final },
        );
    }

    fn refuse_with(&mut self, link: LinkId, incarnation: u64, message: MasterMessage) {
        self.out.push(Effect::ToAgent {
            link,
            epoch: self.config.epoch,
            incarnation,
            message,
        });
        self.close_link(link);
    }
}
