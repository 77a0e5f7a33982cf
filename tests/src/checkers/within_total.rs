//! No resource is given twice: what runs on a node never exceeds what the node has.

use crate::node::{NODE_CPUS, Node};

/// The violation, if there is one.
pub fn exceeded(number: usize, node: &Node) -> Option<String> {
    let used = node.cpus_used();
    (used > NODE_CPUS).then(|| format!("node{number} runs {used} of {NODE_CPUS} cpu thousandths"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Container;
    use model::{ContainerId, FrameworkId};

    #[test]
    fn one_container_too_many_is_a_violation() {
        let mut node = Node::new();
        for number in 0..=NODE_CPUS / crate::notation::TASK_CPUS {
            assert_eq!(exceeded(0, &node), None);
            let container = Container {
                framework_id: FrameworkId::new("f").unwrap(),
                cpus: crate::notation::TASK_CPUS,
                is_pod: false,
                is_running: true,
                is_dying: false,
            };
            let id = ContainerId::new(&number.to_string()).unwrap();
            node.containers.insert(id, container);
        }
        assert!(exceeded(0, &node).is_some());
    }
}
