//! Filters: what a framework refused of an agent, and for how long it is not offered again.
//!
//! A filter stands against an offer that it contains; when the agent has more of anything, the
//! offer goes out (reference, section 1.7).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use model::resources::Role;
use model::{AgentId, FrameworkId, Instant, Resources};

type Key = (FrameworkId, Role, AgentId);

/// All filters, and when they end.
#[derive(Debug, Default)]
pub(super) struct Filters {
    filters: BTreeMap<Key, Vec<Filter>>,
    ends: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
struct Filter {
    refused: Resources,
    until: Instant,
}

impl Filters {
    /// Adds a filter; those that it makes superfluous go.
    pub(super) fn add(&mut self, key: Key, refused: Resources, until: Instant) {
        self.ends.insert((until, key.clone()));
        let of_key = self.filters.entry(key).or_default();
        of_key.retain(|old| old.until > until || !refused.contains(&old.refused));
        of_key.push(Filter { refused, until });
    }

    /// Whether the framework refused this much, and that still counts.
    pub(super) fn refuse(&self, now: Instant, key: &Key, offer: &Resources) -> bool {
        self.filters.get(key).is_some_and(|of_key| {
            of_key
                .iter()
                .any(|filter| filter.until > now && filter.refused.contains(offer))
        })
    }

    /// Drops the filters that have ended, and tells whose agents may be offered again.
    pub(super) fn expire(&mut self, now: Instant) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        while let Some((end, _)) = self.ends.first()
            && *end <= now
            && let Some((_, key)) = self.ends.pop_first()
        {
            if let Some(of_key) = self.filters.get_mut(&key) {
                of_key.retain(|filter| filter.until > now);
                if of_key.is_empty() {
                    self.filters.remove(&key);
                }
            }
            agents.insert(key.2);
        }
        agents
    }

    /// When the next filter ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Drops the filters for which `drop` holds.
    pub(super) fn remove(&mut self, drop: impl Fn(&Key) -> bool) {
        self.filters.retain(|key, _| !drop(key));
        self.ends.retain(|(_, key)| !drop(key));
    }
}
