//! The initramfs of a node: a reproducible cpio archive and the list of what goes in.
//!
//! The same input files give the same bytes, on any machine and in any folder: entries are sorted,
//! times are 0, owners are 0:0, and the compressor is a library of one version, on one thread.
//! Where the files come from is not this crate's question: they come in by path (`Contents`).

pub mod contents;
pub mod cpio;

use std::path::{Path, PathBuf};

pub use contents::{Contents, ContentsError};

/// The compressor's level: the archive is made once and downloaded, or read from disk, often.
const LEVEL: i32 = 19;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It cannot be put together.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The compressor ran out of memory.
    #[error("compress")]
    Compress(#[source] std::io::Error),
    /// It cannot be written.
    #[error("write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Writes the archive of `contents` as the kernel takes it: compressed, with a checksum.
///
/// # Errors
/// A file cannot be read or written.
pub fn pack(contents: &Contents, out: &Path) -> Result<(), PackError> {
    let archive = contents.archive()?.to_bytes();
    let compressed = compress(&archive).map_err(PackError::Compress)?;
    std::fs::write(out, compressed).map_err(|source| PackError::Write {
        path: out.to_owned(),
        source,
    })
}

fn compress(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    compressor.compress(archive)
}
