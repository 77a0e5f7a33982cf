//! Executor: the life of a task, and how Mesos' command executor would report it.
//!
//! ```text
//! Launching -> Running -> Killing -> Ended       (Killing and Running may be skipped)
//! Queued -> Delivered -> Ended                   where the framework's own executor runs it
//! Queued -> Launching …                          in a pod
//! ```
//!
//! Where the agent runs the command itself, what an end means (state, source, reason, words) is
//! decided in [`ending`] and nowhere else.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::sandbox::Lacks;
use model::{ContainerId, Instant, Reason, Source, TaskState};

use crate::checks::CheckStatus;
use crate::effect::{Deadline, Limitation, Status};
use crate::event::{DiskLimit, Exit, ExitStatus, Limit, MemoryLimit, TaskSpec};
use crate::oversubscription::qos::Pressure;

/// The grace period of a kill for which nobody named one (Mesos' command executor).
pub const KILL_GRACE: Duration = Duration::from_secs(3);

/// A task on this agent, until its end is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What it is.
    pub spec: TaskSpec,
    /// Its container, or its executor's where that runs it; unset where it never gets one.
    pub container: Option<ContainerId>,
    /// Where it stands.
    pub life: Life,
    /// What the checkpoint has of its end, once that is wanted.
    pub doomed: Option<(Doom, Deadline)>,
    /// Its updates, the oldest first.
    pub statuses: Vec<Status>,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Its executor is not there yet.
    Queued,
    /// Its executor has it, and tells what becomes of it.
    Delivered,
    /// Its container is being made.
    Launching {
        /// Set where it is to be killed as soon as it is there.
        doomed: Option<Doom>,
    },
    /// Its process runs.
    Running {
        /// The container's init.
        pid: u32,
        /// When `max_completion_time` runs out.
        complete_by: Option<Instant>,
    },
    /// Its process is to end.
    Killing {
        /// The container's init.
        pid: u32,
        /// Why.
        doom: Doom,
        /// When SIGKILL follows; unset once it did.
        kill_at: Option<Instant>,
    },
    /// Its terminal update is made.
    Ended,
}

/// Why a task is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doom {
    /// Someone asked for it.
    Requested,
    /// Someone asked for it before the process was there.
    DuringLaunch,
    /// `max_completion_time` ran out.
    OutOfTime,
    /// Its health check failed too often.
    Unhealthy,
    /// Others wait for what it was to give back.
    Preempted(Pressure),
}

impl Task {
    /// The newest state; TASK_STAGING before the first update.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.statuses
            .last()
            .map_or(TaskState::Staging, |status| status.state)
    }

    /// The container's init, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.life {
            Life::Running { pid, .. } | Life::Killing { pid, .. } => Some(pid),
            Life::Queued | Life::Delivered | Life::Launching { .. } | Life::Ended => None,
        }
    }

    /// When this task wants to be looked at, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.life {
            Life::Running { complete_by, .. } => *complete_by,
            Life::Killing { kill_at, .. } => *kill_at,
            Life::Queued | Life::Delivered | Life::Launching { .. } | Life::Ended => None,
        }
    }

    /// The grace period of a kill: the call's, else the task's own, else [`KILL_GRACE`].
    #[must_use]
    pub fn grace(&self, call: Option<Duration>) -> Duration {
        call.or(self.spec.kill_grace).unwrap_or(KILL_GRACE)
    }
}

/// What a terminal update says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The state.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// Why, in words.
    pub message: String,
    /// The limit that was passed.
    pub limitation: Option<Limitation>,
    /// What is said of the task's health.
    pub healthy: Option<bool>,
    /// The last result of its check, where there is one.
    pub check: Option<CheckStatus>,
    /// What the node does not give of the container's plan and why, in words.
    pub degraded: Option<String>,
}

impl Ending {
    /// An end that the agent decided.
    #[must_use]
    pub fn by_agent(state: TaskState, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            state,
            source: Source::Agent,
            reason: Some(reason),
            message: message.into(),
            limitation: None,
            healthy: None,
            check: None,
            degraded: None,
        }
    }
}

