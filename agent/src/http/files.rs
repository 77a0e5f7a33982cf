//! Files: browse, read and download what is in a sandbox.
//!
//! A task shapes what is beneath its sandbox, while it is being read: every path is opened beneath
//! the work directory by `openat2(2)` (no way out through links or `..`), only regular files and
//! directories are read, and a pipe is not waited on.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use agent_kernel::files;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Either, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderValue, RANGE,
};
use hyper::{Response, StatusCode};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

use super::query::Query;
use super::{Answer, Context, json_answer, text};
use crate::paths;

/// The longest read: 16 pages, as in Mesos.
const READ_BYTES_MAX: u64 = 16 * 4096;
/// A download is read and sent in pieces of so many bytes …
const PIECE_BYTES: usize = 64 << 10;
/// … of which so many wait for a slow client.
const PIECES_WAITING: usize = 2;
/// Entries of a directory that are listed; a longer list is cut.
const ENTRIES_MAX: usize = 10_000;

/// Why a file is not answered with.
enum Refusal {
    NotFound,
    Bad(String),
}

impl Refusal {
    fn answer(self) -> Answer {
        match self {
            // Mesos answers with an empty body.
            Self::NotFound => text(StatusCode::NOT_FOUND, ""),
            Self::Bad(words) => text(StatusCode::BAD_REQUEST, &words),
        }
    }
}

/// `/files/debug`: the virtual paths, each with the real one.
pub(super) fn debug(context: &Context) -> Value {
    let snapshot = context.snapshot();
    let Some(agent) = &snapshot.agent_id else {
        return json!({});
    };
    let mut all = serde_json::Map::new();
    for (framework, task) in snapshot.tasks.iter().chain(&snapshot.completed) {
        let Some(container) = &task.container else {
            continue;
        };
        let executor = &task.spec.executor_id;
        let sandbox = paths::sandbox(agent, framework, executor, container);
        let real = context
            .work_dir
            .join(sandbox)
            .to_string_lossy()
            .into_owned();
        let link = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
        all.insert(link, json!(real));
        all.insert(real.clone(), json!(real));
    }
    Value::Object(all)
}

