//! XFS: how large a mounted one is, and growing it.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// `XFS_IOC_FSGEOMETRY_V1` and `XFS_IOC_FSGROWFSDATA` of `xfs_fs.h`: `_IOR('X', 100, 112 bytes)` and
/// `_IOW('X', 110, 16 bytes)`.
const XFS_IOC_FSGEOMETRY_V1: libc::Ioctl = 0x8070_5864_u32 as libc::Ioctl;
const XFS_IOC_FSGROWFSDATA: libc::Ioctl = 0x4010_586e;

/// `struct xfs_fsop_geom_v1`, of which the first and the following are read.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Geometry {
    block_size: u32,
    unread: [u32; 6],
    inodes_percent_max: u32,
    blocks: u64,
    rest: [u64; 9],
}

/// `struct xfs_growfs_data`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Growth {
    blocks: u64,
    inodes_percent_max: u32,
    pad: u32,
}

/// As the kernel has them.
const _: () = {
    assert!(size_of::<Geometry>() == 112);
    assert!(size_of::<Growth>() == 16);
};

/// How large a mounted XFS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its blocks' size in bytes.
    pub block_size: u64,
    /// How many it has.
    pub blocks: u64,
    /// The part of it that inodes may take, in percent.
    inodes_percent_max: u32,
}

/// How large a mounted XFS is: its superblock on the disk may be older.
///
/// # Errors
/// `mount_point` is on no XFS.
pub fn size(mount_point: &File) -> Result<Size, Errno> {
    let mut geometry = Geometry::default();
    let fd = mount_point.as_raw_fd();
    // SAFETY: the descriptor is open while `mount_point` is borrowed, and `geometry` is the structure
    // that the command writes during the call.
    let rc = unsafe { libc::ioctl(fd, XFS_IOC_FSGEOMETRY_V1, &raw mut geometry) };
    Errno::result(rc).map(|_| Size {
        block_size: geometry.block_size.into(),
        blocks: geometry.blocks,
        inodes_percent_max: geometry.inodes_percent_max,
    })
}

/// Grows a mounted XFS of this size to so many of its blocks.
///
/// # Errors
/// Its device is smaller, or the kernel refuses.
pub fn grow(mount_point: &File, from: Size, blocks: u64) -> Result<(), Errno> {
    let growth = Growth {
        blocks,
        inodes_percent_max: from.inodes_percent_max,
        pad: 0,
    };
    let fd = mount_point.as_raw_fd();
    // SAFETY: the descriptor is open while `mount_point` is borrowed, and `growth` is the structure
    // that the command reads during the call.
    let rc = unsafe { libc::ioctl(fd, XFS_IOC_FSGROWFSDATA, &raw const growth) };
    Errno::result(rc).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_xfs_has_no_size() {
        let folder = File::open("/proc").expect("a directory");
        assert!(size(&folder).is_err());
    }
}
