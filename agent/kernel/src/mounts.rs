//! Mounts: made detached, without a place in any tree, and moved into one afterwards.
//!
//! The new mount interface (fsopen(2), `open_tree(2)`, `mount_setattr(2)`, `move_mount(2)`) lets the agent
//! make a mount with its own rights and the launcher put it where it belongs with the container's.
//! A [`Detached`] that is dropped is unmounted.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use model::sandbox::{Access, DeviceKind, Devices};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::libc;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, makedev, mkdirat, mknodat};
use nix::unistd::{fchdir, pivot_root, symlinkat};

use crate::namespaces::IdMap;
use crate::process::owned;

const EMPTY: &CStr = c"";

// linux/mount.h; libc has the numbers of these calls but not their flags on every target.
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const OPEN_TREE_CLONE: u32 = 1;
const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

/// What a mount forbids, as in `mount_setattr(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// Set-user-id bits have no effect.
    pub const NO_SUID: Self = Self(2);
    /// Set-user-id bits have no effect, device files are dead.
    pub const NO_DEVICES: Self = Self(2 | 4);
    /// Set-user-id bits have no effect, nothing can be executed.
    pub const NO_EXEC: Self = Self(2 | 8);
    /// All three.
    pub const DATA: Self = Self(2 | 4 | 8);

    /// The same with this access.
    #[must_use]
    pub const fn with(self, access: Access) -> Self {
        match access {
            Access::ReadOnly => Self(self.0 | 1),
            Access::ReadWrite => self,
        }
    }
}

/// The argument of `mount_setattr(2)`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A mount that is in no tree yet.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Detached {
    /// A mount that is known to be in no tree.
    fn from(mount: OwnedFd) -> Self {
        Self(mount)
    }
}

impl Detached {
    /// A new file system with options as (key, value).
    ///
    /// # Errors
    /// ENODEV: the kernel lacks it; EPERM: not in this namespace; EINVAL: an option.
    pub fn filesystem(
        kind: &CStr,
        options: &[(&CStr, &str)],
        attributes: Attributes,
    ) -> Result<Self, Errno> {
        let context = context(kind)?;
        for (key, value) in options {
            let value = CString::new(*value).map_err(|_| Errno::EINVAL)?;
            configure(&context, FSCONFIG_SET_STRING, Some(key), Some(&value))?;
        }
        Self::created(&context, attributes)
    }

    /// A new FUSE file system that the holder of this open `/dev/fuse` answers for, for processes of all
    /// users and by the permissions of its files.
    ///
    /// # Errors
    /// As [`Detached::filesystem`].
    pub(crate) fn fuse(device: impl AsFd, attributes: Attributes) -> Result<Self, Errno> {
        let context = context(c"fuse")?;
        let device = CString::new(device.as_fd().as_raw_fd().to_string());
        let device = device.map_err(|_| Errno::EINVAL)?;
        let options = [
            (c"source", c"tepui"),
            (c"fd", device.as_c_str()),
            // A directory, in octal.
            (c"rootmode", c"40000"),
            (c"user_id", c"0"),
            (c"group_id", c"0"),
        ];
        for (key, value) in options {
            configure(&context, FSCONFIG_SET_STRING, Some(key), Some(value))?;
        }
        for flag in [c"allow_other", c"default_permissions", c"ro"] {
            configure(&context, FSCONFIG_SET_FLAG, Some(flag), None)?;
        }
        Self::created(&context, attributes)
    }

    fn created(context: &OwnedFd, attributes: Attributes) -> Result<Self, Errno> {
        configure(context, FSCONFIG_CMD_CREATE, None, None)?;
        let (context, attributes) = (context.as_raw_fd(), attributes.0);
        // SAFETY: fsmount(2) takes three numbers and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes) };
        owned(Errno::result(fd)?).map(Self)
    }

