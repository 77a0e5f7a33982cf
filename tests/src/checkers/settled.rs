//! After the faults stop, everything comes to rest: each task ended and its framework told, each
//! update acknowledged.

use crate::node::Node;
use crate::scheduler::Scheduler;

/// What is not at rest, in words.
pub fn restless(nodes: &[Node], schedulers: &[Scheduler]) -> Vec<String> {
    let mut out = Vec::new();
    for (number, scheduler) in schedulers.iter().enumerate() {
        if scheduler.wanted > 0 {
            out.push(format!(
                "scheduler{number} still wants {} tasks",
                scheduler.wanted
            ));
        }
        out.extend(scheduler.open_tasks().map(|(id, task)| {
            format!(
                "scheduler{number} does not know the end of {id}: {:?}",
                task.state
            )
        }));
    }
    for (number, node) in nodes.iter().enumerate() {
        let Some(core) = &node.core else {
            out.push(format!("node{number} is down"));
            continue;
        };
        out.extend(core.tasks().map(|(_, task)| {
            format!(
                "node{number} still holds task {}: {:?}",
                task.spec.id,
                task.state()
            )
        }));
        if core.registration().registered().is_none() {
            out.push(format!("node{number} is not registered"));
        }
    }
    out
}
