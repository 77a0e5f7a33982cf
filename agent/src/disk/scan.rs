//! Scan: what files take, where the file system does not count by itself.
//!
//! A task may change the directories meanwhile, and put links into them: none is followed, and what
//! is deep, or too much, is left out of the count.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use agent_kernel::files;
use nix::fcntl::OFlag;

/// The most files that are looked at, so that a scan ends.
const FILES_MAX: u64 = 1_000_000;
/// How deep: a descriptor is open for each directory above.
const DEPTH_MAX: usize = 200;
/// The most files of several names that are told apart.
const LINKED_MAX: usize = 100_000;
/// `st_blocks` is in this unit on every file system.
const BLOCK: u64 = 512;

/// What all files in some directories take together, in bytes.
pub(super) fn size(folders: &[PathBuf]) -> u64 {
    let mut scan = Scan::default();
    for path in folders {
        if let Ok(folder) = super::folder(path) {
            scan.folder(&folder, 0);
        }
    }
    scan.bytes
}

#[derive(Default)]
struct Scan {
    bytes: u64,
    files: u64,
    /// Files of several names, which count once.
    linked: BTreeSet<(u64, u64)>,
}

impl Scan {
    fn folder(&mut self, folder: &OwnedFd, depth: usize) {
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let Ok(entries) = fs::read_dir(path) else {
            return;
        };
        for entry in entries.flatten() {
            self.files += 1;
            if self.files > FILES_MAX {
                return;
            }
            // Of a link it is the link's own.
            let Ok(data) = entry.metadata() else {
                continue;
            };
            if data.nlink() > 1 && data.is_file() {
                let is_new = self.linked.insert((data.dev(), data.ino()));
                if !is_new || self.linked.len() > LINKED_MAX {
                    continue;
                }
            }
            self.bytes = self.bytes.saturating_add(data.blocks() * BLOCK);
            if data.is_dir() && depth < DEPTH_MAX {
                let name = entry.file_name();
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
                let inner = files::without_links(folder, Path::new(&name), flags);
                if let Ok(inner) = inner {
                    self.folder(&inner, depth + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(inside.join("deep/deeper")).expect("folders");
        fs::create_dir(&outside).expect("a folder");
        fs::write(outside.join("large"), vec![1; 4 << 20]).expect("a file");
        std::os::unix::fs::symlink(&outside, inside.join("link")).expect("a link");
        fs::write(inside.join("deep/deeper/file"), vec![1; 1 << 20]).expect("a file");
        let names = [inside.join("deep/deeper/file"), inside.join("again")];
        fs::hard_link(&names[0], &names[1]).expect("a second name");
        let bytes = size(&[inside.clone(), folder.path().join("not there")]);
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }
}
