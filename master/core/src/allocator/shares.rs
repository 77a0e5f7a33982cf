//! Shares: how much of the cluster each role and each framework holds, and who is next.
//!
//! Dominant resource fairness, on a tree of roles (reference, section 6.4): at each level of the tree
//! the sibling with the least dominant share by weight comes first, then the one with fewer
//! allocations, then the first by name. A role with roles beneath it competes with them as a leaf.
//! Frameworks of one role are ordered among themselves in the same way, without weights.
//!
//! Invariant: who wants something stands in order at its place in the tree, so that an allocation
//! moves only those on its way to the top, and a role that wants nothing costs nothing. What the
//! cluster has concerns the shares of those who hold something: they are put in order again by
//! [`Shares::refresh`].

use alloc::collections::{BTreeMap, BTreeSet, btree_set};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use model::FrameworkId;
use model::resources::{Quantities, Role};

const WEIGHT_DEFAULT: f64 = 1.0;

/// Everything allocated, by role and framework, and everyone who wants something, in order.
#[derive(Debug)]
pub(super) struct Shares {
    scale: Scale,
    /// By path; the root has the empty one.
    nodes: BTreeMap<Arc<str>, Node>,
    weights: BTreeMap<Arc<str>, f64>,
    /// The roles in which something is held.
    holders: BTreeSet<Role>,
    is_stale: bool,
}

/// What shares are parts of.
#[derive(Debug, Default)]
struct Scale {
    total: Quantities,
    excluded: BTreeSet<Arc<str>>,
}

/// A role, or what several have in common.
#[derive(Debug)]
struct Node {
    weight: f64,
    /// What is held in the role and beneath it.
    usage: Usage,
    rank: Rank,
    /// How many frameworks want something, in the role and beneath it.
    wanting: usize,
    /// How many roles are directly beneath it.
    children: usize,
    order: BTreeSet<(Rank, Place)>,
    leaf: Option<Leaf>,
}

/// What stands in the order of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The role's own frameworks.
    Own,
    /// The role of this path, directly beneath.
    Beneath(Arc<str>),
}

/// The frameworks of a role.
#[derive(Debug)]
struct Leaf {
    role: Role,
    usage: Usage,
    rank: Rank,
    clients: BTreeMap<FrameworkId, Client>,
    order: BTreeSet<(Rank, FrameworkId)>,
}

/// A framework in a role.
#[derive(Debug, Default)]
struct Client {
    is_subscribed: bool,
    wants: bool,
    usage: Usage,
    rank: Rank,
}

/// What one of them holds.
#[derive(Debug, Clone, Default)]
struct Usage {
    quantities: Quantities,
    /// How often something was allocated to it.
    allocations: u64,
}

/// The place in an order: the less, the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank {
    /// The bits of a share that is not negative, which are ordered as such numbers are.
    share: u64,
    allocations: u64,
}

impl Usage {
    fn add(&mut self, quantities: &Quantities) {
        self.quantities.add_all(quantities);
        self.allocations = self.allocations.saturating_add(1);
    }
}

impl Scale {
    /// The greatest part of any resource of the cluster.
    fn share(&self, held: &Quantities) -> f64 {
        let counts = |name: &Arc<str>| !self.excluded.contains(name);
        let parts = held.iter().filter(|(name, _)| counts(name));
        let parts = parts.map(|(name, amount)| match self.total.get(name).to_f64() {
            total if total > 0.0 => amount.to_f64() / total,
            _ => 0.0,
        });
        parts.fold(0.0, f64::max)
    }

    fn rank(&self, usage: &Usage, weight: f64) -> Rank {
        Rank {
            share: (self.share(&usage.quantities) / weight).to_bits(),
            allocations: usage.allocations,
        }
    }
}

impl Node {
    fn new(weight: f64) -> Self {
        Self {
            weight,
            usage: Usage::default(),
            rank: Rank::default(),
            wanting: 0,
            children: 0,
            order: BTreeSet::new(),
            leaf: None,
        }
    }
}

