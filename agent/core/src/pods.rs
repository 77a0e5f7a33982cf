//! Pods: the tasks of a default executor, each in a container within its executor's.
//!
//! The agent is the executor itself, by the rules of Mesos' default executor: a task that fails or
//! is killed takes its group with it, one that finishes does not, other groups go on; the pod ends
//! with its last task. Its container runs no program.

use core::time::Duration;

use model::TaskState;

use crate::agent::{Agent, Owner, Step};
use crate::effect::{Effect, Start};
use crate::event::{ExecutorKind, TaskSpec};
use crate::executor::{Doom, Ending, KILL_GRACE, Life};
use crate::executors::{ExecutorKey, ExecutorLife};
use crate::status_updates::TaskKey;
use crate::supervise::by_executor;

impl Agent {
    /// The pod's container is there: its tasks are launched within it.
    pub(crate) fn start_in_pod(
        &mut self,
        step: &mut Step,
        executor: &ExecutorKey,
        waiting: &[TaskKey],
    ) {
        self.resize(step, executor);
        let framework = self.frameworks.get(&executor.0);
        let Some(framework) = framework.map(|entry| entry.framework.clone()) else {
            return;
        };
        if let Some(executor) = self.executors.get_mut(executor) {
            executor.was_fed = true;
        }
        for key in waiting {
            let Some(task) = self.tasks.get_mut(key) else {
                continue;
            };
            let Some(container) = task.container.clone() else {
                continue;
            };
            task.life = Life::Launching { doomed: None };
            let start = Start::Nested {
                task: task.spec.clone(),
            };
            self.containers
                .insert(container.clone(), Owner::Task(key.clone()));
            self.update(step, key, by_executor(TaskState::Starting));
            step.out.push(Effect::Launch {
                container,
                framework: framework.clone(),
                start,
            });
        }
    }

    /// A task of a pod has ended in this state.
    pub(crate) fn ended_in_pod(
        &mut self,
        step: &mut Step,
        key: &TaskKey,
        spec: &TaskSpec,
        state: TaskState,
    ) {
        let executor = (key.0.clone(), spec.executor.id.clone());
        let pod = self.executors.get(&executor);
        let runs = pod.is_some_and(|pod| matches!(pod.life, ExecutorLife::Running { .. }));
        if runs && matches!(state, TaskState::Failed | TaskState::Killed) {
            self.kill_rest_of_group(step, key, spec);
        }
        if runs && !self.live_tasks(&executor).is_empty() {
            self.resize(step, &executor);
        }
        self.end_empty_pod(step, &executor);
    }

    fn kill_rest_of_group(&mut self, step: &mut Step, ended: &TaskKey, spec: &TaskSpec) {
        let others = spec.group.iter().filter(|id| **id != ended.1);
        for id in others {
            let key = (ended.0.clone(), id.clone());
            let Some(task) = self.tasks.get(&key) else {
                continue;
            };
            match task.life {
                // A kill that is under way keeps its grace period.
                Life::Killing { .. } | Life::Queued | Life::Delivered | Life::Ended => {}
                Life::Launching { .. } | Life::Running { .. } => {
                    let grace = task.grace(None);
                    self.kill(step, &key, Doom::Requested, grace);
                }
            }
        }
    }

    /// Kills the pod's tasks; its container follows the last of them.
    pub(crate) fn shut_pod_down(&mut self, step: &mut Step, executor: &ExecutorKey) {
        let grace = KILL_GRACE.min(self.shutdown_grace());
        for key in self.live_tasks(executor) {
            self.kill_as_asked(step, &key, Some(grace));
        }
        self.end_empty_pod(step, executor);
    }

    /// The container of a task's executor is gone, and so is what the task had in it.
    pub(crate) fn end_with_executor(&mut self, step: &mut Step, key: &TaskKey, ending: &Ending) {
        let task = self.tasks.get(key);
        // What is still being brought here for a pod need not come.
        if task.is_some_and(|task| matches!(task.life, Life::Launching { .. })) {
            self.kill(step, key, Doom::DuringLaunch, Duration::ZERO);
        }
        self.end_task(step, key, ending.clone());
    }

    /// Whether a pod's health check had one of its tasks killed: what is said of their ends tells.
    pub(crate) fn is_unhealthy(&self, key: &TaskKey) -> bool {
        let executor = self
            .tasks
            .get(key)
            .map(|task| task.spec.executor.id.clone());
        let pod = executor.and_then(|id| self.executors.get(&(key.0.clone(), id)));
        pod.is_some_and(|pod| pod.is_unhealthy)
    }

    /// A pod without tasks ends.
    pub(crate) fn end_empty_pod(&mut self, step: &mut Step, executor: &ExecutorKey) {
        let Some(pod) = self.executors.get(executor) else {
            return;
        };
        let runs = matches!(
            pod.life,
            ExecutorLife::Running { .. }
                | ExecutorLife::Terminating {
                    kill_at: Some(_),
                    ..
                }
        );
        if pod.spec.kind == ExecutorKind::Default && runs && self.live_tasks(executor).is_empty() {
            self.destroy(step, executor, None);
        }
    }
}
