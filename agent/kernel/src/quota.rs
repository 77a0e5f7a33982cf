//! Quotas of projects: how much of a file system directories with all in them may take.
//!
//! A project is a number that each file has; files that are made in a directory have its number
//! (`FS_XFLAG_PROJINHERIT`). Only a process of the initial user namespace can change it
//! (`fileattr_set_prepare` of the kernel's `fs/file_attr.c`), and nothing can be moved or linked into a
//! directory of another number. ext4 and XFS count, and refuse what would pass a hard limit: EDQUOT on
//! ext4, ENOSPC on XFS. On ext4 `CAP_SYS_RESOURCE` of the initial user namespace is let past, so that the
//! agent can write wherever a task has filled its room; an overlay is not, whoever made it. XFS lets
//! nobody past, and takes what was removed out of its counts a moment later.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use model::sandbox::DiskQuota;
use nix::errno::Errno;
use nix::libc;

/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` of `linux/fs.h`: `_IOR` and `_IOW('X', 31 and 32, 28 bytes)`.
const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;
const FS_IOC_FSSETXATTR: libc::Ioctl = 0x401c_5820;

/// What is made in the directory has its project.
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// The kind of quotas, of `linux/quota.h`.
const PRJQUOTA: u32 = 2;

/// Commands of quotactl(2).
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const Q_GETNEXTQUOTA: u32 = 0x80_0009;
const Q_XGETQSTATV: u32 = 0x5808;

/// What a call sets: the limits of blocks and of inodes.
const QIF_LIMITS: u32 = 1 | 4;

/// Projects are counted, and their limits are kept, of `linux/dqblk_xfs.h`.
const FS_QUOTA_PDQ_ACCT: u16 = 1 << 4;
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;

/// Limits of blocks are in this unit.
const LIMIT_UNIT: u64 = 1024;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

/// `struct if_nextdqblk`, of which `struct if_dqblk` is all but the last number, which takes its place.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    block_limit: u64,
    block_soft_limit: u64,
    bytes: u64,
    inode_limit: u64,
    inode_soft_limit: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
    id: u32,
}

/// `struct fs_quota_statv`, of which the flags are read.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct State {
    version: i8,
    pad: u8,
    flags: u16,
    rest: [u32; 39],
}

/// What a project takes, and what it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// What its files take.
    pub bytes: u64,
    /// How many files and directories it has.
    pub inodes: u64,
    /// What is allowed.
    pub quota: DiskQuota,
}

/// The quotas of one file system.
#[derive(Debug)]
pub struct Quotas {
    folder: OwnedFd,
}

impl Quotas {
    /// Those of the file system that an open directory is on.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: it counts no projects, or keeps no limits of them; ENOSYS: Linux before 5.14, or
    /// a file system without any quotas.
    pub fn of(folder: OwnedFd) -> Result<Self, Errno> {
        let quotas = Self { folder };
        let mut state = State {
            version: 1,
            pad: 0,
            flags: 0,
            rest: [0; 39],
        };
        quotas.call(Q_XGETQSTATV, 0, (&raw mut state).cast())?;
        let wanted = FS_QUOTA_PDQ_ACCT | FS_QUOTA_PDQ_ENFD;
        match state.flags & wanted == wanted {
            true => Ok(quotas),
            false => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Sets what a project may take; nothing is taken from it that it has already.
    ///
    /// # Errors
    /// EPERM: the agent has no rights over the node; ERANGE: more than the file system can say.
    pub fn limit(&self, project: u32, quota: DiskQuota) -> Result<(), Errno> {
        // 0 is no limit, so that the least is one unit.
        let blocks = |bytes: u64| bytes.div_ceil(LIMIT_UNIT).max(1);
        let mut record = Record {
            block_limit: quota.bytes_max.map_or(0, blocks),
            inode_limit: quota.inodes_max.map_or(0, |inodes| inodes.max(1)),
            valid: QIF_LIMITS,
            ..Record::default()
        };
        self.call(Q_SETQUOTA, project, (&raw mut record).cast())
    }

    /// What a project takes and may.
    ///
    /// # Errors
    /// As in quotactl(2).
    pub fn usage(&self, project: u32) -> Result<Usage, Errno> {
        let mut record = Record::default();
        match self.call(Q_GETQUOTA, project, (&raw mut record).cast()) {
            Ok(()) => Ok(usage(&record)),
            // XFS has no record of a project that takes nothing and is bound to nothing.
            Err(Errno::ENOENT) => Ok(Usage::default()),
            Err(errno) => Err(errno),
        }
    }

    /// The first project of this number or a higher one that takes anything, or has a limit.
    ///
    /// # Errors
    /// As in quotactl(2).
    pub fn next(&self, project: u32) -> Result<Option<(u32, Usage)>, Errno> {
        let mut record = Record::default();
        match self.call(Q_GETNEXTQUOTA, project, (&raw mut record).cast()) {
            Ok(()) => Ok(Some((record.id, usage(&record)))),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn call(&self, command: u32, project: u32, argument: *mut libc::c_void) -> Result<(), Errno> {
        let fd = self.folder.as_raw_fd();
        let command = command << 8 | PRJQUOTA;
        // SAFETY: `argument` is, for each of the four commands that this module gives, a structure of
        // the size that the command reads or writes, alone with the caller during the call.
        let rc = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, project, argument) };
        Errno::result(rc).map(drop)
    }
}

fn usage(record: &Record) -> Usage {
    let limit = |value: u64| (value > 0).then_some(value);
    Usage {
        bytes: record.bytes,
        inodes: record.inodes,
        quota: DiskQuota {
            bytes_max: limit(record.block_limit).map(|blocks| blocks.saturating_mul(LIMIT_UNIT)),
            inodes_max: limit(record.inode_limit),
        },
    }
}

/// The project of an open file or directory; 0 where it is in none.
///
/// # Errors
/// ENOTTY or EOPNOTSUPP: the file system knows no projects; EBADF: it is open by its path alone.
pub fn project_of(file: impl AsFd) -> Result<u32, Errno> {
    attributes(file).map(|attributes| attributes.projid)
}

/// Puts an open file or directory into a project, and with a directory what will be made in it; what
/// is in it already stays where it is.
///
/// # Errors
/// As [`project_of`]; `EDQUOT` never, since both file systems let the agent past limits here.
pub fn set_project(file: impl AsFd, project: u32, kind: Kind) -> Result<(), Errno> {
    let mut attributes = attributes(&file)?;
    attributes.projid = project;
    match kind {
        Kind::Directory => attributes.xflags |= FS_XFLAG_PROJINHERIT,
        Kind::File => {}
    }
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open while `file` is borrowed, and `attributes` is the structure that
    // the command reads during the call.
    let rc = unsafe { libc::ioctl(fd, FS_IOC_FSSETXATTR, &raw const attributes) };
    Errno::result(rc).map(drop)
}

/// What is put into a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory, which hands its project on.
    Directory,
    /// A file.
    File,
}

fn attributes(file: impl AsFd) -> Result<FsXattr, Errno> {
    let mut attributes = FsXattr::default();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open while `file` is borrowed, and `attributes` is the structure that
    // the command writes during the call.
    let rc = unsafe { libc::ioctl(fd, FS_IOC_FSGETXATTR, &raw mut attributes) };
    Errno::result(rc).map(|_| attributes)
}

/// As the kernel has them.
const _: () = {
    assert!(size_of::<FsXattr>() == 28);
    assert!(size_of::<Record>() == 72);
    assert!(size_of::<State>() == 160);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_in_memory_has_no_quotas_and_says_so() {
        let folder = std::fs::File::open("/proc").expect("a directory");
        assert!(Quotas::of(folder.into()).is_err());
    }

    #[test]
    fn a_limit_of_nothing_is_read_as_none() {
        let record = Record {
            block_limit: 3,
            bytes: 4096,
            inodes: 1,
            ..Record::default()
        };
        let read = usage(&record);
        assert_eq!(read.quota.bytes_max, Some(3072));
        assert_eq!(read.quota.inodes_max, None);
        assert_eq!((read.bytes, read.inodes), (4096, 1));
    }
}
