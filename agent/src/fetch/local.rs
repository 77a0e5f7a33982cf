//! Local files: those of the node that its operator lets tasks have.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use agent_kernel::files;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// Opens a regular file beneath one of the folders; a link in them does not lead out of them. A
/// relative path begins at `home`.
pub(super) fn open(path: &Path, folders: &[PathBuf], home: Option<&Path>) -> io::Result<File> {
    let (folder, rest) = match (path.is_absolute(), home) {
        (false, Some(home)) => (home, path),
        (false, None) => {
            return Err(io::Error::other(
                "a relative path needs --frameworks_home on the agent",
            ));
        }
        (true, home) => {
            let mut all = folders.iter().map(PathBuf::as_path).chain(home);
            let found = all.find_map(|folder| Some((folder, path.strip_prefix(folder).ok()?)));
            found.ok_or_else(|| {
                io::Error::other("it is in no folder that this agent's --fetcher_local_paths names")
            })?
        }
    };
    let folder = File::open(folder)?;
    // Without O_NONBLOCK a pipe would be waited on.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file =
        files::beneath(&folder, rest, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::EXDEV => io::Error::other("a link leads out of the folder that may be read"),
            errno => io::Error::from(errno),
        })?;
    let file = File::from(file);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_operator_names_is_opened_and_no_link_leads_out() {
        let node = tempfile::tempdir().expect("a folder");
        let open_to_all = node.path().join("open");
        std::fs::create_dir(&open_to_all).expect("a folder");
        std::fs::write(open_to_all.join("a"), "a").expect("a file");
        std::fs::write(node.path().join("secret"), "s").expect("a file");
        std::os::unix::fs::symlink("../secret", open_to_all.join("link")).expect("a link");
        let folders = [open_to_all.clone()];
        let at = |path: &str| open(&node.path().join(path), &folders, None);
        assert!(at("open/a").is_ok());
        for refused in ["secret", "open/link", "open/../secret", "open", "open/none"] {
            assert!(at(refused).is_err(), "{refused}");
        }
        assert!(open(Path::new("a"), &folders, None).is_err());
        assert!(open(Path::new("a"), &[], Some(&open_to_all)).is_ok());
        assert!(open(Path::new("../secret"), &[], Some(&open_to_all)).is_err());
    }
}
