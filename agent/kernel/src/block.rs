//! Block devices: which there are, how large, zeroed and their file system grown.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{major, minor};

/// `BLKZEROOUT` of `linux/fs.h`: `_IO(0x12, 127)`, whose argument is two 64-bit numbers all the same.
const BLKZEROOUT: libc::Ioctl = 0x127f;
/// `EXT4_IOC_RESIZE_FS` of `linux/ext4.h`: `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;

/// The whole disks of this machine, virtio, NVMe and SCSI or SATA, in the order of their names.
#[must_use]
pub fn disks() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/sys/class/block") else {
        return Vec::new();
    };
    let mut disks: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = ["vd", "nvme", "sd"]
                .iter()
                .any(|kind| name.starts_with(kind));
            // A path of an NVMe disk that has several is hidden, and has no device node.
            kind && !entry.path().join("partition").exists()
                && fs::read_to_string(entry.path().join("hidden"))
                    .map_or(true, |hidden| hidden.trim() == "0")
        })
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .filter(|device| device.exists())
        .collect();
    disks.sort();
    disks
}

/// The number of the disk that a directory is on, of the whole disk where it is on a part of one;
/// `None` where its file system is on no disk, or on several.
#[must_use]
pub fn disk_of(folder: &Path) -> Option<(u32, u32)> {
    let device = fs::metadata(folder).ok()?.dev();
    let number = |device: u64| format!("{}:{}", major(device), minor(device));
    let mut entry = fs::canonicalize(format!("/sys/dev/block/{}", number(device))).ok()?;
    if entry.join("partition").exists() {
        entry.pop();
    }
    let text = fs::read_to_string(entry.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Has the requests of a disk, by its number, put in order by one of the kernel's schedulers
/// (switching-sched.rst).
///
/// # Errors
/// There is no such disk, or the kernel has no scheduler of this name.
pub fn schedule((major, minor): (u32, u32), scheduler: &str) -> io::Result<()> {
    fs::write(
        format!("/sys/dev/block/{major}:{minor}/queue/scheduler"),
        scheduler,
    )
}

/// A device's or file's size in bytes.
///
/// # Errors
/// It cannot be sought.
pub fn size(mut device: &File) -> io::Result<u64> {
    device.seek(SeekFrom::End(0))
}

/// Makes `length` bytes from `start` on a block device zero; both are whole sectors.
///
/// # Errors
/// It is no block device, is shorter, or cannot be written.
pub fn zero_out(device: &File, start: u64, length: u64) -> Result<(), Errno> {
    let range: [u64; 2] = [start, length];
    // SAFETY: the descriptor is open while `device` is borrowed, and `range` is the two numbers that
    // BLKZEROOUT reads during the call.
    let rc = unsafe { libc::ioctl(device.as_raw_fd(), BLKZEROOUT, range.as_ptr()) };
    Errno::result(rc).map(drop)
}

/// Grows a mounted ext4 to so many of its blocks.
///
/// # Errors
/// `mount_point` is no ext4, its device is smaller, or the kernel refuses.
pub fn grow_ext4(mount_point: &File, blocks: u64) -> Result<(), Errno> {
    // SAFETY: the descriptor is open while `mount_point` is borrowed, and `blocks` is the number that
    // EXT4_IOC_RESIZE_FS reads during the call.
    let rc = unsafe {
        libc::ioctl(
            mount_point.as_raw_fd(),
            EXT4_IOC_RESIZE_FS,
            &raw const blocks,
        )
    };
    Errno::result(rc).map(drop)
}
