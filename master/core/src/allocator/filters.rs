//! Filters: what a framework refused of an agent, and for how long it is not offered again.
//!
//! A filter stands against an offer that it contains; when the agent has more of anything, the
//! offer goes out (reference, section 1.7). Those who refused the same of an agent are kept together:
//! whom a visit of the agent can pass over is found for all of them at once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use model::resources::Role;
use model::{Instant, Resources};

use super::bits::Bits;
use super::shares::ClientId;
use super::slots::index;

/// The number of an agent.
pub(super) type AgentSlot = u32;

/// All filters, and when they end.
#[derive(Debug, Default)]
pub(super) struct Filters {
    by_agent: Vec<Vec<Refusal>>,
    by_client: BTreeMap<ClientId, OfClient>,
    ends: BTreeSet<(Instant, AgentSlot, ClientId)>,
    counts: BTreeMap<Role, usize>,
}

/// Of which agents a client refused something.
#[derive(Debug)]
struct OfClient {
    role: Role,
    agents: BTreeSet<AgentSlot>,
}

/// What was refused of an agent, by whom, and until when.
#[derive(Debug)]
struct Refusal {
    refused: Resources,
    clients: Bits,
    /// By client.
    until: Vec<(ClientId, Instant)>,
}

impl Refusal {
    fn place(&self, client: ClientId) -> Result<usize, usize> {
        self.until.binary_search_by_key(&client, |(id, _)| *id)
    }

    fn until(&self, client: ClientId) -> Option<Instant> {
        let at = self.place(client).ok()?;
        self.until.get(at).map(|(_, until)| *until)
    }

    fn remove(&mut self, client: ClientId) {
        if let Ok(at) = self.place(client) {
            self.until.remove(at);
            self.clients.remove(client);
        }
    }
}

impl Filters {
    /// Adds a filter; those of the same client that it makes superfluous go.
    pub(super) fn add(
        &mut self,
        agent: AgentSlot,
        client: ClientId,
        role: &Role,
        refused: &Resources,
        until: Instant,
    ) {
        let superfluous = |r: &Refusal| {
            r.until(client).is_some_and(|old| old <= until) && refused.contains(&r.refused)
        };
        self.take(agent, client, superfluous);
        let at = index(agent);
        if at >= self.by_agent.len() {
            self.by_agent.resize_with(at.saturating_add(1), Vec::new);
        }
        let Some(refusals) = self.by_agent.get_mut(at) else {
            return;
        };
        let refusal = match refusals.iter().position(|r| r.refused == *refused) {
            Some(at) => refusals.get_mut(at),
            None => {
                refusals.push(Refusal {
                    refused: refused.clone(),
                    clients: Bits::default(),
                    until: Vec::new(),
                });
                refusals.last_mut()
            }
        };
        let Some(refusal) = refusal else {
            return;
        };
        // One that is there still is one that lasts longer.
        if let Err(at) = refusal.place(client) {
            refusal.until.insert(at, (client, until));
            refusal.clients.insert(client);
            self.ends.insert((until, agent, client));
            let count = self.counts.entry(role.clone()).or_default();
            *count = count.saturating_add(1);
            let of_client = self.by_client.entry(client).or_insert_with(|| OfClient {
                role: role.clone(),
                agents: BTreeSet::new(),
            });
            of_client.agents.insert(agent);
        }
    }

    /// Whether a client refused anything of an agent.
    pub(super) fn has(&self, agent: AgentSlot, client: ClientId) -> bool {
        let mut refusals = self.by_agent.get(index(agent)).into_iter().flatten();
        refusals.any(|refusal| refusal.clients.contains(client))
    }

    /// Whether a client refused this much of an agent, and that still counts.
    pub(super) fn refuse(&self, agent: AgentSlot, client: ClientId, offer: &Resources) -> bool {
        let mut refusals = self.by_agent.get(index(agent)).into_iter().flatten();
        refusals.any(|r| r.clients.contains(client) && r.refused.contains(offer))
    }

    /// Puts those into `refusers` who refused all of this, and so any part of it.
    pub(super) fn refusers(&self, agent: AgentSlot, offer: &Resources, refusers: &mut Bits) {
        refusers.clear();
        for refusal in self.by_agent.get(index(agent)).into_iter().flatten() {
            if refusal.refused.contains(offer) {
                refusers.add_all(&refusal.clients);
            }
        }
    }

    /// Drops the filters that have ended, and tells whose agents may be offered again.
    pub(super) fn expire(&mut self, now: Instant) -> BTreeSet<AgentSlot> {
        let mut agents = BTreeSet::new();
        while let Some((end, agent, client)) = self.ends.first().copied()
            && end <= now
        {
            self.ends.pop_first();
            self.take(agent, client, |refusal| {
                refusal.until(client).is_some_and(|until| until <= now)
            });
            agents.insert(agent);
        }
        agents
    }

    /// When the next filter ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _, _)| *end)
    }

    /// How many filters there are in each role that has any.
    pub(super) const fn counts(&self) -> &BTreeMap<Role, usize> {
        &self.counts
    }

    /// Drops the filters of a client.
    pub(super) fn remove_client(&mut self, client: ClientId) {
        let agents = self.by_client.get(&client).map(|of| of.agents.clone());
        for agent in agents.unwrap_or_default() {
            self.take(agent, client, |_| true);
        }
    }

    /// Drops the filters against offers of an agent.
    pub(super) fn remove_agent(&mut self, agent: AgentSlot) {
        let refusals = self.by_agent.get(index(agent)).into_iter().flatten();
        let clients: BTreeSet<ClientId> = refusals
            .flat_map(|refusal| refusal.until.iter().map(|(client, _)| *client))
            .collect();
        for client in clients {
            self.take(agent, client, |_| true);
        }
    }

    /// Takes those filters of a client out for which `drop` holds.
    fn take(&mut self, agent: AgentSlot, client: ClientId, drop: impl Fn(&Refusal) -> bool) {
        let Some(refusals) = self.by_agent.get_mut(index(agent)) else {
            return;
        };
        let mut dropped = 0_usize;
        let mut is_left = false;
        for refusal in refusals.iter_mut() {
            let Some(until) = refusal.until(client) else {
                continue;
            };
            if !drop(refusal) {
                is_left = true;
                continue;
            }
            self.ends.remove(&(until, agent, client));
            refusal.remove(client);
            dropped = dropped.saturating_add(1);
        }
        if dropped == 0 {
            return;
        }
        if is_left {
            // Another filter may end when one did that is gone.
            let left = refusals.iter().filter_map(|refusal| refusal.until(client));
            self.ends.extend(left.map(|until| (until, agent, client)));
        }
        refusals.retain(|refusal| !refusal.until.is_empty());
        let Some(of_client) = self.by_client.get_mut(&client) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&of_client.role) {
            *count = count.saturating_sub(dropped);
            if *count == 0 {
                self.counts.remove(&of_client.role);
            }
        }
        if !is_left {
            of_client.agents.remove(&agent);
            if of_client.agents.is_empty() {
                self.by_client.remove(&client);
            }
        }
    }
}
