//! Standing: which master leads, as every part of this one asks it.
//!
//! Invariant: whoever acts as the leader asks [`Standing::check`] first, and finds there the lease
//! that the election gave it last; a process that was stopped reads a clock that went on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use master_core::WallTime;
use model::Instant;
use nix::time::{ClockId, clock_gettime};

use crate::facts::wall_clock;
use crate::flags::Leader;

/// No lease is needed: nobody else can lead, or this master does not.
const ALWAYS: u64 = u64::MAX;

/// Which master leads.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Whether this one does, and has the registry in hand.
    leads: AtomicBool,
    /// When its lease ends, by [`now`].
    until: AtomicU64,
    epoch: AtomicU64,
    /// When it began to lead, in nanoseconds since the Unix epoch.
    since: AtomicU64,
    leader: RwLock<Leader>,
}

/// This master led, and may not act any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseOver;

impl Standing {
    /// One that does not change; `epoch` is this master's, where it leads.
    pub(crate) fn fixed(leader: Leader, epoch: u64) -> Self {
        Self {
            leads: AtomicBool::new(leader == Leader::Own),
            until: AtomicU64::new(ALWAYS),
            epoch: AtomicU64::new(epoch),
            since: AtomicU64::new(wall_clock().0),
            leader: RwLock::new(leader),
        }
    }

    /// One that an election decides; nothing is known yet.
    pub(crate) fn open() -> Self {
        Self::fixed(Leader::Unknown, 0)
    }

    /// Whether this master leads at this moment.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire) && self.check().is_ok()
    }

    /// To be asked before each act of a leader.
    ///
    /// # Errors
    /// The lease is over.
    pub(crate) fn check(&self) -> Result<(), LeaseOver> {
        let until = self.until.load(Ordering::Acquire);
        let is_over = until != ALWAYS && now().as_nanos() >= until;
        if is_over { Err(LeaseOver) } else { Ok(()) }
    }

    /// The leader's epoch, where this master leads; 0 before.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// When this master began to lead; its start, where it never did.
    pub(crate) fn since(&self) -> WallTime {
        WallTime(self.since.load(Ordering::Acquire))
    }

    /// Which master leads.
    pub(crate) fn leader(&self) -> Leader {
        let leader = self.leader.read();
        leader.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The election gave this master a lease.
    pub(super) fn renew(&self, until: Instant) {
        self.until.store(until.as_nanos(), Ordering::Release);
    }

    /// The election took it back, for ever.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Another master leads, or none that is known.
    pub(super) fn follow(&self, leader: Leader) {
        *self.leader.write().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// The registry is read, and the core knows what it holds: requests may come.
    pub(crate) fn lead(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
        self.since.store(wall_clock().0, Ordering::Release);
        self.follow(Leader::Own);
        self.leads.store(true, Ordering::Release);
    }
}

/// The clock of leases: it goes on while this process is stopped and while the machine sleeps.
pub(super) fn now() -> Instant {
    // The clock exists since Linux 2.6.39; without it no lease would ever hold.
    let passed = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(u64::MAX, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds * 1_000_000_000 + nanos
    });
    Instant::from_nanos(passed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_that_is_over_ends_what_its_master_may_do() {
        let standing = Standing::open();
        assert_eq!(standing.check(), Ok(()), "who follows needs none");
        standing.renew(now() + Duration::from_secs(60));
        standing.lead(7);
        assert!(standing.leads());
        assert_eq!(standing.epoch(), 7);
        standing.renew(now());
        assert_eq!(standing.check(), Err(LeaseOver));
        assert!(!standing.leads());
    }

    #[test]
    fn a_master_leads_once_its_registry_is_read_and_not_when_it_is_elected() {
        let standing = Standing::open();
        standing.renew(now() + Duration::from_secs(60));
        assert!(!standing.leads());
        assert_eq!(standing.leader(), Leader::Unknown);
        standing.lead(1);
        standing.end();
        assert!(!standing.leads());
    }
}
