//! Files: opening beneath a directory, sealed memory, pipes.
//!
//! A path that a task may have shaped is only ever opened by [`beneath`], [`append`] or [`in_root`]: a
//! link or a `..` in it cannot lead out, whatever changes meanwhile (openat2(2)).

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, OpenHow, ResolveFlag, SealFlag, fcntl, openat2};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

/// Opens what a path names beneath a directory; links are followed as long as they do not leave it.
///
/// # Errors
/// EXDEV: the path leads out; all others as in open(2).
pub fn beneath(
    directory: impl AsFd,
    path: &Path,
    flags: OFlag,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    open(
        directory,
        path,
        flags,
        mode,
        ResolveFlag::RESOLVE_NO_MAGICLINKS,
    )
}

/// Opens what a path names beneath a directory, where no part of the path is a link.
///
/// # Errors
/// ELOOP or EXDEV: the path holds a link or leads out; all others as in open(2).
pub fn beneath_without_links(
    directory: impl AsFd,
    path: &Path,
    flags: OFlag,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let no_links = ResolveFlag::RESOLVE_NO_SYMLINKS;
    open(directory, path, flags, mode, no_links)
}

/// Makes a directory and those above it beneath another one; what is there already stays.
///
/// # Errors
/// ELOOP or EXDEV: the path holds a link or leads out; all others as in mkdir(2).
pub fn make_directories(directory: impl AsFd, path: &Path, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let mut current = in_root(directory, Path::new("."), flags)?;
    for component in path.components() {
        match mkdirat(&current, component.as_os_str(), mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let name = Path::new(component.as_os_str());
        let no_links = ResolveFlag::RESOLVE_NO_SYMLINKS;
        current = open(&current, name, flags, Mode::empty(), no_links)?;
    }
    Ok(current)
}

fn open(
    directory: impl AsFd,
    path: &Path,
    flags: OFlag,
    mode: Mode,
    links: ResolveFlag,
) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(ResolveFlag::RESOLVE_BENEATH | links);
    retried(|| openat2(&directory, path, how))
}

/// Opens what a path names for a process whose root is this directory: links are followed, but
/// none leads out.
///
/// # Errors
/// As in open(2).
pub fn in_root(root: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    retried(|| openat2(&root, path, how))
}

/// Opens what a path names beneath a directory, which holds no link on the way nor at its end.
///
/// # Errors
/// ELOOP or EXDEV: the path holds a link or leads out; all others as in open(2).
pub fn without_links(directory: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let links = ResolveFlag::RESOLVE_NO_SYMLINKS;
    open(directory, path, flags, Mode::empty(), links)
}

/// Opens a file beneath a directory for appending, made where it is missing.
///
/// # Errors
/// As [`make_directories`]; EEXIST where the name is taken by something other than a regular file.
pub fn append(directory: impl AsFd, name: &Path) -> Result<OwnedFd, Errno> {
    // Without O_NONBLOCK a pipe that stands in the file's place would be waited on.
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK;
    let mode = Mode::from_bits_truncate(0o644);
    let no_links = ResolveFlag::RESOLVE_NO_SYMLINKS;
    let file = open(directory, name, flags, mode, no_links)?;
    let kind = SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFREG {
        return Err(Errno::EEXIST);
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

/// Sets an extended attribute of an open file or directory.
///
/// # Errors
/// EOPNOTSUPP: the file system has none of this kind; all others as in setxattr(2).
pub fn set_attribute(file: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let (fd, name, bytes) = (file.as_fd().as_raw_fd(), name.as_ptr(), value.as_ptr());
    // SAFETY: `name` ends with a NUL byte and `bytes` is as long as is said; both outlive the call.
    let rc = unsafe { libc::fsetxattr(fd, name, bytes.cast(), value.len(), 0) };
    Errno::result(rc).map(drop)
}

/// A file in memory whose content can no longer change.
///
/// # Errors
/// As in `memfd_create(2)`.
pub(crate) fn sealed(name: &str, content: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(content).map_err(|error| errno(&error))?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(OwnedFd::from(file))
}

/// The same, for whoever hands it to another process.
///
/// # Errors
/// As in `memfd_create(2)`.
pub fn in_memory(name: &str, content: &[u8]) -> Result<OwnedFd, Errno> {
    sealed(name, content).and_then(above_stdio)
}

/// Reads a whole file of at most so many bytes.
pub(crate) fn read_bounded(file: OwnedFd, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::from(file).take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

/// The descriptor under a number that is not one of standard input, output and error, so that
/// these can be laid out without overwriting it.
pub(crate) fn above_stdio(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    let above = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(libc::STDERR_FILENO + 1))?;
    crate::process::owned(above.into())
}

/// Marks every descriptor from `first` on close-on-exec. Async-signal-safe.
pub(crate) fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: close_range(2) takes three numbers and touches no memory; with CLOEXEC it closes
    // nothing now, so no descriptor that is owned somewhere becomes invalid.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(rc).map(drop)
}

/// The kernel's number in an error of std; EIO where it has none.
pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// openat2(2) answers EAGAIN when a rename or a mount raced with a lookup that must not leave.
fn retried(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..64 {
        match open() {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result,
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tepui-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("scratch directory");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn no_link_and_no_pipe_takes_the_place_of_an_output_file() {
        let scratch = Scratch::new("files");
        let directory = File::open(&scratch.0).expect("open");
        symlink("/etc/passwd", scratch.0.join("link")).expect("symlink");
        nix::unistd::mkfifo(&scratch.0.join("pipe"), Mode::S_IRWXU).expect("mkfifo");
        for (name, expected) in [
            ("link", Some(Errno::ELOOP)),
            ("pipe", Some(Errno::ENXIO)),
            ("../out", Some(Errno::EXDEV)),
            ("stdout", None),
        ] {
            let result = append(&directory, Path::new(name));
            assert_eq!(result.err(), expected, "{name}");
        }
    }

    #[test]
    fn directories_are_made_beneath_and_nowhere_else() {
        let scratch = Scratch::new("directories");
        let directory = File::open(&scratch.0).expect("open");
        symlink("/tmp", scratch.0.join("link")).expect("symlink");
        let mode = Mode::S_IRWXU;
        for (path, expected) in [
            ("a/b/c", None),
            ("a/b", None),
            ("link/x", Some(Errno::ELOOP)),
            ("../x", Some(Errno::EXDEV)),
            ("/x", Some(Errno::EXDEV)),
        ] {
            let made = make_directories(&directory, Path::new(path), mode);
            assert_eq!(made.err(), expected, "{path}");
        }
        assert!(scratch.0.join("a/b/c").is_dir());
        let link = beneath(
            &directory,
            Path::new("link"),
            OFlag::O_RDONLY,
            Mode::empty(),
        );
        assert_eq!(link.err(), Some(Errno::EXDEV));
    }

    #[test]
    fn a_link_in_a_root_is_followed_within_that_root() {
        let scratch = Scratch::new("root");
        let root = File::open(&scratch.0).expect("open");
        fs::write(scratch.0.join("file"), "inside").expect("write");
        symlink("/../../file", scratch.0.join("link")).expect("symlink");
        let file = in_root(&root, Path::new("/link"), OFlag::O_RDONLY).expect("in_root");
        assert_eq!(read_bounded(file, 100).expect("read"), b"inside");
    }

    #[test]
    fn sealed_memory_cannot_be_written() {
        let file = File::from(sealed("test", b"plan").expect("memfd"));
        let error = (&file).write_all(b"x").expect_err("sealed");
        assert_eq!(errno(&error), Errno::EPERM);
    }
}
