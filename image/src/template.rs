//! The file system that a node writes to a blank work disk and then grows to the disk's size.
//!
//! What growing cannot change is decided here: one whole block group of 128 MiB, so that later
//! groups get as many inodes as the first (4 096: one for each 32 KiB); a journal of 16 MiB; space
//! for block group descriptors up to 1 TiB, beyond which the kernel turns to `meta_bg` by itself;
//! and project quotas, which measure sandboxes.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sparse;

/// The size of the template, and the smallest work disk.
pub const BYTES: u64 = 128 << 20;

/// Features by name, so that a host's mke2fs.conf has no say. All are known to Linux 6.1.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,quota,project";

/// The same on every node: a node has one work disk, and finds it by its label.
const UUID: &str = "7e9a1d5c-3b60-4a57-9f0e-74657075692a";

/// Percent of the blocks that only root of the node may fill, and no task: an agent that cannot write
/// to its checkpoint ends, and the node with it. Not 1: the kernel keeps the share as a whole number of
/// percents when it grows a file system (`ext4_update_super`), and 1 rounded to blocks is less than 1.
const RESERVED_PERCENT: &str = "2";

/// Where mke2fs lies; a plain user's PATH leaves the second one out.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/bin"];

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No mke2fs.
    #[error("no mke2fs on this host: install the package e2fsprogs")]
    NoTool,
    /// The image's file cannot be made.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// mke2fs said no.
    #[error("mke2fs: {0}")]
    Failed(String),
}

/// Makes the template at `path` in the format of `sparse`.
///
/// # Errors
/// mke2fs is missing or refuses, or the file cannot be written.
pub fn make(path: &Path) -> Result<(), TemplateError> {
    let mut places = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join("mke2fs"));
    let tool = places
        .find(|path| path.exists())
        .ok_or(TemplateError::NoTool)?;
    let failed = |source| TemplateError::Write {
        path: path.to_owned(),
        source,
    };
    let raw = path.with_extension("raw");
    let file = std::fs::File::create(&raw).map_err(failed)?;
    file.set_len(BYTES).map_err(failed)?;
    let growable_to = (1_u64 << 40) / 4096;
    let extended = format!(
        "hash_seed={UUID},root_owner=0:0,nodiscard,lazy_itable_init=1,packed_meta_blocks=1,\
         quotatype=usrquota:grpquota:prjquota,resize={growable_to}"
    );
    let output = Command::new(tool)
        .args([
            "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "32768",
        ])
        .args([
            "-m",
            RESERVED_PERCENT,
            "-L",
            "tepui-work",
            "-U",
            UUID,
            "-J",
            "size=16",
            "-O",
            FEATURES,
            "-E",
            &extended,
        ])
        .arg(&raw)
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("E2FSPROGS_FAKE_TIME", "1")
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(TemplateError::Failed(said.trim().to_owned()));
    }
    let image = std::fs::File::open(&raw).map_err(failed)?;
    let kept = sparse::encode(BufReader::new(image)).map_err(failed)?;
    std::fs::write(path, kept).map_err(failed)?;
    std::fs::remove_file(&raw).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cannot_fill_the_last_percent_of_a_disk_however_far_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("template");
        match make(&path) {
            Err(error @ TemplateError::NoTool) => return println!("left out: {error}"),
            made => made.unwrap(),
        }
        let template = std::fs::read(&path).unwrap();
        // Behind the sparse format's head and the number of block 0, 1024 bytes into that block
        // (`struct ext4_super_block`).
        let superblock = &template[24 + 8 + 1024..];
        let four = |at: usize| u32::from_le_bytes(*superblock[at..].first_chunk().unwrap());
        let (blocks, reserved) = (four(0x4), four(0x8));
        assert_eq!(u64::from(blocks) * 4096, BYTES);
        assert!(reserved * 100 / blocks >= 1, "{reserved} of {blocks}");
    }
}
