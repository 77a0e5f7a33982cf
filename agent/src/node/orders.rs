//! Orders: what agent-core wants started, with all that the containers need to know of it.

use std::path::PathBuf;

use agent_core::containers::{self, Requested};
use agent_core::effect::Start;
use agent_core::event::{Event, ExecutorSpec, Framework, TaskSpec};
use agent_core::executor_api::Claims;
use agent_core::sandbox::Class;
use model::sandbox::Io;
use model::{Blob, ContainerId};
use tracing::{info, warn};

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
            Ok(order) => self.start(order),
            Err(message) => self
                .pending
                .push(Event::LaunchFailed { container, message }),
        }
    }

    /// Starts a container that a call asks for; as `launch`.
    pub(super) fn launch_requested(&mut self, requested: &Requested) {
        let container = requested.container.clone();
        info!(%container, class = ?requested.class, "launch of a container by a call");
        match self.requested(requested) {
            Ok(order) => self.start(order),
            Err(message) => self
                .pending
                .push(Event::LaunchFailed { container, message }),
        }
    }

    /// What is nested is as revocable as what it is in.
    fn start(&mut self, mut order: Order) {
        let revocable = &mut order.launch.demand.revocable;
        *revocable = revocable.or(self.agent.revocable(&order.container));
        self.containers.launch(order);
    }

    fn requested(&self, requested: &Requested) -> Result<Order, String> {
        let launch = wire::container::requested(requested).map_err(|error| chain(&error))?;
        let container = requested.container.clone();
        let (class, sandbox, io) = match (requested.class, container.depth()) {
            (containers::Class::Debug, _) => {
                let io = launch.container.terminal.map_or(Io::Pipes, Io::Terminal);
                (Class::Debug, PathBuf::new(), io)
            }
            // As the container of an executor, it may have others in it.
            (containers::Class::Default, 1) => {
                (Class::Executor, paths::standalone(&container), launch.io())
            }
            (containers::Class::Default, _) => {
                let sandbox = self.containers.nested_sandbox(&container);
                let gone = || format!("Parent container of {container} does not exist");
                (Class::Nested, sandbox.ok_or_else(gone)?, launch.io())
            }
        };
        Ok(Order {
            class,
            sandbox,
            link: None,
            container,
            environment: Vec::new(),
            call: Some(requested.launch.clone()),
            io,
            launch,
        })
    }

    fn order(
        &self,
        container: ContainerId,
        framework: &Framework,
        start: &Start,
    ) -> Result<Order, String> {
        match start {
            Start::Command { task } => self.command(container, framework, task),
            Start::Executor { executor, tasks } => {
                self.executor(container, framework, executor, tasks)
            }
            Start::Pod { executor, tasks } => self.pod(container, framework, executor, tasks),
            Start::Nested { task } => self.nested(container, framework, task),
            Start::Check { task, command } => self.check(container, framework, task, command),
        }
    }

    /// A pod runs nothing; it has what its tasks use, and a little for itself.
    fn pod(
        &self,
        container: ContainerId,
        framework: &Framework,
        executor: &ExecutorSpec,
        tasks: &[TaskSpec],
    ) -> Result<Order, String> {
        let tasks = tasks.iter().map(|task| &task.info);
        let launch = wire::pod::launch(&executor.info, tasks, &framework.info);
        Ok(Order {
            class: Class::Pod,
            sandbox: self.sandbox(&container, framework, executor)?,
            link: None,
            container,
            environment: Vec::new(),
            call: None,
            io: Io::Files,
            launch: launch.map_err(|error| chain(&error))?,
        })
    }

    /// A task of a pod, found by its id in the pod's sandbox.
    fn nested(
        &self,
        container: ContainerId,
        framework: &Framework,
        task: &TaskSpec,
    ) -> Result<Order, String> {
        let launch = wire::task::launch(&task.info, &framework.info);
        let mut launch = launch.map_err(|error| chain(&error))?;
        let shared = wire::pod::share_volumes(&task.executor.info, &mut launch);
        shared.map_err(|error| chain(&error))?;
        let pod = self.sandbox(&container.root(), framework, &task.executor)?;
        let mut environment = vec![(
            "MESOS_CONTAINER_IP".to_string(),
            self.description
                .addresses
                .address_of(&container)
                .unwrap_or_else(|| self.description.ip.to_string()),
        )];
        environment.extend(wire::pod::allocation_role(&task.info));
        Ok(Order {
            class: Class::Nested,
            link: Some(paths::task_link(&pod, &task.id, &container)),
            sandbox: paths::nested(pod, &container),
            container,
            environment,
            call: None,
            io: launch.io(),
            launch,
        })
    }

    /// A command beside a task, which has the environment, the user and the directory of the task.
    fn check(
        &self,
        container: ContainerId,
        framework: &Framework,
        task: &TaskSpec,
        command: &Blob,
    ) -> Result<Order, String> {
        let launch = wire::pod::beside(command);
        let outermost = container.root();
        let sandbox = self.sandbox(&outermost, framework, &task.executor)?;
        let checked = container.parent().unwrap_or(outermost);
        Ok(Order {
            class: Class::Debug,
            sandbox: paths::nested(sandbox, &checked),
            link: None,
            container,
            environment: Vec::new(),
            call: None,
            io: Io::Files,
            launch: launch.map_err(|error| chain(&error))?,
        })
    }

    /// Fits the limits of an executor's container to its tasks.
    pub(super) fn resize(
        &mut self,
        container: &ContainerId,
        executor: &ExecutorSpec,
        tasks: &[TaskSpec],
    ) {
        let tasks = || tasks.iter().map(|task| &task.info);
        let demand = wire::pod::demand(&executor.info, tasks());
        let both =
            demand.and_then(|demand| Ok((demand, wire::pod::ports(&executor.info, tasks())?)));
        match both {
            Ok((demand, ports)) => self.containers.resize(container, demand, &ports),
            Err(error) => warn!(%container, error = chain(&error), "limits stay as they are"),
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
            class: Class::Task,
            sandbox: self.sandbox(&container, framework, &task.executor)?,
            link: None,
            container,
            environment,
            call: None,
            io: launch.io(),
            launch,
        })
    }

    /// The executor's program is what runs, with what its tasks will use.
    fn executor(
        &self,
        container: ContainerId,
        framework: &Framework,
        executor: &ExecutorSpec,
        tasks: &[TaskSpec],
    ) -> Result<Order, String> {
        let tasks = tasks.iter().map(|task| &task.info);
        let launch = wire::executor::launch(&executor.info, tasks, &framework.info);
        let launch = launch.map_err(|error| chain(&error))?;
        let environment = self.environment(&container, framework, executor, launch.checkpoint)?;
        Ok(Order {
            class: Class::Executor,
            sandbox: self.sandbox(&container, framework, executor)?,
            link: None,
            container,
            environment,
            call: None,
            io: launch.io(),
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
            token: self.key.as_ref().map(|key| {
                key.sign(&Claims {
                    framework_id: framework.id.to_string(),
                    executor_id: executor.id.to_string(),
                    container: container.to_string(),
                })
            }),
        }))
    }

    /// The sandbox, beneath the work directory.
    fn sandbox(
        &self,
        container: &ContainerId,
        framework: &Framework,
        executor: &ExecutorSpec,
    ) -> Result<PathBuf, String> {
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
