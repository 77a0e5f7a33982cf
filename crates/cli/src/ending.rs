//! Ending: what a task's last status means to whoever ran it: an exit code, and perhaps a line.
//!
//! The exit status itself travels in the status message, in Mesos' words (`Command exited with
//! status 7`, `Command terminated with signal Killed`): there is no other field for it.

use model::{Reason, TaskState};

/// There was no task, or no word of its end: the code that `docker run` uses for it too.
pub(crate) const NO_TASK: u8 = 125;
/// Killed by the signal that an agent sends first, SIGTERM.
const TERMINATED: u8 = 128 + 15;
/// Killed by the kernel for its memory, SIGKILL.
const OUT_OF_MEMORY: u8 = 128 + 9;

/// The last status of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) state: TaskState,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: String,
}

impl Ending {
    /// The exit code that stands for this end.
    pub(crate) fn code(&self) -> u8 {
        match self.state {
            TaskState::Finished => 0,
            TaskState::Killed => TERMINATED,
            TaskState::Failed => match (exit(&self.message), self.reason) {
                (Some(Exit::Status(status)), _) => status,
                (Some(Exit::Signal(number)), _) => 128 + number,
                (None, Some(Reason::ContainerLimitationMemory)) => OUT_OF_MEMORY,
                (None, Some(Reason::ContainerLaunchFailed)) => NO_TASK,
                (None, _) => 1,
            },
            TaskState::Error
            | TaskState::Dropped
            | TaskState::Lost
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown
            | TaskState::Unreachable
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Staging
            | TaskState::Killing => NO_TASK,
        }
    }

    /// Whether the exit code is missing only since a master answered from memory: reconciliations
    /// carry words of their own in place of the agent's.
    pub(crate) fn is_hearsay(&self) -> bool {
        self.state == TaskState::Failed && self.reason == Some(Reason::Reconciliation)
    }

    /// What is to be said; nothing where the exit code says it all.
    pub(crate) fn remark(&self) -> Option<String> {
        let silent = match self.state {
            TaskState::Finished => true,
            TaskState::Failed => matches!(exit(&self.message), Some(Exit::Status(_))),
            _ => false,
        };
        if silent {
            return None;
        }
        let mut text = format!("the task ended as {}", self.state);
        if let Some(reason) = self.reason {
            text.push_str(&format!(" ({reason})"));
        }
        if !self.message.is_empty() {
            text.push_str(&format!(": {}", self.message));
        }
        Some(text)
    }
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
enum Exit {
    Status(u8),
    Signal(u8),
}

fn exit(message: &str) -> Option<Exit> {
    if let Some(status) = message.strip_prefix("Command exited with status ") {
        return status.trim().parse().ok().map(Exit::Status);
    }
    let name = message.strip_prefix("Command terminated with signal ")?;
    let name = name.trim_end().trim_end_matches(" (core dumped)");
    SIGNALS
        .iter()
        .find(|(_, text)| *text == name)
        .map(|(number, _)| Exit::Signal(*number))
}

/// Signals that end a process on Linux, in the words of strsignal(3).
const SIGNALS: [(u8, &str); 23] = [
    (1, "Hangup"),
    (2, "Interrupt"),
    (3, "Quit"),
    (4, "Illegal instruction"),
    (5, "Trace/breakpoint trap"),
    (6, "Aborted"),
    (7, "Bus error"),
    (8, "Floating point exception"),
    (9, "Killed"),
    (10, "User defined signal 1"),
    (11, "Segmentation fault"),
    (12, "User defined signal 2"),
    (13, "Broken pipe"),
    (14, "Alarm clock"),
    (15, "Terminated"),
    (16, "Stack fault"),
    (24, "CPU time limit exceeded"),
    (25, "File size limit exceeded"),
    (26, "Virtual timer expired"),
    (27, "Profiling timer expired"),
    (29, "I/O possible"),
    (30, "Power failure"),
    (31, "Bad system call"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_an_exit_code_and_a_remark_where_the_code_does_not_say_it() {
        use TaskState::{Error, Failed, Finished, Killed, Lost};
        let memory = Some(Reason::ContainerLimitationMemory);
        for (state, reason, message, code, remark) in [
            (Finished, None, "Command exited with status 0", 0, false),
            (Failed, None, "Command exited with status 7", 7, false),
            (
                Failed,
                None,
                "Command terminated with signal Killed",
                137,
                true,
            ),
            (
                Failed,
                None,
                "Command terminated with signal Segmentation fault (core dumped)",
                139,
                true,
            ),
            (Failed, memory, "Memory limit exceeded: …", 137, true),
            (
                Failed,
                Some(Reason::ContainerLaunchFailed),
                "no user \"x\"",
                125,
                true,
            ),
            (Failed, None, "", 1, true),
            (Failed, None, "Command exited with status 700", 1, true),
            (Killed, None, "", 143, true),
            (Error, Some(Reason::TaskInvalid), "", 125, true),
            (Lost, None, "", 125, true),
        ] {
            let ending = Ending {
                state,
                reason,
                message: message.to_owned(),
            };
            assert_eq!(ending.code(), code, "{ending:?}");
            assert_eq!(ending.remark().is_some(), remark, "{ending:?}");
        }
    }
}
