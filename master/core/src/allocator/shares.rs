//! Shares: how much of the cluster each role and each framework holds, and who is next.
//!
//! A tree of roles (reference, section 6.4): at each level of the tree the siblings are in order by the
//! policy for roles (`sorter`), which looks at shares and weights, then by name. A role with roles
//! beneath it competes with them as a leaf. Frameworks of one role are ordered among themselves by the
//! policy for frameworks, without weights. A framework in a role is a client.
//!
//! Invariant: who wants something stands in order at its place in the tree, so that an allocation
//! moves only those on its way to the top, and a role that wants nothing costs nothing. What the
//! cluster has concerns the shares of those who hold something: they are put in order again by
//! [`Shares::refresh`].

mod client;
mod crowd;
mod rank;
mod turns;
mod why;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use model::FrameworkId;
use model::resources::Role;

use super::amounts::Amounts;
use super::bits::Bits;
use super::labels;
use super::order::Order;
use super::slots::Slots;
use super::sorter::{Occasion, Rank, Sorters};
use crate::random::Random;

pub(super) use client::{Client, ClientId, Taker};
use rank::{Scale, Usage};
pub(super) use turns::Turns;
use why::Why;

const WEIGHT_DEFAULT: f64 = 1.0;

/// The number of a node.
pub(super) type NodeId = u32;

/// The first node of all, which has the empty path.
pub(super) const ROOT: NodeId = 0;

/// Everything allocated, by role and framework, and everyone who wants something, in order.
#[derive(Debug)]
pub(super) struct Shares {
    sorters: Sorters,
    random: Random,
    scale: Scale,
    nodes: Slots<Node>,
    /// All nodes by path; their labels are in this order.
    paths: BTreeMap<Arc<str>, NodeId>,
    clients: Slots<Client>,
    /// Those who want something.
    wanting: Bits,
    weights: BTreeMap<Arc<str>, f64>,
    /// Those who hold something.
    holders: BTreeSet<ClientId>,
    is_stale: bool,
    /// Whether a node found no label of its own, and the roles in which a framework did not.
    is_crowded: bool,
    /// Counts the nodes that came and went.
    generation: u64,
    crowded: BTreeSet<NodeId>,
}

/// A role, or what several have in common.
#[derive(Debug)]
struct Node {
    path: Arc<str>,
    /// Where its path stands among all paths.
    label: u64,
    /// None above the root.
    parent: Option<NodeId>,
    weight: f64,
    /// What is held in the role and beneath it.
    usage: Usage,
    rank: Rank,
    /// How many clients want something, in the role and beneath it.
    wanting: usize,
    /// How many roles are directly beneath it.
    children: usize,
    order: Order<Place>,
    leaf: Option<Leaf>,
}

/// What stands in the order of a node: its own frameworks, or a role directly beneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) rank: Rank,
    /// Zero for a role's own frameworks, which come before the roles beneath.
    label: u64,
    /// None for a role's own frameworks.
    pub(super) node: Option<NodeId>,
}

/// The frameworks of a role.
#[derive(Debug, Default)]
struct Leaf {
    usage: Usage,
    rank: Rank,
    /// Their labels are in this order.
    clients: BTreeMap<FrameworkId, ClientId>,
    order: Order<Turn>,
}

/// A framework that wants something, in the order of its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: Rank,
    label: u64,
    client: ClientId,
}

impl Place {
    const fn own(rank: Rank) -> Self {
        Self {
            rank,
            label: 0,
            node: None,
        }
    }
}

impl Node {
    fn new(path: Arc<str>, label: u64, parent: Option<NodeId>, weight: f64) -> Self {
        Self {
            path,
            label,
            parent,
            weight,
            usage: Usage::default(),
            rank: Rank::default(),
            wanting: 0,
            children: 0,
            order: Order::default(),
            leaf: None,
        }
    }

    /// Where it stands in the order of the one above; it is the one with this number.
    const fn place(&self, id: NodeId) -> Place {
        Place {
            rank: self.rank,
            label: self.label,
            node: Some(id),
        }
    }
}

impl Shares {
    /// Nobody holds anything; resources of the names with these numbers do not count.
    pub(super) fn new(sorters: Sorters, seed: u64, excluded: Bits) -> Self {
        let mut nodes = Slots::default();
        let root = nodes.insert(Node::new(Arc::from(""), 0, None, WEIGHT_DEFAULT));
        Self {
            sorters,
            random: Random::new(seed),
            scale: Scale::new(excluded),
            nodes,
            paths: BTreeMap::from([(Arc::from(""), root)]),
            clients: Slots::default(),
            wanting: Bits::default(),
            weights: BTreeMap::new(),
            holders: BTreeSet::new(),
            is_stale: false,
            is_crowded: false,
            generation: 0,
            crowded: BTreeSet::new(),
        }
    }

