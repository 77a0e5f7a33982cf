//! A task has one terminal state, and a framework that was told it is never told another.

use model::{TaskId, TaskState};

use crate::scheduler::SeenTask;

/// Notes a state that a framework was told; the violation, if the task had ended otherwise.
pub fn told(task_id: &TaskId, task: &mut SeenTask, state: TaskState) -> Option<String> {
    task.state = Some(state);
    if !state.is_terminal() && state != TaskState::Unknown {
        return None;
    }
    match task.end {
        None => {
            task.end = Some(state);
            None
        }
        Some(end) if end == state => None,
        // Once a framework has acknowledged the end, nobody needs to remember the task: asked
        // again, the master may say that it is gone or that it does not know it.
        Some(_) if matches!(state, TaskState::Gone | TaskState::Unknown) => None,
        Some(end) => Some(format!(
            "task {task_id} ended as {end} and again as {state}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_end_is_a_violation_unless_it_is_the_same_or_forgetting() {
        use TaskState::{Failed, Finished, Gone, Killed, Lost, Running};
        let ends = |states: &[TaskState]| {
            let id = TaskId::new("t").unwrap();
            let mut task = SeenTask::default();
            let told = states.iter().map(|&state| told(&id, &mut task, state));
            told.flatten().count()
        };
        assert_eq!(ends(&[Running, Finished, Finished, Gone]), 0);
        assert_eq!(ends(&[Running, Finished, Failed]), 1);
        assert_eq!(ends(&[Lost, Killed]), 1);
    }
}
