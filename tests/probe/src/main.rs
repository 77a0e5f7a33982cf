//! The attack suite's program: tries one forbidden thing from inside a container.
//!
//! `probe NAME [ARGUMENT...]` ends with 0 where the forbidden thing worked, 1 where it was refused or
//! bounded, 2 where it could not be tried. It says what it saw. `probe victim` is the neighbour that must
//! not notice, `probe work` the one whose throughput is measured.

mod files;
mod flood;
mod kernel;
mod mounts;
mod network;
mod process;
mod raw;
mod victim;
mod work;

use std::process::ExitCode;

use raw::{Answer, Errno};

/// How an attempt went, and what was seen.
#[derive(Debug)]
pub(crate) enum Tried {
    /// The forbidden thing was done.
    Worked(String),
    /// It was not.
    Refused(String),
    /// It was not even tried.
    Impossible(String),
}

/// An attack: its name, what it does with its arguments.
type Attack = (&'static str, fn(&[String]) -> Tried);

/// What the kernel says where the call itself was wrong, so that nothing is learnt of a refusal.
const MISTAKES: [i32; 5] = [
    libc::EINVAL,
    libc::EFAULT,
    libc::EBADF,
    libc::ENOTTY,
    libc::E2BIG,
];

impl Tried {
    /// Of a call that works where nobody forbids it.
    pub(crate) fn of(what: &str, answer: Answer) -> Self {
        match answer {
            Ok(value) => Self::Worked(format!("{what}: {value}")),
            Err(Errno(number)) if MISTAKES.contains(&number) => {
                Self::Impossible(format!("{what}: {}", Errno(number)))
            }
            Err(errno) => Self::Refused(format!("{what}: {errno}")),
        }
    }

    /// The same, where a wrong argument is how the kernel says that it does not want.
    pub(crate) fn of_any_error(what: &str, answer: Answer) -> Self {
        match answer {
            Ok(value) => Self::Worked(format!("{what}: {value}")),
            Err(errno) => Self::Refused(format!("{what}: {errno}")),
        }
    }

    /// Of several: one that worked is enough.
    pub(crate) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let (mut worked, mut refused, mut impossible) = (Vec::new(), Vec::new(), Vec::new());
        for one in all {
            match one {
                Self::Worked(text) => worked.push(text),
                Self::Refused(text) => refused.push(text),
                Self::Impossible(text) => impossible.push(text),
            }
        }
        if !worked.is_empty() {
            Self::Worked(worked.join("; "))
        } else if !impossible.is_empty() {
            Self::Impossible(impossible.join("; "))
        } else {
            Self::Refused(refused.join("; "))
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("", &[][..]),
    };
    let tables = [
        files::ALL,
        flood::ALL,
        kernel::ALL,
        mounts::ALL,
        network::ALL,
        process::ALL,
        victim::ALL,
        work::ALL,
    ];
    let Some((_, attack)) = tables
        .into_iter()
        .flatten()
        .find(|(known, _)| *known == name)
    else {
        eprintln!("no attack is called {name:?}; there are:");
        for (name, _) in tables.into_iter().flatten() {
            eprintln!("  {name}");
        }
        return ExitCode::from(2);
    };
    match attack(rest) {
        Tried::Worked(text) => {
            println!("worked: {text}");
            ExitCode::SUCCESS
        }
        Tried::Refused(text) => {
            println!("refused: {text}");
            ExitCode::from(1)
        }
        Tried::Impossible(text) => {
            println!("not tried: {text}");
            ExitCode::from(2)
        }
    }
}
