//! The work disk: found, formatted if it is blank, grown and mounted.
//!
//! A disk that holds anything but a file system of ours is never written to, unless the command line
//! names it with `tepui.format`. There is no check and no `mkfs` on a node: ext4 replays its journal,
//! and a small template is written and grown.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agent_kernel::block;
use agent_kernel::boot_mounts::BootMountError;
use tracing::{info, warn};

use super::ext4::{self, LABEL, Superblock};
use super::{Machine, modules, mounts};
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
enum Content {
    Blank,
    Ours(Superblock),
    Foreign,
}

/// Mounts a work disk, or memory where there is none.
pub(super) fn mount(config: &Config, machine: Machine) -> Result<(), DiskError> {
    let work_dir = &config.work_dir;
    let Some(device) = find(config, machine)? else {
        mounts::work_memory(work_dir)?;
        if machine == Machine::Whole {
            warn!(
                "there is no work disk: tasks and their files are in memory, and gone with the power"
            );
        }
        return Ok(());
    };
    let project_quotas = mounts::work_disk(&device.to_string_lossy(), work_dir)?;
    info!(device = %device.display(), work_dir = %work_dir.display(), project_quotas, "work disk is mounted");
    grow(&device, work_dir)?;
    if machine == Machine::Whole {
        super::give_back(Path::new(TEMPLATE), machine);
    }
    Ok(())
}

/// The disk to mount, formatted if that was needed.
fn find(config: &Config, machine: Machine) -> Result<Option<PathBuf>, DiskError> {
    if let Some(device) = &config.boot.format {
        appears(device)?;
        // The word stays on the command line: what it made at one boot is kept at the next.
        return match content(device)? {
            Content::Foreign => {
                warn!(device = %device.display(), "disk is formatted because the command line names it");
                format(device)?;
                Ok(Some(device.clone()))
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
    ready: impl Fn(&Path) -> Result<PathBuf, DiskError>,
) -> Result<Option<PathBuf>, DiskError> {
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
fn ready(device: &Path, content: Content) -> Result<PathBuf, DiskError> {
    match content {
        Content::Blank => {
            info!(device = %device.display(), "disk is blank, and is formatted");
            format(device)?;
        }
        Content::Ours(superblock) => {
            if superblock.errors > 0 || !(superblock.clean || superblock.needs_recovery) {
                warn!(
                    device = %device.display(),
                    errors = superblock.errors,
                    "work disk has errors: check it with e2fsck on another machine"
                );
            } else if superblock.needs_recovery {
                info!(device = %device.display(), "work disk was not unmounted: its journal is replayed");
            }
        }
        Content::Foreign => return Err(DiskError::Foreign(device.to_owned())),
    }
    Ok(device.to_owned())
}

fn content(device: &Path) -> Result<Content, DiskError> {
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
    match ext4::superblock(start) {
        Some(superblock) if superblock.label == LABEL => Content::Ours(superblock),
        Some(_) => Content::Foreign,
        None if start.starts_with(UNFINISHED) || is_zero() => Content::Blank,
        None => Content::Foreign,
    }
}

/// Writes the template; the block with the superblock last.
fn format(device: &Path) -> Result<(), DiskError> {
    let template_path = Path::new(TEMPLATE);
    let bytes = fs::read(template_path).map_err(io_fault("read", template_path))?;
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
    block::zero_out(&open, block_size, needed - block_size)
        .map_err(|errno| io_fault("zero", device)(errno.into()))?;
    for (number, block) in template.written.iter().rev() {
        if *number == 0 {
            flush()?;
        }
        write(block, number * block_size)?;
    }
    flush()
}

/// Grows the file system to its disk, where that is larger.
fn grow(device: &Path, work_dir: &Path) -> Result<(), DiskError> {
    let open = File::open(device).map_err(io_fault("open", device))?;
    let size = block::size(&open).map_err(io_fault("measure", device))?;
    let mut start = vec![0; 4096];
    open.read_exact_at(&mut start, 0)
        .map_err(io_fault("read", device))?;
    let Some(superblock) = ext4::superblock(&start) else {
        return Ok(());
    };
    let blocks = size / superblock.block_size;
    // The kernel leaves out a last group that is too small for its own tables of 1 MB, and would be
    // asked again at each start.
    let worth_it = (16 << 20) / superblock.block_size;
    if blocks < superblock.blocks + worth_it {
        return Ok(());
    }
    let mount_point = File::open(work_dir).map_err(io_fault("open", work_dir))?;
    match block::grow_ext4(&mount_point, blocks) {
        Ok(()) => info!(device = %device.display(), mb = size >> 20, "work disk was grown"),
        // It is usable as it is.
        Err(error) => warn!(device = %device.display(), %error, "work disk was not grown"),
    }
    Ok(())
}

fn io_fault(act: &'static str, path: &Path) -> impl Fn(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io {
        act,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
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
        assert!(matches!(judge(&ext4, &copy), Content::Ours(_)));
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
            false => Ok(device.to_owned()),
        };
        let found = |disks| first_large_enough(disks, ready).expect("no fault");
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
