//! Command: from a CommandInfo to program, arguments and environment.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use model::sandbox::{Process, User};

use super::{PlanError, SANDBOX, without_nul};

/// Where programs are looked up when a task does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line for `/bin/sh` (`shell` is true, or unset).
    Shell(String),
    /// A program with its arguments, the first of them its own name (`shell` is false).
    Program {
        /// The file, or a name to be looked up in the task's `PATH`.
        value: String,
        /// Its arguments; where there are none the program gets its own name.
        arguments: Vec<String>,
    },
    /// What `docker run` would make of these arguments and an image (a container of type DOCKER).
    Docker {
        /// The words after the image's name.
        arguments: Vec<String>,
    },
}

/// The process of a command, which starts in its sandbox.
pub(super) fn process(
    command: &Command,
    environment: &[(String, String)],
    user: User,
) -> Result<Process, PlanError> {
    let (program, arguments) = match command {
        Command::Shell(line) => (
            "/bin/sh".to_string(),
            vec!["sh".to_string(), "-c".to_string(), line.clone()],
        ),
        Command::Program { value, .. } if value.is_empty() => return Err(PlanError::NoCommand),
        Command::Program { value, arguments } if arguments.is_empty() => {
            (value.clone(), vec![value.clone()])
        }
        Command::Program { value, arguments } => (value.clone(), arguments.clone()),
        Command::Docker { arguments } => match arguments.first() {
            Some(program) => (program.clone(), arguments.clone()),
            None => return Err(PlanError::NoCommand),
        },
    };
    without_nul(&program, "the command's value")?;
    for argument in &arguments {
        without_nul(argument, "an argument of the command")?;
    }
    Ok(Process {
        program,
        arguments,
        environment: variables(environment)?,
        directory: SANDBOX.to_string(),
        user,
        rlimits: Vec::new(),
    })
}

/// The environment with what every task may rely on; of two values for a name the later one counts.
fn variables(given: &[(String, String)]) -> Result<Vec<(String, String)>, PlanError> {
    let mut all = vec![
        ("PATH".to_string(), PATH.to_string()),
        ("MESOS_SANDBOX".to_string(), SANDBOX.to_string()),
    ];
    for (name, value) in given {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(PlanError::Variable(name.clone()));
        }
        without_nul(value, &format!("environment variable {name}"))?;
        match all.iter_mut().find(|(other, _)| other == name) {
            Some(entry) => entry.1.clone_from(value),
            None => all.push((name.clone(), value.clone())),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &Command, expected: Result<(&str, &[&str]), PlanError>) {
        let process = process(command, &[], User::default());
        let got = process.map(|process| (process.program, process.arguments));
        let expected = expected.map(|(program, arguments)| {
            let arguments = arguments.iter().map(ToString::to_string).collect();
            (program.to_string(), arguments)
        });
        assert_eq!(got, expected);
    }

    #[test]
    fn a_shell_command_is_one_line_for_sh_and_a_program_has_the_arguments_given() {
        let program = |value: &str, arguments: &[&str]| Command::Program {
            value: value.into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        };
        let shell = Command::Shell("exit $N".into());
        check(&shell, Ok(("/bin/sh", &["sh", "-c", "exit $N"])));
        check(&program("ls", &["ls", "-l"]), Ok(("ls", &["ls", "-l"])));
        check(
            &program("/bin/true", &[]),
            Ok(("/bin/true", &["/bin/true"])),
        );
        check(&program("", &["x"]), Err(PlanError::NoCommand));
        let nul = PlanError::Nul("an argument of the command".into());
        check(&program("ls", &["a\0b"]), Err(nul));
    }

    #[test]
    fn a_later_variable_wins_and_one_without_a_name_is_refused() {
        let given = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = pairs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()));
            owned.collect()
        };
        let all = variables(&given(&[("PATH", "/opt"), ("A", "1"), ("A", "2")]));
        let expected = given(&[("PATH", "/opt"), ("MESOS_SANDBOX", SANDBOX), ("A", "2")]);
        assert_eq!(all, Ok(expected));
        for name in ["", "A=B", "A\0"] {
            let refused = variables(&given(&[(name, "1")]));
            assert_eq!(refused, Err(PlanError::Variable(name.into())), "{name:?}");
        }
    }
}
