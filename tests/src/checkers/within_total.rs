//! No resource is given twice: what runs on a node never exceeds what the node has.

use crate::node::{NODE_CPUS, Node};

/// The violation, if there is one.
pub fn exceeded(number: usize, node: &Node) -> Option<String> {
    let used = node.cpus_used();
    (used > NODE_CPUS).then(|| format!("node{number} runs {used} of {NODE_CPUS} cpu thousandths"))
}
