//! Crowds: labels given anew, where so many came between two that no label was left for one.

use super::super::labels;
use super::{NodeId, Shares};

impl Shares {
    /// Labels all nodes anew, and puts them in order by that.
    pub(super) fn label_nodes(&mut self) {
        for (id, label) in self.paths.values().zip(labels::all()) {
            if let Some(node) = self.nodes.get_mut(*id) {
                node.label = label;
                node.order.retain(|place| place.node.is_none());
            }
        }
        for id in self.paths.values() {
            if let Some(node) = self.nodes.get(*id).filter(|node| node.wanting > 0)
                && let (place, Some(above)) = (node.place(*id), node.parent)
                && let Some(above) = self.nodes.get_mut(above)
            {
                above.order.insert(place);
            }
        }
    }

    /// Labels the frameworks of a role anew, and puts them in order by that.
    pub(super) fn label_clients(&mut self, node: NodeId) {
        let Some(leaf) = self.nodes.get_mut(node).and_then(|node| node.leaf.as_mut()) else {
            return;
        };
        leaf.order.clear();
        for (id, label) in leaf.clients.values().zip(labels::all()) {
            if let Some(client) = self.clients.get_mut(*id) {
                client.label = label;
                if client.wants {
                    leaf.order.insert(client.turn(*id));
                }
            }
        }
    }
}
