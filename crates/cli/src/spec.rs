//! Spec: the framework and the task that `tepui run` makes of its command line.

use api::v1::framework_info::{Capability, capability};
use api::v1::{
    AgentId, CommandInfo, Environment, FrameworkInfo, KillPolicy, TaskId, TaskInfo, environment,
};

use crate::args::RunArgs;
use crate::need::Taken;

mod container;

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
pub(crate) fn task(args: &RunArgs, task_id: &TaskId, agent_id: &AgentId, taken: Taken) -> TaskInfo {
    let health = &args.health;
    TaskInfo {
        name: args.name.clone(),
        task_id: task_id.clone(),
        agent_id: agent_id.clone(),
        command: Some(command(args, &taken.ports)),
        container: container::container(&args.container, &taken.ports),
        health_check: container::health_check(health, taken.ports.first().copied()),
        kill_policy: health.kill_grace.map(|grace| KillPolicy {
            grace_period: Some(container::duration(grace)),
        }),
        max_completion_time: health.max_time.map(container::duration),
        resources: taken.resources,
        ..Default::default()
    }
}

/// The command, with the ports that it got in its environment.
fn command(args: &RunArgs, ports: &[u16]) -> CommandInfo {
    let own = args.env.iter().map(|(name, value)| variable(name, value));
    let variables: Vec<_> = port_variables(ports).into_iter().chain(own).collect();
    let environment = (!variables.is_empty()).then_some(Environment { variables });
    let shell = args.command.len() == 1 && !args.no_shell;
    let words = args.command.clone();
    CommandInfo {
        uris: container::uris(&args.container),
        environment,
        shell: Some(shell),
        value: words.first().cloned(),
        arguments: if shell { Vec::new() } else { words },
        user: Some(args.user.clone()),
    }
}

/// PORT0, PORT1 and so on for the ports that a task got, and PORT for the first.
pub(crate) fn port_variables(ports: &[u16]) -> Vec<environment::Variable> {
    let first = ports.first().map(|port| ("PORT".to_owned(), port));
    let all = ports.iter().enumerate();
    let all = all.map(|(number, port)| (format!("PORT{number}"), port));
    let ports = first.into_iter().chain(all);
    ports
        .map(|(name, port)| variable(&name, &port.to_string()))
        .collect()
}

fn variable(name: &str, value: &str) -> environment::Variable {
    environment::Variable {
        name: name.to_owned(),
        value: Some(value.to_owned()),
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
        command(&Line::parse_from(words).run, &[31_000, 31_005])
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
        assert_eq!(
            [of(0), of(1)],
            [("PORT", Some("31000")), ("PORT0", Some("31000"))]
        );
        assert_eq!([of(3), of(4)], [("A", Some("1")), ("B", Some("x=y"))]);
        let own = command_of(&["--image", "redis"]);
        assert_eq!((own.shell, own.value), (Some(false), None));
    }

    fn task_of(words: &[&str]) -> TaskInfo {
        let words = ["tepui", "run"].iter().chain(words).chain(&["--", "x"]);
        let crate::args::Command::Run(args) = crate::args::Cli::parse_from(words).command else {
            panic!("no run");
        };
        let taken = Taken {
            ports: vec![31_000],
            ..Taken::default()
        };
        task(&args, &TaskId::default(), &AgentId::default(), taken)
    }

    #[test]
    fn options_become_the_container_the_files_and_the_checks_of_a_task() {
        let plain = task_of(&[]);
        assert_eq!(
            (plain.container, plain.health_check, plain.kill_policy),
            (None, None, None)
        );
        let task = task_of(&[
            "--image",
            "h:5000/web",
            "--force-pull",
            "-v",
            "/srv:/data:ro",
            "--network",
            "lan",
            "--uri",
            "http://h/f,cache",
            "--health-http",
            "/ok",
            "--health-failures",
            "5",
            "--kill-grace",
            "0.5",
            "--max-time",
            "60",
        ]);
        let container = task.container.unwrap();
        let image = container.mesos.unwrap().image.unwrap();
        assert_eq!(
            (image.docker.unwrap().name.as_str(), image.cached),
            ("h:5000/web", Some(false))
        );
        let volume = &container.volumes[0];
        assert_eq!(
            (volume.container_path.as_str(), volume.mode().as_str_name()),
            ("/data", "RO")
        );
        assert_eq!(container.network_infos[0].name.as_deref(), Some("lan"));
        let uri = &task.command.unwrap().uris[0];
        assert_eq!(
            (uri.value.as_str(), uri.cache, uri.extract),
            ("http://h/f", Some(true), Some(true))
        );
        let check = task.health_check.unwrap();
        assert_eq!(check.consecutive_failures, Some(5));
        let http = check.http.unwrap();
        assert_eq!((http.port, http.path.as_deref()), (31_000, Some("/ok")));
        let grace = task.kill_policy.unwrap().grace_period.unwrap();
        assert_eq!(grace.nanoseconds, 500_000_000);
        assert_eq!(
            task.max_completion_time.unwrap().nanoseconds,
            60_000_000_000
        );
    }

    #[test]
    fn a_name_that_cannot_be_in_an_id_is_refused() {
        assert!(task_id("a/b").is_err());
        assert!(task_id("web").unwrap().value.starts_with("web-"));
    }
}
