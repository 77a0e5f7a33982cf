//! Garbage collection: which sandboxes go, by their age and by how full the disk is.
//!
//! A sandbox is in use from before it is made to the end of its container. From then on it has an
//! age, and goes once that is past what is allowed (reference, section 8):
//!     allowed = delay * max(0, 1 - headroom - usage)
//! Invariant: a sandbox in use is never given out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::effect::WallTime;

/// The most sandboxes of ended containers that are kept, and remembered; past it the oldest go.
pub const KEPT_MAX: usize = 32_768;

/// A part of a whole, in millionths, from nothing to all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u32);

impl Share {
    /// The whole.
    pub const WHOLE: Self = Self(1_000_000);

    /// So many millionths; more than all is all.
    #[must_use]
    pub const fn millionths(number: u32) -> Self {
        if number < Self::WHOLE.0 {
            Self(number)
        } else {
            Self::WHOLE
        }
    }

    /// `part` of `whole`; nothing of nothing.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        let millionths = u128::from(part) * u128::from(Self::WHOLE.0);
        let share = millionths.checked_div(u128::from(whole)).unwrap_or(0);
        Self::millionths(u32::try_from(share).unwrap_or(Self::WHOLE.0))
    }
}

impl fmt::Display for Share {
    /// As a decimal fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / Self::WHOLE.0, self.0 % Self::WHOLE.0);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{part:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a sandbox is kept on an empty disk.
    pub delay: Duration,
    /// The part of the disk that is to stay free.
    pub headroom: Share,
}

/// The sandboxes of one agent, each by what the shell finds it by.
#[derive(Debug)]
pub struct Gc<S> {
    settings: Settings,
    in_use: BTreeSet<S>,
    /// When the containers of the others ended.
    ended: BTreeMap<S, WallTime>,
    /// The same, the oldest first.
    by_age: BTreeSet<(WallTime, S)>,
}

impl<S: Ord + Clone> Gc<S> {
    /// No sandboxes yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            in_use: BTreeSet::new(),
            ended: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// A container is about to use this sandbox.
    pub fn begun(&mut self, sandbox: S) {
        self.forget(&sandbox);
        self.in_use.insert(sandbox);
    }

    /// The container is gone.
    pub fn ended(&mut self, sandbox: S, at: WallTime) {
        self.in_use.remove(&sandbox);
        self.forget(&sandbox);
        self.schedule(sandbox, at);
    }

    /// A sandbox was found on the disk, with the time of its container's end. What is known of it
    /// already is the better knowledge.
    pub fn found(&mut self, sandbox: S, at: WallTime) {
        if !self.in_use.contains(&sandbox) && !self.ended.contains_key(&sandbox) {
            self.schedule(sandbox, at);
        }
    }

    /// Takes out what is to go now, the oldest first.
    pub fn due(&mut self, now: WallTime, usage: Share) -> Vec<S> {
        let allowed = self.allowed(usage);
        let mut due = Vec::new();
        while let Some((at, sandbox)) = self.by_age.first() {
            let is_old = Duration::from_nanos(now.0.saturating_sub(at.0)) >= allowed;
            if !is_old && self.by_age.len() <= KEPT_MAX {
                break;
            }
            let sandbox = sandbox.clone();
            self.forget(&sandbox);
            due.push(sandbox);
        }
        due
    }

    /// How old a sandbox may be while so much of the disk is used.
    #[must_use]
    pub fn allowed(&self, usage: Share) -> Duration {
        let whole = Share::WHOLE.0;
        let free = whole.saturating_sub(self.settings.headroom.0.saturating_add(usage.0));
        // A millionth of a delay is a good enough unit, and cannot overflow.
        (self.settings.delay / whole).saturating_mul(free)
    }

