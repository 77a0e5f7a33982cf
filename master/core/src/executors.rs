//! Executors that frameworks bring; those of command tasks are their agents' own affair.

use alloc::format;

use model::{AgentId, Blob, ExecutorId, FrameworkId, Resources};

use crate::Master;
use crate::allocator::Allocator;
use crate::event::{FrameworkEvent, MasterMessage, Text};
use crate::frameworks::Framework;

/// An executor that a framework brought.
#[derive(Debug)]
pub struct Executor {
    /// What it holds beside its tasks.
    pub resources: Resources,
    /// The whole ExecutorInfo.
    pub info: Blob,
    /// The ExecutorInfo in a form that is equal for equal ones.
    pub(crate) identity: Blob,
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
        let key = (agent_id.clone(), executor_id.clone());
        let framework = self.frameworks.get(framework_id);
        if framework.is_none_or(|framework| !framework.executors.contains_key(&key)) {
            // Those of command tasks among them: to their frameworks they are nothing.
            return;
        }
        self.remove_executor(agent_id, framework_id, executor_id);
        let event = FrameworkEvent::Failure {
            agent_id: agent_id.clone(),
            executor: Some((executor_id.clone(), wait_status)),
        };
        self.send(framework_id, event);
    }

    /// MESSAGE to an executor: handed to its agent, once.
    pub(crate) fn framework_message(
        &mut self,
        id: &FrameworkId,
        agent: &Text,
        executor: &Text,
        data: Blob,
    ) {
        self.counters.count("messages_framework_to_executor");
        let target = AgentId::new(agent).ok().zip(ExecutorId::new(executor).ok());
        let Some((agent_id, executor_id)) = target.filter(|(agent, _)| self.is_connected(agent))
        else {
            self.counters
                .count("invalid_framework_to_executor_messages");
            let why = format!("agent {agent} of executor {executor} is not connected");
            self.drop_message("message", why);
            return;
        };
        self.counters.count("valid_framework_to_executor_messages");
        let message = MasterMessage::FrameworkMessage {
            framework_id: id.clone(),
            executor_id,
            data,
        };
        self.send_to_agent(&agent_id, message);
    }

    /// A message of an executor: handed to its framework, once.
    pub(crate) fn executor_message(
        &mut self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: ExecutorId,
        data: Blob,
    ) {
        self.counters.count("messages_executor_to_framework");
        let framework = self.frameworks.get(framework_id);
        if framework.and_then(Framework::stream).is_none() {
            self.counters
                .count("invalid_executor_to_framework_messages");
            let why = format!("framework {framework_id} of executor {executor_id} has no stream");
            self.drop_message("message", why);
            return;
        }
        self.counters.count("valid_executor_to_framework_messages");
        let event = FrameworkEvent::Message {
            agent_id: agent_id.clone(),
            executor_id,
            data,
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
