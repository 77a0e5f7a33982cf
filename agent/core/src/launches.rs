//! Launches: what becomes of a task, or a group of tasks, that the master sends.
//!
//! The tasks of a group are launched together, or none of them is. A task is stored with its
//! container's id before anything of it begins.

use alloc::format;
use alloc::vec::Vec;

use model::{ContainerId, Reason, TaskState};

use crate::agent::{Agent, Phase, Step, TASKS_MAX};
use crate::effect::{Effect, Fact, Start};
use crate::event::{ExecutorKind, ExecutorSpec, Expected, Framework, TaskSpec};
use crate::executor::Ending;
use crate::executors::Executor;
use crate::supervise::dropped;

impl Agent {
    /// Takes a task, or all tasks of a group: each of them is launched, or none.
    pub(crate) fn run_tasks(
        &mut self,
        step: &mut Step,
        framework: &Framework,
        mut tasks: Vec<TaskSpec>,
        resource_version: &[u8],
        expected: Expected,
    ) {
        let of = |task: &TaskSpec| (framework.id.clone(), task.id.clone());
        if self.phase != Phase::Active {
            let ids = tasks.iter().map(|task| task.id.as_str());
            let ids: Vec<_> = ids.collect();
            return step.ignore(format!("task {} for an agent that ends", ids.join(", ")));
        }
        tasks.retain(|task| {
            let is_known = self.tasks.contains_key(&of(task));
            if is_known {
                step.ignore(format!("task {} is here already", task.id));
            }
            !is_known
        });
        let Some(first) = tasks.first() else {
            return;
        };
        if !self.is_told(&framework.id) {
            return step.ignore(format!(
                "task {} of a framework that was shut down",
                first.id
            ));
        }
        if self.tasks.len() + tasks.len() > TASKS_MAX || self.executors.len() >= TASKS_MAX {
            for task in &tasks {
                self.answer_unknown(step, &of(task), Reason::ContainerLaunchFailed);
            }
            let executor = first.executor.clone();
            return self.tell_not_started(step, framework, &executor, expected);
        }
        let mut refusals = tasks.iter();
        let refusal =
            refusals.find_map(|task| self.refusal(framework, task, resource_version, expected));
        match refusal {
            Some(refusal) => {
                let executor = first.executor.clone();
                for task in tasks {
                    let key = of(&task);
                    self.store_task(step, framework, task, None);
                    self.end_task(step, &key, refusal.clone());
                }
                self.tell_not_started(step, framework, &executor, expected);
            }
            None => match first.executor.kind {
                ExecutorKind::Command => self.launch_commands(step, framework, tasks),
                ExecutorKind::Custom | ExecutorKind::Default => {
                    self.give_to_executor(step, framework, tasks)
                }
            },
        }
    }

    fn store_task(
        &mut self,
        step: &mut Step,
        framework: &Framework,
        task: TaskSpec,
        container: Option<ContainerId>,
    ) {
        let fact = Fact::Task {
            framework: framework.clone(),
            task,
            container,
        };
        self.recover(&fact);
        step.out.push(Effect::Store(fact));
    }

    /// The master counts an executor from its first task on. Where that task is refused and no
    /// executor is there, it is told that there is none, as Mesos' agents do (MESOS-1720). Of a later
    /// task it is told nothing: by then it may count one that is new.
    fn tell_not_started(
        &mut self,
        step: &mut Step,
        framework: &Framework,
        executor: &ExecutorSpec,
        expected: Expected,
    ) {
        let key = (framework.id.clone(), executor.id.clone());
        let is_there = self.executors.get(&key).is_some_and(Executor::is_alive);
        if executor.kind != ExecutorKind::Command && expected == Expected::New && !is_there {
            self.tell_exited(step, &key, -1);
        }
    }

    fn launch_commands(&mut self, step: &mut Step, framework: &Framework, tasks: Vec<TaskSpec>) {
        for task in tasks {
            let Some(container) = self.random.container() else {
                continue;
            };
            self.store_task(step, framework, task.clone(), Some(container.clone()));
            step.out.push(Effect::Launch {
                container,
                framework: framework.clone(),
                start: Start::Command { task },
            });
        }
    }

    fn give_to_executor(&mut self, step: &mut Step, framework: &Framework, tasks: Vec<TaskSpec>) {
        let Some(first) = tasks.first() else {
            return;
        };
        let key = (framework.id.clone(), first.executor.id.clone());
        let is_new = !self.executors.contains_key(&key);
        if is_new {
            let Some(container) = self.random.container() else {
                return;
            };
            let fact = Fact::Executor {
                framework: framework.clone(),
                executor: first.executor.clone(),
                container,
            };
            self.recover(&fact);
            step.out.push(Effect::Store(fact));
        }
        let Some(container) = self.executors.get(&key).map(|one| one.container.clone()) else {
            return;
        };
        for task in tasks {
            let own = match task.executor.kind {
                ExecutorKind::Default => self.random.child_of(&container),
                ExecutorKind::Command | ExecutorKind::Custom => Some(container.clone()),
            };
            self.store_task(step, framework, task, own);
        }
        match is_new {
            true => self.start_executor(step, &key),
            false => self.feed(step, &key),
        }
    }

    /// Why a task never gets a container.
    fn refusal(
        &self,
        framework: &Framework,
        task: &TaskSpec,
        resource_version: &[u8],
        expected: Expected,
    ) -> Option<Ending> {
        let dropped = |reason, message: &str| {
            Some(Ending::by_agent(
                dropped(framework.partition),
                reason,
                message,
            ))
        };
        if self.drain.is_some() {
            let message = "Task was received while agent was already draining";
            return dropped(Reason::AgentDraining, message);
        }
        if self.is_other_version(resource_version) {
            let message = "Task was launched for resources that this agent no longer has";
            return dropped(Reason::InvalidOffers, message);
        }
        if !self.holdings.holds_each(&task.held) {
            let message = "The checkpointed resources being used by the task or task group are \
                           unknown to the agent";
            return dropped(Reason::ResourcesUnknown, message);
        }
        let executor = (framework.id.clone(), task.executor.id.clone());
        if task.executor.kind != ExecutorKind::Command
            && let Some(message) = self.is_over(&executor, expected)
        {
            return dropped(Reason::ExecutorTerminated, message);
        }
        let what = task.unsupported.as_ref()?;
        Some(Ending::by_agent(
            TaskState::Failed,
            Reason::ContainerLaunchFailed,
            what.as_str(),
        ))
    }

    /// Whether the master meant other resources; it may leave open which it means.
    pub(crate) fn is_other_version(&self, resource_version: &[u8]) -> bool {
        !resource_version.is_empty() && resource_version != self.settings.resource_version
    }
}
