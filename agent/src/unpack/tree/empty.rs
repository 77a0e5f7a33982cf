//! Emptying a folder that an entry of an archive takes the place of.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use agent_kernel::{Errno, files};
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Empties a folder, one level after the other: as deep as the bounds let it become.
pub(super) fn empty(folder: OwnedFd) -> Result<(), Errno> {
    let mut open = vec![(folder, PathBuf::new())];
    while let Some((folder, _)) = open.last() {
        let mut inner = None;
        // A handle of its own: the descriptor is closed with the iterator.
        let again = files::beneath(
            folder,
            Path::new("."),
            OFlag::O_RDONLY | OFlag::O_DIRECTORY,
            Mode::empty(),
        )?;
        for entry in Dir::from_fd(again)?.iter() {
            let entry = entry?;
            let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes())).to_owned();
            if name == Path::new(".") || name == Path::new("..") {
                continue;
            }
            match unlinkat(folder, &name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) => {}
                Err(Errno::EISDIR) => {
                    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
                    inner = Some((files::beneath(folder, &name, flags, Mode::empty())?, name));
                    break;
                }
                Err(errno) => return Err(errno),
            }
        }
        match inner {
            Some(inner) => open.push(inner),
            None => {
                let name = open.pop().map(|(_, name)| name).unwrap_or_default();
                if let Some((outer, _)) = open.last() {
                    unlinkat(outer, &name, UnlinkatFlags::RemoveDir)?;
                }
            }
        }
    }
    Ok(())
}
