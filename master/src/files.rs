//! Files that the master shows: virtual paths, each with a file of this machine behind it.
//!
//! There is one at most, `/master/log`, where `--external_log_file` names the log.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use http::StatusCode;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::http::respond::Refusal;

/// The virtual path of the log.
const LOG: &str = "/master/log";
/// The longest part of a file that is read at once: 16 pages, as in Mesos.
const READ_BYTES_MAX: u64 = 16 * 4096;

/// The files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    log: Option<PathBuf>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    /// No file has this path.
    #[error("no such file")]
    NotFound,
    /// It is a folder.
    #[error("it is a folder")]
    IsFolder,
    /// The system says no.
    #[error("read {path}", path = path.display())]
    Read {
        /// The real path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// In the statuses and words of Mesos.
impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::NotFound => Self::new(StatusCode::NOT_FOUND, ""),
            FilesError::IsFolder => Self::bad_request("Cannot read a directory.\n"),
            FilesError::Read { path, source } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Failed to open file at '{}': {source}.\n", path.display()),
            ),
        }
    }
}

impl Files {
    /// With the log, where there is one.
    pub(crate) const fn new(log: Option<PathBuf>) -> Self {
        Self { log }
    }

    /// Every virtual path, with the real one.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.log.iter().map(|log| (LOG, log.as_path()))
    }

    /// The real path behind a virtual one; a slash at its end is no difference.
    pub(crate) fn resolve(&self, path: &str) -> Result<&Path, FilesError> {
        let wanted = path.strip_suffix('/').unwrap_or(path);
        self.all()
            .find(|(name, _)| *name == wanted)
            .map(|(_, real)| real)
            .ok_or(FilesError::NotFound)
    }

    /// Bytes of a file from an offset on, at most so many, and the file's size.
    pub(crate) async fn read(
        &self,
        path: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<(u64, Vec<u8>), FilesError> {
        let (mut file, size) = self.open(path).await?;
        let length = length.unwrap_or(u64::MAX).min(READ_BYTES_MAX);
        let mut data = Vec::new();
        if offset < size && length > 0 {
            let read = async {
                file.seek(SeekFrom::Start(offset)).await?;
                file.take(length).read_to_end(&mut data).await
            };
            read.await.map_err(|source| self.fault(path, source))?;
        }
        Ok((size, data))
    }

    /// A file to be read from its start, and its size.
    pub(crate) async fn open(&self, path: &str) -> Result<(File, u64), FilesError> {
        let real = self.resolve(path)?;
        let open = async {
            let file = File::open(real).await?;
            let metadata = file.metadata().await?;
            Ok((file, metadata))
        };
        let (file, metadata) = open.await.map_err(|source| self.fault(path, source))?;
        match metadata.is_dir() {
            true => Err(FilesError::IsFolder),
            false => Ok((file, metadata.len())),
        }
    }

    fn fault(&self, path: &str, source: std::io::Error) -> FilesError {
        match (self.resolve(path), source.kind()) {
            (Ok(real), kind) if kind != std::io::ErrorKind::NotFound => FilesError::Read {
                path: real.to_owned(),
                source,
            },
            _ => FilesError::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_is_read_in_parts_and_nothing_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "hello").unwrap();
        let files = Files::new(Some(log));
        let read = async |path, offset, length| files.read(path, offset, length).await;
        let hello = read("/master/log", 1, Some(3)).await.unwrap();
        assert_eq!(hello, (5, b"ell".to_vec()));
        assert_eq!(read("/master/log/", 9, None).await.unwrap(), (5, vec![]));
        for path in [
            "/master",
            "/",
            "",
            "/master/log/x",
            "/master/../master/log",
            "/etc/passwd",
        ] {
            let refused = read(path, 0, None).await;
            assert!(matches!(refused, Err(FilesError::NotFound)), "{path}");
        }
    }
}
