//! Files: the bytes of a task's output, read from its agent (`GET /files/download`).
//!
//! A range is asked for, so that a growing file is followed byte for byte; an agent that knows no
//! ranges answers with the whole file, of which the known part is skipped.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RANGE};

use super::http::{Ask, Connection};
use super::{AGENT, ClientError, unexpected};

/// A file of a sandbox by the path that agents give to it for as long as the sandbox lives.
pub(crate) fn sandbox_path(framework: &str, executor: &str, file: &str) -> String {
    format!("/frameworks/{framework}/executors/{executor}/runs/latest/{file}")
}

/// So many bytes are asked for at once, at most.
const PIECE: u64 = 4 << 20;

/// The next bytes of a file from `offset`; none at its present end.
///
/// `None` stands for a file that is not there, or not yet.
pub(crate) async fn read_from(
    agent: &mut Connection,
    path: &str,
    offset: u64,
) -> Result<Option<Bytes>, ClientError> {
    let mut ask = Ask::get(&format!("/files/download?path={}", escape(path)));
    if let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-{}", offset + PIECE - 1)) {
        ask.headers.insert(RANGE, range);
    }
    let answer = agent.fetch(&ask).await?;
    match answer.status {
        StatusCode::PARTIAL_CONTENT => Ok(Some(answer.body)),
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(Some(Bytes::new())),
        StatusCode::OK => {
            let known = usize::try_from(offset).unwrap_or(usize::MAX);
            Ok(Some(answer.body.slice(known.min(answer.body.len())..)))
        }
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(unexpected(agent.address(), AGENT, &ask, &answer)),
    }
}

/// Percent-encodes what may not stand in a query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_for_a_query() {
        assert_eq!(escape("/a-b/c d&e=ä"), "/a-b/c%20d%26e%3D%C3%A4");
    }
}