    /// A copy of the mount at a path of the node, without what is mounted beneath it, cut off from
    /// all propagation.
    ///
    /// # Errors
    /// ENOENT: nothing is there.
    pub fn bind(source: &Path, attributes: Attributes) -> Result<Self, Errno> {
        let source =
            CString::new(source.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
        Self::clone_of(AT_FDCWD.as_raw_fd(), &source, attributes)
    }

    /// The same of an open directory or file.
    ///
    /// # Errors
    /// EINVAL: it is in no mount tree that may be copied from.
    pub fn bind_open(source: impl AsFd, attributes: Attributes) -> Result<Self, Errno> {
        Self::clone_of(source.as_fd().as_raw_fd(), EMPTY, attributes)
    }

    /// The same of a name in an open directory.
    ///
    /// # Errors
    /// ENOENT: there is none.
    pub(crate) fn bind_in(
        directory: impl AsFd,
        name: &CStr,
        attributes: Attributes,
    ) -> Result<Self, Errno> {
        Self::clone_of(directory.as_fd().as_raw_fd(), name, attributes)
    }

    /// The same of a directory whose files have ids of the map's namespace on their disk.
    ///
    /// # Errors
    /// EINVAL: the file system knows no mapped mounts.
    pub(crate) fn bind_mapped(
        source: impl AsFd,
        attributes: Attributes,
        ids: &IdMap,
    ) -> Result<Self, Errno> {
        let mount = Self::bind_open(source, attributes)?;
        mount.map(ids)?;
        Ok(mount)
    }

    /// Gives its files the ids of a map's namespace on their disk.
    ///
    /// # Errors
    /// EINVAL: the file system knows no mapped mounts.
    pub(crate) fn map(&self, ids: &IdMap) -> Result<(), Errno> {
        let attributes = MountAttr {
            attr_set: MOUNT_ATTR_IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd: u64::try_from(ids.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?,
        };
        self.set_with(attributes, 0)
    }

    /// A copy of the mount of an open directory or file with all that is mounted beneath it, then and
    /// later; nothing goes the other way.
    ///
    /// # Errors
    /// As [`Detached::bind_open`].
    pub(crate) fn follow(source: impl AsFd, attributes: Attributes) -> Result<Self, Errno> {
        let at = libc::AT_EMPTY_PATH as u32 | libc::AT_RECURSIVE as u32;
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | at;
        let (source, path) = (source.as_fd().as_raw_fd(), EMPTY.as_ptr());
        // SAFETY: the static path is NUL-terminated.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, source, path, flags) };
        let mount = Self(owned(Errno::result(fd)?)?);
        let attributes = MountAttr {
            attr_set: attributes.0,
            attr_clr: 0,
            propagation: libc::MS_SLAVE,
            userns_fd: 0,
        };
        mount.set_with(attributes, libc::AT_RECURSIVE)?;
        Ok(mount)
    }

    fn clone_of(directory: RawFd, path: &CStr, attributes: Attributes) -> Result<Self, Errno> {
        let path_ptr = path.as_ptr();
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
        // SAFETY: `path` is NUL-terminated and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, directory, path_ptr, flags) };
        let mount = Self(owned(Errno::result(fd)?)?);
        mount.set(attributes)?;
        Ok(mount)
    }

    /// A copy of what is at a path of this thread's mount namespace, with all that is mounted beneath
    /// it.
    ///
    /// # Errors
    /// ENOENT: nothing is there.
    pub(crate) fn tree(source: &CStr) -> Result<Self, Errno> {
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_RECURSIVE as u32;
        let (directory, path) = (AT_FDCWD.as_raw_fd(), source.as_ptr());
        // SAFETY: `source` is NUL-terminated and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, directory, path, flags) };
        owned(Errno::result(fd)?).map(Self)
    }

    /// Takes away the right to write, where the plan does not give it.
    ///
    /// # Errors
    /// As in `mount_setattr(2)`.
    pub fn restrict(&self, access: Access) -> Result<(), Errno> {
        self.set(Attributes(0).with(access))
    }

    fn set(&self, attributes: Attributes) -> Result<(), Errno> {
        let attributes = MountAttr {
            attr_set: attributes.0,
            attr_clr: 0,
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        };
        self.set_with(attributes, 0)
    }

    fn set_with(&self, attr: MountAttr, at: libc::c_int) -> Result<(), Errno> {
        let (fd, path) = (self.0.as_raw_fd(), EMPTY.as_ptr());
        let size = size_of::<MountAttr>();
        // SAFETY: `attr` is the layout of linux/mount.h with its size beside it; the kernel reads
        // it and the static path during the call only.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                fd,
                path,
                libc::AT_EMPTY_PATH | at,
                &raw const attr,
                size,
            )
        };
        Errno::result(rc).map(drop)
    }

    /// A file system in memory, with a file for each page of it.
    ///
    /// # Errors
    /// As [`Detached::filesystem`].
    pub fn tmpfs(bytes_max: u64, mode: u32, attributes: Attributes) -> Result<Self, Errno> {
        /// Some of a mount that holds next to nothing are places for others.
        const INODES_MIN: u64 = 1024;
        let inodes_max = (bytes_max >> 12).max(INODES_MIN);
        Self::tmpfs_of(bytes_max, inodes_max, mode, attributes)
    }

    /// The same, with so many files. Without a limit there would be one for each two pages of the
    /// node's memory, each of which takes about a kilobyte more than is counted.
    ///
    /// # Errors
    /// As [`Detached::filesystem`].
    pub fn tmpfs_of(
        bytes_max: u64,
        inodes_max: u64,
        mode: u32,
        attributes: Attributes,
    ) -> Result<Self, Errno> {
        let options: [(&CStr, &str); 3] = [
            (c"size", &bytes_max.to_string()),
            (c"nr_inodes", &inodes_max.to_string()),
            (c"mode", &format!("{mode:o}")),
        ];
        Self::filesystem(c"tmpfs", &options, attributes)
    }

