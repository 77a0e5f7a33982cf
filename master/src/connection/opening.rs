//! How a connection opens: with HTTP/1, with h2, or with something that is neither.
//!
//! The first line decides, before anything else is done for the connection. Where Mesos reads a line
//! more freely than hyper does, it is written anew here; lines of later requests on a connection are
//! hyper's alone.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest first line.
const LINE_BYTES_MAX: usize = 64 << 10;
/// What is read at once.
const READ_BYTES: usize = 4096;
/// The first line of h2's preface (RFC 9113, section 3.4), without its end.
const H2_LINE: &[u8] = b"PRI * HTTP/2.0";

/// What a connection opens with, and the bytes read so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A request of HTTP/1.
    Http1(Bytes),
    /// The preface of h2.
    H2(Bytes),
    /// No request: nothing is said to it, as in Mesos.
    Neither,
}

/// Reads the first line.
///
/// # Errors
/// The connection broke.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Opening> {
    let mut bytes = BytesMut::with_capacity(READ_BYTES);
    loop {
        // Empty lines before a request are no part of it (RFC 9112, section 2.2).
        let start = bytes.iter().position(|byte| !b"\r\n".contains(byte));
        let line = start.and_then(|start| {
            let length = bytes[start..].iter().position(|byte| *byte == b'\n')?;
            Some((start, length))
        });
        if let Some((start, length)) = line {
            return Ok(opening(&bytes.split_off(start).freeze(), length));
        }
        if bytes.len() > LINE_BYTES_MAX {
            return Ok(Opening::Neither);
        }
        bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(Opening::Neither);
        }
    }
}

fn opening(bytes: &Bytes, length: usize) -> Opening {
    let line = &bytes[..length];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line == H2_LINE {
        return Opening::H2(bytes.clone());
    }
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Opening::Neither;
    };
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version else {
        return Opening::Neither;
    };
    if !is_method || target.is_empty() || !major.is_ascii_digit() || !minor.is_ascii_digit() {
        return Opening::Neither;
    }
    let version = match (major, minor) {
        (b'1', b'1') => return Opening::Http1(bytes.clone()),
        // An event stream is chunked whatever the client speaks, and ends with its connection.
        _ if has_streams(target) => "HTTP/1.1\r\nConnection: close",
        (b'1', b'0') => return Opening::Http1(bytes.clone()),
        // No such version is spoken with HTTP/1's lines: the answer is one that all understand.
        _ => "HTTP/1.0",
    };
    let line = [method, b" ", target, b" ", version.as_bytes(), b"\r"].concat();
    Opening::Http1([&line, &bytes[length..]].concat().into())
}

/// Whether an answer at this place can be an event stream.
fn has_streams(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or(target);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.ends_with(b"/api/v1") || path.ends_with(b"/api/v1/scheduler")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(bytes: &str, expected: Opening) {
        let found = read(&mut bytes.as_bytes()).await.unwrap();
        assert_eq!(found, expected, "{bytes}");
    }

    #[tokio::test]
    async fn the_first_line_decides() {
        let http1 = |text: &'static str| Opening::Http1(Bytes::from_static(text.as_bytes()));
        for (bytes, expected) in [
            (
                "GET / HTTP/1.1\r\nA: b\r\n\r\n",
                http1("GET / HTTP/1.1\r\nA: b\r\n\r\n"),
            ),
            ("\r\n\nGET / HTTP/1.1\n", http1("GET / HTTP/1.1\n")),
            ("GET /x HTTP/1.0\r\n\r\n", http1("GET /x HTTP/1.0\r\n\r\n")),
            ("GET /x HTTP/2.0\r\n\r\n", http1("GET /x HTTP/1.0\r\n\r\n")),
            (
                "POST /master/api/v1/scheduler?a=b HTTP/1.0\r\nA: b\r\n\r\nbody",
                http1(
                    "POST /master/api/v1/scheduler?a=b HTTP/1.1\r\nConnection: close\r\nA: b\r\n\r\nbody",
                ),
            ),
            (
                "POST /api/v1/ HTTP/1.0\n",
                http1("POST /api/v1/ HTTP/1.1\r\nConnection: close\r\n"),
            ),
            (
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                Opening::H2(Bytes::from_static(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
            ),
            ("GARBAGE\r\nHost: x\r\n\r\n", Opening::Neither),
            ("GET /\r\n\r\n", Opening::Neither),
            ("get / HTTP/1.1\r\n", Opening::Neither),
            ("GET / HTTP/1.1x\r\n", Opening::Neither),
            ("GET / HTTPS/1\r\n", Opening::Neither),
            ("GET  HTTP/1.1\r\n", Opening::Neither),
            ("\u{16}\u{3}\u{1}\n", Opening::Neither),
            ("GET / HTTP/1.1", Opening::Neither),
            ("", Opening::Neither),
        ] {
            check(bytes, expected).await;
        }
    }

    #[tokio::test]
    async fn a_first_line_without_end_is_given_up() {
        let long = vec![b'x'; LINE_BYTES_MAX + READ_BYTES + 1];
        assert_eq!(read(&mut long.as_slice()).await.unwrap(), Opening::Neither);
    }
}
