//! What lies in a folder of built files: each with its size and hash, and what it was made from.
//!
//! Written last, so that a folder without a manifest is unfinished. A file that was cut short or
//! changed afterwards is found, and named.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The manifest's name, beside the files it describes.
pub const FILE: &str = "manifest.json";

/// The files of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel_release: String,
    /// What the files were made from: a name and a hash, or a version.
    pub inputs: BTreeMap<String, String>,
    /// The files, by their path in the folder.
    pub files: BTreeMap<String, Sum>,
}

/// A file's size and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// Why files cannot be relied on, or described.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file, or the manifest, cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest cannot be written.
    #[error("write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("understand {path}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file's size is not that of the manifest.
    #[error("{path} is damaged: {found} bytes, where {expected} were written")]
    Size {
        /// Which.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The manifest's.
        expected: u64,
    },
    /// A file's hash is not that of the manifest.
    #[error("{path} is damaged: its SHA-256 is {found}, where {expected} was written")]
    Hash {
        /// Which.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The manifest's.
        expected: String,
    },
}

impl Sum {
    /// Of a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path) -> Result<Sum, ManifestError> {
        let data = fs::read(path).map_err(|source| ManifestError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Sum {
            bytes: data.len() as u64,
            sha256: hex(&Sha256::digest(&data)),
        })
    }

    /// Checks that `path` is what this says.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn check(&self, path: &Path) -> Result<(), ManifestError> {
        let found = Sum::of(path)?;
        if found.bytes != self.bytes {
            return Err(ManifestError::Size {
                path: path.to_owned(),
                found: found.bytes,
                expected: self.bytes,
            });
        }
        if found.sha256 != self.sha256 {
            return Err(ManifestError::Hash {
                path: path.to_owned(),
                found: found.sha256,
                expected: self.sha256.clone(),
            });
        }
        Ok(())
    }
}

impl Manifest {
    /// Describes every file beneath `folder` but the manifest itself.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(
        folder: &Path,
        kernel_release: &str,
        inputs: BTreeMap<String, String>,
    ) -> Result<Manifest, ManifestError> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(inner) = folders.pop() {
            let failed = |source| ManifestError::Read {
                path: inner.clone(),
                source,
            };
            for entry in fs::read_dir(&inner).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(folder).unwrap_or(&path);
                let name = name.to_string_lossy().into_owned();
                if name != FILE {
                    files.insert(name, Sum::of(&path)?);
                }
            }
        }
        Ok(Manifest {
            kernel_release: kernel_release.to_owned(),
            inputs,
            files,
        })
    }

    /// Reads the manifest of `folder`; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn load(folder: &Path) -> Result<Option<Manifest>, ManifestError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        match serde_json::from_slice(&text) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(source) => Err(ManifestError::Parse { path, source }),
        }
    }

    /// Writes the manifest into `folder`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), ManifestError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|error| ManifestError::Parse {
            path: path.clone(),
            source: error,
        })?;
        fs::write(&path, text + "\n").map_err(|source| ManifestError::Write { path, source })
    }

    /// Checks every file in `folder` against the manifest.
    ///
    /// # Errors
    /// The first file that is missing or is not what was written.
    pub fn check(&self, folder: &Path) -> Result<(), ManifestError> {
        for (name, sum) in &self.files {
            sum.check(&folder.join(name))?;
        }
        Ok(())
    }

    /// One hash for all files: what stays the same when two builds are the same.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, sum) in &self.files {
            hash.update(format!("{}  {name}\n", sum.sha256));
        }
        hex(&hash.finalize())
    }
}

/// Bytes in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_short_or_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modules/a.ko");
        fs::create_dir(folder.path().join("modules")).unwrap();
        fs::write(&path, "abc").unwrap();
        let manifest = Manifest::of(folder.path(), "6.12", BTreeMap::new()).unwrap();
        manifest.save(folder.path()).unwrap();
        let read = Manifest::load(folder.path()).unwrap().unwrap();
        assert_eq!(read, manifest);
        assert!(read.check(folder.path()).is_ok());

        fs::write(&path, "ab").unwrap();
        let error = read.check(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("modules/a.ko is damaged: 2 bytes, where 3 were written"));
        fs::write(&path, "abd").unwrap();
        let error = read.check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("modules/a.ko is damaged: its SHA-256 is "));
        fs::remove_file(&path).unwrap();
        let error = read.check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("read ") && error.contains("modules/a.ko"));
    }
}
