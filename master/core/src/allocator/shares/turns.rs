//! Turns: those who want something, in order, by a walk down the tree.

use alloc::vec::Vec;

use super::super::order;
use super::{ClientId, Node, NodeId, Place, Shares, Turn};

/// The walk.
#[derive(Debug)]
pub(in super::super) struct Turns<'a> {
    shares: &'a Shares,
    leaf: Option<order::Iter<'a, Turn>>,
    level: Option<Level<'a>>,
    /// Those above.
    levels: Vec<Level<'a>>,
}

/// A node, and which of its places are still to come.
#[derive(Debug)]
struct Level<'a> {
    node: &'a Node,
    places: order::Iter<'a, Place>,
}

impl<'a> Level<'a> {
    fn new(node: &'a Node) -> Self {
        Self {
            node,
            places: node.order.iter(),
        }
    }
}

impl<'a> Turns<'a> {
    pub(super) fn new(shares: &'a Shares, node: NodeId) -> Self {
        Self {
            shares,
            leaf: None,
            level: shares.nodes.get(node).map(Level::new),
            levels: Vec::new(),
        }
    }

    /// Goes on with the frameworks of a role.
    fn enter(&mut self, node: &'a Node) {
        self.leaf = node.leaf.as_ref().map(|leaf| leaf.order.iter());
    }
}

impl Iterator for Turns<'_> {
    type Item = ClientId;

    fn next(&mut self) -> Option<ClientId> {
        loop {
            if let Some(turn) = self.leaf.as_mut().and_then(Iterator::next) {
                return Some(turn.client);
            }
            let level = self.level.as_mut()?;
            let Some(place) = level.places.next() else {
                self.level = self.levels.pop();
                continue;
            };
            let Some(beneath) = place.node else {
                let node = level.node;
                self.enter(node);
                continue;
            };
            let Some(node) = self.shares.nodes.get(beneath) else {
                continue;
            };
            if node.children == 0 {
                // There are no places but its own.
                self.enter(node);
            } else {
                self.levels.extend(self.level.replace(Level::new(node)));
            }
        }
    }
}
