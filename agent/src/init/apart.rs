//! Apart: a file system of the agent's own, on a disk that keeps no room for its owner.
//!
//! ext4 has blocks that no task can take. XFS has none, and a task that fills such a disk would keep the
//! agent from its checkpoint. So there the agent's files are on an ext4 in a file that has all of its
//! blocks from the beginning.

use std::fs::{self, File};
use std::path::Path;

use agent_kernel::boot_mounts;
use agent_kernel::loop_device::LoopDevice;
use nix::fcntl::{FallocateFlags, fallocate};
use tracing::info;

use super::disk::{self, DiskError, Rest, io_fault};
use super::file_system::{EXT4_OPTIONS, FileSystem};
use super::mounts::NO_NEW_RIGHTS;
use crate::paths::META;

/// The file, beneath the work directory; until it is whole it has the other name.
const FILE: &str = "meta.ext4";
const UNFINISHED: &str = "meta.ext4.new";

/// Mounts it beneath a work directory that is mounted; makes it where it is missing.
///
/// # Errors
/// It cannot be made or mounted. An agent that went on without would not find its checkpoint.
pub(super) fn mount(work_dir: &Path) -> Result<(), DiskError> {
    let path = work_dir.join(FILE);
    if !path.exists() {
        make(work_dir, &path)?;
    }
    let open = File::options().read(true).write(true).open(&path);
    let open = open.map_err(io_fault("open", &path))?;
    match disk::content(&path)? {
        disk::Content::Ours(holds @ FileSystem::Ext4(_)) => holds.check(&path)?,
        disk::Content::Ours(FileSystem::Xfs(_)) | disk::Content::Blank | disk::Content::Foreign => {
            return Err(DiskError::Foreign(path));
        }
    }
    let device = LoopDevice::of(&open).map_err(io_fault("make a disk of", &path))?;
    let (name, target) = (device.path().to_string_lossy(), work_dir.join(META));
    boot_mounts::mount(&name, &target, "ext4", NO_NEW_RIGHTS, EXT4_OPTIONS)?;
    Ok(())
}

fn make(work_dir: &Path, path: &Path) -> Result<(), DiskError> {
    let new = work_dir.join(UNFINISHED);
    let file = File::create(&new).map_err(io_fault("make", &new))?;
    let bytes = disk::template_bytes()?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes.cast_signed())
        .map_err(|errno| io_fault("take room for", &new)(errno.into()))?;
    disk::format(&new, Rest::Zero)?;
    file.sync_all().map_err(io_fault("flush", &new))?;
    fs::rename(&new, path).map_err(io_fault("make", path))?;
    let folder = File::open(work_dir).and_then(|folder| folder.sync_all());
    folder.map_err(io_fault("flush", work_dir))?;
    info!(path = %path.display(), mb = bytes >> 20, "the agent's own files have a file system apart");
    Ok(())
}
