//! After the faults stop, everything comes to rest: each task ended and its framework told, each
//! update acknowledged, each reservation given back.

use master_core::Master;

use crate::node::Node;
use crate::scheduler::Scheduler;

/// What is not at rest, in words.
pub fn restless(nodes: &[Node], schedulers: &[Scheduler], master: Option<&Master>) -> Vec<String> {
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
        out.extend(core.executors().map(|(_, executor)| {
            format!("node{number} still holds executor {}", executor.spec.id)
        }));
        let containers = node.containers.keys().chain(node.executors.keys());
        out.extend(containers.map(|id| format!("node{number} still runs container {id}")));
        if !core.operations().is_empty() {
            out.push(format!(
                "node{number} waits for acknowledgements of operations"
            ));
        }
        if !core.holdings().kept().is_empty() || !node.volumes.is_empty() {
            let kept = core.holdings().kept();
            out.push(format!(
                "node{number} still has {kept} and {:?}",
                node.volumes
            ));
        }
        let counted = core.registration().agent_id.as_ref();
        let counted = counted.and_then(|id| master?.view().agent(id));
        if let (Some(agent), Some(master)) = (counted, master) {
            let used = master.view().used_on(agent);
            if !used.is_empty() {
                out.push(format!("the master counts {used} as used on node{number}"));
            }
        }
        let all = core.holdings().total().plus(core.oversubscribed());
        if counted.is_none_or(|agent| *agent.total != all) {
            out.push(format!("the master does not know what node{number} has"));
        }
        if core.registration().registered().is_none() {
            out.push(format!("node{number} is not registered"));
        }
    }
    out
}
