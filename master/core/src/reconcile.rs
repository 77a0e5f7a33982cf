//! Reconciliation: what became of a framework's tasks, as far as the master knows.
//!
//! The answers are those of reference, section 4.6. Where an agent of the registry has not come back
//! yet there is no answer: the framework asks again.

use alloc::format;
use alloc::vec::Vec;

use model::{AgentId, FrameworkId, Reason, TaskId, TaskState};

use crate::Master;
use crate::event::{FrameworkEvent, Text, WallTime};
use crate::statuses::MadeStatus;

impl Master {
    pub(crate) fn reconcile(&mut self, id: &FrameworkId, tasks: &[(Text, Option<Text>)]) {
        self.counters.count("messages_reconcile_tasks");
        if !tasks.is_empty() {
            for (task_id, agent_id) in tasks {
                self.reconcile_one(id, task_id, agent_id.as_ref());
            }
            return;
        }
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        let known: Vec<TaskId> = framework.tasks.keys().cloned().collect();
        for task_id in known {
            self.tell_known(id, &task_id);
        }
    }

    pub(crate) fn reconcile_one(&mut self, id: &FrameworkId, task: &Text, agent: Option<&Text>) {
        if let Some(task_id) = TaskId::new(task).ok()
            && self.tell_known(id, &task_id)
        {
            return;
        }
        let Some(fate) = self.fate(agent) else {
            let why = format!("task {task}: not all agents of the registry have come back");
            self.drop_message("reconciliation", why);
            return;
        };
        let (state, message, unreachable_time) = match fate {
            Fate::NotThere => (
                TaskState::Gone,
                "Reconciliation: Task is unknown to the agent",
                None,
            ),
            Fate::Unreachable(since) => (
                TaskState::Unreachable,
                "Reconciliation: Task is unreachable",
                Some(since),
            ),
            Fate::GoneByOperator => (
                TaskState::GoneByOperator,
                "Reconciliation: Task is gone",
                None,
            ),
            Fate::Unknown => (TaskState::Unknown, "Reconciliation: Task is unknown", None),
        };
        let state = self.state_for(id, state);
        let reason = Reason::Reconciliation;
        let status = self.made_status(MadeStatus {
            agent_id: agent.cloned(),
            unreachable_time,
            ..MadeStatus::new(task.clone(), state, reason, message.into())
        });
        self.send(id, FrameworkEvent::Made(status));
    }

    /// Tells the state of a task that the master knows; false where it knows none by this id.
    fn tell_known(&mut self, id: &FrameworkId, task_id: &TaskId) -> bool {
        let framework = self.frameworks.get(id);
        let Some(task) = framework.and_then(|f| f.tasks.get(task_id)) else {
            return false;
        };
        let state = task.status_update_state.unwrap_or(task.state);
        let message = "Reconciliation: Latest task state".into();
        let made = MadeStatus {
            base: task.latest_relayed().cloned(),
            ..MadeStatus::of(task, state, Reason::Reconciliation, message)
        };
        let status = self.made_status(made);
        self.send(id, FrameworkEvent::Made(status));
        true
    }

    /// What became of a task that the master does not know; `None` where it is too early to say.
    fn fate(&self, agent: Option<&Text>) -> Option<Fate> {
        let Some(agent) = agent else {
            return self.recovered_agents.is_empty().then_some(Fate::Unknown);
        };
        let Ok(agent) = AgentId::new(agent) else {
            return Some(Fate::Unknown);
        };
        if self.recovered_agents.contains_key(&agent) {
            return None;
        }
        if self.agents.contains_key(&agent) {
            return Some(Fate::NotThere);
        }
        if self.gone_agents.get(&agent).is_some() {
            return Some(Fate::GoneByOperator);
        }
        if let Some(since) = self.unreachable_agents.get(&agent) {
            return Some(Fate::Unreachable(*since));
        }
        // One that is about to be admitted tells of its tasks then.
        (!self.registrar.is_busy(&agent)).then_some(Fate::Unknown)
    }
}

/// What became of a task.
enum Fate {
    /// Its agent is here and does not have it.
    NotThere,
    /// Its agent was given up by an operator.
    GoneByOperator,
    /// Its agent does not answer since then.
    Unreachable(WallTime),
    /// Nobody knows.
    Unknown,
}
