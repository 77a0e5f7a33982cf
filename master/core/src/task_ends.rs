//! The end of a task: on request, with its agent, or acknowledged.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use model::{Blob, FrameworkId, Reason, Source, TaskId, TaskState};

use crate::Master;
use crate::allocator::Allocator;
use crate::event::{Effect, FrameworkEvent, MasterMessage, Note, Text, WallTime};
use crate::frameworks::remember;
use crate::statuses::MadeStatus;
use crate::tasks::{Task, TaskStatus};

/// Why a task's agent will tell no more about it.
#[derive(Debug)]
pub(crate) struct Loss {
    /// The state, before it is made one that the framework knows.
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) unreachable_time: Option<WallTime>,
}

impl Master {
    pub(crate) fn kill(
        &mut self,
        framework_id: &FrameworkId,
        task_text: &Text,
        agent_text: Option<&Text>,
        kill_policy: Option<&Blob>,
    ) {
        self.counters.count("messages_kill_task");
        let task_id = TaskId::new(task_text).ok();
        let framework = self.frameworks.get(framework_id);
        let task = task_id.and_then(|id| framework.and_then(|f| f.tasks.get(&id)));
        let Some(task) = task else {
            // As if it had been asked what became of the task.
            let question = (task_text.clone(), agent_text.cloned());
            self.reconcile(framework_id, &[question]);
            return;
        };
        if let Some(other) = agent_text.filter(|agent| ***agent != *task.agent_id.as_str()) {
            let why = format!("task {} runs on {}, not on {other}", task.id, task.agent_id);
            self.drop_message("kill", why);
            return;
        }
        let (task_id, agent_id) = (task.id.clone(), task.agent_id.clone());
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            let key = (framework_id.clone(), task_id.clone());
            agent.kills.insert(key, kill_policy.cloned());
        }
        let message = MasterMessage::KillTask {
            framework_id: framework_id.clone(),
            task_id,
            kill_policy: kill_policy.cloned(),
        };
        self.send_to_agent(&agent_id, message);
    }

    /// Moves a task into its framework's history.
    pub(crate) fn complete_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) {
        if let Some(task) = self.take_task(framework_id, task_id)
            && let Some(framework) = self.frameworks.get_mut(framework_id)
        {
            let limit = self.config.completed_tasks_per_framework_max;
            remember(&mut framework.completed_tasks, task, limit);
        }
    }

    /// Takes a task out of its framework and its agent; what it holds, if it still does, is given
    /// back.
    pub(crate) fn take_task(&mut self, id: &FrameworkId, task_id: &TaskId) -> Option<Arc<Task>> {
        let task = self.frameworks.get_mut(id)?.tasks.remove(task_id)?;
        let key = (id.clone(), task_id.clone());
        if let Some(agent) = self.agents.get_mut(&task.agent_id) {
            agent.tasks.remove(&key);
            agent.kills.remove(&key);
        }
        self.may_have_drained(&task.agent_id);
        if !task.state.is_terminal() {
            self.allocator
                .recover(self.now, id, &task.agent_id, &task.resources, None);
        }
        Some(task)
    }

    /// Ends a task that its agent will tell no more about, and tells its framework.
    pub(crate) fn lose_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId, loss: &Loss) {
        let Some(mut task) = self.take_task(framework_id, task_id) else {
            return;
        };
        let was_over = task.state.is_terminal();
        if !was_over {
            self.end_by(framework_id, &mut task, loss);
        }
        let unreachable_max = self.config.unreachable_tasks_per_framework_max;
        let completed_max = self.config.completed_tasks_per_framework_max;
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            if !was_over && loss.unreachable_time.is_some() {
                remember(&mut framework.unreachable_tasks, task, unreachable_max);
            } else {
                remember(&mut framework.completed_tasks, task, completed_max);
            }
        }
    }

    /// Ends a task of which a framework knows that it is unreachable.
    pub(crate) fn end_unreachable_task(&mut self, id: &FrameworkId, task_id: &TaskId, loss: &Loss) {
        let limit = self.config.completed_tasks_per_framework_max;
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        let tasks = &mut framework.unreachable_tasks;
        let place = tasks.iter().position(|task| task.id == *task_id);
        let Some(mut task) = place.and_then(|place| tasks.remove(place)) else {
            return;
        };
        self.end_by(id, &mut task, loss);
        if let Some(framework) = self.frameworks.get_mut(id) {
            remember(&mut framework.completed_tasks, task, limit);
        }
    }

    /// Gives a task the state that a loss means for its framework, and tells that. What was
    /// forwarded last of the agent's own updates stays as it is.
    fn end_by(&mut self, framework_id: &FrameworkId, task: &mut Arc<Task>, loss: &Loss) {
        let state = self.state_for(framework_id, loss.state);
        // A framework that does not know the state does not know the reason either.
        let reason = match loss.reason {
            Reason::AgentRemovedByOperator if state != loss.state => Reason::AgentRemoved,
            reason => reason,
        };
        self.note_task(framework_id, task, state, Some(reason));
        self.counters
            .count_task(state, Source::Master, Some(reason));
        let status = self.made_status(MadeStatus {
            unreachable_time: loss.unreachable_time,
            ..MadeStatus::of(task, state, reason, loss.message.clone())
        });
        if task.is_news(state, Some(reason)) {
            let status = TaskStatus::Made(status.clone());
            self.publish_status(framework_id, task.info.clone(), status, state);
        }
        let lost = Arc::make_mut(task);
        lost.state = state;
        lost.add_status(state, TaskStatus::Made(status.clone()));
        self.send(framework_id, FrameworkEvent::Made(status));
    }

    pub(crate) fn note_task(
        &mut self,
        framework_id: &FrameworkId,
        task: &Task,
        to: TaskState,
        reason: Option<Reason>,
    ) {
        self.out.push(Effect::Note(Note::Task {
            framework_id: framework_id.clone(),
            task_id: task.id.clone(),
            agent_id: task.agent_id.clone(),
            from: task.state,
            to,
            reason,
        }));
    }
}
