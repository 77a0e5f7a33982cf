//! The work disk: found, formatted if it is blank, grown and mounted.
//!
//! A disk that holds anything but a file system of ours is never written to, unless the command line
//! names it with `tepui.format`. There is no check and no `mkfs` on a node: a file system replays its
//! journal, and a small template of ext4 is written and grown.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agent_kernel::block;
use agent_kernel::boot_mounts::BootMountError;
use tracing::{info, warn};

use super::file_system::FileSystem;
use super::{Machine, ext4, modules, mounts};
use crate::config::Config;

/// The template, as the image brings it.
const TEMPLATE: &str = "/usr/share/tepui/work.ext4.sparse";
/// Stands at the start of a disk while it is being formatted, where ext4 leaves room for a boot
/// loader, so that a format cut short by a power failure is begun again and not taken for foreign.
const UNFINISHED: &[u8; 32] = b"tepui: formatting is unfinished\n";
/// A disk is blank where so much of its start, and as much of its end, is zero. Some arrays and the
/// copy of a partition table show at the end only: the start of an array's second disk may be zero.
const BLANK: u64 = 1 << 20;
/// How long a disk that was named may take to appear, and one that was not.
const NAMED: Duration = Duration::from_secs(10);
const ANY: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);

/// Why the work disk is not usable.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The disk that was named does not appear.
    #[error("there is no {0}: name a disk of this machine, or leave tepui.disk out")]
    Absent(PathBuf),
    /// The disk that was named holds something else.
    #[error("{0} holds data that is not ours: tepui.format={0} would format it")]
    Foreign(PathBuf),
    /// The disk is too small for the template.
    #[error("{device} has {size} bytes, and a work disk needs {needed}")]
    Small {
        /// The disk.
        device: PathBuf,
        /// Its size.
        size: u64,
        /// The template's.
        needed: u64,
    },
    /// The disk's XFS is not to be mounted.
    #[error("the XFS of {0} is damaged: repair it with xfs_repair on another machine")]
    Damaged(PathBuf),
    /// The disk's XFS is of no use for overlays.
    #[error(
        "the XFS of {0} was made without ftype=1, and no image's root could be written on it: \
         make it again with mkfs.xfs -L tepui-work"
    )]
    Untyped(PathBuf),
    /// The image has no driver.
    #[error("{0} holds an XFS, and this image has no driver for it: make the image with --xfs")]
    Driverless(PathBuf),
    /// The image's template is missing or broken.
    #[error("{TEMPLATE} is no template of a file system")]
    Template,
    /// The disk or the template cannot be read or written.
    #[error("{act} {path}")]
    Io {
        /// What was done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system is not mounted.
    #[error(transparent)]
    Mount(#[from] BootMountError),
}

/// What a disk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Blank,
    Ours(FileSystem),
    Foreign,
}

/// A disk that can be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WorkDisk {
    device: PathBuf,
    holds: FileSystem,
}

/// Mounts a work disk, or memory where there is none.
pub(super) fn mount(config: &Config, machine: Machine) -> Result<(), DiskError> {
    let work_dir = &config.work_dir;
    let Some(WorkDisk { device, holds }) = find(config, machine)? else {
        mounts::work_memory(work_dir)?;
        if machine == Machine::Whole {
            warn!(
                "there is no work disk: tasks and their files are in memory, and gone with the power"
            );
        }
        return Ok(());
    };
    let project_quotas = holds.mount(&device, work_dir)?;
    info!(device = %device.display(), work_dir = %work_dir.display(), project_quotas, "work disk is mounted");
    holds.grow(&device, work_dir)?;
    if machine == Machine::Whole {
        super::give_back(Path::new(TEMPLATE), machine);
    }
    Ok(())
}

/// The disk to mount, formatted if that was needed.
fn find(config: &Config, machine: Machine) -> Result<Option<WorkDisk>, DiskError> {
    if let Some(device) = &config.boot.format {
        appears(device)?;
        // The word stays on the command line: what it made at one boot is kept at the next.
        return match content(device)? {
            Content::Foreign => {
                warn!(device = %device.display(), "disk is formatted because the command line names it");
                made(device).map(Some)
            }
            ours_or_blank => ready(device, ours_or_blank).map(Some),
        };
    }
    if let Some(device) = &config.boot.disk {
        appears(device)?;
        return match content(device)? {
            Content::Foreign => Err(DiskError::Foreign(device.clone())),
            other => ready(device, other).map(Some),
        };
    }
    if machine != Machine::Whole {
        return Ok(None);
    }
    let mut blank = Vec::new();
    for device in any_disks() {
        match content(&device) {
            Ok(Content::Foreign) => {
                info!(device = %device.display(), "disk holds data that is not ours, and is left alone");
            }
            Ok(ours @ Content::Ours(_)) => return ready(&device, ours).map(Some),
            Ok(Content::Blank) => blank.push(device),
            Err(error) => warn!(error = super::chain(&error), "disk is left alone"),
        }
    }
    first_large_enough(&blank, |device| ready(device, Content::Blank))
}

