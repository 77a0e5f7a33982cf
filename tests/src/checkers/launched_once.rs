//! A task is launched at most once, on all nodes together.

use std::collections::BTreeSet;

use model::{FrameworkId, TaskId};

/// Every launch so far.
#[derive(Debug, Default)]
pub struct LaunchedOnce(BTreeSet<(FrameworkId, TaskId)>);

impl LaunchedOnce {
    /// Notes a launch; the violation, if it is the task's second.
    pub fn launched(&mut self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<String> {
        let is_first = self.0.insert((framework_id.clone(), task_id.clone()));
        (!is_first).then(|| format!("task {task_id} of {framework_id} was launched twice"))
    }

    /// Whether the task was ever launched.
    pub fn has(&self, framework_id: &FrameworkId, task_id: &TaskId) -> bool {
        self.0.contains(&(framework_id.clone(), task_id.clone()))
    }
}
