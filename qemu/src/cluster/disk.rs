//! A node's work disk: a file that takes space only as it is written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is read at once; where all of it is zero, nothing is written.
const PIECE: usize = 64 << 10;

/// Makes a disk of this size, blank or with what an image holds.
pub(super) fn make(path: &Path, bytes: u64, image: Option<&Path>) -> io::Result<()> {
    let disk = File::create(path)?;
    if let Some(image) = image {
        copy(&mut File::open(image)?, &disk)?;
    }
    // An image that is larger keeps its end.
    let least = disk.metadata()?.len();
    disk.set_len(bytes.max(least))
}

fn copy(from: &mut impl Read, to: &File) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let length = from.read(&mut piece)?;
        let read = &piece[..length];
        if read.is_empty() {
            return to.set_len(at);
        }
        if read.iter().any(|byte| *byte != 0) {
            to.write_all_at(read, at)?;
        }
        at += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_disk_has_what_its_image_holds_and_no_space_for_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let (image, disk) = (folder.path().join("image"), folder.path().join("disk"));
        let file = File::create(&image).unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(b"end", 8 << 20).unwrap();
        make(&disk, 1 << 20, Some(&image)).unwrap();
        assert_eq!(
            std::fs::read(&disk).unwrap(),
            std::fs::read(&image).unwrap()
        );
        assert!(std::fs::metadata(&disk).unwrap().blocks() * 512 < 1 << 20);
        make(&disk, 16 << 20, Some(&image)).unwrap();
        assert_eq!(std::fs::metadata(&disk).unwrap().len(), 16 << 20);
        make(&disk, 1 << 20, None).unwrap();
        assert_eq!(std::fs::metadata(&disk).unwrap().blocks(), 0);
    }
}
