//! Image: what an image's own configuration adds to a task.
//!
//! The program, by Mesos' table (its docker/runtime isolator): a shell command, and a program that the
//! task names, are run whatever the image says; without a program the image's entry point runs, with
//! the task's arguments or else the image's. A container of type DOCKER goes by `docker run` instead.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Command, PlanError, SwitchUser};

/// What an image says of the container that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// The program, and the arguments that it always has.
    pub entrypoint: Vec<String>,
    /// The program where there is no entry point; else arguments where the task has none.
    pub cmd: Vec<String>,
    /// Variables, which the task's own win over.
    pub environment: Vec<(String, String)>,
    /// Whom to run as where the task does not say: a name or number, maybe with a group after a colon.
    pub user: Option<String>,
    /// Where to start; the sandbox where it is unset.
    pub working_directory: Option<String>,
}

impl ImageConfig {
    /// The command that runs, which needs nothing of the image any more.
    ///
    /// # Errors
    /// Neither the task nor the image names a program.
    pub fn command(&self, wanted: &Command) -> Result<Command, PlanError> {
        let words = match wanted {
            Command::Shell(line) if line.is_empty() => return Err(PlanError::NoCommand),
            Command::Shell(_) => return Ok(wanted.clone()),
            Command::Program { value, .. } if !value.is_empty() => return Ok(wanted.clone()),
            Command::Program { arguments, .. } => self.by_default(arguments),
            Command::Docker { arguments } => self.by_docker(arguments),
        };
        let program = words.first().filter(|program| !program.is_empty());
        let value = program.ok_or(PlanError::NoProgram)?.to_string();
        Ok(Command::Program {
            value,
            arguments: words,
        })
    }

    /// Whom to run as, and whether that is looked up: the user that the command names, else the image's
    /// own, else the framework's. What clients send as their user does not count where the node switches
    /// none; an image's user is not the client's, and counts.
    #[must_use]
    pub fn user<'a>(
        &'a self,
        command: Option<&'a str>,
        framework: &'a str,
        switch: SwitchUser,
    ) -> (Option<&'a str>, SwitchUser) {
        let framework = Some(framework).filter(|user| !user.is_empty());
        match (switch, command, self.user.as_deref()) {
            (SwitchUser::Yes, Some(user), _) | (_, _, Some(user)) => (Some(user), SwitchUser::Yes),
            (SwitchUser::Yes, None, None) => (framework, SwitchUser::Yes),
            (SwitchUser::No, _, None) => (None, SwitchUser::No),
        }
    }

    fn by_default(&self, arguments: &[String]) -> Vec<String> {
        let (fixed, replaced) = match (self.entrypoint.as_slice(), self.cmd.as_slice()) {
            ([], [program, rest @ ..]) => (core::slice::from_ref(program), rest),
            (entrypoint, cmd) => (entrypoint, cmd),
        };
        if fixed.is_empty() {
            return Vec::new();
        }
        match arguments.is_empty() {
            true => [fixed, replaced].concat(),
            false => [fixed, arguments].concat(),
        }
    }

    fn by_docker(&self, arguments: &[String]) -> Vec<String> {
        match arguments.is_empty() {
            true => [self.entrypoint.as_slice(), &self.cmd].concat(),
            false => [self.entrypoint.as_slice(), arguments].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn an_image_completes_a_command_by_mesos_table() {
        let program = |value: &str, arguments: &str| Command::Program {
            value: value.into(),
            arguments: words(arguments),
        };
        let images = [("", ""), ("", "c0 c1"), ("e0 e1", ""), ("e0 e1", "c0 c1")];
        for (wanted, expected) in [
            (
                program("", ""),
                [None, Some("c0 c1"), Some("e0 e1"), Some("e0 e1 c0 c1")],
            ),
            (
                program("", "a b"),
                [None, Some("c0 a b"), Some("e0 e1 a b"), Some("e0 e1 a b")],
            ),
            (program("v", ""), [Some(""); 4]),
            (program("v", "v a"), [Some("v a"); 4]),
            (Command::Shell(String::new()), [None; 4]),
        ] {
            for ((entrypoint, cmd), expected) in images.iter().zip(expected) {
                let image = ImageConfig {
                    entrypoint: words(entrypoint),
                    cmd: words(cmd),
                    ..ImageConfig::default()
                };
                let got = image.command(&wanted).ok().map(|command| match command {
                    Command::Program { arguments, .. } => arguments,
                    other => panic!("{other:?}"),
                });
                assert_eq!(got, expected.map(words), "{wanted:?} {image:?}");
            }
        }
    }

    #[test]
    fn a_commands_user_wins_over_an_images_and_that_over_a_frameworks() {
        use SwitchUser::{No, Yes};
        for (switch, command, image, expected) in [
            (Yes, Some("c"), Some("i"), (Some("c"), Yes)),
            (Yes, None, Some("i"), (Some("i"), Yes)),
            (Yes, None, None, (Some("f"), Yes)),
            (No, Some("c"), Some("i"), (Some("i"), Yes)),
            (No, Some("c"), None, (None, No)),
        ] {
            let image = ImageConfig {
                user: image.map(String::from),
                ..ImageConfig::default()
            };
            assert_eq!(image.user(command, "f", switch), expected);
        }
    }

    #[test]
    fn a_shell_command_ignores_the_image() {
        let image = ImageConfig {
            entrypoint: vec!["e".into()],
            ..ImageConfig::default()
        };
        let shell = Command::Shell("echo".into());
        assert_eq!(image.command(&shell), Ok(shell));
    }

    #[test]
    fn a_container_of_type_docker_runs_what_docker_run_would() {
        for (entrypoint, cmd, arguments, expected) in [
            ("", "", "", None),
            ("", "c0 c1", "", Some("c0 c1")),
            ("", "c0 c1", "a b", Some("a b")),
            ("e", "c0 c1", "", Some("e c0 c1")),
            ("e", "c0 c1", "a b", Some("e a b")),
        ] {
            let image = ImageConfig {
                entrypoint: words(entrypoint),
                cmd: words(cmd),
                ..ImageConfig::default()
            };
            let wanted = Command::Docker {
                arguments: words(arguments),
            };
            let expected = expected.map(|expected| Command::Program {
                value: words(expected)[0].clone(),
                arguments: words(expected),
            });
            assert_eq!(image.command(&wanted).ok(), expected);
        }
    }
}
