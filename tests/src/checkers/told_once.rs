//! A change of a task is one update: told again it has the same name.
//!
//! A framework's own executor says once that a task of it runs; under two names that would be two
//! changes, and somebody did not recognise what came again.

use model::{StatusUuid, TaskId, TaskState};

use crate::notation;
use crate::scheduler::SeenTask;

/// Notes an update by its name; the violation, if the task was said to run under another.
pub fn told(
    task_id: &TaskId,
    task: &mut SeenTask,
    state: TaskState,
    uuid: StatusUuid,
) -> Option<String> {
    if state != TaskState::Running || notation::executor_of_task(task_id).is_none() {
        return None;
    }
    let first = *task.running.get_or_insert(uuid);
    (first != uuid).then(|| format!("task {task_id} is said to run as {first} and as {uuid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_under_two_names_is_a_violation() {
        let id = TaskId::new("s0-1").unwrap();
        let mut task = SeenTask::default();
        let mut tell = |name| told(&id, &mut task, TaskState::Running, StatusUuid([name; 16]));
        assert_eq!((tell(1), tell(1)), (None, None));
        assert!(tell(2).is_some());
    }
}
