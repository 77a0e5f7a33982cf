//! Executors that frameworks bring; those of command tasks are their agents' own affair.

use alloc::format;

use model::{AgentId, Blob, ExecutorId, FrameworkId, Resources};

use crate::Master;
use crate::allocator::Allocator;
use crate::event::{FrameworkEvent, MasterMessage, Text};

/// An executor that a framework brought.
#[derive(Debug)]
pub struct Executor {
    /// What it holds beside its tasks.
    pub resources: Resources,
    /// The whole ExecutorInfo.
    pub info: Blob,
}

impl Master {
    /// SHUTDOWN of an executor.
    pub(crate) fn shutdown(&mut self, id: &FrameworkId, executor: &Text, agent: &Text) {
        let target = AgentId::new(agent).ok().zip(ExecutorId::new(executor).ok());
        match target.filter(|(agent, _)| self.is_connected(agent)) {
            Some((agent_id, executor_id)) => {
                let message = MasterMessage::ShutdownExecutor {
                    framework_id: id.clone(),
                    executor_id,
                };
                self.send_to_agent(&agent_id, message);
            }
            None => self.drop_message(
                "shutdown",
                format!("agent {agent} of executor {executor} is not connected"),
            ),
        }
    }

    pub(crate) fn executor_exited(
        &mut self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        wait_status: i32,
    ) {
        self.counters.count("messages_exited_executor");
        self.remove_executor(agent_id, framework_id, executor_id);
        let event = FrameworkEvent::Failure {
            agent_id: agent_id.clone(),
            executor: Some((executor_id.clone(), wait_status)),
        };
        self.send(framework_id, event);
    }

    pub(crate) fn remove_executor(
        &mut self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            let key = (framework_id.clone(), executor_id.clone());
            agent.executors.remove(&key);
        }
        let key = (agent_id.clone(), executor_id.clone());
        let framework = self.frameworks.get_mut(framework_id);
        if let Some(executor) = framework.and_then(|f| f.executors.remove(&key)) {
            self.allocator
                .recover(self.now, framework_id, agent_id, &executor.resources, None);
        }
    }
}
