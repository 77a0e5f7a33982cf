//! A tree of files copied: folders, files, hard and symbolic links, with their modes.
//!
//! Owners are not copied; whoever copies owns. Devices, pipes and sockets are left out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// A file that was not copied.
#[derive(Debug, thiserror::Error)]
#[error("copy {path}")]
pub struct CopyError {
    path: PathBuf,
    source: io::Error,
}

/// Copies what `from` holds into the folder `to`.
pub(super) fn tree(from: &Path, to: &Path) -> Result<(), CopyError> {
    folder(from, to, &mut BTreeMap::new())
}

/// `seen` has a copy for each file that has other names.
fn folder(from: &Path, to: &Path, seen: &mut BTreeMap<u64, PathBuf>) -> Result<(), CopyError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| CopyError { path, source }
    };
    for entry in fs::read_dir(from).map_err(fault(from))? {
        let source = entry.map_err(fault(from))?.path();
        let target = match source.file_name() {
            Some(name) => to.join(name),
            None => continue,
        };
        let about = fs::symlink_metadata(&source).map_err(fault(&source))?;
        if about.is_dir() {
            fs::create_dir(&target).map_err(fault(&target))?;
            folder(&source, &target, seen)?;
            fs::set_permissions(&target, about.permissions()).map_err(fault(&target))?;
        } else if about.is_symlink() {
            let place = fs::read_link(&source).map_err(fault(&source))?;
            symlink(place, &target).map_err(fault(&target))?;
        } else if about.is_file() {
            if let Some(copy) = seen.get(&about.ino()) {
                fs::hard_link(copy, &target).map_err(fault(&target))?;
                continue;
            }
            fs::copy(&source, &target).map_err(fault(&source))?;
            if about.nlink() > 1 {
                seen.insert(about.ino(), target);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_copy_has_the_same_names_modes_and_links() {
        let from = tempfile::tempdir().expect("folder");
        let to = tempfile::tempdir().expect("folder");
        let at = |name: &str| from.path().join(name);
        fs::create_dir_all(at("bin")).expect("bin");
        fs::create_dir(at("tmp")).expect("tmp");
        fs::set_permissions(at("tmp"), fs::Permissions::from_mode(0o1777)).expect("mode");
        fs::write(at("bin/busybox"), "program").expect("file");
        fs::set_permissions(at("bin/busybox"), fs::Permissions::from_mode(0o755)).expect("mode");
        fs::hard_link(at("bin/busybox"), at("bin/ls")).expect("link");
        symlink("busybox", at("bin/sh")).expect("link");

        tree(from.path(), to.path()).expect("copy");

        let about = |name: &str| fs::symlink_metadata(to.path().join(name)).expect(name);
        assert_eq!(about("tmp").permissions().mode() & 0o7777, 0o1777);
        assert_eq!(about("bin/busybox").permissions().mode() & 0o7777, 0o755);
        assert_eq!(about("bin/busybox").ino(), about("bin/ls").ino());
        assert_eq!(
            fs::read_link(to.path().join("bin/sh")).expect("link"),
            Path::new("busybox")
        );
        assert_eq!(
            fs::read(to.path().join("bin/sh")).expect("file"),
            b"program"
        );
    }
}