    /// The cluster has more.
    pub(super) fn add_total(&mut self, amounts: &Amounts) {
        self.scale.total.add_all(amounts);
        self.is_stale = true;
    }

    /// The cluster has less.
    pub(super) fn subtract_total(&mut self, amounts: &Amounts) {
        self.scale.total.subtract_all(amounts);
        self.is_stale = true;
    }

    /// A role counts for so much among its siblings.
    pub(super) fn set_weight(&mut self, role: &Role, weight: f64) {
        self.weights.insert(Arc::from(role.as_str()), weight);
        if let Some(node) = self.paths.get(role.as_str()).copied() {
            if let Some(node) = self.nodes.get_mut(node) {
                node.weight = weight;
            }
            self.rank_node(node, Why::Joins);
        }
    }

    /// A framework in a role, where it is known.
    pub(super) fn find(&self, role: &Role, id: &FrameworkId) -> Option<ClientId> {
        let leaf = self.leaf(*self.paths.get(role.as_str())?)?;
        leaf.clients.get(id).copied()
    }

    /// A framework in a role, made with the nodes on the way where it is new.
    pub(super) fn open(&mut self, role: &Role, id: &FrameworkId) -> ClientId {
        let node = self.grow(role);
        let Some(leaf) = self.nodes.get_mut(node) else {
            return ClientId::MAX;
        };
        let leaf = leaf.leaf.get_or_insert_default();
        if let Some(client) = leaf.clients.get(id) {
            return *client;
        }
        let label_of = |(_, client): (&FrameworkId, &ClientId)| {
            self.clients.get(*client).map(|client| client.label)
        };
        let before = leaf.clients.range(..id).next_back().and_then(label_of);
        let after = leaf.clients.range(id..).next().and_then(label_of);
        let label = labels::between(before, after);
        if label.is_none() {
            self.crowded.insert(node);
        }
        let label = label.or(before).unwrap_or(0);
        let client = self.clients.insert(Client::new(id, role, node, label));
        leaf.clients.insert(id.clone(), client);
        client
    }

    /// A framework may want something in a role from now on, and can take this.
    pub(super) fn subscribe(&mut self, client: ClientId, taker: Taker) {
        if let Some(client) = self.clients.get_mut(client) {
            client.is_subscribed = true;
            client.taker = taker;
        }
    }

    /// A framework has left a role; what it still holds there is accounted for until it is recovered.
    pub(super) fn unsubscribe(&mut self, client: ClientId) {
        self.ignore(client);
        if let Some(client) = self.clients.get_mut(client) {
            client.is_subscribed = false;
        }
    }

    /// A framework wants something in a role to which it is subscribed.
    pub(super) fn want(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && client.is_subscribed
            && !client.wants
        {
            client.wants = true;
            let node = client.node;
            self.wanting.insert(id);
            if let Some(leaf) = self.nodes.get_mut(node).and_then(|node| node.leaf.as_mut()) {
                let first = leaf.order.first().map_or(Rank::default(), |turn| turn.rank);
                let standing = self.scale.standing(&client.usage, WEIGHT_DEFAULT);
                let sorter = self.sorters.frameworks;
                let joins = Occasion::Joins { first };
                client.rank = sorter.rank(standing, joins, &mut self.random);
                leaf.order.insert(client.turn(id));
            }
            self.count_wanting(node, |wanting| wanting.saturating_add(1));
        }
    }

    /// A framework wants nothing in a role for now.
    pub(super) fn ignore(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && client.wants
        {
            client.wants = false;
            let (node, turn) = (client.node, client.turn(id));
            self.wanting.remove(id);
            if let Some(leaf) = self.leaf_mut(node) {
                leaf.order.remove(&turn);
            }
            self.count_wanting(node, |wanting| wanting.saturating_sub(1));
        }
    }

