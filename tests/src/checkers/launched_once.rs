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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_launch_is_a_violation_and_another_frameworks_task_is_not() {
        let framework = |text| FrameworkId::new(text).unwrap();
        let task = TaskId::new("t").unwrap();
        let mut launches = LaunchedOnce::default();
        assert_eq!(launches.launched(&framework("a"), &task), None);
        assert_eq!(launches.launched(&framework("b"), &task), None);
        assert!(launches.launched(&framework("a"), &task).is_some());
    }
}
