//! Learning: what an agent tells of at its registration, and what it does not tell of any more.
//!
//! The master's knowledge of frameworks, tasks and executors is soft: agents bring it back.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::Role;
use model::{AgentId, ExecutorId, FrameworkId, Reason, Resources, Source, TaskId};

use crate::Master;
use crate::admission::Origin;
use crate::allocator::Allocator;
use crate::event::{Change, FrameworkEvent, MasterMessage, Registration, RunningTask};
use crate::executors::Executor;
use crate::frameworks::Framework;
use crate::statuses::MadeStatus;
use crate::tasks::{Task, TaskStatus};

impl Master {
    /// Learns what an agent tells of at its registration, and what it does not tell of any more.
    pub(crate) fn learn(
        &mut self,
        agent_id: &AgentId,
        registration: &Registration,
        origin: Origin,
    ) {
        if matches!(origin, Origin::Unreachable | Origin::Unknown) {
            // Whatever of its tasks it still has, it tells.
            for framework in self.frameworks.values_mut() {
                let unreachable = &mut framework.unreachable_tasks;
                unreachable.retain(|task| task.agent_id != *agent_id);
            }
        }
        for info in &registration.frameworks {
            let Some(id) = &info.id else { continue };
            if self.is_completed(id) {
                let framework_id = id.clone();
                let message = MasterMessage::ShutdownFramework { framework_id };
                self.send_to_agent(agent_id, message);
            } else if let Some(framework) = self.frameworks.get(id) {
                // What it knows of the framework may be what the framework was long ago.
                if framework.stream().is_some() {
                    let message = framework.updated();
                    self.send_to_agent(agent_id, message);
                }
            } else {
                self.recover_framework(id, info);
            }
        }
        for task in &registration.tasks {
            self.learn_task(agent_id, task, origin);
        }
        self.learn_executors(agent_id, registration);
        self.ask_for_missing(agent_id, registration);
        self.learn_operations(agent_id, registration);
        self.kill_again(agent_id);
    }

    pub(crate) fn learn_task(&mut self, agent_id: &AgentId, told: &RunningTask, origin: Origin) {
        let Some(framework) = self.frameworks.get_mut(&told.framework_id) else {
            let why = format!("framework {} is not known", told.framework_id);
            self.drop_message("task", why);
            return;
        };
        if let Some(known) = framework.tasks.get(&told.task_id) {
            if known.agent_id == *agent_id {
                let (id, task_id) = (&told.framework_id, &told.task_id);
                self.change_task(id, task_id, told.state, Source::Agent, None);
            } else {
                let why = format!("task {} runs on {} already", told.task_id, known.agent_id);
                self.drop_message("task", why);
            }
            return;
        }
        framework.unreachable_tasks.retain(|t| t.id != told.task_id);
        framework.completed_tasks.retain(|t| t.id != told.task_id);
        let mut task = Task {
            id: told.task_id.clone(),
            name: told.name.clone(),
            agent_id: agent_id.clone(),
            executor_id: (!told.is_command).then(|| told.executor_id.clone()),
            resources: held(framework, &told.resources),
            state: told.state,
            status_update_state: Some(told.state),
            status_update_uuid: None,
            statuses: VecDeque::new(),
            share_cgroups: told.share_cgroups,
            info: told.info.clone(),
        };
        if let Some(status) = &told.status {
            task.add_status(told.state, TaskStatus::Relayed(status.clone()));
        }
        if !told.state.is_terminal() {
            self.allocator
                .hold(&told.framework_id, agent_id, &task.resources);
        }
        let message = match origin {
            Origin::Unreachable => "Unreachable agent re-reregistered",
            Origin::Unknown => "Unknown agent reregistered",
            Origin::Fresh | Origin::Registered | Origin::Recovered => "Agent reregistered",
        };
        let reason = Reason::AgentReregistered;
        let made = MadeStatus {
            base: told.status.clone(),
            ..MadeStatus::of(&task, told.state, reason, message.into())
        };
        let task = Arc::new(task);
        let framework_id = told.framework_id.clone();
        framework
            .tasks
            .insert(told.task_id.clone(), Arc::clone(&task));
        self.publish(Change::TaskAdded { framework_id, task });
        if let Some(agent) = self.agents.get_mut(agent_id) {
            let key = (told.framework_id.clone(), told.task_id.clone());
            agent.tasks.insert(key);
        }
        match origin {
            // Its framework was told that the task is lost, or unreachable.
            Origin::Registered | Origin::Unreachable | Origin::Unknown => {
                let status = self.made_status(made);
                self.send(&told.framework_id, FrameworkEvent::Made(status));
            }
            Origin::Fresh | Origin::Recovered => {}
        }
    }

