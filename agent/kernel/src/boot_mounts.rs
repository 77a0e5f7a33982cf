//! Boot mounts: the file systems that a machine needs before anything else, and its root moved.
//!
//! Which are mounted where is the agent's to say (`init::mounts`).

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use nix::sys::statfs::{self, FsType};

pub use nix::mount::MsFlags as Flags;

/// `RAMFS_MAGIC` of `linux/magic.h`; neither libc nor nix has it.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Where the root is bound before it is moved.
const NEW_ROOT: &str = "/nr";

/// A mount that was not made, or not undone.
#[derive(Debug, thiserror::Error)]
pub enum BootMountError {
    /// The place to mount on is not there and cannot be made.
    #[error("make folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refused the mount.
    #[error("mount {what} on {target}")]
    Mount {
        /// A device, or the kind of file system.
        what: String,
        /// The folder.
        target: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The kernel refused to undo the mount.
    #[error("unmount {target}")]
    Unmount {
        /// The folder.
        target: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The kernel refused a step of moving the root.
    #[error("move the root: {step}")]
    MoveRoot {
        /// The step.
        step: &'static str,
        /// Why.
        source: Errno,
    },
}

/// Mounts a file system; makes the folder where it is missing.
///
/// # Errors
/// The folder cannot be made, or the kernel refuses.
pub fn mount(
    source: &str,
    target: &Path,
    kind: &str,
    flags: Flags,
    options: &str,
) -> Result<(), BootMountError> {
    fs::create_dir_all(target).map_err(|source| BootMountError::Folder {
        path: target.to_owned(),
        source,
    })?;
    nix::mount::mount(Some(source), target, Some(kind), flags, Some(options)).map_err(|errno| {
        BootMountError::Mount {
            what: source.to_owned(),
            target: target.to_owned(),
            source: errno,
        }
    })
}

/// Gives a mount other flags.
///
/// # Errors
/// Nothing is mounted there, or the kernel refuses: a file open for writing keeps a mount writable.
pub fn remount(target: &Path, flags: Flags) -> Result<(), BootMountError> {
    let flags = flags | MsFlags::MS_REMOUNT;
    nix::mount::mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(|errno| {
        BootMountError::Mount {
            what: "other flags".to_owned(),
            target: target.to_owned(),
            source: errno,
        }
    })
}

/// Undoes a mount.
///
/// # Errors
/// Nothing is mounted there, or it is in use.
pub fn unmount(target: &Path) -> Result<(), BootMountError> {
    nix::mount::umount2(target, MntFlags::UMOUNT_NOFOLLOW).map_err(|errno| {
        BootMountError::Unmount {
            target: target.to_owned(),
            source: errno,
        }
    })
}

/// Whether the root is memory only, as the kernel unpacks an initramfs.
#[must_use]
pub fn root_is_memory() -> bool {
    statfs::statfs("/")
        .is_ok_and(|root| [RAMFS_MAGIC, statfs::TMPFS_MAGIC].contains(&root.filesystem_type()))
}

/// Puts a bound copy of the root over the root, and goes there.
///
/// `pivot_root(2)` answers EINVAL for ever where the root mount has no parent, and the initramfs
/// root has none. Afterwards it works for every container, and no `..` or `umount` leads back.
/// Nothing else may be mounted yet: a mount made before would be seen twice.
///
/// # Errors
/// The kernel refuses a step.
pub fn move_root() -> Result<(), BootMountError> {
    fs::create_dir_all(NEW_ROOT).map_err(|source| BootMountError::Folder {
        path: PathBuf::from(NEW_ROOT),
        source,
    })?;
    let step = |step| move |source| BootMountError::MoveRoot { step, source };
    let none = None::<&str>;
    // A mount below a shared one cannot be moved, and nothing here should reach another namespace.
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    nix::mount::mount(none, "/", none, private, none).map_err(step("make it private"))?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    nix::mount::mount(Some("/"), NEW_ROOT, none, bind, none).map_err(step("bind it"))?;
    nix::unistd::chdir(NEW_ROOT).map_err(step("enter the bound copy"))?;
    nix::mount::mount(Some("."), "/", none, MsFlags::MS_MOVE, none).map_err(step("move it"))?;
    nix::unistd::chroot(".").map_err(step("make it the root"))?;
    nix::unistd::chdir("/").map_err(step("enter the root"))
}
