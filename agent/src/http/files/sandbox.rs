//! What is in a sandbox, opened, listed and read.
//!
//! A task shapes what is beneath its sandbox, while it is being read: every path is opened beneath
//! the work directory by `openat2(2)` (no way out through links or `..`), only regular files and
//! directories are read, and a pipe is not waited on.

use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use agent_kernel::files;
use api::http::respond::Refusal;
use api::v1;
use hyper::StatusCode;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::http::Context;
use crate::paths;

/// The longest read: 16 pages, as in Mesos.
const READ_BYTES_MAX: u64 = 16 * 4096;
/// Entries of a directory that are listed; a longer list is cut.
const ENTRIES_MAX: usize = 10_000;

/// A directory's entries by their names; a file has none.
///
/// # Errors
/// There is nothing of this path.
pub(in crate::http) fn list(context: &Context, asked: &str) -> Result<Vec<v1::FileInfo>, Refusal> {
    let folder = open(context, asked)?;
    let is_folder = folder.metadata().is_ok_and(|meta| meta.is_dir());
    if !is_folder {
        return Ok(Vec::new());
    }
    let here = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let mut entries = Vec::new();
    let read = fs::read_dir(here).map_err(|_| not_found())?;
    for entry in read.flatten().take(ENTRIES_MAX) {
        // A link is shown as what it is: to follow it here would lead out of the sandbox.
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{}/{name}", asked.trim_end_matches('/'));
        entries.push(describe(path, &meta));
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

fn describe(path: String, meta: &Metadata) -> v1::FileInfo {
    v1::FileInfo {
        path,
        nlink: Some(i32::try_from(meta.nlink()).unwrap_or(i32::MAX)),
        size: Some(meta.len()),
        mtime: Some(v1::TimeInfo {
            nanoseconds: meta.mtime().saturating_mul(1_000_000_000),
        }),
        mode: Some(meta.mode()),
        uid: Some(meta.uid().to_string()),
        gid: Some(meta.gid().to_string()),
    }
}

/// Bytes of a file from an offset on, at most so many, and the file's size.
///
/// # Errors
/// There is no such file, or it is none that can be read.
pub(in crate::http) fn read(
    context: &Context,
    asked: &str,
    offset: u64,
    length: Option<u64>,
) -> Result<(u64, Vec<u8>), Refusal> {
    let (mut file, size) = open_file(context, asked)?;
    let length = length.unwrap_or(u64::MAX).min(READ_BYTES_MAX);
    let mut data = Vec::new();
    if offset < size && length > 0 {
        let read = file.seek(SeekFrom::Start(offset));
        read.and_then(|_| file.take(length).read_to_end(&mut data))
            .map_err(|error| {
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("Failed to read the file: {error}.\n"),
                )
            })?;
    }
    Ok((size, data))
}

/// A regular file and its size.
pub(super) fn open_file(context: &Context, asked: &str) -> Result<(File, u64), Refusal> {
    let file = open(context, asked)?;
    let meta = file.metadata().map_err(|_| not_found())?;
    if meta.is_dir() {
        return Err(Refusal::bad_request("Cannot read a directory.\n"));
    }
    if !meta.is_file() {
        return Err(Refusal::bad_request("Not a regular file.\n"));
    }
    Ok((file, meta.len()))
}

fn open(context: &Context, asked: &str) -> Result<File, Refusal> {
    let snapshot = context.snapshot();
    let path = paths::beneath(&context.work_dir, snapshot.agent_id.as_ref(), asked)
        .ok_or_else(not_found)?;
    open_beneath(&context.work_dir, &path).map_err(|_| not_found())
}

/// Mesos answers with an empty body.
fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "")
}

fn open_beneath(work_dir: &Path, path: &Path) -> Result<File, Errno> {
    // Eight names lead to a sandbox; from there on the task decides what a name means, so that
    // `..` and links are held within the sandbox and not only within the work directory.
    let names: Vec<_> = path.iter().collect();
    let (sandbox, rest) = names.split_at(names.len().min(8));
    let sandbox: PathBuf = sandbox.iter().collect();
    let rest: PathBuf = rest.iter().collect();
    let folder = |path: &Path, within: &File| {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        files::beneath(within, path, flags, Mode::empty()).map(File::from)
    };
    let work_dir = File::open(work_dir).map_err(|_| Errno::ENOENT)?;
    let sandbox = folder(&sandbox, &work_dir)?;
    if rest.as_os_str().is_empty() {
        return Ok(sandbox);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    files::beneath(&sandbox, &rest, flags, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_of_a_sandbox_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let work_dir = folder.path();
        let runs = "slaves/S/frameworks/f/executors/e/runs";
        let sandbox = work_dir.join(runs).join("c");
        fs::create_dir_all(sandbox.join("sub")).expect("a sandbox");
        fs::create_dir_all(work_dir.join(runs).join("other")).expect("a sandbox");
        fs::write(work_dir.join("secret"), "x").expect("write");
        fs::write(work_dir.join(runs).join("other/stdout"), "x").expect("write");
        fs::write(sandbox.join("stdout"), "hello").expect("write");
        symlink("c", work_dir.join(runs).join("latest")).expect("a link");
        symlink("/etc/passwd", sandbox.join("absolute")).expect("a link");
        symlink("../other/stdout", sandbox.join("neighbour")).expect("a link");
        symlink("../stdout", sandbox.join("sub/inside")).expect("a link");
        for (name, good) in [
            ("c/stdout", true),
            ("latest/stdout", true),
            ("latest/sub/inside", true),
            ("latest/sub/../stdout", true),
            ("latest", true),
            ("latest/absolute", false),
            ("latest/neighbour", false),
            ("latest/../other/stdout", false),
            ("c/../../../../../../../../secret", false),
            ("latest/nothing", false),
        ] {
            let opened = open_beneath(work_dir, &Path::new(runs).join(name));
            assert_eq!(opened.is_ok(), good, "{name}: {opened:?}");
        }
    }
}
