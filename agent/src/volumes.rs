//! Volumes: the directories of persistent volumes beneath the work directory.
//!
//! `volumes/roles/<role, a space for each slash>/<id>`, as in Mesos. All above a volume is the
//! agent's alone: the ids of files in a volume are those of the containers that wrote them. The
//! directory of a destroyed volume is renamed away at once, so that its name is free and its data
//! out of reach, and its content is removed beside the main loop, again at the next start if need
//! be.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use agent_core::holdings::VolumeName;
use tracing::warn;

use crate::init::chain;

/// What is above the volumes, for the agent alone.
const PRIVATE: u32 = 0o700;
/// A volume, which its task's user is given.
const VOLUME: u32 = 0o755;

/// The directory of all volumes.
#[derive(Debug, Clone)]
pub struct Volumes {
    folder: PathBuf,
}

/// Why a volume is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{act} {path}")]
pub struct VolumeError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Volumes {
    /// The volumes beneath a work directory.
    #[must_use]
    pub fn beneath(work_dir: &Path) -> Self {
        Self {
            folder: work_dir.join("volumes"),
        }
    }

    /// Where a volume is.
    #[must_use]
    pub fn path(&self, volume: &VolumeName) -> PathBuf {
        // No role holds a space, so that no two roles have one name.
        let role = volume.role.as_str().replace('/', " ");
        self.folder.join("roles").join(role).join(&*volume.id)
    }

    /// Makes a new volume, empty: what is left under its name belongs to a volume that was.
    ///
    /// # Errors
    /// The file system.
    pub fn create(&self, volume: &VolumeName) -> Result<(), VolumeError> {
        self.destroy(volume)?;
        self.make(volume)
    }

    /// Makes the directory of a volume where it is missing; gives its path.
    ///
    /// # Errors
    /// The file system.
    pub fn ensure(&self, volume: &VolumeName) -> Result<PathBuf, VolumeError> {
        let path = self.path(volume);
        if !path.is_dir() {
            self.make(volume)?;
        }
        Ok(path)
    }

    fn make(&self, volume: &VolumeName) -> Result<(), VolumeError> {
        let path = self.path(volume);
        let failed = |source| VolumeError {
            act: "make the volume",
            path: path.clone(),
            source,
        };
        let above = path.parent().unwrap_or(&self.folder);
        directory(PRIVATE)
            .recursive(true)
            .create(above)
            .and_then(|()| directory(VOLUME).create(&path))
            .and_then(|()| fs::File::open(above)?.sync_all())
            .map_err(failed)
    }

    /// Takes a volume's data out of reach; [`Self::purge`] removes it.
    ///
    /// # Errors
    /// The file system.
    pub fn destroy(&self, volume: &VolumeName) -> Result<(), VolumeError> {
        let path = self.path(volume);
        let failed = |act| {
            let path = path.clone();
            move |source| VolumeError { act, path, source }
        };
        let grave = self.graves();
        directory(PRIVATE)
            .recursive(true)
            .create(&grave)
            .map_err(failed("make a place for what is left of"))?;
        let grave = grave.join(uuid::Uuid::new_v4().to_string());
        match fs::rename(&path, &grave) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(failed("destroy the volume")),
        }
    }

    /// Removes what is left of destroyed volumes; that may take long.
    pub fn purge(&self) {
        let Ok(graves) = fs::read_dir(self.graves()) else {
            return;
        };
        for grave in graves.flatten() {
            // A link in it is removed, not followed.
            if let Err(error) = fs::remove_dir_all(grave.path()) {
                warn!(error = chain(&error), "data of a destroyed volume is left");
            }
        }
    }

    fn graves(&self) -> PathBuf {
        self.folder.join("destroyed")
    }
}

fn directory(mode: u32) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::resources::Role;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_volume_begins_empty_and_nothing_of_a_destroyed_one_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("kept");
        fs::write(&kept, "kept").expect("a file");
        let volumes = Volumes::beneath(folder.path());
        let volume = VolumeName {
            role: Role::new("a/b").expect("a role"),
            id: "v".into(),
        };
        volumes.create(&volume).expect("a volume");
        let path = folder.path().join("volumes/roles/a b/v");
        fs::create_dir(path.join("d")).expect("a directory");
        symlink(&kept, path.join("d/link")).expect("a link");
        assert_eq!(volumes.ensure(&volume).expect("the volume"), path);
        assert!(path.join("d").exists());

        volumes.create(&volume).expect("a volume anew");
        assert_eq!(fs::read_dir(&path).expect("the volume").count(), 0);
        volumes.destroy(&volume).expect("an end");
        volumes.destroy(&volume).expect("nothing to end");
        assert!(!path.exists());
        volumes.purge();
        let graves = fs::read_dir(folder.path().join("volumes/destroyed"));
        assert_eq!(graves.expect("the graves").count(), 0);
        assert!(kept.exists());
        let above = fs::metadata(folder.path().join("volumes")).expect("the folder");
        assert_eq!(above.permissions().mode() & 0o777, PRIVATE);
    }
}