impl Leaf {
    fn new(role: &Role) -> Self {
        Self {
            role: role.clone(),
            usage: Usage::default(),
            rank: Rank::default(),
            clients: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Gives a framework its place by what it holds now.
    fn rank_client(&mut self, scale: &Scale, id: &FrameworkId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let rank = scale.rank(&client.usage, WEIGHT_DEFAULT);
        if client.wants && client.rank != rank {
            self.order.remove(&(client.rank, id.clone()));
            self.order.insert((rank, id.clone()));
        }
        client.rank = rank;
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The paths on the way from a role to the top, the root without a path at the end.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    core::iter::successors(Some(path), |path| (!path.is_empty()).then(|| parent(path)))
}

impl Shares {
    /// Nobody holds anything; resources of these names do not count.
    pub(super) fn new(excluded: BTreeSet<Arc<str>>) -> Self {
        let total = Quantities::new();
        Self {
            scale: Scale { total, excluded },
            nodes: BTreeMap::from([(Arc::from(""), Node::new(WEIGHT_DEFAULT))]),
            weights: BTreeMap::new(),
            holders: BTreeSet::new(),
            is_stale: false,
        }
    }

    /// The cluster has more.
    pub(super) fn add_total(&mut self, quantities: &Quantities) {
        self.scale.total.add_all(quantities);
        self.is_stale = true;
    }

    /// The cluster has less.
    pub(super) fn subtract_total(&mut self, quantities: &Quantities) {
        self.scale.total.subtract_all(quantities);
        self.is_stale = true;
    }

    /// A role counts for so much among its siblings.
    pub(super) fn set_weight(&mut self, role: &Role, weight: f64) {
        self.weights.insert(Arc::from(role.as_str()), weight);
        if let Some(node) = self.nodes.get_mut(role.as_str()) {
            node.weight = weight;
        }
        self.rank_node(role.as_str());
    }

    /// A framework may want something in a role from now on.
    pub(super) fn subscribe(&mut self, role: &Role, id: &FrameworkId) {
        self.client(role, id).is_subscribed = true;
    }

    /// A framework has left a role; what it still holds there is accounted for until it is recovered.
    pub(super) fn unsubscribe(&mut self, role: &Role, id: &FrameworkId) {
        self.ignore(role, id);
        let leaf = self.leaf_mut(role);
        if let Some(client) = leaf.and_then(|leaf| leaf.clients.get_mut(id)) {
            client.is_subscribed = false;
            self.forget_idle(role, id);
        }
    }

    /// A framework wants something in a role to which it is subscribed.
    pub(super) fn want(&mut self, role: &Role, id: &FrameworkId) {
        if let Some(leaf) = self.leaf_mut(role)
            && let Some(client) = leaf.clients.get_mut(id)
            && client.is_subscribed
            && !client.wants
        {
            client.wants = true;
            leaf.order.insert((client.rank, id.clone()));
            self.count_wanting(role, |wanting| wanting.saturating_add(1));
        }
    }

    /// A framework wants nothing in a role for now.
    pub(super) fn ignore(&mut self, role: &Role, id: &FrameworkId) {
        if let Some(leaf) = self.leaf_mut(role)
            && let Some(client) = leaf.clients.get_mut(id)
            && client.wants
        {
            client.wants = false;
            leaf.order.remove(&(client.rank, id.clone()));
            self.count_wanting(role, |wanting| wanting.saturating_sub(1));
        }
    }

    /// A framework holds more.
    pub(super) fn allocated(&mut self, role: &Role, id: &FrameworkId, quantities: &Quantities) {
        self.client(role, id).usage.add(quantities);
        self.holders.insert(role.clone());
        if let Some(leaf) = self.leaf_mut(role) {
            leaf.usage.add(quantities);
        }
        for path in upwards(role.as_str()) {
            if let Some(node) = self.nodes.get_mut(path) {
                node.usage.add(quantities);
            }
        }
        self.rank_way(role, id);
    }

    /// A framework holds less.
    pub(super) fn recovered(&mut self, role: &Role, id: &FrameworkId, quantities: &Quantities) {
        let Some(leaf) = self.leaf_mut(role) else {
            return;
        };
        leaf.usage.quantities.subtract_all(quantities);
        let is_idle = leaf.usage.quantities.is_empty();
        if let Some(client) = leaf.clients.get_mut(id) {
            client.usage.quantities.subtract_all(quantities);
        }
        if is_idle {
            self.holders.remove(role);
        }
        for path in upwards(role.as_str()) {
            if let Some(node) = self.nodes.get_mut(path) {
                node.usage.quantities.subtract_all(quantities);
            }
        }
        self.rank_way(role, id);
        self.forget_idle(role, id);
    }

    /// Brings everyone into order who holds a part of a cluster that has changed.
    pub(super) fn refresh(&mut self) {
        if !core::mem::take(&mut self.is_stale) {
            return;
        }
        for role in self.holders.clone() {
            let Some(leaf) = self.leaf_mut(&role) else {
                continue;
            };
            let clients: Vec<_> = leaf.clients.keys().cloned().collect();
            for id in clients {
                self.rank_way(&role, &id);
            }
        }
    }

    /// The roles in which someone wants something, whose turn it is first: of one tree, or of all with
    /// the empty path.
    pub(super) fn turns_beneath(&self, path: &str) -> Turns<'_> {
        let node = self.nodes.get(path);
        let levels = node.map_or_else(Vec::new, |node| vec![(node, node.order.iter())]);
        Turns {
            shares: self,
            levels,
        }
    }

    /// The place of a role among its siblings, where someone wants something in it or beneath it.
    pub(super) fn rank(&self, path: &str) -> Option<Rank> {
        let node = self.nodes.get(path).filter(|node| node.wanting > 0);
        node.map(|node| node.rank)
    }

    /// Whether a framework is subscribed to a role or holds something in it.
    pub(super) fn is_known(&self, role: &Role) -> bool {
        let node = self.nodes.get(role.as_str());
        node.is_some_and(|node| node.leaf.is_some())
    }

    fn leaf_mut(&mut self, role: &Role) -> Option<&mut Leaf> {
        self.nodes.get_mut(role.as_str())?.leaf.as_mut()
    }

    /// A framework in a role, made with the nodes on the way where it is new.
    fn client(&mut self, role: &Role, id: &FrameworkId) -> &mut Client {
        let is_known = self.nodes.contains_key(role.as_str());
        if !is_known {
            self.grow(role);
        }
        let path = || Arc::from(role.as_str());
        let node = self.nodes.entry(path());
        let node = node.or_insert_with(|| Node::new(WEIGHT_DEFAULT));
        let leaf = node.leaf.get_or_insert_with(|| Leaf::new(role));
        leaf.clients.entry(id.clone()).or_default()
    }

    fn grow(&mut self, role: &Role) {
        for path in role.paths() {
            if self.nodes.contains_key(path) {
                continue;
            }
            let weight = self.weights.get(path).copied();
            let node = Node::new(weight.unwrap_or(WEIGHT_DEFAULT));
            self.nodes.insert(Arc::from(path), node);
            if let Some(node) = self.nodes.get_mut(parent(path)) {
                node.children = node.children.saturating_add(1);
            }
        }
    }

    /// Drops a framework that left a role and holds nothing there, and the nodes nobody needs.
    fn forget_idle(&mut self, role: &Role, id: &FrameworkId) {
        let Some(leaf) = self.leaf_mut(role) else {
            return;
        };
        let is_idle = |client: &Client| !client.is_subscribed && client.usage.quantities.is_empty();
        if !leaf.clients.get(id).is_some_and(is_idle) {
            return;
        }
        leaf.clients.remove(id);
        if !leaf.clients.is_empty() {
            return;
        }
        if let Some(node) = self.nodes.get_mut(role.as_str()) {
            node.leaf = None;
        }
        for path in upwards(role.as_str()).filter(|path| !path.is_empty()) {
            let needed = |node: &Node| node.leaf.is_some() || node.children > 0;
            if self.nodes.get(path).is_none_or(needed) {
                break;
            }
            self.nodes.remove(path);
            if let Some(node) = self.nodes.get_mut(parent(path)) {
                node.children = node.children.saturating_sub(1);
            }
        }
    }

    /// Counts someone who wants something on the way to the top, where whoever has such a one stands
    /// in order.
    fn count_wanting(&mut self, role: &Role, count: impl Fn(usize) -> usize) {
        if let Some(node) = self.nodes.get_mut(role.as_str())
            && let Some(leaf) = &node.leaf
        {
            let place = (leaf.rank, Place::Own);
            if leaf.order.is_empty() {
                node.order.remove(&place);
            } else {
                node.order.insert(place);
            }
        }
        for path in upwards(role.as_str()) {
            let Some(node) = self.nodes.get_mut(path) else {
                continue;
            };
            node.wanting = count(node.wanting);
            let (rank, wanting) = (node.rank, node.wanting);
            if path.is_empty() {
                continue;
            }
            if let Some(above) = self.nodes.get_mut(parent(path)) {
                let place = (rank, Place::Beneath(Arc::from(path)));
                if wanting == 0 {
                    above.order.remove(&place);
                } else {
                    above.order.insert(place);
                }
            }
        }
    }

    /// Gives a framework, its role and the roles above their places by what they hold now.
    fn rank_way(&mut self, role: &Role, id: &FrameworkId) {
        if let Some(node) = self.nodes.get_mut(role.as_str())
            && let Some(leaf) = &mut node.leaf
        {
            leaf.rank_client(&self.scale, id);
            let rank = self.scale.rank(&leaf.usage, WEIGHT_DEFAULT);
            if rank != leaf.rank && !leaf.order.is_empty() {
                node.order.remove(&(leaf.rank, Place::Own));
                node.order.insert((rank, Place::Own));
            }
            leaf.rank = rank;
        }
        for path in upwards(role.as_str()) {
            self.rank_node(path);
        }
    }

    fn rank_node(&mut self, path: &str) {
        if path.is_empty() {
            return;
        }
        let Some(node) = self.nodes.get_mut(path) else {
            return;
        };
        let rank = self.scale.rank(&node.usage, node.weight);
        let old = core::mem::replace(&mut node.rank, rank);
        if old != rank
            && node.wanting > 0
            && let Some(above) = self.nodes.get_mut(parent(path))
        {
            let place = Place::Beneath(Arc::from(path));
            above.order.remove(&(old, place.clone()));
            above.order.insert((rank, place));
        }
    }
}

/// The roles in which someone wants something, in order: a walk down the tree.
#[derive(Debug)]
pub(super) struct Turns<'a> {
    shares: &'a Shares,
    levels: Vec<(&'a Node, btree_set::Iter<'a, (Rank, Place)>)>,
}

/// The frameworks that want something in a role.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    leaf: &'a Leaf,
}

impl<'a> Turn<'a> {
    /// The role with each of its frameworks, whose turn it is first.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a Role, &'a FrameworkId)> {
        let order = self.leaf.order.iter();
        order.map(move |(_, id)| (&self.leaf.role, id))
    }
}

impl<'a> Iterator for Turns<'a> {
    type Item = Turn<'a>;

    fn next(&mut self) -> Option<Turn<'a>> {
        loop {
            let (node, places) = self.levels.last_mut()?;
            match places.next() {
                None => drop(self.levels.pop()),
                Some((_, Place::Own)) => {
                    if let Some(leaf) = &node.leaf {
                        return Some(Turn { leaf });
                    }
                }
                Some((_, Place::Beneath(path))) => {
                    if let Some(node) = self.shares.nodes.get(path) {
                        self.levels.push((node, node.order.iter()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
