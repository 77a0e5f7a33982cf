//! Sandboxes: the directories of runs beneath the work directory, and the link to the newest. They
//! are made, and at last removed.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use agent_kernel::files;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::paths::LATEST;

/// The work directory, open.
#[derive(Debug)]
pub struct Sandboxes {
    work_dir: PathBuf,
    folder: File,
    /// Held while folders above a sandbox are made, or removed for being empty.
    above: Mutex<()>,
}

/// Why a sandbox is not there.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The work directory.
    #[error("open the work directory {path}")]
    WorkDir {
        /// Where it should be.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// The directory.
    #[error("make the sandbox {path}")]
    Make {
        /// Which one.
        path: PathBuf,
        /// What came of it.
        source: Errno,
    },
    /// What is left of it.
    #[error("remove the sandbox {path}")]
    Remove {
        /// Which one.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// A link to it.
    #[error("make the link {path}")]
    Link {
        /// The link.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
}

impl Sandboxes {
    /// Opens the work directory.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(work_dir: &Path) -> Result<Self, SandboxError> {
        let folder = File::open(work_dir).map_err(|source| SandboxError::WorkDir {
            path: work_dir.to_path_buf(),
            source,
        })?;
        Ok(Self {
            work_dir: work_dir.to_path_buf(),
            folder,
            above: Mutex::new(()),
        })
    }

    /// The work directory.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// Removes a sandbox that nobody uses any more, and of the folders above it those that are
    /// empty then.
    ///
    /// # Errors
    /// The file system.
    pub fn remove(&self, sandbox: &Path) -> Result<(), SandboxError> {
        let failed = |source| SandboxError::Remove {
            path: sandbox.to_path_buf(),
            source,
        };
        self.clear(sandbox).map_err(failed)?;
        let _above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in sandbox.ancestors().skip(1) {
            if folder.as_os_str().is_empty() {
                break;
            }
            if !self.remove_empty(folder).map_err(failed)? {
                break;
            }
        }
        Ok(())
    }

    /// Removes a sandbox that is in one in use.
    ///
    /// # Errors
    /// The file system.
    pub fn remove_nested(&self, sandbox: &Path) -> Result<(), SandboxError> {
        self.clear(sandbox).map_err(|source| SandboxError::Remove {
            path: sandbox.to_path_buf(),
            source,
        })
    }

    /// Removes a directory with all that is in it; one that is not there is as good. No link on the
    /// way to it is followed: a task may have put one there.
    fn clear(&self, sandbox: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (sandbox.parent(), sandbox.file_name()) else {
            return Ok(());
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let mut folder = OwnedFd::from(self.folder.try_clone()?);
        for component in parent.iter().map(Path::new) {
            folder = match files::beneath(&folder, component, flags, Mode::empty()) {
                Err(Errno::ENOENT) => return Ok(()),
                inner => inner?,
            };
        }
        // The library follows no link on its way down.
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes a folder that holds nothing, or only the link to a run that is gone; whether it did.
    fn remove_empty(&self, folder: &Path) -> io::Result<bool> {
        let folder = self.work_dir.join(folder);
        let entries: io::Result<Vec<_>> = fs::read_dir(&folder)?.take(2).collect();
        match entries?.as_slice() {
            [] => {}
            [only] if only.file_name() == LATEST && only.file_type()?.is_symlink() => {
                fs::remove_file(only.path())?;
            }
            _ => return Ok(false),
        }
        fs::remove_dir(&folder).map(|()| true)
    }

    /// Makes a sandbox and points `latest` to it; gives its whole path.
    ///
    /// # Errors
    /// The file system.
    pub fn make(&self, sandbox: &Path) -> Result<PathBuf, SandboxError> {
        let _above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        let mode = Mode::from_bits_truncate(0o755);
        let made = files::make_directories(&self.folder, sandbox, mode);
        made.map_err(|source| SandboxError::Make {
            path: sandbox.to_path_buf(),
            source,
        })?;
        if let Some(name) = sandbox.file_name() {
            self.link(&sandbox.with_file_name(LATEST), Path::new(name))?;
        }
        Ok(self.work_dir.join(sandbox))
    }

    /// The whole path of a sandbox.
    #[must_use]
    pub fn path(&self, sandbox: &Path) -> PathBuf {
        self.work_dir.join(sandbox)
    }

    /// Makes the sandbox of a nested container; gives its whole path.
    ///
    /// # Errors
    /// The file system.
    pub fn make_nested(&self, sandbox: &Path) -> Result<PathBuf, SandboxError> {
        self.make_place(sandbox, "")?;
        Ok(self.work_dir.join(sandbox))
    }

    /// Makes a link in a sandbox, instead of one that may be there.
    ///
    /// # Errors
    /// The file system.
    pub fn link(&self, link: &Path, target: &Path) -> Result<(), SandboxError> {
        let made = self.point(link, target);
        made.map_err(|source| SandboxError::Link {
            path: link.to_path_buf(),
            source,
        })
    }

    /// Makes a directory in a sandbox, for a volume to be mounted on.
    ///
    /// # Errors
    /// The file system.
    pub fn make_place(&self, sandbox: &Path, place: &str) -> Result<(), SandboxError> {
        let path = sandbox.join(place);
        let mode = Mode::from_bits_truncate(0o755);
        let made = files::make_directories(&self.folder, &path, mode);
        made.map(drop)
            .map_err(|source| SandboxError::Make { path, source })
    }

    /// No task can put a link in the way of the directory, since none is followed.
    fn point(&self, link: &Path, target: &Path) -> io::Result<()> {
        let (Some(folder), Some(name)) = (link.parent(), link.file_name()) else {
            return Ok(());
        };
        let mode = Mode::from_bits_truncate(0o755);
        let folder = files::make_directories(&self.folder, folder, mode)?;
        let folder = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let mut new = target.file_name().unwrap_or(name).to_os_string();
        new.push(".link");
        let new = folder.join(new);
        std::os::unix::fs::symlink(target, &new)?;
        fs::rename(&new, folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_points_to_the_newest_run_and_a_link_in_the_way_is_no_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let sandboxes = Sandboxes::open(folder.path()).expect("the folder");
        for run in ["runs/a", "runs/b"] {
            let path = sandboxes.make(Path::new(run)).expect("a sandbox");
            assert!(path.is_dir());
            let link = fs::read_link(folder.path().join("runs/latest")).expect("a link");
            assert_eq!(Path::new("runs").join(link), Path::new(run));
        }
        std::os::unix::fs::symlink("/tmp", folder.path().join("away")).expect("a link");
        assert!(sandboxes.make(Path::new("away/x")).is_err());
    }

    #[test]
    fn a_nested_sandbox_goes_and_a_link_in_its_place_leads_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let sandboxes = Sandboxes::open(folder.path()).expect("the folder");
        let nested = Path::new("runs/a/containers/n");
        sandboxes.make_nested(nested).expect("a sandbox");
        fs::write(folder.path().join(nested).join("x"), "x").expect("a file");
        sandboxes.remove_nested(nested).expect("removed");
        sandboxes.remove_nested(nested).expect("removed before");
        assert!(!folder.path().join(nested).exists());
        let victim = folder.path().join("victim");
        fs::create_dir(&victim).expect("a folder");
        fs::write(victim.join("n"), "x").expect("a file");
        let containers = folder.path().join("runs/a/containers");
        fs::remove_dir(&containers).expect("empty");
        std::os::unix::fs::symlink("../../victim", &containers).expect("a link");
        assert!(sandboxes.make_nested(nested).is_err());
        assert!(sandboxes.remove_nested(nested).is_err());
        assert!(sandboxes.remove(nested).is_err());
        assert!(victim.join("n").exists());
    }
}
