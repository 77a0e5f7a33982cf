//! The initramfs of a node: a reproducible cpio archive and the list of what goes in.
//!
//! The same input files give the same bytes, on any machine and in any folder: entries are sorted,
//! times are 0, owners are 0:0, and the compressor is a library of one version, on one thread.
//! Where the files come from is not this crate's question: they come in by path (`Contents`).

pub mod contents;
pub mod cpio;
pub mod sparse;

pub use contents::{Contents, ContentsError};

/// Counted up when this crate makes another archive of the same files.
pub const RECIPE: &str = "1";

/// The compressor's level: the archive is made once and downloaded, or read from disk, often.
const LEVEL: i32 = 19;

/// The archive as the kernel takes it: zstd-compressed, with a checksum.
///
/// # Errors
/// The compressor ran out of memory.
pub fn compress(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    compressor.compress(archive)
}
