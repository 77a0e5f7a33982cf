//! Settings: where files come from, and how much of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::fetching::Fetching;

/// The cache's folder, beneath the work directory.
const CACHE: &str = "fetch";

/// What the operator sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the cache is; emptied at start (`--fetcher_cache_dir`).
    pub cache_dir: PathBuf,
    /// The most bytes of the cache (`--fetcher_cache_size`).
    pub cache_bytes_max: u64,
    /// The most bytes of one file, and of what is in an archive (`--fetcher_size_limit`).
    pub file_bytes_max: u64,
    /// How long nothing may come (`--fetcher_stall_timeout`).
    pub stall_max: Duration,
    /// The folders of the node that tasks may take files from (`--fetcher_local_paths`).
    pub local: Vec<PathBuf>,
    /// Where relative paths begin (`--frameworks_home`).
    pub frameworks_home: Option<PathBuf>,
    /// More authorities for https than Mozilla's, in PEM; everybody can read it.
    pub authorities: Option<PathBuf>,
}

impl Settings {
    /// What the operator said, on an agent with this work directory.
    #[must_use]
    pub fn of(said: &Fetching, work_dir: &Path, authorities: Option<&Path>) -> Self {
        Self {
            cache_dir: said
                .cache_dir
                .clone()
                .unwrap_or_else(|| work_dir.join(CACHE)),
            cache_bytes_max: said.cache_bytes_max,
            file_bytes_max: said.file_bytes_max,
            stall_max: said.stall_max,
            local: said.local.clone(),
            frameworks_home: said.frameworks_home.clone(),
            authorities: authorities.map(Path::to_path_buf),
        }
    }
}
