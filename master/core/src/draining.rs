//! Draining: agents of which nothing is offered any more, on an operator's word.
//!
//!     active -> deactivated -> active
//!     active -> DRAINING (its tasks are killed) -> DRAINED -> active | gone
//! An agent that drains is deactivated too. Both outlive this master, and the agent's being
//! unreachable; an agent that comes back is told again that it drains.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;

use model::AgentId;

use crate::Master;
use crate::agents::{Acquaintance, AgentState};
use crate::allocator::Allocator;
use crate::event::{Answer, ClusterEntry, MasterMessage, RequestId, Text, WallTime};
use crate::maintenance::Machine;

/// `AgentInfo.Capability.AGENT_DRAINING`.
const AGENT_DRAINING: i32 = 7;

/// A DrainConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainConfig {
    /// `max_grace_period`, nanoseconds, where set: a bound for every kill's grace period.
    pub max_grace_ns: Option<i64>,
    /// `mark_gone`: what follows when nothing runs there any more.
    pub mark_gone: bool,
}

/// How far an agent has drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainState {
    /// Tasks are ending, or their ends are not acknowledged.
    Draining,
    /// Nothing is left.
    Drained,
}

/// A DrainInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainInfo {
    /// `state`.
    pub state: DrainState,
    /// `config`.
    pub config: DrainConfig,
}

/// An agent that drains, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// What the registry has of it.
    pub info: DrainInfo,
    /// When this master told the agent of it, where it did.
    pub started: Option<WallTime>,
}

/// Whether an agent takes work; what is later takes less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    Active,
    Deactivated,
    Draining,
}

/// All agents that are deactivated.
#[derive(Debug, Default)]
pub(crate) struct Deactivations {
    deactivated: BTreeSet<AgentId>,
    draining: BTreeMap<AgentId, Drain>,
    /// Agents of which something ended: they may have drained.
    unchecked: BTreeSet<AgentId>,
}

impl Deactivations {
    pub(crate) fn is_deactivated(&self, agent_id: &AgentId) -> bool {
        self.deactivated.contains(agent_id)
    }

    pub(crate) fn drain(&self, agent_id: &AgentId) -> Option<Drain> {
        self.draining.get(agent_id).copied()
    }

    pub(crate) fn forget(&mut self, agent_id: &AgentId) {
        self.deactivated.remove(agent_id);
        self.draining.remove(agent_id);
        self.unchecked.remove(agent_id);
    }

    fn is_draining(&self, agent_id: &AgentId) -> bool {
        let drain = self.draining.get(agent_id);
        drain.is_some_and(|drain| drain.info.state == DrainState::Draining)
    }
}

impl Master {
    pub(crate) fn drain_agent(&mut self, request: RequestId, agent: &Text, config: DrainConfig) {
        match self.check_drain(agent) {
            Ok(agent_id) => {
                // Where nothing is left already nothing more may begin while this is written.
                let is_over = !config.mark_gone && self.is_empty(&agent_id);
                if is_over {
                    self.withhold(&agent_id);
                }
                let state = match is_over {
                    true => DrainState::Drained,
                    false => DrainState::Draining,
                };
                let info = DrainInfo { state, config };
                let entries = vec![
                    ClusterEntry::Deactivated(agent_id.clone()),
                    ClusterEntry::Draining(agent_id, info),
                ];
                self.store_cluster(entries, Some(request));
            }
            Err(answer) => self.answer(request, answer),
        }
    }

    fn check_drain(&self, text: &Text) -> Result<AgentId, Answer> {
        let refuse = |fault: String| Err(Answer::BadRequest(fault));
        let id = AgentId::new(text).ok();
        if let Some(agent) = id.as_ref().and_then(|id| self.agents.get(id)) {
            let machine = Machine::of(&agent.facts);
            let plan = self.maintenance.coming();
            let mut scheduled = plan.schedule.windows.iter().flat_map(|w| &w.machines);
            if scheduled.any(|other| *other == machine) {
                return refuse(format!(
                    "Agent {text} is part of a maintenance schedule under Machine {machine}"
                ));
            }
            if !agent.facts.capabilities.contains(&AGENT_DRAINING) {
                return refuse(format!("Agent {text} is not capable of draining"));
            }
        }
        match id.filter(|id| self.is_known(id)) {
            Some(id) if self.is_being_marked_gone(&id) => Err(Answer::Conflict(
                "Agent is currently being marked gone".into(),
            )),
            Some(id) => Ok(id),
            None => refuse("Unknown agent".into()),
        }
    }

    pub(crate) fn deactivate_agent(&mut self, request: RequestId, agent: &Text) {
        match AgentId::new(agent).ok().filter(|id| self.is_known(id)) {
            Some(id) => self.store_cluster(vec![ClusterEntry::Deactivated(id)], Some(request)),
            None => self.answer(request, Answer::BadRequest("Unknown agent".into())),
        }
    }

    pub(crate) fn reactivate_agent(&mut self, request: RequestId, agent: &Text) {
        let id = AgentId::new(agent).ok();
        let coming = |id: AgentId| Some((self.coming_activity(&id), id));
        let fault = match id.and_then(coming) {
            None | Some((Activity::Active, _)) => "Agent is not deactivated",
            Some((Activity::Draining, _)) => "Agent is still in the DRAINING state",
            Some((Activity::Deactivated, id)) => {
                self.store_cluster(vec![ClusterEntry::Reactivated(id)], Some(request));
                return;
            }
        };
        self.answer(request, Answer::BadRequest(fault.into()));
    }

