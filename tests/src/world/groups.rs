//! Task groups: schedulers launch some of their tasks together, in a default executor of their own.

use master_core::event::{ExecutorKind, ExecutorSpec, LaunchGroup, Offer, Text};
use model::Resources;

use super::World;
use super::link::{parse, task_resources, thousandths};
use crate::notation;

/// The most tasks of a group.
const TASKS_MAX: usize = 3;

/// The resources of every simulated executor.
pub(super) fn executor_resources() -> Resources {
    let cpus = thousandths(notation::EXECUTOR_CPUS);
    parse(&format!("cpus:{cpus};mem:32;disk:1"))
}

impl World {
    /// A group of the tasks that a scheduler still wants, where there is room for one.
    pub(super) fn new_group(
        &mut self,
        number: usize,
        offer: &Offer,
        left: &mut Resources,
    ) -> Option<LaunchGroup> {
        let least = executor_resources().plus(&task_resources());
        if self.schedulers[number].wanted == 0 || !left.contains(&least) {
            return None;
        }
        left.subtract_all(&executor_resources());
        let id = self.schedulers[number].id.clone();
        let named = self.schedulers[number].named;
        let text = format!("s{number}-pod{named}");
        let executor = ExecutorSpec {
            executor_id: Text::from(&*text),
            framework_id: id.as_ref().map(|id| Text::from(id.as_str())),
            kind: ExecutorKind::Default,
            has_command: false,
            resources: Ok(executor_resources().iter().cloned().collect()),
            shutdown_grace_ns: None,
            share_cgroups: None,
            is_docker: false,
            type_fault: None,
            content_fault: None,
            info: notation::executor(&text),
            identity: notation::executor(&text),
        };
        let mut tasks = Vec::new();
        while tasks.len() < TASKS_MAX
            && self.schedulers[number].wanted > 0
            && left.contains(&task_resources())
        {
            left.subtract_all(&task_resources());
            let mut task = self.new_task(number, offer, None);
            task.has_command = true;
            task.executor = Some(executor.clone());
            tasks.push(task);
        }
        Some(LaunchGroup {
            id: None,
            executor,
            tasks,
        })
    }
}
