//! Pods: the tasks of a default executor, each in a container within its executor's.

use crate::agent::{Agent, Owner, Step};
use crate::effect::{Effect, Start};
use crate::event::ExecutorKind;
use crate::executor::Life;
use crate::executors::{ExecutorKey, ExecutorLife};
use crate::status_updates::TaskKey;

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
        for key in waiting {
            let Some(task) = self.tasks.get_mut(key) else {
                continue;
            };
            let Some(container) = task.container.clone() else {
                continue;
            };
            task.life = Life::Launching { doomed: None };
            self.containers
                .insert(container.clone(), Owner::Task(key.clone()));
            step.out.push(Effect::Launch {
                container,
                framework: framework.clone(),
                start: Start::Nested {
                    task: task.spec.clone(),
                },
            });
        }
        if let Some(executor) = self.executors.get_mut(executor) {
            executor.was_fed = true;
        }
    }

    /// Kills the pod's tasks; its container follows the last of them.
    pub(crate) fn shut_pod_down(&mut self, step: &mut Step, executor: &ExecutorKey) {
        let grace = self.shutdown_grace();
        for key in self.live_tasks(executor) {
            self.kill_as_asked(step, &key, Some(grace));
        }
        self.end_empty_pod(step, executor);
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
