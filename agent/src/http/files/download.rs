//! `/files/download`: a whole file, or the range that was asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use api::http::query::Query;
use api::http::respond::{self, Refusal};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, RANGE,
};
use hyper::{Response, StatusCode};
use tokio_stream::wrappers::ReceiverStream;

use super::sandbox;
use crate::http::body::Body;
use crate::http::{Answer, Context};

/// A download is read and sent in pieces of so many bytes …
const PIECE_BYTES: usize = 64 << 10;
/// … of which so many wait for a slow client.
const PIECES_WAITING: usize = 2;

/// `/files/download?path=`: a whole file, or the range that was asked for.
pub(in crate::http) async fn download(
    context: &Arc<Context>,
    query: &Query<'_>,
    headers: &HeaderMap,
) -> Result<Answer, Refusal> {
    let path = query.expect("path").map_err(Refusal::bad_request)?;
    let name = Path::new(&path).file_name().unwrap_or_default();
    let name = name.to_string_lossy().replace(['"', '\\', '\r', '\n'], "_");
    let opened = context.beside(move |context| sandbox::open_file(context, &path));
    let (file, size) = opened.await??;
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (status, begin, end) = match range.and_then(|range| parse_range(range, size)) {
        None => (StatusCode::OK, 0, size),
        Some(Ok((begin, end))) => (StatusCode::PARTIAL_CONTENT, begin, end),
        Some(Err(Unsatisfiable)) => {
            let mut answer = respond::text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(&mut answer, CONTENT_RANGE, format!("bytes */{size}"));
            return Ok(answer);
        }
    };
    let mut answer = Response::new(pieces(file, begin, end));
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
    Ok(answer)
}

fn set(answer: &mut Answer, name: HeaderName, value: String) {
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
fn pieces(file: File, begin: u64, end: u64) -> Body {
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
    Body::streamed(StreamBody::new(
        ReceiverStream::new(receiver).map_ok(Frame::data),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
