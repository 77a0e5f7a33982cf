//! The files a guest boots from, checked against the manifest beside them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A kernel and its initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFiles {
    /// The kernel.
    pub kernel: PathBuf,
    /// The compressed archive.
    pub initramfs: PathBuf,
}

/// What is read of `manifest.json`, which the maker of the image writes last.
#[derive(Deserialize)]
struct Manifest {
    files: BTreeMap<String, Sum>,
}

#[derive(Deserialize)]
struct Sum {
    bytes: u64,
    sha256: String,
}

/// Why an image cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootFilesError {
    /// A file is not there or cannot be read.
    #[error("read {path} (make the image: cargo xtask image)")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("understand {path} (make the image again: cargo xtask image)")]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The manifest lacks a file.
    #[error("{path} does not name {file} (make the image again: cargo xtask image)")]
    Unnamed {
        /// The manifest.
        path: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// A file is not what was made.
    #[error(
        "image file {path} is damaged: {found}, where {expected} was made; make it again: cargo xtask image"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Its size or hash.
        found: String,
        /// The manifest's.
        expected: String,
    },
}

impl BootFiles {
    /// The files of the image in `folder`, whole.
    ///
    /// # Errors
    /// A file is missing, cut short or changed.
    pub fn checked(folder: &Path) -> Result<BootFiles, BootFilesError> {
        let path = folder.join("manifest.json");
        let text = read(&path)?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|source| BootFilesError::Manifest {
                path: path.clone(),
                source,
            })?;
        for file in ["vmlinuz", "initramfs.cpio.zst"] {
            let sum = manifest.files.get(file);
            let sum = sum.ok_or_else(|| BootFilesError::Unnamed {
                path: path.clone(),
                file,
            })?;
            check(&folder.join(file), sum)?;
        }
        Ok(BootFiles {
            kernel: folder.join("vmlinuz"),
            initramfs: folder.join("initramfs.cpio.zst"),
        })
    }
}

fn check(path: &Path, sum: &Sum) -> Result<(), BootFilesError> {
    let data = read(path)?;
    let damaged = |found: String, expected: String| BootFilesError::Damaged {
        path: path.to_owned(),
        found,
        expected,
    };
    let bytes = data.len() as u64;
    if bytes != sum.bytes {
        return Err(damaged(format!("{bytes} bytes"), sum.bytes.to_string()));
    }
    let hash: String = Sha256::digest(&data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match hash == sum.sha256 {
        true => Ok(()),
        false => Err(damaged(format!("SHA-256 {hash}"), sum.sha256.clone())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BootFilesError> {
    fs::read(path).map_err(|source| BootFilesError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_short_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let sum = |text: &str| {
            let hash: String = Sha256::digest(text)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{{\"bytes\":{},\"sha256\":\"{hash}\"}}", text.len())
        };
        let manifest = format!(
            "{{\"files\":{{\"vmlinuz\":{},\"initramfs.cpio.zst\":{}}}}}",
            sum("kernel"),
            sum("archive")
        );
        fs::write(folder.path().join("manifest.json"), manifest).unwrap();
        fs::write(folder.path().join("vmlinuz"), "kernel").unwrap();
        fs::write(folder.path().join("initramfs.cpio.zst"), "archive").unwrap();
        assert!(BootFiles::checked(folder.path()).is_ok());

        fs::write(folder.path().join("initramfs.cpio.zst"), "arch").unwrap();
        let error = BootFiles::checked(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("initramfs.cpio.zst is damaged: 4 bytes, where 7 was made"),
            "{error}"
        );
        fs::write(folder.path().join("initramfs.cpio.zst"), "Archive").unwrap();
        let error = BootFiles::checked(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("initramfs.cpio.zst is damaged: SHA-256 "),
            "{error}"
        );
        fs::remove_file(folder.path().join("vmlinuz")).unwrap();
        let error = BootFiles::checked(folder.path()).unwrap_err().to_string();
        assert!(error.contains("vmlinuz (make the image"), "{error}");
    }
}
