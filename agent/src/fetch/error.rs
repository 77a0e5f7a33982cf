//! Errors: why a file that a command names is not there.

use std::io;
use std::path::PathBuf;

use super::uri::UriError;
use crate::unpack::{Fault, UnpackError};
use crate::workers::AskError;

/// Why a URI could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is none, or not one that is fetched.
    #[error(transparent)]
    Uri(UriError),
    /// A local file.
    #[error("fetch {uri}: open the file")]
    Local {
        /// Of what.
        uri: String,
        /// What came of it.
        source: io::Error,
    },
    /// The fetcher did not start, or ended without an answer.
    #[error("fetch {uri}")]
    Ask {
        /// What.
        uri: String,
        /// What came of it.
        source: AskError,
    },
    /// The server, the network or the disk.
    #[error("fetch {uri}: {why}")]
    Load {
        /// What.
        uri: String,
        /// What came of it.
        why: Fault,
    },
    /// The archive.
    #[error("extract {uri}")]
    Extract {
        /// What.
        uri: String,
        /// What came of it.
        source: UnpackError,
    },
    /// The sandbox or the cache.
    #[error("open {path}")]
    Folder {
        /// Which folder or file.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
}
