//! Terminals: pseudo terminals of a container, and their size.
//!
//! A terminal belongs to a file system of terminals (devpts); a container sees those of its own
//! only. The agent keeps the one end and may read, write and resize it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use model::sandbox::WindowSize;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_path};
use nix::libc;
use nix::sys::stat::{Mode, fstat, major, minor};
use nix::sys::statfs::fstatfs;

use crate::files;
use crate::mounts::{Attributes, Detached};
use crate::namespaces;
use crate::process::owned;

/// The device behind every `ptmx`.
const PTMX: (u64, u64) = (5, 2);

const FLAGS: OFlag = OFlag::O_RDWR
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// Makes a terminal bigger or smaller; its foreground processes get SIGWINCH where that changes it.
///
/// # Errors
/// ENOTTY: it is no terminal.
pub fn resize(terminal: impl AsFd, size: WindowSize) -> Result<(), Errno> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: `size` is the layout that TIOCSWINSZ reads, and outlives the call.
    let rc = unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size) };
    Errno::result(rc).map(drop)
}

/// The size of a terminal.
///
/// # Errors
/// ENOTTY: it is no terminal.
pub fn size(terminal: impl AsFd) -> Result<WindowSize, Errno> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: `size` is a place for what TIOCGWINSZ writes.
    let rc = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(rc)?;
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Makes standard input the terminal that this process's new session is controlled by.
pub(crate) fn control_session() -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes a number.
    let rc = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) };
    Errno::result(rc).map(drop)
}

/// A new terminal of a detached file system of terminals: the agent's end and the container's. The
/// agent's does not block.
pub(crate) fn open(filesystem: impl AsFd) -> Result<(OwnedFd, OwnedFd), Errno> {
    files::beneath(filesystem, Path::new("ptmx"), FLAGS, Mode::empty()).and_then(ends)
}

/// A new terminal of the ones at `/dev/pts` that a process sees.
pub(crate) fn open_in(process: &OwnedFd) -> Result<(OwnedFd, OwnedFd), Errno> {
    namespaces::in_mounts_of(process, || {
        open_path("/dev/pts/ptmx", FLAGS, Mode::empty()).and_then(ends)
    })
}

/// A terminal that no container has a name for.
pub(crate) fn unseen() -> Result<(OwnedFd, OwnedFd), Errno> {
    let options = [(c"mode", "620"), (c"ptmxmode", "666")];
    open(Detached::filesystem(
        c"devpts",
        &options,
        Attributes::NO_EXEC,
    )?)
}

/// The two ends of the terminal that an open `ptmx` is.
fn ends(agents: OwnedFd) -> Result<(OwnedFd, OwnedFd), Errno> {
    let device = fstat(&agents)?.st_rdev;
    let filesystem = fstatfs(&agents)?.filesystem_type();
    // `DEVPTS_SUPER_MAGIC` of linux/magic.h, whose type differs between libraries.
    let is_terminal = (major(device), minor(device)) == PTMX && filesystem.0 == 0x1cd1;
    if !is_terminal {
        return Err(Errno::ENODEV);
    }
    let fd = agents.as_raw_fd();
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which outlives the call.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags of open(2) and returns a new descriptor.
    let peer = unsafe { libc::ioctl(fd, libc::TIOCGPTPEER, flags) };
    let peer = owned(Errno::result(peer)?.into())?;
    Ok((files::above_stdio(agents)?, peer))
}
