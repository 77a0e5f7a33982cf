//! Faults: why an archive is not unpacked.

use std::fmt::Display;
use std::io;

use agent_kernel::Errno;
use serde::{Deserialize, Serialize};

/// Why an archive is not unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// It is broken, or asks for something that is not done.
    #[error("bad archive: {0}")]
    Archive(String),
    /// It passes a bound.
    #[error("archive too big: {0}")]
    Bound(String),
    /// The node cannot do it: a full disk, say.
    #[error("{0}")]
    Node(String),
}

impl Fault {
    /// Of the archive.
    pub(super) fn archive(text: impl Display) -> Self {
        Self::Archive(text.to_string())
    }

    /// Of an act on a file of the archive.
    pub(super) fn file(act: &str, path: impl Display) -> impl FnOnce(Errno) -> Self {
        let act = format!("{act} {path}");
        move |errno| match errno {
            // What the names in an archive can bring about.
            Errno::EXDEV
            | Errno::ELOOP
            | Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::ENAMETOOLONG
            | Errno::EMLINK => Self::Archive(format!("{act}: {}", errno.desc())),
            _ => Self::Node(format!("{act}: {}", errno.desc())),
        }
    }

    /// Of an act that std did.
    pub(super) fn io(act: &str, path: impl Display) -> impl FnOnce(io::Error) -> Self {
        let act = format!("{act} {path}");
        move |error| match error.raw_os_error() {
            Some(number) => Self::file(&act, "")(Errno::from_raw(number)),
            None => Self::Node(format!("{act}: {error}")),
        }
    }

    /// Of reading the stream: a decoder's error is the archive's fault, unless it hands on a fault.
    pub(super) fn read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(fault) => fault,
            Err(error) => match error.raw_os_error() {
                Some(number) => {
                    let errno = Errno::from_raw(number);
                    Self::Node(format!("read the archive: {}", errno.desc()))
                }
                None => Self::Archive(error.to_string()),
            },
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}
