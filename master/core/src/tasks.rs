//! Tasks: status updates and their acknowledgements.
//!
//! The master keeps two states of a task: the newest that its agent knows, by which resources are
//! given back, and the one last forwarded, by which reconciliation answers. A task that has ended
//! stays until its framework has acknowledged the end.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;

use model::{
    AgentId, Blob, ExecutorId, FrameworkId, Reason, Resources, Source, StatusUuid, TaskId,
    TaskState,
};

use crate::Master;
use crate::allocator::Allocator;
use crate::event::{AgentUpdate, Effect, FrameworkEvent, MasterMessage, Note, Status, Text};
use crate::frameworks::remember;

/// How many statuses of one task are kept.
const STATUSES_MAX: usize = 32;

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: Text,
    /// Where it runs.
    pub agent_id: AgentId,
    /// Its executor; `None` for a command task.
    pub executor_id: Option<ExecutorId>,
    /// What it holds.
    pub resources: Resources,
    /// The newest state that its agent knows.
    pub state: TaskState,
    /// The state that was forwarded last.
    pub status_update_state: Option<TaskState>,
    /// The update that was forwarded last, while it wants an acknowledgement.
    pub status_update_uuid: Option<StatusUuid>,
    /// What was told about it, the oldest first; of several in one state, the last.
    pub statuses: VecDeque<(TaskState, TaskStatus)>,
    /// Whether it shares the cgroup of its executor, as a task of a group may.
    pub share_cgroups: bool,
    /// The whole TaskInfo.
    pub info: Blob,
}

/// A status as it was told.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskStatus {
    /// By the agent: a TaskStatus.
    Relayed(Blob),
    /// By the master.
    Made(Status),
}

impl Task {
    /// The newest status of its agent.
    #[must_use]
    pub fn latest_relayed(&self) -> Option<&Blob> {
        self.statuses
            .iter()
            .rev()
            .find_map(|(_, status)| match status {
                TaskStatus::Relayed(status) => Some(status),
                TaskStatus::Made(_) => None,
            })
    }

    pub(crate) fn add_status(&mut self, state: TaskState, status: TaskStatus) {
        if self.statuses.back().is_some_and(|(last, _)| *last == state) {
            self.statuses.pop_back();
        }
        remember(&mut self.statuses, (state, status), STATUSES_MAX);
    }

    /// Whether its end was forwarded and only the acknowledgement is missing.
    pub(crate) fn end_is_forwarded(&self) -> bool {
        self.status_update_state.is_some_and(TaskState::is_terminal)
    }
}

impl Master {
    /// A status update of an agent: forwarded as it is, and noted.
    pub(crate) fn update(&mut self, agent_id: &AgentId, update: &AgentUpdate) {
        self.counters.count("messages_status_update");
        let Some(framework) = self.frameworks.get_mut(&update.framework_id) else {
            self.counters.count("invalid_status_updates");
            let why = format!("framework {} is not known", update.framework_id);
            self.drop_message("status update", why);
            return;
        };
        let task = framework.tasks.get_mut(&update.task_id);
        let mut news = None;
        // An update about a task that is known elsewhere, or not at all, is forwarded too, so that
        // the framework can acknowledge it and the agent can forget it.
        let name = match task.filter(|task| task.agent_id == *agent_id) {
            None => "invalid_status_updates",
            Some(task) => {
                let is_news = task.is_news(update.state, update.reason);
                news = is_news.then(|| task.info.clone());
                let task = Arc::make_mut(task);
                task.status_update_state = Some(update.state);
                task.status_update_uuid = update.uuid;
                task.add_status(update.state, TaskStatus::Relayed(update.kept.clone()));
                "valid_status_updates"
            }
        };
        self.counters.count(name);
        let status = update.status.clone();
        self.send(&update.framework_id, FrameworkEvent::Relayed { status });
        if name == "valid_status_updates" {
            self.change_task(
                &update.framework_id,
                &update.task_id,
                update.latest_state,
                update.source,
                update.reason,
            );
        }
        if let Some(task) = news {
            let status = TaskStatus::Relayed(update.status.clone());
            let framework = self.frameworks.get(&update.framework_id);
            let known = framework.and_then(|f| f.tasks.get(&update.task_id));
            let state = known.map_or(update.latest_state, |task| task.state);
            self.publish_status(&update.framework_id, task, status, state);
        }
    }

    /// Notes the newest state of a task; what an ended one held is free.
    pub(crate) fn change_task(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        state: TaskState,
        source: Source,
        reason: Option<Reason>,
    ) {
        let framework = self.frameworks.get_mut(framework_id);
        let Some(task) = framework.and_then(|f| f.tasks.get_mut(task_id)) else {
            return;
        };
        if task.state == state || task.state.is_terminal() {
            return;
        }
        let note = Note::Task {
            framework_id: framework_id.clone(),
            task_id: task_id.clone(),
            agent_id: task.agent_id.clone(),
            from: task.state,
            to: state,
            reason,
        };
        Arc::make_mut(task).state = state;
        if state.is_terminal() {
            self.allocator.recover(
                self.now,
                framework_id,
                &task.agent_id,
                &task.resources,
                None,
            );
            self.counters.count_task(state, source, reason);
        }
        self.out.push(Effect::Note(note));
    }

    pub(crate) fn acknowledge(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &Text,
        task_id: &Text,
        uuid: StatusUuid,
    ) {
        self.counters
            .count("messages_status_update_acknowledgement");
        let target = AgentId::new(agent_id).ok().zip(TaskId::new(task_id).ok());
        let Some((agent_id, task_id)) = target.filter(|(agent, _)| self.is_connected(agent)) else {
            self.counters
                .count("invalid_status_update_acknowledgements");
            let why = format!("agent {agent_id} of task {task_id} is not connected");
            self.drop_message("acknowledgement", why);
            return;
        };
        self.counters.count("valid_status_update_acknowledgements");
        let task = self
            .frameworks
            .get(framework_id)
            .and_then(|framework| framework.tasks.get(&task_id));
        let is_over = task.is_some_and(|task| {
            task.agent_id == agent_id
                && task.end_is_forwarded()
                && task.status_update_uuid == Some(uuid)
        });
        if is_over {
            self.complete_task(framework_id, &task_id);
        }
        let message = MasterMessage::AcknowledgeUpdate {
            framework_id: framework_id.clone(),
            task_id,
            uuid,
        };
        self.send_to_agent(&agent_id, message);
    }
}