    /// What an agent will be when all writes on their way are durable: what the next request is
    /// checked against, so that two that meet do not undo each other.
    fn coming_activity(&self, agent_id: &AgentId) -> Activity {
        let activity = if self.deactivations.is_draining(agent_id) {
            Activity::Draining
        } else if self.deactivations.is_deactivated(agent_id) {
            Activity::Deactivated
        } else {
            Activity::Active
        };
        let coming = self.registrar.cluster_entries();
        coming.fold(activity, |activity, entry| match entry {
            ClusterEntry::Draining(id, info) if id == agent_id => match info.state {
                DrainState::Draining => Activity::Draining,
                DrainState::Drained => Activity::Deactivated,
            },
            ClusterEntry::Deactivated(id) if id == agent_id => activity.max(Activity::Deactivated),
            ClusterEntry::Reactivated(id) if id == agent_id => Activity::Active,
            _ => activity,
        })
    }

    /// Whether an agent is registered, expected back or unreachable.
    pub(crate) fn is_known(&self, agent_id: &AgentId) -> bool {
        self.agents.contains_key(agent_id)
            || self.recovered_agents.contains_key(agent_id)
            || self.unreachable_agents.get(agent_id).is_some()
    }

    /// Whether resources of an agent may be offered.
    pub(crate) fn is_active(&self, agent_id: &AgentId) -> bool {
        self.is_connected(agent_id) && !self.deactivations.is_deactivated(agent_id)
    }

    /// Lets an agent's resources be offered, if they may: one that may not know its id yet waits.
    pub(crate) fn activate_agent(&mut self, agent_id: &AgentId) {
        let agent = self.agents.get(agent_id);
        let is_known = agent.is_some_and(|agent| agent.acquaintance == Acquaintance::Known);
        if is_known && self.is_active(agent_id) {
            self.allocator.activate_agent(self.now, agent_id);
            self.ask_back(agent_id);
        }
    }

    pub(crate) fn put_deactivated(&mut self, agent_id: AgentId) {
        if !self.is_known(&agent_id) {
            // It was removed while this was written.
            self.store_cluster(vec![ClusterEntry::Reactivated(agent_id)], None);
            return;
        }
        self.withhold(&agent_id);
        if self.deactivations.deactivated.insert(agent_id.clone()) {
            self.note_agent(&agent_id, "deactivated");
        }
    }

    /// Offers nothing of an agent, and takes back what is offered.
    fn withhold(&mut self, agent_id: &AgentId) {
        self.allocator.deactivate_agent(agent_id);
        self.rescind_offers_of(agent_id);
        self.rescind_inverse_offers_of(agent_id);
    }

    pub(crate) fn put_draining(&mut self, agent_id: AgentId, info: DrainInfo) {
        if !self.is_known(&agent_id) {
            return;
        }
        let draining = self.deactivations.drain(&agent_id);
        let is_end = info.state == DrainState::Drained && draining.is_some();
        let started = match draining {
            Some(drain) if is_end => drain.started,
            Some(_) | None => {
                let is_here = self.agents.contains_key(&agent_id);
                is_here.then(|| self.wall_time())
            }
        };
        let drain = Drain { info, started };
        self.deactivations.draining.insert(agent_id.clone(), drain);
        if !is_end {
            self.tell_drain(&agent_id);
        }
        match info.state {
            DrainState::Draining => {
                self.note_agent(&agent_id, "draining");
                self.deactivations.unchecked.insert(agent_id);
            }
            DrainState::Drained => self.note_agent(&agent_id, "drained"),
        }
    }

    pub(crate) fn put_reactivated(&mut self, agent_id: &AgentId) {
        self.deactivations.forget(agent_id);
        self.note_agent(agent_id, "reactivated");
        // Where it is to be deactivated next nothing may begin on it meanwhile.
        if self.coming_activity(agent_id) == Activity::Active {
            self.activate_agent(agent_id);
        }
    }

    /// Tells an agent that it drains, if it does.
    pub(crate) fn tell_drain(&mut self, agent_id: &AgentId) {
        if let Some(drain) = self.deactivations.drain(agent_id) {
            let config = drain.info.config;
            self.send_to_agent(agent_id, MasterMessage::DrainAgent { config });
        }
    }

    /// Something ended on an agent, or it told what it has.
    pub(crate) fn may_have_drained(&mut self, agent_id: &AgentId) {
        if self.deactivations.is_draining(agent_id) {
            self.deactivations.unchecked.insert(agent_id.clone());
        }
    }

    /// Whether nothing is left on a registered agent.
    fn is_empty(&self, agent_id: &AgentId) -> bool {
        self.agents.get(agent_id).is_some_and(|agent| {
            let stays = !matches!(agent.state, AgentState::Leaving { .. });
            let mut operations = self.operations.of_agent(agent_id);
            stays && agent.tasks.is_empty() && operations.next().is_none()
        })
    }

    /// Agents on which nothing is left have drained.
    pub(crate) fn check_drains(&mut self) {
        for agent_id in core::mem::take(&mut self.deactivations.unchecked) {
            let Some(drain) = self.deactivations.drain(&agent_id) else {
                continue;
            };
            let is_over = self.is_empty(&agent_id);
            // A write about the agent comes first; after it this is looked at again.
            let waits = self.registrar.is_busy(&agent_id);
            if drain.info.state == DrainState::Drained || !is_over || waits {
                continue;
            }
            if drain.info.config.mark_gone {
                self.mark_gone(agent_id, None);
            } else {
                let state = DrainState::Drained;
                let info = DrainInfo {
                    state,
                    config: drain.info.config,
                };
                self.store_cluster(vec![ClusterEntry::Draining(agent_id, info)], None);
            }
        }
    }
}