    /// A framework holds more, on an agent of which it held something before or not.
    pub(super) fn allocated(&mut self, id: ClientId, amounts: &Amounts, is_first: bool) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.usage.add(amounts);
        client.holdings = client.holdings.saturating_add(is_first.into());
        let node = client.node;
        self.holders.insert(id);
        if let Some(leaf) = self.leaf_mut(node) {
            leaf.usage.add(amounts);
        }
        self.each_upwards(node, |node| node.usage.add(amounts));
        self.rank_way(id, Why::Got);
    }

    /// A framework holds less, and perhaps nothing of an agent any more.
    pub(super) fn recovered(&mut self, id: ClientId, amounts: &Amounts, is_last: bool) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.usage.amounts.subtract_all(amounts);
        client.holdings = client.holdings.saturating_sub(is_last.into());
        if client.usage.amounts.is_empty() {
            self.holders.remove(&id);
        }
        let node = client.node;
        if let Some(leaf) = self.leaf_mut(node) {
            leaf.usage.amounts.subtract_all(amounts);
        }
        self.each_upwards(node, |node| node.usage.amounts.subtract_all(amounts));
        self.rank_way(id, Why::Changed);
    }

    /// A client holds something of one agent more.
    pub(super) fn hold_more(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.holdings = client.holdings.saturating_add(1);
        }
    }

    /// A client holds something of one agent less.
    pub(super) fn hold_fewer(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.holdings = client.holdings.saturating_sub(1);
        }
    }

    /// Brings everyone into order who holds a part of a cluster that has changed, or came between two
    /// whose labels leave no room.
    pub(super) fn refresh(&mut self) {
        if core::mem::take(&mut self.is_crowded) {
            self.label_nodes();
        }
        for node in core::mem::take(&mut self.crowded) {
            self.label_clients(node);
        }
        if !core::mem::take(&mut self.is_stale) {
            return;
        }
        let holders = core::mem::take(&mut self.holders);
        for client in &holders {
            self.rank_way(*client, Why::Changed);
        }
        self.holders = holders;
    }

    /// A framework in a role.
    pub(super) fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id)
    }

    /// The same, to note what it is charged to.
    pub(super) fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id)
    }

    /// Those who want something.
    pub(super) const fn wanting(&self) -> &Bits {
        &self.wanting
    }

    /// Those who want something, whose turn it is first: in the tree of a node, or in all of them
    /// with [`ROOT`].
    pub(super) fn turns_beneath(&self, node: NodeId) -> Turns<'_> {
        Turns::new(self, node)
    }

    /// As long as this is the same, every role has the node that it had.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// The node of a role, where there is one.
    pub(super) fn node(&self, path: &str) -> Option<NodeId> {
        self.paths.get(path).copied()
    }

    /// The place of a role among its siblings, where someone wants something in it or beneath it.
    pub(super) fn place(&self, id: NodeId) -> Option<Place> {
        let node = self.nodes.get(id).filter(|node| node.wanting > 0)?;
        Some(node.place(id))
    }

    /// The node of the role at the top to whose tree a client belongs.
    pub(super) fn top(&self, client: &Client) -> NodeId {
        let mut top = client.node;
        while let Some(above) = self.nodes.get(top).and_then(|node| node.parent)
            && above != ROOT
        {
            top = above;
        }
        top
    }

    /// Whether a framework is subscribed to a role or holds something in it.
    pub(super) fn is_known(&self, role: &Role) -> bool {
        let node = self.paths.get(role.as_str());
        node.is_some_and(|node| self.leaf(*node).is_some())
    }

    fn leaf(&self, node: NodeId) -> Option<&Leaf> {
        self.nodes.get(node)?.leaf.as_ref()
    }

    fn leaf_mut(&mut self, node: NodeId) -> Option<&mut Leaf> {
        self.nodes.get_mut(node)?.leaf.as_mut()
    }

    /// The node of a role, made with those on the way where they are new.
    fn grow(&mut self, role: &Role) -> NodeId {
        if let Some(node) = self.paths.get(role.as_str()) {
            return *node;
        }
        let mut above = ROOT;
        for path in role.paths() {
            if let Some(node) = self.paths.get(path) {
                above = *node;
                continue;
            }
            let weight = self.weights.get(path).copied();
            let path: Arc<str> = Arc::from(path);
            let weight = weight.unwrap_or(WEIGHT_DEFAULT);
            let label_of =
                |(_, node): (&Arc<str>, &NodeId)| self.nodes.get(*node).map(|node| node.label);
            let before = self.paths.range(..path.clone()).next_back();
            let after = self.paths.range(path.clone()..).next();
            let (before, after) = (before.and_then(label_of), after.and_then(label_of));
            let label = labels::between(before, after);
            self.is_crowded |= label.is_none();
            let label = label.or(before).unwrap_or(0);
            let node = Node::new(path.clone(), label, Some(above), weight);
            let node = self.nodes.insert(node);
            self.paths.insert(path, node);
            self.generation = self.generation.wrapping_add(1);
            if let Some(above) = self.nodes.get_mut(above) {
                above.children = above.children.saturating_add(1);
            }
            above = node;
        }
        above
    }

    /// Drops a client that left its role and holds nothing there, and the nodes nobody needs; gives it
    /// back where it was dropped.
    pub(super) fn forget_idle(&mut self, id: ClientId) -> Option<Client> {
        let is_idle = |client: &&Client| !client.is_subscribed && client.holdings == 0;
        self.clients.get(id).filter(is_idle)?;
        let client = self.clients.remove(id)?;
        self.holders.remove(&id);
        if let Some(node) = self.nodes.get_mut(client.node)
            && let Some(leaf) = &mut node.leaf
        {
            leaf.clients.remove(&client.framework_id);
            if leaf.clients.is_empty() {
                node.leaf = None;
            }
        }
        let mut next = Some(client.node);
        while let Some(id) = next {
            let needed =
                |node: &&Node| node.leaf.is_some() || node.children > 0 || node.parent.is_none();
            if self.nodes.get(id).is_none_or(|node| needed(&node)) {
                break;
            }
            let Some(node) = self.nodes.remove(id) else {
                break;
            };
            self.paths.remove(&node.path);
            self.generation = self.generation.wrapping_add(1);
            if let Some(above) = node.parent.and_then(|above| self.nodes.get_mut(above)) {
                above.children = above.children.saturating_sub(1);
            }
            next = node.parent;
        }
        Some(client)
    }

    fn each_upwards(&mut self, node: NodeId, mut change: impl FnMut(&mut Node)) {
        let mut next = Some(node);
        while let Some(node) = next.and_then(|id| self.nodes.get_mut(id)) {
            change(node);
            next = node.parent;
        }
    }

    /// Counts someone who wants something on the way to the top, where whoever has such a one stands
    /// in order.
    fn count_wanting(&mut self, node: NodeId, count: impl Fn(usize) -> usize) {
        if let Some(node) = self.nodes.get_mut(node)
            && let Some(leaf) = &mut node.leaf
        {
            let old = Place::own(leaf.rank);
            if leaf.order.is_empty() {
                node.order.remove(&old);
            } else if !node.order.contains(&old) {
                let standing = self.scale.standing(&leaf.usage, WEIGHT_DEFAULT);
                let joins = Why::Joins.of(leaf.rank, &node.order);
                leaf.rank = self.sorters.roles.rank(standing, joins, &mut self.random);
                node.order.insert(Place::own(leaf.rank));
            }
        }
        let mut next = Some(node);
        while let Some((id, node)) = next.and_then(|id| Some((id, self.nodes.get_mut(id)?))) {
            let was_wanted = node.wanting > 0;
            node.wanting = count(node.wanting);
            let is_wanted = node.wanting > 0;
            let place = node.place(id);
            next = node.parent;
            match (was_wanted, is_wanted) {
                (false, true) => self.rank_node(id, Why::Joins),
                (true, false) => {
                    if let Some(above) = next.and_then(|above| self.nodes.get_mut(above)) {
                        above.order.remove(&place);
                    }
                }
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Gives a client, its role and the roles above their places by what they hold now.
    fn rank_way(&mut self, id: ClientId, why: Why) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let sorters = self.sorters;
        let old = client.turn(id);
        let standing = self.scale.standing(&client.usage, WEIGHT_DEFAULT);
        let occasion = why.of(old.rank, &Order::default());
        let rank = sorters
            .frameworks
            .rank(standing, occasion, &mut self.random);
        client.rank = rank;
        if let Some(node) = self.nodes.get_mut(client.node)
            && let Some(leaf) = &mut node.leaf
        {
            if client.wants && old.rank != rank {
                leaf.order.replace(&old, client.turn(id));
            }
            let standing = self.scale.standing(&leaf.usage, WEIGHT_DEFAULT);
            let occasion = why.of(leaf.rank, &node.order);
            let rank = sorters.roles.rank(standing, occasion, &mut self.random);
            if rank != leaf.rank && !leaf.order.is_empty() {
                node.order.replace(&Place::own(leaf.rank), Place::own(rank));
            }
            leaf.rank = rank;
        }
        let mut next = Some(client.node);
        while let Some(id) = next {
            self.rank_node(id, why);
            next = self.nodes.get(id).and_then(|node| node.parent);
        }
    }

    fn rank_node(&mut self, id: NodeId, why: Why) {
        let Some(node) = self.nodes.get(id) else {
            return;
        };
        let Some(above) = node.parent.and_then(|above| self.nodes.get(above)) else {
            return;
        };
        let standing = self.scale.standing(&node.usage, node.weight);
        let occasion = why.of(node.rank, &above.order);
        let sorter = self.sorters.roles;
        let rank = sorter.rank(standing, occasion, &mut self.random);
        let Some(node) = self.nodes.get_mut(id) else {
            return;
        };
        let old = node.place(id);
        node.rank = rank;
        let place = node.place(id);
        let is_wanted = node.wanting > 0;
        if (place == old && !matches!(why, Why::Joins)) || !is_wanted {
            return;
        }
        if let Some(above) = node.parent.and_then(|above| self.nodes.get_mut(above)) {
            above.order.replace(&old, place);
        }
    }
}

#[cfg(test)]
mod tests;