    /// A small file system with device files, for a container's `/dev`.
    ///
    /// The agent makes it in the initial user namespace, where `mknod(2)` is allowed and device files
    /// are alive; inside a container's namespace neither is so.
    ///
    /// # Errors
    /// EPERM: the agent may not make device files.
    pub fn devices(devices: &Devices) -> Result<Self, Errno> {
        const BYTES_MAX: u64 = 64 * 1024;
        let mount = Self::tmpfs(BYTES_MAX, 0o755, Attributes::NO_EXEC)?;
        for name in &devices.directories {
            mkdirat(&mount, name.as_str(), Mode::from_bits_truncate(0o755))?;
        }
        for node in &devices.nodes {
            let device = makedev(node.major.into(), node.minor.into());
            let (name, mode) = (node.name.as_str(), Mode::from_bits_truncate(node.mode));
            let kind = match node.kind {
                DeviceKind::Block => SFlag::S_IFBLK,
                DeviceKind::Character => SFlag::S_IFCHR,
            };
            mknodat(&mount, name, kind, mode, device)?;
            // The agent's umask took away the right to write.
            fchmodat(&mount, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        for (name, target) in &devices.links {
            symlinkat(target.as_str(), &mount, name.as_str())?;
        }
        Ok(mount)
    }

    /// Gives the mount to the launcher, as a descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

/// Puts a detached mount on an open directory or file.
///
/// # Errors
/// EINVAL: the target is in another mount namespace; ENOTDIR: one is a file, the other not.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let (from, to) = (mount.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    let path = EMPTY.as_ptr();
    // SAFETY: both paths are the same static empty string; the rest are numbers.
    let rc = unsafe { libc::syscall(libc::SYS_move_mount, from, path, to, path, flags) };
    Errno::result(rc).map(drop)
}

/// Opens the place of a mount inside a root; a link in it cannot lead out.
///
/// # Errors
/// ENOENT: there is no such place.
pub(crate) fn place(root: impl AsFd, target: &str) -> Result<OwnedFd, Errno> {
    crate::files::in_root(root, Path::new(target), OFlag::O_PATH)
}

/// Makes an attached mount the root of this mount namespace and forgets the old root.
///
/// # Errors
/// EINVAL: the old root is the initramfs itself (DESIGN, "Facts").
pub(crate) fn change_root(root: impl AsFd) -> Result<(), Errno> {
    fchdir(root)?;
    // pivot_root(".", ".") stacks the old root on the new one, where it is unmounted next:
    // pivot_root(2), NOTES.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")
}

/// Makes a directory or an empty file for a mount to stand on, where it is missing, and gives it to
/// an owner other than the caller.
///
/// # Errors
/// EROFS and others of mkdir(2).
pub(crate) fn make_place(
    root: BorrowedFd<'_>,
    target: &str,
    kind: PlaceKind,
    owner: Option<(u32, u32)>,
) -> Result<(), Errno> {
    if place(root, target).is_ok() {
        return Ok(());
    }
    let (parent, name) = target
        .trim_end_matches('/')
        .rsplit_once('/')
        .ok_or(Errno::EINVAL)?;
    let parent = if parent.is_empty() { "/" } else { parent };
    if place(root, parent).is_err() {
        make_place(root, parent, PlaceKind::Directory, owner)?;
    }
    let parent = place(root, parent)?;
    let made = match kind {
        PlaceKind::Directory => mkdirat(&parent, name, Mode::from_bits_truncate(0o755)),
        PlaceKind::File => mknodat(
            &parent,
            name,
            SFlag::S_IFREG,
            Mode::from_bits_truncate(0o644),
            0,
        ),
    };
    match (made, owner) {
        (Ok(()), Some((uid, gid))) => give(place(root, target)?, uid, gid),
        (Err(Errno::EEXIST) | Ok(()), _) => Ok(()),
        (Err(error), _) => Err(error),
    }
}

/// What stands beneath a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// A directory.
    Directory,
    /// A file.
    File,
}

impl PlaceKind {
    /// What an open file can be mounted on.
    pub(crate) fn of(open: impl AsFd) -> Result<Self, Errno> {
        let kind = SFlag::from_bits_truncate(fstat(open)?.st_mode) & SFlag::S_IFMT;
        Ok(match kind == SFlag::S_IFDIR {
            true => Self::Directory,
            false => Self::File,
        })
    }
}

/// Gives an open directory to a user and group of the node.
pub(crate) fn give(directory: impl AsFd, uid: u32, gid: u32) -> Result<(), Errno> {
    nix::unistd::fchownat(
        directory,
        "",
        Some(uid.into()),
        Some(gid.into()),
        AtFlags::AT_EMPTY_PATH,
    )
}

/// A file system that is to be configured.
fn context(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: `kind` is NUL-terminated and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
    owned(Errno::result(fd)?)
}

fn configure(
    context: &OwnedFd,
    command: u32,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> Result<(), Errno> {
    let key = key.map_or(std::ptr::null(), CStr::as_ptr);
    let value = value.map_or(std::ptr::null(), CStr::as_ptr);
    let fd = context.as_raw_fd();
    // SAFETY: key and value are null or NUL-terminated strings that outlive the call, as
    // fsconfig(2) wants for these two commands.
    let rc = unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, 0) };
    Errno::result(rc).map(drop)
}