    pub(crate) fn learn_executors(&mut self, agent_id: &AgentId, registration: &Registration) {
        let commands = registration.tasks.iter().filter(|task| task.is_command);
        let of_commands: BTreeSet<(&FrameworkId, &ExecutorId)> = commands
            .map(|task| (&task.framework_id, &task.executor_id))
            .collect();
        let mut alive = BTreeSet::new();
        for told in &registration.executors {
            let key = (agent_id.clone(), told.executor_id.clone());
            let Some(framework) = self.frameworks.get_mut(&told.framework_id) else {
                continue;
            };
            if of_commands.contains(&(&told.framework_id, &told.executor_id)) {
                continue;
            }
            alive.insert((told.framework_id.clone(), told.executor_id.clone()));
            if framework.executors.contains_key(&key) {
                continue;
            }
            let resources = held(framework, &told.resources);
            self.allocator
                .hold(&told.framework_id, agent_id, &resources);
            let executor = Executor {
                resources,
                info: told.info.clone(),
                identity: told.identity.clone(),
            };
            framework.executors.insert(key, executor);
        }
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        let known = core::mem::replace(&mut agent.executors, alive.clone());
        for (framework_id, executor_id) in known.difference(&alive) {
            self.remove_executor(agent_id, framework_id, executor_id);
        }
    }

    /// Asks what became of tasks that should be there. Those whose end was forwarded are among them: what
    /// an agent says of a task that it does not hold it says once, and where the framework was away it
    /// has nobody's acknowledgement.
    pub(crate) fn ask_for_missing(&mut self, agent_id: &AgentId, registration: &Registration) {
        let told: BTreeSet<(&FrameworkId, &TaskId)> = registration
            .tasks
            .iter()
            .map(|task| (&task.framework_id, &task.task_id))
            .collect();
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let is_held = |id: &FrameworkId, task: &TaskId| {
            let framework = self.frameworks.get(id);
            framework.is_some_and(|framework| framework.tasks.contains_key(task))
        };
        let tasks: Vec<_> = agent
            .tasks
            .iter()
            .filter(|(id, task)| !told.contains(&(id, task)) && is_held(id, task))
            .cloned()
            .collect();
        if !tasks.is_empty() {
            self.send_to_agent(agent_id, MasterMessage::ReconcileTasks { tasks });
        }
    }

    /// Sends the kills again that may have been lost with the old link.
    pub(crate) fn kill_again(&mut self, agent_id: &AgentId) {
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        for ((framework_id, task_id), kill_policy) in agent.kills.clone() {
            let message = MasterMessage::KillTask {
                framework_id,
                task_id,
                kill_policy,
            };
            self.send_to_agent(agent_id, message);
        }
    }
}

/// What a task or executor holds, as an agent tells it; in a role of its framework where the agent
/// does not say in which.
fn held(framework: &Framework, told: &Resources) -> Resources {
    let role = framework.roles().pop_first();
    let role = role.unwrap_or_else(Role::star);
    told.iter()
        .map(|resource| {
            let mut resource = resource.clone();
            resource.allocation_role.get_or_insert_with(|| role.clone());
            resource
        })
        .collect()
}
