//! The rate at which agents that do not answer are given up, where the operator bounds it.
//!
//! A fault of the network must not cost a cluster all its tasks at once: agents wait for their turn,
//! and one that answers meanwhile is spared.

use alloc::collections::BTreeMap;
use core::time::Duration;

use model::{AgentId, Instant};

use crate::Master;
use crate::agents::Acquaintance;
use crate::registry::RemovalCause;
use crate::timers::Timer;

/// `--agent_removal_rate_limit`: so many agents in so long a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalRate {
    /// How many.
    pub agents: u32,
    /// In how long.
    pub per: Duration,
}

/// Agents that wait to be given up, the first first.
#[derive(Debug)]
pub(crate) struct RemovalLimit {
    /// The time between two of them; none: nobody waits.
    pause: Option<Duration>,
    /// When the next may go.
    next: Instant,
    arrivals: u64,
    queue: BTreeMap<u64, AgentId>,
    places: BTreeMap<AgentId, u64>,
}

impl RemovalLimit {
    pub(crate) fn new(rate: Option<RemovalRate>) -> Self {
        Self {
            pause: rate.map(|rate| rate.per / rate.agents.max(1)),
            next: Instant::ZERO,
            arrivals: 0,
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    fn add(&mut self, agent_id: &AgentId) {
        self.arrivals = self.arrivals.saturating_add(1);
        self.queue.insert(self.arrivals, agent_id.clone());
        self.places.insert(agent_id.clone(), self.arrivals);
    }

    fn remove(&mut self, agent_id: &AgentId) -> bool {
        let place = self.places.remove(agent_id);
        place.is_some_and(|place| self.queue.remove(&place).is_some())
    }

    fn take_first(&mut self) -> Option<AgentId> {
        let (_, agent_id) = self.queue.pop_first()?;
        self.places.remove(&agent_id);
        Some(agent_id)
    }
}

impl Master {
    /// Gives an agent up as soon as the rate allows it.
    pub(crate) fn give_up_in_turn(&mut self, agent_id: &AgentId) {
        if self.removal_limit.places.contains_key(agent_id) {
            return;
        }
        self.counters.count("slave_unreachable_scheduled");
        if self.removal_limit.pause.is_none() {
            self.give_up(agent_id);
            return;
        }
        self.removal_limit.add(agent_id);
        if self.removal_limit.queue.len() == 1 {
            let turn = self.removal_limit.next.max(self.now);
            self.timers.set(turn, Timer::Removal);
        }
    }

    /// An agent has answered, or is back.
    pub(crate) fn spare(&mut self, agent_id: &AgentId) {
        if self.removal_limit.remove(agent_id) {
            self.counters.count("slave_unreachable_canceled");
            self.note_agent(agent_id, "answered before it was given up");
        }
    }

    /// The next agent's turn has come.
    pub(crate) fn removal_due(&mut self) {
        let Some(pause) = self.removal_limit.pause else {
            return;
        };
        // Those that others removed meanwhile take nobody's turn.
        while let Some(agent_id) = self.removal_limit.take_first() {
            if self.is_overdue(&agent_id) {
                self.give_up(&agent_id);
                self.removal_limit.next = self.now + pause;
                break;
            }
        }
        if !self.removal_limit.queue.is_empty() {
            let turn = self.removal_limit.next.max(self.now);
            self.timers.set(turn, Timer::Removal);
        }
    }

    /// Whether an agent is to be given up still.
    fn is_overdue(&self, agent_id: &AgentId) -> bool {
        let max = self.config.max_agent_ping_timeouts;
        let silent = self.agents.get(agent_id).is_some_and(|a| a.is_silent(max));
        (silent || self.recovered_agents.contains_key(agent_id))
            && !self.registrar.is_busy(agent_id)
    }

    fn give_up(&mut self, agent_id: &AgentId) {
        let agent = self.agents.get(agent_id);
        if agent.is_some_and(|agent| agent.acquaintance == Acquaintance::Named) {
            // It may never have learned this id, under which nothing was started.
            return self.remove_when_stored(agent_id, RemovalCause::Unregistered);
        }
        self.leave(agent_id);
        self.mark_unreachable(agent_id);
    }
}
