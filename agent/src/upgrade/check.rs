//! Check mode: a program is run as a child before it is executed in another's place, and says whether it
//! could go on from there.
//!
//! `tepui-agent check ORDERS RECORDS`, in namespaces and ids of its own: it reads the settings, the words
//! that are handed over, what is kept of containers, and on its standard input the checkpoint, with the code
//! that it would read them with. It changes nothing. The form of orders and answer is that of every build:
//! fields are added, and none is taken away.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_core::sandbox::STORE_IDS;
use agent_kernel::program::Program;
use agent_kernel::worker::{Work, WorkerError, Workers};
use serde::{Deserialize, Serialize};

use crate::checkpoint;
use crate::config::recovery::Strictness;
use crate::config::{self, Input, Request};
use crate::containers;
use crate::handover::State;
use crate::init::{Machine, chain};
use crate::workers::{self, AskError};

/// The program's first argument that has it check.
pub const ROLE: &str = "check";

/// The settings as they were given, which another build may read otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// A node's.
    Kernel(String),
    /// Those of an ordinary process.
    Arguments {
        /// The arguments, in order.
        arguments: Vec<String>,
        /// Names and values.
        environment: Vec<(String, String)>,
    },
}

impl Given {
    /// As they were given to this process.
    ///
    /// # Errors
    /// The kernel's command line cannot be read.
    pub fn take(machine: Machine) -> io::Result<Self> {
        if machine == Machine::Whole {
            return std::fs::read_to_string("/proc/cmdline").map(Self::Kernel);
        }
        let arguments = std::env::args_os().skip(1);
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.into_string().ok()?))
        });
        Ok(Self::Arguments {
            arguments: arguments
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            environment: variables.collect(),
        })
    }

    /// Until when another program runs than the one that was started with them.
    #[must_use]
    pub const fn lasts_until(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "this machine starts again, with the program of its image",
            Self::Arguments { .. } => "this process is started anew",
        }
    }

    /// As the configuration reads them.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Kernel(line) => Input::KernelCommandLine(line),
            Self::Arguments {
                arguments,
                environment,
            } => Input::Arguments {
                arguments,
                environment,
            },
        }
    }
}

/// What is checked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// Comes back with the answer: no program that knows nothing of checks says it by chance.
    pub(super) nonce: String,
    pub(super) settings: Given,
    /// The words that are handed over.
    pub(super) state: String,
    /// Whether all of the checkpoint has to be readable.
    pub(super) is_strict: bool,
}

/// What a program says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) nonce: String,
    /// Its version.
    pub(super) version: String,
    /// Why it cannot go on from here.
    pub(super) faults: Vec<String>,
}

/// Why a program is not executed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// What it has to be shown cannot be read.
    #[error("read what the program has to be shown")]
    Show(#[source] io::Error),
    /// It is not there to be executed, as the kernel says.
    #[error("the kernel does not execute it")]
    Execute(#[source] WorkerError),
    /// It ended, crashed or hung.
    #[error("it does not answer in check mode")]
    Silent(#[source] AskError),
    /// It said something.
    #[error("it is no agent: it does not know of check mode")]
    Stranger,
    /// It cannot go on.
    #[error("version {version} cannot go on from here: {}", .faults.join("; "))]
    Unfit {
        /// Its version.
        version: String,
        /// Why.
        faults: Vec<String>,
    },
}

/// What a program is shown.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) settings: Given,
    pub(super) state: Vec<u8>,
    pub(super) checkpoint: &'a Path,
    pub(super) strictness: Strictness,
    /// How long the program may take.
    pub(super) time: Duration,
    /// What is kept of each container.
    pub(super) records: Vec<Vec<u8>>,
}

/// Runs a program in check mode; its version.
///
/// # Errors
/// It is not to be executed.
pub(super) async fn check(program: &Program, shown: Shown<'_>) -> Result<String, CheckError> {
    let nonce = uuid::Uuid::new_v4().to_string();
    let orders = Orders {
        nonce: nonce.clone(),
        settings: shown.settings,
        state: String::from_utf8_lossy(&shown.state).into_owned(),
        is_strict: shown.strictness == Strictness::Whole,
    };
    let input = File::open(shown.checkpoint).map_err(CheckError::Show)?;
    let records = pack(&shown.records).map_err(CheckError::Show)?;
    let program = program.try_clone().map_err(CheckError::Show)?;
    let workers = Workers::of(program).map_err(CheckError::Execute)?;
    let start = move |workers: &Workers, orders: &[u8]| {
        workers.start(Work {
            role: ROLE,
            orders,
            namespaces: &workers::APART,
            ids: STORE_IDS,
            input: input.into(),
            folder: records,
        })
    };
    let answer = workers::ask(&Arc::new(workers), &orders, shown.time, start).await;
    let answer: Answer = answer.map_err(|error| match error {
        AskError::Start(error) => CheckError::Execute(error),
        AskError::Malformed => CheckError::Stranger,
        error => CheckError::Silent(error),
    })?;
    if answer.nonce != nonce {
        return Err(CheckError::Stranger);
    }
    match answer.faults.is_empty() {
        true => Ok(answer.version),
        false => Err(CheckError::Unfit {
            version: answer.version,
            faults: answer.faults,
        }),
    }
}

/// All records in one file in memory, each after its length.
fn pack(records: &[Vec<u8>]) -> io::Result<OwnedFd> {
    let mut bytes = Vec::new();
    for record in records {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(record);
    }
    Ok(agent_kernel::files::in_memory("records", &bytes)?)
}

fn unpack(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        records.push(record);
        bytes = rest;
    }
    bytes.is_empty().then_some(records)
}

