//! Environment: the variables that tell an executor where it is and whom to speak to.

use std::path::Path;

use agent_core::event::ExecutorSpec;
use model::{AgentId, FrameworkId, duration};

use crate::config::Config;
use crate::description::Description;

/// What the variables of one executor are made of.
#[derive(Debug)]
pub(crate) struct Executor<'a> {
    /// The agent's settings.
    pub(crate) config: &'a Config,
    /// What the agent says of itself.
    pub(crate) description: &'a Description,
    /// The agent's id.
    pub(crate) agent: &'a AgentId,
    /// Its framework.
    pub(crate) framework: &'a FrameworkId,
    /// The executor.
    pub(crate) spec: &'a ExecutorSpec,
    /// Its sandbox on the node.
    pub(crate) directory: &'a Path,
    /// Whether its framework wants it to outlive the agent.
    pub(crate) checkpoint: bool,
    /// What it shows at each call, where this agent asks for that.
    pub(crate) token: Option<String>,
}

/// The variables, in Mesos' names.
#[must_use]
pub(crate) fn of_executor(executor: &Executor<'_>) -> Vec<(String, String)> {
    let Executor {
        config,
        description,
        agent,
        framework,
        spec,
        directory,
        checkpoint,
        token,
    } = executor;
    let endpoint = format!("{}:{}", description.ip, description.port);
    let grace = spec
        .shutdown_grace
        .unwrap_or(config.executor_shutdown_grace_period);
    let mut all = vec![
        ("LIBPROCESS_PORT", "0".to_string()),
        ("MESOS_FRAMEWORK_ID", framework.to_string()),
        ("MESOS_EXECUTOR_ID", spec.id.to_string()),
        ("MESOS_DIRECTORY", directory.to_string_lossy().into_owned()),
        ("MESOS_SLAVE_ID", agent.to_string()),
        ("MESOS_SLAVE_PID", format!("slave(1)@{endpoint}")),
        ("MESOS_AGENT_ENDPOINT", endpoint),
        ("MESOS_CHECKPOINT", u8::from(*checkpoint).to_string()),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_string()),
        (
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
            duration::format(grace),
        ),
    ];
    if *checkpoint {
        all.push((
            "MESOS_RECOVERY_TIMEOUT",
            duration::format(config.recovery_timeout),
        ));
        // The longest wait between two tries to subscribe.
        all.push((
            "MESOS_SUBSCRIPTION_BACKOFF_MAX",
            duration::format(config.executor_reregistration_timeout),
        ));
    }
    if let Some(token) = token {
        all.push(("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", token.clone()));
    }
    let all = all.into_iter();
    all.map(|(name, value)| (name.to_string(), value)).collect()
}
