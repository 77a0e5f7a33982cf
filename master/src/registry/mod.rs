//! The registry: what outlives every master, as entries by key.
//!
//! Invariant: the epoch is stored before the master acts under it, and grows with every start.
//! Frameworks, tasks and offers are not here: agents and frameworks bring them back.
//! What the entries mean is the core's question.

pub(crate) mod entries;
mod memory;
mod redb;
mod writer;

use std::path::{Path, PathBuf};

pub use self::entries::EntryError;
pub use self::memory::Memory;
pub use self::redb::Redb;
pub(crate) use self::writer::{Stored, Writer};

/// One change of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The entry has this value from now on.
    Put {
        /// The entry's name.
        key: String,
        /// Its value, as the core encoded it.
        value: Vec<u8>,
    },
    /// The entry is gone from now on.
    Delete {
        /// The entry's name.
        key: String,
    },
}

/// What a start finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of this start, 1 or more, already stored.
    pub epoch: u64,
    /// Every entry, ordered by key.
    pub entries: Vec<(String, Vec<u8>)>,
}

/// A place for entries.
pub trait Registry: Send {
    /// Counts the epoch up, stores it, and reads every entry.
    ///
    /// # Errors
    /// The store cannot be read or written.
    fn start(&mut self) -> Result<Contents, RegistryError>;

    /// Makes the changes durable, all or none.
    ///
    /// # Errors
    /// The store cannot be written; what is durable is then unknown.
    fn store(&mut self, changes: &[Change]) -> Result<(), RegistryError>;

    /// The size of the store in bytes, as far as it is known.
    fn size(&self) -> u64;
}

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The folder cannot be made.
    #[error("create the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file exists and holds nothing.
    #[error(
        "registry {} is empty (0 bytes); restore it from a copy, or move it away to start a new cluster",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Another process has the file open.
    #[error("registry {} is in use by another master", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a registry, or a damaged one.
    #[error(
        "registry {} is damaged ({detail}); restore it from a copy, or move it away to start a new cluster",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// An act on the file did not work.
    #[error("{act} registry {}", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RegistryError {
    fn file(
        act: &'static str,
        path: &Path,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::File {
            act,
            path: path.to_path_buf(),
            source: Box::new(source),
        }
    }
}
