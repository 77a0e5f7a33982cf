//! The registry: what outlives every master, as entries by key.
//!
//! Invariant: the epoch is stored before the master acts under it, and grows with every start; one
//! that was superseded writes nothing. Frameworks, tasks and offers are not here: agents and
//! frameworks bring them back. What the entries mean is the core's question.

pub mod document;
pub(crate) mod entries;
mod memory;
mod redb;
mod writer;
mod zookeeper;

use std::path::{Path, PathBuf};

pub use self::entries::EntryError;
pub use self::memory::Memory;
pub use self::redb::Redb;
pub(crate) use self::writer::{Stored, Writer};
pub use self::zookeeper::ZooKeeper;

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

/// Where the number of a start comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elected {
    /// No other master can be: the registry counts.
    Alone,
    /// An election gave it, greater than that of every start before.
    Epoch(u64),
    /// Nobody is to lead: an operator writes while no master does, in the epoch that there is.
    Nobody,
}

/// What a start finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of this start, already stored: 1 or more where a master is to lead.
    pub epoch: u64,
    /// Every entry, ordered by key.
    pub entries: Vec<(String, Vec<u8>)>,
}

/// A place for entries.
pub trait Registry: Send {
    /// Stores the epoch of this start, and reads every entry.
    ///
    /// # Errors
    /// The store cannot be read or written, or a later start was there.
    fn start(&mut self, elected: Elected) -> Result<Contents, RegistryError>;

    /// Reads the newest epoch, 0 before the first start, and every entry; changes nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    fn read(&mut self) -> Result<Contents, RegistryError>;

    /// Makes changes durable: those of one group all or none, and the groups in their order.
    ///
    /// # Errors
    /// The store cannot be written, or another master has started since; what is durable is then
    /// unknown.
    fn store(&mut self, groups: &[Vec<Change>]) -> Result<(), RegistryError>;

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
    /// A start with a greater number was there.
    #[error(
        "epoch {epoch} is over: the registry is in epoch {newest}; this master no longer leads"
    )]
    Superseded {
        /// The number of this start.
        epoch: u64,
        /// The number of the newest.
        newest: u64,
    },
    /// An entry is larger than the store takes.
    #[error(
        "entry {key:?} and what is stored with it take {size} bytes; ZooKeeper takes {max} at once"
    )]
    TooLarge {
        /// The entry's name.
        key: String,
        /// Its size, and that of what is to be stored together with it.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// A znode does not hold what a master writes there.
    #[error(
        "znode {path}: {detail}; restore it from an export, or use another folder for a new cluster"
    )]
    Znode {
        /// The znode.
        path: String,
        /// What was found.
        detail: String,
    },
    /// A request to ZooKeeper did not work.
    #[error("{act} the registry in {path} of ZooKeeper at {servers}")]
    ZooKeeper {
        /// What was tried.
        act: &'static str,
        /// The servers.
        servers: String,
        /// The folder.
        path: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
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

/// The number of a start, given that of the newest before.
///
/// # Errors
/// A later one was there.
fn raised(elected: Elected, newest: u64) -> Result<u64, RegistryError> {
    match elected {
        Elected::Alone => Ok(newest + 1),
        Elected::Nobody => Ok(newest),
        Elected::Epoch(epoch) if epoch > newest => Ok(epoch),
        Elected::Epoch(epoch) => Err(RegistryError::Superseded { epoch, newest }),
    }
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

#[cfg(test)]
mod suite;