/// In the child: checks.
#[must_use]
pub fn enter() -> ExitCode {
    let panicked = |panic| Answer {
        nonce: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        faults: vec![panic],
    };
    workers::work(ROLE, answer, panicked)
}

fn answer(orders: Orders, records: OwnedFd) -> Answer {
    let mut checkpoint = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut checkpoint);
    let faults = match read {
        Ok(_) => faults(&orders, &checkpoint, records),
        Err(error) => vec![format!("read the checkpoint: {error}")],
    };
    Answer {
        nonce: orders.nonce,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        faults,
    }
}

fn faults(orders: &Orders, checkpoint: &[u8], records: OwnedFd) -> Vec<String> {
    let mut faults = Vec::new();
    match config::parse(orders.settings.input()) {
        Ok(Request::Run(_)) => {}
        Ok(Request::Help | Request::Version) => {
            faults.push("the settings ask for no agent".to_string());
        }
        Err(bad) => faults.extend(bad.0.iter().map(ToString::to_string)),
    }
    if let Err(error) = State::read(orders.state.as_bytes()) {
        faults.push(chain(&error));
    }
    let strictness = match orders.is_strict {
        true => Strictness::Whole,
        false => Strictness::Possible,
    };
    if let Err(error) = checkpoint::look(checkpoint, Path::new("the checkpoint"), strictness) {
        faults.push(chain(&error));
    }
    // The descriptor's position is the agent's, at the end.
    let path = format!("/proc/self/fd/{}", records.as_raw_fd());
    let bytes = std::fs::read(path).map_err(|error| error.to_string());
    let checked = bytes.and_then(|bytes| {
        let records = unpack(&bytes).ok_or("they are torn")?;
        records.into_iter().try_for_each(containers::check_record)
    });
    if let Err(error) = checked {
        faults.push(format!("what is kept of containers: {error}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(state: &str, arguments: &[&str]) -> Orders {
        Orders {
            nonce: "n".to_string(),
            settings: Given::Arguments {
                arguments: arguments.iter().map(ToString::to_string).collect(),
                environment: Vec::new(),
            },
            state: state.to_string(),
            is_strict: true,
        }
    }

    #[test]
    fn what_a_program_cannot_go_on_from_is_told_all_at_once() {
        let good = r#"{"version":1}"#;
        let check = |orders: &Orders, checkpoint: &[u8], records: &[Vec<u8>]| {
            faults(orders, checkpoint, pack(records).expect("memory"))
        };
        let fine = orders(good, &["--master=m:5050"]);
        assert_eq!(check(&fine, b"", &[]), Vec::<String>::new());
        // What is kept of a container by a build without versions.
        assert_eq!(
            check(&fine, b"TEPUICP\x01", &[Vec::new()]),
            Vec::<String>::new()
        );
        let bad = orders(
            r#"{"version":1,"of_later":1}"#,
            &["--master=m:5050", "--of_earlier=1", "--port=x"],
        );
        let later = vec![0xa8, 0x01, 0x63];
        let found = check(&bad, b"TEPUICP\x02", &[later]);
        for (found, words) in found.iter().zip([
            "of_earlier",
            "port",
            "unknown field `of_later`",
            "not a checkpoint of a version that this agent knows",
            "what is kept of containers: it is of version 99",
        ]) {
            assert!(found.contains(words), "{found} does not hold {words}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn records_come_out_as_they_went_in_and_torn_ones_do_not() {
        let records = [b"a".to_vec(), Vec::new(), b"bcd".to_vec()];
        let mut bytes = Vec::new();
        for record in &records {
            bytes.extend_from_slice(&u32::try_from(record.len()).expect("short").to_le_bytes());
            bytes.extend_from_slice(record);
        }
        assert_eq!(unpack(&bytes).expect("whole"), records);
        for length in [1, 4, 8, bytes.len() - 1] {
            let cut = &bytes[..length];
            let is_a_border = [0, 5, 9].contains(&length);
            assert_eq!(unpack(cut).is_some(), is_a_border, "{length}");
        }
    }
}
