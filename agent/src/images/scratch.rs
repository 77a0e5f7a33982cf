//! Scratch: what a container changes in its image's root, gone with it.
//!
//! `containers/<container>`, for the agent alone: the ids of files in it are those of the container.
//! It is renamed away first, so that it is out of reach at once, and removed beside the main loop.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;

use model::ContainerId;
use tracing::warn;

use crate::init::chain;

/// Where containers may write beside their sandboxes.
#[derive(Debug, Clone)]
pub struct Scratches {
    folder: PathBuf,
}

/// The folder of one container, empty at first.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    graves: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("make {path} for what the container writes")]
pub struct ScratchError {
    path: PathBuf,
    source: io::Error,
}

impl Scratches {
    /// Beneath a folder, which is made where it is missing. What is in there is of no use any more, but
    /// for containers of an earlier process of this agent that still run.
    ///
    /// # Errors
    /// The file system.
    pub fn open(
        folder: &Path,
        is_used: impl Fn(&ContainerId) -> bool,
    ) -> Result<Self, ScratchError> {
        let all = Self {
            folder: folder.to_path_buf(),
        };
        let old = fs::read_dir(all.containers());
        for old in old.into_iter().flatten().flatten() {
            let name = old.file_name();
            let container = name.to_str().and_then(|name| ContainerId::new(name).ok());
            if !container.is_some_and(|container| is_used(&container)) {
                bury(&old.path(), &all.graves());
            }
        }
        for path in [all.containers(), all.graves()] {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(&path);
            made.map_err(|source| ScratchError { path, source })?;
        }
        purge(all.graves());
        Ok(all)
    }

    /// A folder for a container.
    ///
    /// # Errors
    /// The file system.
    pub fn make(&self, container: &ContainerId) -> Result<Scratch, ScratchError> {
        let path = self.containers().join(container.as_str());
        let made = DirBuilder::new().mode(0o755).create(&path);
        made.map_err(|source| ScratchError {
            path: path.clone(),
            source,
        })?;
        Ok(Scratch {
            path,
            graves: self.graves(),
        })
    }

    /// The folder of a container that still runs.
    #[must_use]
    pub fn adopt(&self, container: &ContainerId) -> Scratch {
        Scratch {
            path: self.containers().join(container.as_str()),
            graves: self.graves(),
        }
    }

    fn containers(&self) -> PathBuf {
        self.folder.join("containers")
    }

    fn graves(&self) -> PathBuf {
        self.folder.join("graves")
    }
}

impl Scratch {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        bury(&self.path, &self.graves);
        purge(self.graves.clone());
    }
}

/// Takes a folder out of reach.
fn bury(path: &Path, graves: &Path) {
    let grave = graves.join(uuid::Uuid::new_v4().to_string());
    let buried = fs::create_dir_all(graves).and_then(|()| fs::rename(path, grave));
    if let Err(error) = buried {
        warn!(path = %path.display(), error = chain(&error), "what a container wrote stays");
    }
}

/// Removes what is buried; that may take long.
fn purge(graves: PathBuf) {
    let work = move || {
        for grave in fs::read_dir(graves).into_iter().flatten().flatten() {
            // Another may be at it, too. A link in it is removed, not followed.
            if let Err(error) = fs::remove_dir_all(grave.path())
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(error = chain(&error), "what a container wrote stays");
            }
        }
    };
    // Without a thread the next start removes it.
    let _ = thread::Builder::new()
        .name("scratch".to_string())
        .spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_wrote_is_out_of_reach_when_it_ends_and_gone_at_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let id = ContainerId::new("c").expect("an id");
        let all = Scratches::open(folder.path(), |_| false).expect("scratches");
        let scratch = all.make(&id).expect("a scratch");
        let path = scratch.path().to_path_buf();
        fs::write(path.join("file"), "x").expect("a file");
        assert!(all.make(&id).is_err(), "it is another's");
        drop(scratch);
        assert!(!path.exists());
        let left = all.make(&id).expect("a scratch");
        fs::write(left.path().join("file"), "x").expect("a file");
        std::mem::forget(left);
        let all = Scratches::open(folder.path(), |used| *used == id).expect("scratches");
        assert!(path.join("file").exists(), "its container still runs");
        std::mem::forget(all.adopt(&id));
        let all = Scratches::open(folder.path(), |_| false).expect("scratches");
        assert!(!path.exists());
        drop(all.make(&id).expect("a scratch"));
        assert!(!path.exists());
    }
}
