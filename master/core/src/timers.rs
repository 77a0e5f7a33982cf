//! Timers: what is to happen when nothing else does.
//!
//! A timer that goes off after its reason is gone changes nothing: whoever handles it looks whether
//! the instant is still the one it waits for.

use alloc::collections::BTreeSet;

use model::{AgentId, FrameworkId, Instant, OfferId};

use crate::event::StreamId;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The next HEARTBEAT of a stream.
    Heartbeat(StreamId),
    /// A framework has been away for its failover timeout.
    Failover(FrameworkId),
    /// A ping has been out for the ping timeout.
    Ping(AgentId),
    /// An agent of the registry has not come back.
    Recovered(AgentId),
    /// The next agent may be given up.
    Removal,
    /// An offer was neither accepted nor declined.
    Offer(OfferId),
    /// An inverse offer was not answered.
    InverseOffer(OfferId),
    /// A framework did not want to be asked about an agent, for a time that is over.
    AskBack(AgentId, FrameworkId),
}

/// All timers, the next first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// Takes the first timer that is due.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.pop_first()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }
}