/// `/files/browse?path=`: what is in a directory.
pub(super) async fn browse(context: &Arc<Context>, query: &Query) -> Answer {
    let Some(path) = query.get("path").map(str::to_string) else {
        return Refusal::Bad("Expecting 'path=value' in query.\n".to_string()).answer();
    };
    let context = Arc::clone(context);
    let listed = tokio::task::spawn_blocking(move || list(&context, &path)).await;
    match listed.map_err(io::Error::from) {
        Ok(Ok(entries)) => json_answer(&entries, query),
        Ok(Err(refusal)) => refusal.answer(),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn list(context: &Context, asked: &str) -> Result<Value, Refusal> {
    let folder = open(context, asked)?;
    let is_folder = folder.metadata().is_ok_and(|meta| meta.is_dir());
    if !is_folder {
        return Ok(json!([]));
    }
    let here = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let mut entries = Vec::new();
    let read = fs::read_dir(here).map_err(|_| Refusal::NotFound)?;
    for entry in read.flatten().take(ENTRIES_MAX) {
        // A link is shown as what it is: to follow it here would lead out of the sandbox.
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{}/{name}", asked.trim_end_matches('/'));
        entries.push((name, describe(&path, &meta)));
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

#[expect(clippy::cast_precision_loss, reason = "a date in seconds is exact")]
fn describe(path: &str, meta: &Metadata) -> Value {
    json!({
        "gid": meta.gid().to_string(),
        "mode": mode(meta.mode()),
        "mtime": meta.mtime() as f64,
        "nlink": meta.nlink(),
        "path": path,
        "size": meta.len(),
        "uid": meta.uid().to_string(),
    })
}

/// As `ls -l` writes it.
fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let bit = |at: u32, letter| if mode >> at & 1 == 1 { letter } else { '-' };
    let bits = (0..9).map(|at| bit(8 - at, ['r', 'w', 'x'][at as usize % 3]));
    std::iter::once(kind).chain(bits).collect()
}

/// `/files/read?path=&offset=&length=`: a part of a file, or its size.
pub(super) async fn read(context: &Arc<Context>, query: &Query) -> Answer {
    let asked = match Part::parse(query) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.answer(),
    };
    let context = Arc::clone(context);
    let part = tokio::task::spawn_blocking(move || read_part(&context, &asked)).await;
    match part.map_err(io::Error::from) {
        Ok(Ok(value)) => json_answer(&value, query),
        Ok(Err(refusal)) => refusal.answer(),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The part of a file that was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    path: String,
    /// Unset: only the size is wanted.
    offset: Option<u64>,
    length: u64,
}

impl Part {
    fn parse(query: &Query) -> Result<Self, Refusal> {
        let Some(path) = query.get("path").filter(|path| !path.is_empty()) else {
            return Err(Refusal::Bad(
                "Expecting 'path=value' in query.\n".to_string(),
            ));
        };
        let number = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => text.parse::<i64>().map(Some).map_err(|_| {
                let words =
                    format!("Failed to parse {name}: Failed to convert '{text}' to number.\n");
                Refusal::Bad(words)
            }),
        };
        let offset = number("offset")?.unwrap_or(-1);
        if offset < -1 {
            return Err(Refusal::Bad(format!(
                "Negative offset provided: {offset}.\n"
            )));
        }
        let length = number("length")?.unwrap_or(-1);
        if length < -1 {
            return Err(Refusal::Bad(format!(
                "Negative length provided: {length}.\n"
            )));
        }
        Ok(Self {
            path: path.to_string(),
            offset: u64::try_from(offset).ok(),
            length: u64::try_from(length)
                .map_or(READ_BYTES_MAX, |length| length.min(READ_BYTES_MAX)),
        })
    }
}

fn read_part(context: &Context, part: &Part) -> Result<Value, Refusal> {
    let (mut file, size) = open_file(context, &part.path)?;
    let Some(offset) = part.offset else {
        return Ok(json!({ "data": "", "offset": size }));
    };
    let mut data = Vec::new();
    let read = file.seek(SeekFrom::Start(offset));
    read.and_then(|_| file.take(part.length).read_to_end(&mut data))
        .map_err(|error| Refusal::Bad(format!("Failed to read the file: {error}\n")))?;
    // Whoever reads on goes by the number of bytes, so that a character cut at the end of a part
    // must not be dropped; JSON has texts only, so that foreign bytes are replaced.
    Ok(json!({ "data": String::from_utf8_lossy(&data), "offset": offset }))
}

/// `/files/download?path=`: a whole file, or the range that was asked for.
pub(super) async fn download(context: &Arc<Context>, query: &Query, headers: &HeaderMap) -> Answer {
    let Some(path) = query.get("path").map(str::to_string) else {
        return Refusal::Bad("Expecting 'path=value' in query.\n".to_string()).answer();
    };
    let name = Path::new(&path).file_name().unwrap_or_default();
    let name = name.to_string_lossy().replace(['"', '\\', '\r', '\n'], "_");
    let opened = {
        let context = Arc::clone(context);
        tokio::task::spawn_blocking(move || open_file(&context, &path)).await
    };
    let (file, size) = match opened.map_err(io::Error::from) {
        Ok(Ok(opened)) => opened,
        Ok(Err(refusal)) => return refusal.answer(),
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (status, begin, end) = match range.and_then(|range| parse_range(range, size)) {
        None => (StatusCode::OK, 0, size),
        Some(Ok((begin, end))) => (StatusCode::PARTIAL_CONTENT, begin, end),
        Some(Err(Unsatisfiable)) => {
            let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(&mut answer, CONTENT_RANGE, format!("bytes */{size}"));
            return answer;
        }
    };
    let mut answer = Response::new(Either::Right(pieces(file, begin, end)));
    *answer.status_mut() = status;
    set(
        &mut answer,
        CONTENT_TYPE,
        "application/octet-stream".to_string(),
    );
    set(
        &mut answer,
        CONTENT_DISPOSITION,
        format!("attachment; filename=\"{name}\""),
    );
    set(&mut answer, CONTENT_LENGTH, (end - begin).to_string());
    set(&mut answer, ACCEPT_RANGES, "bytes".to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(
            &mut answer,
            CONTENT_RANGE,
            format!("bytes {begin}-{}/{size}", end - 1),
        );
    }
    answer
}

fn set(answer: &mut Answer, name: hyper::header::HeaderName, value: String) {
    // A name with characters that no header can hold goes without it.
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The range begins past the end of the file.
#[derive(Debug, PartialEq, Eq)]
struct Unsatisfiable;

/// One range of bytes, its end excluded; `None` where the header is not one that is followed, so
/// that the whole file is sent (RFC 9110, section 14.2).
fn parse_range(text: &str, size: u64) -> Option<Result<(u64, u64), Unsatisfiable>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (begin, end) = if first.is_empty() {
        let tail: u64 = last.parse().ok()?;
        (size.saturating_sub(tail), size)
    } else {
        let begin: u64 = first.parse().ok()?;
        let end = match last {
            "" => size,
            last => last.parse::<u64>().ok()?.saturating_add(1).min(size),
        };
        (begin, end)
    };
    Some(if begin < end {
        Ok((begin, end))
    } else {
        Err(Unsatisfiable)
    })
}

/// A file from one place to another, read on a thread of its own as fast as it is taken.
///
/// A file that was cut meanwhile ends the connection early: the client sees that bytes are missing.
fn pieces(file: File, begin: u64, end: u64) -> super::Streamed {
    let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(PIECES_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut at = begin;
        while at < end {
            let want = usize::try_from(end - at)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let mut piece = vec![0; want];
            let read = file.read_exact_at(&mut piece, at);
            let failed = read.is_err();
            if sender.blocking_send(read.map(|()| piece.into())).is_err() || failed {
                return;
            }
            at += want as u64;
        }
    });
    StreamBody::new(ReceiverStream::new(receiver).map_ok(Frame::data)).boxed()
}

/// A regular file and its size.
fn open_file(context: &Context, asked: &str) -> Result<(File, u64), Refusal> {
    let file = open(context, asked)?;
    let meta = file.metadata().map_err(|_| Refusal::NotFound)?;
    if meta.is_dir() {
        return Err(Refusal::Bad("Cannot read a directory.\n".to_string()));
    }
    if !meta.is_file() {
        return Err(Refusal::Bad("Not a regular file.\n".to_string()));
    }
    Ok((file, meta.len()))
}

fn open(context: &Context, asked: &str) -> Result<File, Refusal> {
    let snapshot = context.snapshot();
    let path = paths::beneath(&context.work_dir, snapshot.agent_id.as_ref(), asked)
        .ok_or(Refusal::NotFound)?;
    open_beneath(&context.work_dir, &path).map_err(|_| Refusal::NotFound)
}

fn open_beneath(work_dir: &Path, path: &Path) -> Result<File, Errno> {
    // Eight names lead to a sandbox; from there on the task decides what a name means, so that
    // `..` and links are held within the sandbox and not only within the work directory.
    let names: Vec<_> = path.iter().collect();
    let (sandbox, rest) = names.split_at(names.len().min(8));
    let sandbox: std::path::PathBuf = sandbox.iter().collect();
    let rest: std::path::PathBuf = rest.iter().collect();
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

    #[test]
    fn a_part_is_bounded_and_bad_numbers_are_named() {
        let part = |text: &str| Part::parse(&Query::parse(text));
        for (text, offset, length) in [
            ("path=/a", None, READ_BYTES_MAX),
            ("path=/a&offset=-1", None, READ_BYTES_MAX),
            ("path=/a&offset=7&length=100", Some(7), 100),
            ("path=/a&offset=0&length=-1", Some(0), READ_BYTES_MAX),
            ("path=/a&offset=0&length=99999999", Some(0), READ_BYTES_MAX),
        ] {
            let part = part(text).ok().expect("a part");
            assert_eq!((part.offset, part.length), (offset, length), "{text}");
        }
        for (text, words) in [
            ("offset=1", "Expecting 'path=value' in query.\n"),
            (
                "path=/a&offset=abc",
                "Failed to parse offset: Failed to convert 'abc' to number.\n",
            ),
            ("path=/a&offset=-2", "Negative offset provided: -2.\n"),
            (
                "path=/a&offset=0&length=x",
                "Failed to parse length: Failed to convert 'x' to number.\n",
            ),
        ] {
            match part(text) {
                Err(Refusal::Bad(said)) => assert_eq!(said, words),
                _ => panic!("{text} was taken"),
            }
        }
    }

    #[test]
    fn a_range_is_followed_where_it_is_one() {
        for (text, range) in [
            ("bytes=0-", Some(Ok((0, 10)))),
            ("bytes=4-", Some(Ok((4, 10)))),
            ("bytes=4-5", Some(Ok((4, 6)))),
            ("bytes=4-500", Some(Ok((4, 10)))),
            ("bytes=-3", Some(Ok((7, 10)))),
            ("bytes=10-", Some(Err(Unsatisfiable))),
            ("bytes=5-4", Some(Err(Unsatisfiable))),
            ("bytes=a-", None),
            ("lines=1-2", None),
            ("bytes=1-2,4-5", None),
        ] {
            assert_eq!(parse_range(text, 10), range, "{text}");
        }
    }

    #[test]
    fn modes_read_as_ls_writes_them() {
        for (bits, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
        ] {
            assert_eq!(mode(bits), text);
        }
    }
}