    /// How many sandboxes wait for their time.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.ended.len()
    }

    fn schedule(&mut self, sandbox: S, at: WallTime) {
        self.by_age.insert((at, sandbox.clone()));
        self.ended.insert(sandbox, at);
    }

    fn forget(&mut self, sandbox: &S) {
        if let Some(at) = self.ended.remove(sandbox) {
            self.by_age.remove(&(at, sandbox.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn gc() -> Gc<u32> {
        Gc::new(Settings {
            delay: Duration::from_secs(10 * 3600),
            headroom: Share::millionths(100_000),
        })
    }

    fn hours(count: u64) -> WallTime {
        WallTime(count * HOUR)
    }

    #[test]
    fn the_fuller_the_disk_the_younger_a_sandbox_goes() {
        let gc = gc();
        for (used, whole, allowed) in [
            (0, 10, 9 * 3600),
            (5, 10, 4 * 3600),
            (9, 10, 0),
            (10, 10, 0),
            (11, 10, 0),
            (0, 0, 9 * 3600),
        ] {
            let usage = Share::of(used, whole);
            assert_eq!(
                gc.allowed(usage),
                Duration::from_secs(allowed),
                "{used}/{whole}"
            );
        }
    }

    #[test]
    fn a_share_is_written_as_a_decimal_fraction() {
        for (millionths, text) in [
            (100_000, "0.1"),
            (0, "0"),
            (1_000_000, "1"),
            (50, "0.00005"),
        ] {
            assert_eq!(format!("{}", Share::millionths(millionths)), text);
        }
    }

    #[test]
    fn sandboxes_go_the_oldest_first_and_those_in_use_never() {
        let mut gc = gc();
        gc.begun(1);
        for sandbox in [3, 2] {
            gc.begun(sandbox);
            gc.ended(sandbox, hours(u64::from(sandbox)));
        }
        assert_eq!(gc.due(hours(10), Share::default()), []);
        assert_eq!(gc.due(hours(11), Share::default()), [2]);
        assert_eq!(gc.due(hours(11), Share::WHOLE), [3]);
        assert_eq!(gc.due(hours(99), Share::WHOLE), []);
        gc.ended(1, hours(99));
        assert_eq!(gc.pending(), 1);
        assert_eq!(gc.due(hours(99), Share::WHOLE), [1]);
        assert_eq!(gc.pending(), 0);
    }

    #[test]
    fn what_is_found_on_the_disk_counts_only_where_nothing_better_is_known() {
        let mut gc = gc();
        gc.begun(1);
        gc.ended(2, hours(50));
        for sandbox in [1, 2, 3] {
            gc.found(sandbox, hours(1));
        }
        assert_eq!(gc.due(hours(51), Share::default()), [3]);
    }

    #[test]
    fn past_the_bound_the_oldest_go_whatever_their_age() {
        let mut gc = gc();
        let extra = 3;
        for sandbox in 0..u32::try_from(KEPT_MAX).unwrap_or(0) + extra {
            gc.ended(sandbox, WallTime(u64::from(sandbox)));
        }
        assert_eq!(gc.due(WallTime(0), Share::default()), [0, 1, 2]);
        assert_eq!(gc.pending(), KEPT_MAX);
    }

    proptest! {
        #[test]
        fn no_order_of_events_gives_out_a_sandbox_in_use(
            events in prop::collection::vec((0u8..4, 0u8..4, 0u64..30), 0..60)
        ) {
            let mut gc = gc();
            let mut in_use = BTreeSet::new();
            for (what, sandbox, at) in events {
                let sandbox = u32::from(sandbox);
                match what {
                    0 => { gc.begun(sandbox); in_use.insert(sandbox); }
                    1 => { gc.ended(sandbox, hours(at)); in_use.remove(&sandbox); }
                    2 => gc.found(sandbox, hours(at)),
                    _ => for gone in gc.due(hours(at), Share::WHOLE) {
                        prop_assert!(!in_use.contains(&gone));
                    },
                }
                prop_assert_eq!(gc.ended.len(), gc.by_age.len());
            }
        }
    }
}