/// What the end of a container means for its task.
///
/// The memory limit comes first: Mesos destroys the container then, whatever else was under way.
#[must_use]
pub fn ending(doom: Option<Doom>, exit: &Exit) -> Ending {
    if let Some(ending) = limitation(exit) {
        return ending;
    }
    let message = command_ended(exit.status);
    let by_executor = |state, reason| Ending {
        state,
        source: Source::Executor,
        reason,
        message: message.clone(),
        limitation: None,
        healthy: (doom == Some(Doom::Unhealthy)).then_some(false),
        check: None,
        degraded: None,
    };
    match (doom, exit.status) {
        (Some(Doom::DuringLaunch), _) => killed_during_launch(),
        (Some(Doom::Preempted(pressure)), _) => Ending::by_agent(
            TaskState::Gone,
            Reason::ContainerPreempted,
            pressure.to_string(),
        ),
        (Some(Doom::Requested | Doom::Unhealthy), _) => by_executor(TaskState::Killed, None),
        (Some(Doom::OutOfTime), _) => {
            by_executor(TaskState::Failed, Some(Reason::MaxCompletionTimeReached))
        }
        (None, ExitStatus::Code(0)) => by_executor(TaskState::Finished, None),
        (None, ExitStatus::Code(_) | ExitStatus::Signal(_)) => Ending {
            message: message.clone() + &lacking(&exit.lacks),
            ..by_executor(TaskState::Failed, None)
        },
        (None, ExitStatus::Unknown) => {
            Ending::by_agent(TaskState::Failed, Reason::ExecutorTerminated, message)
        }
    }
}

/// What a task that failed may have failed for. What it was refused may also have been of no matter to
/// it, so that it is told and not called the reason.
fn lacking(lacks: &Lacks) -> String {
    match lacks.is_empty() {
        true => String::new(),
        false => format!(" (it was refused something for lack of {lacks})"),
    }
}

/// What a container's end means where a limit brought it about; `None` where none did.
#[must_use]
pub fn limitation(exit: &Exit) -> Option<Ending> {
    let (limitation, reason, message) = match exit.limit.as_ref()? {
        Limit::Memory(memory) => (
            Limitation::Memory(memory.limit_bytes),
            Reason::ContainerLimitationMemory,
            memory_message(memory),
        ),
        Limit::Disk(disk) => (
            Limitation::Disk(disk.limit_bytes),
            Reason::ContainerLimitationDisk,
            disk_message(disk),
        ),
    };
    Some(Ending {
        limitation: Some(limitation),
        ..Ending::by_agent(TaskState::Failed, reason, message)
    })
}

/// How a process ended, as Mesos' executors say it.
#[must_use]
pub fn command_ended(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("Command exited with status {code}"),
        ExitStatus::Signal(signal) => {
            format!("Command terminated with signal {}", signal_text(signal))
        }
        ExitStatus::Unknown => "Command ended and its exit status is not known".to_string(),
    }
}

/// The end of a task whose kill came before its process.
#[must_use]
pub fn killed_during_launch() -> Ending {
    Ending::by_agent(
        TaskState::Killed,
        Reason::TaskKilledDuringLaunch,
        "Task was killed during its launch",
    )
}

fn memory_message(memory: &MemoryLimit) -> String {
    const MEGABYTE: u64 = 1 << 20;
    let mut text = format!(
        "Memory limit exceeded: Requested: {}MB Maximum Used: {}MB",
        memory.limit_bytes / MEGABYTE,
        memory.used_bytes_max / MEGABYTE,
    );
    if !memory.statistics.is_empty() {
        text.push_str("\n\nMEMORY STATISTICS: \n");
        text.push_str(&memory.statistics);
    }
    text
}

/// As Mesos' disk isolators say it.
fn disk_message(disk: &DiskLimit) -> String {
    format!(
        "Disk usage ({}) exceeds quota ({})",
        model::bytes::format(disk.used_bytes),
        model::bytes::format(disk.limit_bytes),
    )
}

