//! Orders: what agent-core wants started, with all that the containers need to know of it.

use agent_core::effect::Start;
use agent_core::event::{Event, ExecutorSpec, Framework, TaskSpec};
use model::ContainerId;

use crate::containers::Order;
use crate::environment;
use crate::init::chain;
use crate::paths;
use crate::wire;

use super::Main;

impl Main {
    /// Starts a container; what keeps it from that is told as its failure.
    pub(super) fn launch(&mut self, container: ContainerId, framework: &Framework, start: &Start) {
        match self.order(container.clone(), framework, start) {
            Ok(order) => self.containers.launch(order),
            Err(message) => self
                .pending
                .push(Event::LaunchFailed { container, message }),
        }
    }

    fn order(
        &self,
        container: ContainerId,
        framework: &Framework,
        start: &Start,
    ) -> Result<Order, String> {
        match start {
            Start::Command { task } => self.command(container, framework, task),
            Start::Executor { .. } => Err("custom executors are not supported yet".to_string()),
            Start::Pod { .. } | Start::Nested { .. } => {
                Err("task groups are not supported yet".to_string())
            }
        }
    }

    fn command(
        &self,
        container: ContainerId,
        framework: &Framework,
        task: &TaskSpec,
    ) -> Result<Order, String> {
        let launch = wire::task::launch(&task.info, &framework.info);
        let launch = launch.map_err(|error| chain(&error))?;
        let environment =
            self.environment(&container, framework, &task.executor, launch.checkpoint)?;
        Ok(Order {
            sandbox: self.sandbox(&container, framework, &task.executor)?,
            container,
            environment,
            launch,
        })
    }

    fn environment(
        &self,
        container: &ContainerId,
        framework: &Framework,
        executor: &ExecutorSpec,
        checkpoint: bool,
    ) -> Result<Vec<(String, String)>, String> {
        let sandbox = self.sandbox(container, framework, executor)?;
        let agent = self.agent.registration().agent_id.as_ref();
        Ok(environment::of_executor(&environment::Executor {
            config: &self.config,
            description: &self.description,
            agent: agent.ok_or(NO_ID)?,
            framework: &framework.id,
            spec: executor,
            directory: &self.description.work_dir.join(sandbox),
            checkpoint,
            token: None,
        }))
    }

    /// The sandbox, beneath the work directory.
    fn sandbox(
        &self,
        container: &ContainerId,
        framework: &Framework,
        executor: &ExecutorSpec,
    ) -> Result<std::path::PathBuf, String> {
        let agent = self.agent.registration().agent_id.as_ref().ok_or(NO_ID)?;
        Ok(paths::sandbox(
            agent,
            &framework.id,
            &executor.id,
            container,
        ))
    }
}

/// Nothing is launched before a master gave this agent an id.
const NO_ID: &str = "the agent has no id";
