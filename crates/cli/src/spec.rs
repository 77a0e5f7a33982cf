//! Spec: the framework and the task that `tepui run` makes of its command line.

use api::v1::framework_info::{Capability, capability};
use api::v1::{
    AgentId, CommandInfo, Environment, FrameworkInfo, Resource, TaskId, TaskInfo, environment,
};

use crate::args::RunArgs;

/// The name of every framework of `tepui run`; `tepui kill` touches no other.
pub(crate) const FRAMEWORK_NAME: &str = "tepui run";
/// A run that was left, or whose terminal was closed, can be taken over for a week.
pub(crate) const FAILOVER_S: f64 = 7.0 * 24.0 * 3600.0;

/// The framework of one run.
pub(crate) fn framework(user: &str, role: &str) -> FrameworkInfo {
    use capability::Type;
    let capabilities = [
        Type::MultiRole,
        Type::PartitionAware,
        Type::ReservationRefinement,
        Type::TaskKillingState,
    ];
    FrameworkInfo {
        user: user.to_owned(),
        name: FRAMEWORK_NAME.to_owned(),
        failover_timeout: Some(FAILOVER_S),
        checkpoint: Some(true),
        roles: vec![role.to_owned()],
        hostname: hostname(),
        capabilities: capabilities
            .map(|capability| Capability {
                r#type: Some(capability.into()),
            })
            .to_vec(),
        ..Default::default()
    }
}

/// A task's id: its name and eight random hexadecimal digits.
///
/// # Errors
/// The name cannot be part of an id.
pub(crate) fn task_id(name: &str) -> Result<TaskId, model::IdError> {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let value = format!("{name}-{}", &random[..8]);
    model::TaskId::new(&value)?;
    Ok(TaskId { value })
}

/// The task, for an agent and with resources out of its offer.
pub(crate) fn task(
    args: &RunArgs,
    task_id: &TaskId,
    agent_id: &AgentId,
    resources: Vec<Resource>,
) -> TaskInfo {
    TaskInfo {
        name: args.name.clone(),
        task_id: task_id.clone(),
        agent_id: agent_id.clone(),
        resources,
        command: Some(command(args)),
        ..Default::default()
    }
}

fn command(args: &RunArgs) -> CommandInfo {
    let variable = |(name, value): &(String, String)| environment::Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..Default::default()
    };
    let environment = (!args.env.is_empty()).then(|| Environment {
        variables: args.env.iter().map(variable).collect(),
    });
    let shell = args.command.len() == 1 && !args.no_shell;
    let words = args.command.clone();
    CommandInfo {
        environment,
        shell: Some(shell),
        value: words.first().cloned(),
        arguments: if shell { Vec::new() } else { words },
        user: Some(args.user.clone()),
        ..Default::default()
    }
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn command_of(words: &[&str]) -> CommandInfo {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            run: RunArgs,
        }
        let words = ["tepui"].iter().chain(words);
        command(&Line::parse_from(words).run)
    }

    #[test]
    fn one_word_is_a_line_for_the_shell_and_several_are_executed() {
        for (words, shell, value, arguments) in [
            (&["--", "echo a b"][..], true, "echo a b", &[][..]),
            (&["--", "ls", "-l"], false, "ls", &["ls", "-l"]),
            (&["--no-shell", "--", "ls"], false, "ls", &["ls"]),
            (&["echo", "--cpus"], false, "echo", &["echo", "--cpus"]),
        ] {
            let command = command_of(words);
            assert_eq!(command.shell, Some(shell), "{words:?}");
            assert_eq!(command.value.as_deref(), Some(value), "{words:?}");
            assert_eq!(command.arguments, arguments, "{words:?}");
        }
        let command = command_of(&["-e", "A=1", "--env", "B=x=y", "--", "env"]);
        let variables = command.environment.unwrap().variables;
        let of = |i: usize| (variables[i].name.as_str(), variables[i].value.as_deref());
        assert_eq!([of(0), of(1)], [("A", Some("1")), ("B", Some("x=y"))]);
    }

    #[test]
    fn a_name_that_cannot_be_in_an_id_is_refused() {
        assert!(task_id("a/b").is_err());
        assert!(task_id("web").unwrap().value.starts_with("web-"));
    }
}