/// The words of strsignal(3), which Mesos puts into its messages.
fn signal_text(signal: u8) -> String {
    const TEXTS: [&str; 31] = [
        "Hangup",
        "Interrupt",
        "Quit",
        "Illegal instruction",
        "Trace/breakpoint trap",
        "Aborted",
        "Bus error",
        "Floating point exception",
        "Killed",
        "User defined signal 1",
        "Segmentation fault",
        "User defined signal 2",
        "Broken pipe",
        "Alarm clock",
        "Terminated",
        "Stack fault",
        "Child exited",
        "Continued",
        "Stopped (signal)",
        "Stopped",
        "Stopped (tty input)",
        "Stopped (tty output)",
        "Urgent I/O condition",
        "CPU time limit exceeded",
        "File size limit exceeded",
        "Virtual timer expired",
        "Profiling timer expired",
        "Window changed",
        "I/O possible",
        "Power failure",
        "Bad system call",
    ];
    match signal {
        1..=31 => TEXTS[usize::from(signal) - 1].to_string(),
        34..=64 => format!("Real-time signal {}", signal - 34),
        _ => format!("Unknown signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use model::sandbox::Capability;

    fn exit(status: ExitStatus) -> Exit {
        Exit {
            status,
            limit: None,
            lacks: Lacks::NONE,
        }
    }

    #[test]
    fn an_end_reads_as_mesos_command_executor_writes_it() {
        use ExitStatus::{Code, Signal, Unknown};
        use TaskState::{Failed, Finished, Killed};
        for (doom, status, state, source, reason, message) in [
            (
                None,
                Code(0),
                Finished,
                Source::Executor,
                None,
                "Command exited with status 0",
            ),
            (
                None,
                Code(7),
                Failed,
                Source::Executor,
                None,
                "Command exited with status 7",
            ),
            (
                None,
                Signal(9),
                Failed,
                Source::Executor,
                None,
                "Command terminated with signal Killed",
            ),
            (
                None,
                Signal(35),
                Failed,
                Source::Executor,
                None,
                "Command terminated with signal Real-time signal 1",
            ),
            (
                None,
                Unknown,
                Failed,
                Source::Agent,
                Some(Reason::ExecutorTerminated),
                "Command ended and its exit status is not known",
            ),
            (
                Some(Doom::Requested),
                Code(0),
                Killed,
                Source::Executor,
                None,
                "Command exited with status 0",
            ),
            (
                Some(Doom::Requested),
                Signal(15),
                Killed,
                Source::Executor,
                None,
                "Command terminated with signal Terminated",
            ),
            (
                Some(Doom::Unhealthy),
                Signal(15),
                Killed,
                Source::Executor,
                None,
                "Command terminated with signal Terminated",
            ),
            (
                Some(Doom::OutOfTime),
                Signal(9),
                Failed,
                Source::Executor,
                Some(Reason::MaxCompletionTimeReached),
                "Command terminated with signal Killed",
            ),
            (
                Some(Doom::DuringLaunch),
                Signal(9),
                Killed,
                Source::Agent,
                Some(Reason::TaskKilledDuringLaunch),
                "Task was killed during its launch",
            ),
        ] {
            let ending = ending(doom, &exit(status));
            let unhealthy = doom == Some(Doom::Unhealthy);
            assert_eq!(ending.healthy, unhealthy.then_some(false));
            assert_eq!(
                (
                    ending.state,
                    ending.source,
                    ending.reason,
                    ending.message.as_str()
                ),
                (state, source, reason, message),
            );
        }
    }

    #[test]
    fn a_reached_memory_limit_wins_over_every_other_end() {
        let exit = Exit {
            status: ExitStatus::Signal(9),
            limit: Some(Limit::Memory(MemoryLimit {
                limit_bytes: 96 << 20,
                used_bytes_max: (96 << 20) + 4096,
                statistics: "anon 100\n".to_string(),
            })),
            lacks: Lacks::NONE,
        };
        let ending = ending(Some(Doom::Requested), &exit);
        assert_eq!(ending.state, TaskState::Failed);
        assert_eq!(ending.reason, Some(Reason::ContainerLimitationMemory));
        assert_eq!(ending.limitation, Some(Limitation::Memory(96 << 20)));
        assert_eq!(
            ending.message,
            "Memory limit exceeded: Requested: 96MB Maximum Used: 96MB\n\nMEMORY STATISTICS: \nanon 100\n"
        );
    }

    #[test]
    fn a_container_that_kept_too_much_fails_for_that_reason() {
        let exit = Exit {
            status: ExitStatus::Signal(9),
            limit: Some(Limit::Disk(DiskLimit {
                limit_bytes: 64 << 20,
                used_bytes: (64 << 20) + 4096,
            })),
            lacks: Lacks::NONE,
        };
        let ending = ending(None, &exit);
        assert_eq!(ending.state, TaskState::Failed);
        assert_eq!(ending.reason, Some(Reason::ContainerLimitationDisk));
        assert_eq!(ending.limitation, Some(Limitation::Disk(64 << 20)));
        assert_eq!(ending.message, "Disk usage (65540KB) exceeds quota (64MB)");
    }

    #[test]
    fn a_task_that_failed_is_told_what_it_lacked_and_one_that_did_not_is_not() {
        let exit = |code| Exit {
            lacks: Lacks {
                own: vec![Capability(0), Capability(10)],
                others: vec![Capability(10), Capability(21)],
                calls: vec!["bpf".into(), "mount".into()],
            },
            ..exit(ExitStatus::Code(code))
        };
        assert_eq!(
            ending(None, &exit(1)).message,
            "Command exited with status 1 (it was refused something for lack of CHOWN, \
             NET_BIND_SERVICE, SYS_ADMIN over what is the node's, system call bpf, system call mount)"
        );
        let finished = ending(None, &exit(0));
        assert_eq!(finished.message, "Command exited with status 0");
        let killed = ending(Some(Doom::Requested), &exit(1));
        assert_eq!(killed.message, "Command exited with status 1");
    }
}