/// The first disk that was made ready. One that is too small is left alone: nobody has named it, and
/// it need not be the work disk.
fn first_large_enough(
    disks: &[PathBuf],
    ready: impl Fn(&Path) -> Result<WorkDisk, DiskError>,
) -> Result<Option<WorkDisk>, DiskError> {
    for device in disks {
        match ready(device) {
            Err(error @ DiskError::Small { .. }) => {
                warn!(error = super::chain(&error), "disk is left alone");
            }
            result => return result.map(Some),
        }
    }
    Ok(None)
}

/// Waits for a disk that was named.
fn appears(device: &Path) -> Result<(), DiskError> {
    if !device.exists() {
        modules::load_optional();
    }
    let start = Instant::now();
    while !device.exists() {
        if start.elapsed() > NAMED {
            return Err(DiskError::Absent(device.to_owned()));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The machine's disks; waits a moment where there is none, since some drivers look later.
fn any_disks() -> Vec<PathBuf> {
    let mut disks = block::disks();
    if disks.is_empty() {
        modules::load_optional();
    }
    let start = Instant::now();
    while disks.is_empty() && start.elapsed() < ANY {
        thread::sleep(POLL);
        disks = block::disks();
    }
    disks
}

/// Makes a disk that may be used one that can be mounted.
fn ready(device: &Path, content: Content) -> Result<WorkDisk, DiskError> {
    match content {
        Content::Blank => {
            info!(device = %device.display(), "disk is blank, and is formatted");
            made(device)
        }
        Content::Ours(holds) => {
            holds.check(device)?;
            Ok(WorkDisk {
                device: device.to_owned(),
                holds,
            })
        }
        Content::Foreign => Err(DiskError::Foreign(device.to_owned())),
    }
}

/// Formats a disk.
fn made(device: &Path) -> Result<WorkDisk, DiskError> {
    format(device, Rest::Unknown)?;
    match content(device)? {
        Content::Ours(holds) => Ok(WorkDisk {
            device: device.to_owned(),
            holds,
        }),
        Content::Blank | Content::Foreign => Err(DiskError::Template),
    }
}

/// What a disk, or a file in its place, holds.
pub(super) fn content(device: &Path) -> Result<Content, DiskError> {
    let open = File::open(device).map_err(io_fault("open", device))?;
    let size = block::size(&open).map_err(io_fault("measure", device))?;
    let length = size.min(BLANK);
    let read = |at| {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        open.read_exact_at(&mut bytes, at)
            .map(|()| bytes)
            .map_err(io_fault("read", device))
    };
    Ok(judge(&read(0)?, &read(size - length)?))
}

/// What the first and the last bytes of a disk make it.
fn judge(start: &[u8], end: &[u8]) -> Content {
    let is_zero = || start.iter().chain(end).all(|byte| *byte == 0);
    match FileSystem::ours(start) {
        Some(holds) => Content::Ours(holds),
        None if ext4::superblock(start).is_some() => Content::Foreign,
        None if start.starts_with(UNFINISHED) || is_zero() => Content::Blank,
        None => Content::Foreign,
    }
}

/// What a disk holds where the template says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Zeros, as a new file.
    Zero,
    /// What it held before.
    Unknown,
}

/// The template's size, which is also the least that a disk may have.
///
/// # Errors
/// It is not there.
pub(super) fn template_bytes() -> Result<u64, DiskError> {
    let bytes = read_template()?;
    let template = ext4::template(&bytes).ok_or(DiskError::Template)?;
    Ok(template.blocks * u64::from(template.block_size))
}

fn read_template() -> Result<Vec<u8>, DiskError> {
    let path = Path::new(TEMPLATE);
    fs::read(path).map_err(io_fault("read", path))
}

/// Writes the template; the block with the superblock last.
///
/// # Errors
/// The disk is too small, or cannot be written.
pub(super) fn format(device: &Path, rest: Rest) -> Result<(), DiskError> {
    let bytes = read_template()?;
    let template = ext4::template(&bytes).ok_or(DiskError::Template)?;
    let block_size = u64::from(template.block_size);
    let needed = template.blocks * block_size;

    let open = File::options()
        .read(true)
        .write(true)
        .open(device)
        .map_err(io_fault("open", device))?;
    let size = block::size(&open).map_err(io_fault("measure", device))?;
    if size < needed {
        return Err(DiskError::Small {
            device: device.to_owned(),
            size,
            needed,
        });
    }
    let write = |bytes: &[u8], at| {
        open.write_all_at(bytes, at)
            .map_err(io_fault("write", device))
    };
    let flush = || open.sync_data().map_err(io_fault("flush", device));
    // The mark takes a whole block, so that no older superblock is left beneath it.
    let mut mark = vec![0; template.block_size as usize];
    mark[..UNFINISHED.len()].copy_from_slice(UNFINISHED);
    write(&mark, 0)?;
    flush()?;
    match rest {
        Rest::Unknown => block::zero_out(&open, block_size, needed - block_size)
            .map_err(|errno| io_fault("zero", device)(errno.into()))?,
        Rest::Zero => {}
    }
    for (number, block) in template.written.iter().rev() {
        if *number == 0 {
            flush()?;
        }
        write(block, number * block_size)?;
    }
    flush()
}

pub(super) fn io_fault(act: &'static str, path: &Path) -> impl Fn(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io {
        act,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::file_system::LABEL;
    use super::super::xfs;
    use super::*;

    #[test]
    fn only_zeros_and_our_own_marks_may_be_written_over() {
        let zeros = vec![0; 8192];
        let changed = |at: usize, bytes: &[u8]| {
            let mut disk = zeros.clone();
            disk[at..at + bytes.len()].copy_from_slice(bytes);
            disk
        };
        assert_eq!(judge(&zeros, &zeros), Content::Blank);
        let unfinished = changed(0, UNFINISHED);
        // Of a disk that was named, whatever it holds.
        assert_eq!(judge(&unfinished, &changed(5000, b"x")), Content::Blank);
        for foreign in [
            changed(0, b"x"),
            changed(510, &[0x55, 0xaa]),
            changed(8191, b"x"),
        ] {
            assert_eq!(judge(&foreign, &zeros), Content::Foreign);
        }
        // The copy of a partition table, which is a disk's last sector.
        let copy = changed(8192 - 512, b"EFI PART");
        assert_eq!(judge(&zeros, &copy), Content::Foreign);
        let mut ext4 = changed(1024 + 0x38, &[0x53, 0xef]);
        assert_eq!(judge(&ext4, &zeros), Content::Foreign);
        ext4[1024 + 0x78..1024 + 0x82].copy_from_slice(LABEL.as_bytes());
        let is_ext4 = |content| matches!(content, Content::Ours(FileSystem::Ext4(_)));
        assert!(is_ext4(judge(&ext4, &copy)));
        let mut xfs = changed(0, b"XFSB");
        assert_eq!(judge(&xfs, &zeros), Content::Foreign);
        xfs[108..118].copy_from_slice(LABEL.as_bytes());
        let is_xfs = |content| matches!(content, Content::Ours(FileSystem::Xfs(_)));
        assert!(is_xfs(judge(&xfs, &copy)));
        // Which of the two was made last, nobody can tell.
        ext4[..512].copy_from_slice(&xfs[..512]);
        assert_eq!(judge(&ext4, &zeros), Content::Foreign);
    }

    #[test]
    fn a_blank_disk_that_nobody_named_may_be_too_small() {
        let disks = ["/dev/small", "/dev/large", "/dev/other"].map(PathBuf::from);
        let ready = |device: &Path| match device.ends_with("small") {
            true => Err(DiskError::Small {
                device: device.to_owned(),
                size: 1,
                needed: 2,
            }),
            false => Ok(WorkDisk {
                device: device.to_owned(),
                holds: FileSystem::Xfs(xfs::Superblock::default()),
            }),
        };
        let found = |disks| {
            let found = first_large_enough(disks, ready).expect("no fault");
            found.map(|found| found.device)
        };
        assert_eq!(found(&disks), Some(disks[1].clone()));
        assert_eq!(found(&disks[..1]), None);
        let fault = first_large_enough(&disks, |_| Err(DiskError::Template));
        assert!(matches!(fault, Err(DiskError::Template)));
    }

    #[test]
    fn both_ends_of_a_disk_are_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        let disk = File::create(&path).expect("a disk");
        for size in [0, 512, BLANK, 3 * BLANK] {
            disk.set_len(size).expect("its size");
            assert_eq!(content(&path).expect("readable"), Content::Blank, "{size}");
        }
        disk.write_all_at(b"x", 3 * BLANK - 1).expect("write");
        assert_eq!(content(&path).expect("readable"), Content::Foreign);
    }
}
