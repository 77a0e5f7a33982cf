//! The work disk's file system: told by its superblock, mounted, and grown to its disk.
//!
//! ext4 is what a node makes itself. XFS is made by an operator, with our label, and its driver is
//! only in images that were asked for it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use agent_kernel::{block, xfs as mounted_xfs};
use tracing::{info, warn};

use super::disk::{DiskError, io_fault};
use super::{apart, ext4, modules, mounts, xfs};

/// The label that makes a file system ours.
pub(super) const LABEL: &str = "tepui-work";

/// What a disk's first bytes say of a file system on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileSystem {
    Ext4(ext4::Superblock),
    Xfs(xfs::Superblock),
}

impl FileSystem {
    /// Tells a file system of ours by its superblock; none where it is another, or two lay claim to
    /// the disk.
    pub(super) fn ours(start: &[u8]) -> Option<Self> {
        let found = match (ext4::superblock(start), xfs::superblock(start)) {
            (Some(superblock), None) if superblock.label == LABEL => Self::Ext4(superblock),
            (None, Some(superblock)) if superblock.label == LABEL => Self::Xfs(superblock),
            (Some(_) | None, Some(_) | None) => return None,
        };
        Some(found)
    }

    /// Whether it can be used as it is; says what is known of its state.
    ///
    /// # Errors
    /// It has to be repaired or made again first.
    pub(super) fn check(&self, device: &Path) -> Result<(), DiskError> {
        match self {
            Self::Ext4(superblock) => {
                if superblock.errors > 0 || !(superblock.clean || superblock.needs_recovery) {
                    warn!(
                        device = %device.display(),
                        errors = superblock.errors,
                        "work disk has errors: check it with e2fsck on another machine"
                    );
                } else if superblock.needs_recovery {
                    info!(device = %device.display(), "work disk was not unmounted: its journal is replayed");
                }
                Ok(())
            }
            Self::Xfs(superblock) if superblock.needs_repair => {
                Err(DiskError::Damaged(device.to_owned()))
            }
            Self::Xfs(superblock) if !superblock.tells_types => {
                Err(DiskError::Untyped(device.to_owned()))
            }
            Self::Xfs(_) => Ok(()),
        }
    }

    /// Mounts it, with quotas for projects where the kernel has them; tells whether it has.
    ///
    /// # Errors
    /// The kernel has no driver for it, or refuses.
    pub(super) fn mount(&self, device: &Path, target: &Path) -> Result<bool, DiskError> {
        let name = device.to_string_lossy();
        match self {
            Self::Ext4(_) => Ok(mounts::work_disk(&name, target, "ext4", EXT4_OPTIONS)?),
            Self::Xfs(_) => {
                modules::load_xfs();
                let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
                if !lists(&known, "xfs") {
                    return Err(DiskError::Driverless(device.to_owned()));
                }
                let project_quotas = mounts::work_disk(&name, target, "xfs", XFS_OPTIONS)?;
                apart::mount(target)?;
                Ok(project_quotas)
            }
        }
    }

    /// Grows it to its disk, where that is larger.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) fn grow(&self, device: &Path, work_dir: &Path) -> Result<(), DiskError> {
        let open = File::open(device).map_err(io_fault("open", device))?;
        let disk_bytes = block::size(&open).map_err(io_fault("measure", device))?;
        let mount_point = File::open(work_dir).map_err(io_fault("open", work_dir))?;
        let grown = match self {
            Self::Ext4(_) => {
                let mut start = vec![0; 4096];
                open.read_exact_at(&mut start, 0)
                    .map_err(io_fault("read", device))?;
                let Some(superblock) = ext4::superblock(&start) else {
                    return Ok(());
                };
                worth_it(superblock.block_size, superblock.blocks, disk_bytes)
                    .map(|blocks| block::grow_ext4(&mount_point, blocks))
            }
            Self::Xfs(_) => match mounted_xfs::size(&mount_point) {
                Ok(size) => worth_it(size.block_size, size.blocks, disk_bytes)
                    .map(|blocks| mounted_xfs::grow(&mount_point, size, blocks)),
                Err(errno) => Some(Err(errno)),
            },
        };
        match grown {
            None => {}
            Some(Ok(())) => {
                info!(device = %device.display(), mb = disk_bytes >> 20, "work disk was grown");
            }
            // It is usable as it is.
            Some(Err(error)) => {
                warn!(device = %device.display(), %error, "work disk was not grown");
            }
        }
        Ok(())
    }
}

/// An error in the file system stops writes, and is seen, instead of spreading. The last blocks are for
/// nobody by user: the agent has them by `CAP_SYS_RESOURCE`. An overlay writes with the user of whoever
/// made it, which is the agent's 0, and with no such capability, so that what is kept for 0 a task with
/// an image's root could fill.
pub(super) const EXT4_OPTIONS: &str = "errors=remount-ro,resuid=4294967294";
/// XFS stops by itself at an error, and keeps nothing for anybody (`apart`).
const XFS_OPTIONS: &str = "";

/// To how many blocks a file system is to be grown; none where it is not worth it: the kernel leaves out
/// a last group that is too small for its own tables, and would be asked again at each start.
fn worth_it(block_size: u64, blocks: u64, disk_bytes: u64) -> Option<u64> {
    const LEAST: u64 = 16 << 20;
    let fit = disk_bytes.checked_div(block_size)?;
    (fit >= blocks.saturating_add(LEAST / block_size)).then_some(fit)
}

/// Whether `/proc/filesystems` names a kind.
fn lists(known: &str, kind: &str) -> bool {
    let mut kinds = known.lines().filter_map(|line| line.split('\t').nth(1));
    kinds.any(|known| known == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_has_to_be_worth_it() {
        assert_eq!(worth_it(4096, 1000, 4096 * 1000), None);
        assert_eq!(worth_it(4096, 1000, (16 << 20) - 1 + 4096 * 1000), None);
        assert_eq!(worth_it(4096, 1000, (16 << 20) + 4096 * 1000), Some(5096));
        assert_eq!(worth_it(0, 1, 2), None);
    }

    #[test]
    fn a_kind_of_file_system_is_known_by_its_whole_name() {
        let known = "nodev\tsysfs\n\text4\n\txfs_like\n";
        assert!(lists(known, "ext4") && lists(known, "sysfs"));
        assert!(!lists(known, "xfs") && !lists(known, "nodev"));
    }

    #[test]
    fn an_xfs_that_cannot_be_used_is_told_with_what_to_do() {
        let xfs = |tells_types, needs_repair| {
            FileSystem::Xfs(xfs::Superblock {
                label: LABEL.to_owned(),
                tells_types,
                needs_repair,
            })
        };
        let check = |found: FileSystem| found.check(Path::new("/dev/vda"));
        check(xfs(true, false)).expect("a good one");
        let said = |found| check(found).expect_err("unusable").to_string();
        assert!(said(xfs(true, true)).contains("xfs_repair"));
        assert!(said(xfs(false, false)).contains("mkfs.xfs"));
    }
}
