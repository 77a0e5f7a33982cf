//! Unpacking: archives of unknown origin become files beneath one folder.
//!
//! The work is done by the agent's own program, run again as `tepui-agent unpack` in namespaces and
//! ids of its own and confined (`agent_kernel::confine`): it reads one stream and writes beneath one
//! folder, within bounds. What is here starts it, waits, and reads how it went. Nothing of the
//! archive is read in the agent's own process.

mod decode;
mod fault;
mod folder;
mod layout;
mod tar;
mod tree;
mod work;
mod zip;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use agent_core::sandbox::STORE_IDS;
use agent_kernel::confine::Landlock;
use agent_kernel::worker::{Work, Workers};
use model::sandbox::IdRange;
use serde::{Deserialize, Serialize};

use crate::workers::{self, AskError};

pub use fault::Fault;
pub use folder::{Begun, Folder};
pub use work::{enter, here};

/// The program's first argument that makes it an unpacker.
pub const ROLE: &str = "unpack";

/// What is unpacked, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A layer of an image, compressed in any way: ids, modes and extended attributes are kept on
    /// the store's ids, whiteouts become overlayfs'.
    Layer,
    /// An App Container Image, compressed in any way: as a layer, without whiteouts.
    Aci,
    /// An archive for a task: all files become the owner's, and lose set-user-id bits.
    Files {
        /// The archive's kind.
        format: Format,
        /// Whose the files become.
        owner: Owner,
    },
}

/// The kind of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// A tar archive, compressed in any way.
    Tar,
    /// A zip archive; the source must be a regular file.
    Zip,
    /// One file, compressed in any way, which gets this name.
    One(String),
}

/// Whose files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The node's ids behind the container's.
    pub ids: IdRange,
    /// The user, by the container's ids.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What an archive may take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of the decompressed stream and of files, holes included.
    pub bytes: u64,
    /// Files, directories, links.
    pub entries: u64,
    /// Directories within each other.
    pub depth: usize,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 32 << 30,
            entries: 2_000_000,
            depth: 256,
            time: Duration::from_secs(3600),
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Files, directories and links that were made.
    pub entries: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Device nodes and the like, which were left out.
    pub skipped: u64,
    /// The digest of the decompressed stream: `sha256:…` of a layer, `sha512-…` of an ACI, as their
    /// formats write it; none of files.
    pub digest: Option<String>,
    /// Whether the kernel's landlock held the unpacker, too.
    pub landlock: Landlock,
}

/// Why nothing was unpacked; what lies in the folder by then is no use.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The folder cannot be prepared.
    #[error("prepare the folder")]
    Folder(#[source] io::Error),
    /// The unpacker did not start, or ended without an answer.
    #[error("unpack")]
    Ask(#[source] AskError),
    /// It is not unpacked, and why.
    #[error(transparent)]
    Fault(Fault),
}

/// Starts unpackers. A copy of it starts them, too.
#[derive(Debug, Clone)]
pub struct Unpacker(Arc<Workers>);

impl Unpacker {
    /// With the agent's own program.
    #[must_use]
    pub fn new(workers: Arc<Workers>) -> Self {
        Self(workers)
    }

    /// Unpacks a stream (a file, or the reading end of a pipe) into a folder that is empty or, for
    /// files, a sandbox. To drop the future ends the work; what was written so far is the caller's to
    /// remove then, as after an error.
    ///
    /// # Errors
    /// The archive is none, passes a bound, or would reach outside; the disk.
    pub async fn unpack(
        &self,
        source: OwnedFd,
        what: &What,
        bounds: Bounds,
        into: &File,
    ) -> Result<Unpacked, UnpackError> {
        let (ids, orders) = work::orders(what, bounds);
        if !matches!(what, What::Files { .. }) {
            let owner = Some(STORE_IDS.first);
            std::os::unix::fs::fchown(into, owner, owner).map_err(UnpackError::Folder)?;
        }
        let folder = into.try_clone().map_err(UnpackError::Folder)?;
        let start = move |workers: &Workers, orders: &[u8]| {
            workers.start(Work {
                role: ROLE,
                orders,
                namespaces: &workers::APART,
                ids,
                input: source,
                folder: folder.into(),
            })
        };
        workers::ask(&self.0, &orders, bounds.time, start)
            .await
            .map_err(UnpackError::Ask)
            .and_then(|answer: work::Answer| answer.result().map_err(UnpackError::Fault))
    }
}
