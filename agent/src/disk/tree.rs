//! Tree: a directory with all that is in it becomes a project's.
//!
//! New directories are empty, and this is one call. A volume that is older than the quotas is not.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use agent_kernel::files;
use agent_kernel::quota::{self, Kind};
use nix::errno::Errno;
use nix::fcntl::OFlag;

/// How deep: a descriptor is open for each directory above.
const DEPTH_MAX: usize = 200;

/// Puts an open directory, and what is in it, into a project.
///
/// # Errors
/// As in the calls; EMLINK for what is too deep.
pub(super) fn place(folder: OwnedFd, project: u32) -> Result<(), Errno> {
    place_at(&folder, project, 0)
}

fn place_at(folder: &OwnedFd, project: u32, depth: usize) -> Result<(), Errno> {
    if depth > DEPTH_MAX {
        return Err(Errno::EMLINK);
    }
    // The directory first: what is made meanwhile has the project already.
    quota::set_project(folder.as_fd(), project, Kind::Directory)?;
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let entries = fs::read_dir(path);
    let entries =
        entries.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name();
        let name = Path::new(&name);
        // Pipes, sockets and links take an inode at most, and cannot be opened as files.
        if kind.is_dir() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            place_at(
                &files::without_links(folder, name, flags)?,
                project,
                depth + 1,
            )?;
        } else if kind.is_file() {
            let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
            let file = files::without_links(folder, name, flags)?;
            quota::set_project(&file, project, Kind::File)?;
        }
    }
    Ok(())
}
