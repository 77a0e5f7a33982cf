//! No resource is given twice: what runs on a node never exceeds what the node has, nor what it ever let be
//! given out beside that.

use crate::node::{NODE_CPUS, Node, REVOCABLE_CPUS_MAX};

/// The violation, if there is one.
pub fn exceeded(number: usize, node: &Node) -> Option<String> {
    let kinds = [
        (node.cpus_used(), NODE_CPUS, ""),
        (node.revocable_cpus_used(), REVOCABLE_CPUS_MAX, "revocable "),
    ];
    let (used, all, kind) = kinds.into_iter().find(|(used, all, _)| used > all)?;
    Some(format!(
        "node{number} runs {used} of {all} {kind}cpu thousandths"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Container;
    use model::{ContainerId, FrameworkId};

    #[test]
    fn one_container_too_many_is_a_violation() {
        check(NODE_CPUS, false);
        check(REVOCABLE_CPUS_MAX, true);
    }

    fn check(all: i64, is_revocable: bool) {
        let mut node = Node::new();
        for number in 0..=all / crate::notation::TASK_CPUS {
            assert_eq!(exceeded(0, &node), None);
            let container = Container {
                framework_id: FrameworkId::new("f").unwrap(),
                cpus: crate::notation::TASK_CPUS,
                is_revocable,
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
