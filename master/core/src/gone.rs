//! Gone: agents that an operator gave up for good.
//!
//! What ran there has ended, whatever the agent may say; an agent that comes back under such an id
//! is told to end. The list is bounded as that of the unreachable agents is.

use alloc::format;
use alloc::vec::Vec;

use model::{AgentId, FrameworkId, Reason, TaskId, TaskState};

use crate::Master;
use crate::event::{Answer, Effect, MasterMessage, RegistryChange, RequestId, Text, WallTime};
use crate::registry::{Follow, Pending};
use crate::task_ends::Loss;
use crate::timers::Timer;

/// What agents, and the frameworks of their tasks, are told.
pub(crate) const GONE: &str = "Agent has been marked gone";

impl Master {
    pub(crate) fn mark_agent_gone(&mut self, request: RequestId, agent: &Text) {
        let id = AgentId::new(agent).ok();
        let is_gone = |id: &AgentId| self.gone_agents.get(id).is_some();
        if id.as_ref().is_some_and(is_gone) {
            self.answer(request, Answer::Ok);
            return;
        }
        let transition = match id.as_ref().and_then(|id| self.registrar.pending(id)) {
            Some(Pending::Gone) => "already being transitioned to gone",
            Some(Pending::Removal) => "being transitioned to removed",
            Some(Pending::Unreachability) => "being transitioned to unreachable",
            Some(Pending::Admission) => "being admitted",
            None => {
                match id.filter(|id| self.is_known(id)) {
                    Some(id) => self.mark_gone(id, Some(request)),
                    None => {
                        let fault = format!("Agent '{agent}' not found");
                        self.answer(request, Answer::NotFound(fault));
                    }
                }
                return;
            }
        };
        let fault = format!("Agent '{agent}' is {transition}");
        self.answer(request, Answer::Unavailable(fault));
    }

    /// Gives an agent up about which no write is on its way.
    pub(crate) fn mark_gone(&mut self, agent_id: AgentId, request: Option<RequestId>) {
        let since = self.wall_time();
        self.leave(&agent_id);
        let change = RegistryChange::MarkGone { agent_id, since };
        self.store(change, Follow::Gone { since, request });
    }

    pub(crate) fn is_being_marked_gone(&self, agent_id: &AgentId) -> bool {
        self.registrar.pending(agent_id) == Some(Pending::Gone)
    }

    pub(crate) fn marked_gone(
        &mut self,
        agent_id: &AgentId,
        since: WallTime,
        request: Option<RequestId>,
    ) {
        if let Some(recovered) = self.recovered_agents.remove(agent_id) {
            let timer = Timer::Recovered(agent_id.clone());
            self.timers.cancel(recovered.until, timer);
        }
        if let Some(link) = self.agents.get(agent_id).and_then(|agent| agent.link()) {
            let incarnation = self.agents.get(agent_id).map_or(0, |a| a.incarnation);
            let reason = GONE.into();
            self.out.push(Effect::ToAgent {
                link,
                epoch: self.config.epoch,
                incarnation,
                message: MasterMessage::Shutdown { reason },
            });
        }
        let loss = Loss {
            state: TaskState::GoneByOperator,
            reason: Reason::AgentRemovedByOperator,
            message: GONE.into(),
            unreachable_time: None,
        };
        if self.unreachable_agents.remove(agent_id).is_some() {
            self.end_unreachable_tasks(agent_id, &loss);
        }
        if self.agents.contains_key(agent_id) {
            self.counters.count("slave_removals");
            self.remove_agent(agent_id, |_| loss);
        }
        self.deactivations.forget(agent_id);
        self.note_agent(agent_id, "gone");
        self.gone_agents.insert(agent_id.clone(), since);
        while let Some(agent_id) = self
            .gone_agents
            .outdated(self.wall_time(), |id| self.registrar.is_busy(id))
        {
            let change = RegistryChange::Remove { agent_id };
            self.store(change, Follow::Nothing);
        }
        if let Some(request) = request {
            self.answer(request, Answer::Ok);
        }
    }

    /// Tasks that might have come back with their agent will not.
    fn end_unreachable_tasks(&mut self, agent_id: &AgentId, loss: &Loss) {
        let mut lost: Vec<(FrameworkId, TaskId)> = Vec::new();
        for framework in self.frameworks.values() {
            let tasks = framework.unreachable_tasks.iter();
            let there = tasks.filter(|task| task.agent_id == *agent_id);
            lost.extend(there.map(|task| (framework.id.clone(), task.id.clone())));
        }
        for (framework_id, task_id) in lost {
            self.end_unreachable_task(&framework_id, &task_id, loss);
        }
    }
}
