//! Turns: those who want something, in order, by a walk down the tree.

use alloc::collections::btree_set;
use alloc::vec::Vec;

use model::FrameworkId;

use super::{ClientId, Node, NodeId, Place, Rank, Shares};

/// The walk.
#[derive(Debug)]
pub(in super::super) struct Turns<'a> {
    shares: &'a Shares,
    levels: Vec<(&'a Node, btree_set::Iter<'a, (Rank, Place)>)>,
    leaf: Option<btree_set::Iter<'a, (Rank, FrameworkId, ClientId)>>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(shares: &'a Shares, node: Option<NodeId>) -> Self {
        let mut levels = Vec::with_capacity(4);
        if let Some(node) = node.and_then(|node| shares.nodes.get(node)) {
            levels.push((node, node.order.iter()));
        }
        Self {
            shares,
            levels,
            leaf: None,
        }
    }
}

impl Iterator for Turns<'_> {
    type Item = ClientId;

    fn next(&mut self) -> Option<ClientId> {
        loop {
            if let Some((_, _, client)) = self.leaf.as_mut().and_then(Iterator::next) {
                return Some(*client);
            }
            let (node, places) = self.levels.last_mut()?;
            match places.next() {
                None => drop(self.levels.pop()),
                Some((_, Place::Own)) => {
                    self.leaf = node.leaf.as_ref().map(|leaf| leaf.order.iter());
                }
                Some((_, Place::Beneath(_, node))) => {
                    if let Some(node) = self.shares.nodes.get(*node) {
                        self.levels.push((node, node.order.iter()));
                    }
                }
            }
        }
    }
}
