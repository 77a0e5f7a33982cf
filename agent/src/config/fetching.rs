//! Fetching: where what commands name may come from, and how much of it is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::Why;
use super::values::absolute;

/// What the operator says of URIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetching {
    /// Where the cache is; beneath the work directory where it is not given.
    pub cache_dir: Option<PathBuf>,
    /// The most bytes of the cache.
    pub cache_bytes_max: u64,
    /// The most bytes of one file, and of what is in an archive.
    pub file_bytes_max: u64,
    /// How long a server may send nothing.
    pub stall_max: Duration,
    /// The folders that tasks may take files from.
    pub local: Vec<PathBuf>,
    /// Where relative paths begin.
    pub frameworks_home: Option<PathBuf>,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_bytes_max: 2 << 30,
            file_bytes_max: 32 << 30,
            stall_max: Duration::from_secs(60),
            local: Vec::new(),
            frameworks_home: None,
        }
    }
}

/// Folders, with commas between them.
pub(super) fn folders(text: &str) -> Result<Vec<PathBuf>, Why> {
    text.split(',').map(absolute).collect()
}

/// A size of at least one byte.
pub(super) fn size(text: &str) -> Result<u64, Why> {
    match model::bytes::parse(text) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(Why::new()),
    }
}
