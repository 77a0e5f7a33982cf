//! Files: the bytes of a task's output, read from its agent (`GET /files/download`).
//!
//! A range is asked for, so that a growing file is followed byte for byte; an agent that knows no
//! ranges answers with the whole file, of which the known part is skipped.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RANGE};
use serde::Deserialize;

use super::http::{Ask, Connection};
use super::state::{Framework, Task};
use super::{AGENT, ClientError, unexpected};

/// A sandbox by the path that agents give to it for as long as it lives: the executor's, or within
/// that of a pod's executor the task's.
pub(crate) fn sandbox_path(framework: &str, executor: &str, task: Option<&str>) -> String {
    let sandbox = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
    match task {
        Some(task) => format!("{sandbox}/tasks/{task}"),
        None => sandbox,
    }
}

/// The sandbox of a task: its own where it is one of a pod, else its executor's.
pub(crate) async fn sandbox_of(
    agent: &mut Connection,
    framework: &Framework,
    task: &Task,
) -> Result<String, ClientError> {
    let own = sandbox_path(&framework.id, task.executor(), Some(&task.id));
    let is_pod = framework.is_pod(task)
        || !task.executor_id.is_empty() && browse(agent, &own).await?.is_some();
    Ok(match is_pod {
        true => own,
        false => sandbox_path(&framework.id, task.executor(), None),
    })
}

/// So many bytes are asked for at once, at most.
const PIECE: u64 = 4 << 20;

/// A part of a file.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    /// The size of the whole file, as far as the agent tells it.
    pub(crate) size: Option<u64>,
}

/// A name in a folder of a sandbox.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Entry {
    /// The whole path.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Seconds since the epoch.
    pub(crate) mtime: f64,
    /// As `ls -l` shows it.
    #[serde(default)]
    pub(crate) mode: String,
}

impl Entry {
    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The next bytes of a file from `offset`; none at its present end.
///
/// `None` stands for a file that is not there, or not yet.
pub(crate) async fn read_from(
    agent: &mut Connection,
    path: &str,
    offset: u64,
) -> Result<Option<Part>, ClientError> {
    let mut ask = Ask::get(&format!("/files/download?path={}", escape(path)));
    if let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-{}", offset + PIECE - 1)) {
        ask.headers.insert(RANGE, range);
    }
    let answer = agent.fetch(&ask).await?;
    let size = answer.file_size;
    match answer.status {
        StatusCode::PARTIAL_CONTENT => Ok(Some(Part {
            bytes: answer.body,
            size,
        })),
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(Some(Part {
            bytes: Bytes::new(),
            size,
        })),
        StatusCode::OK => {
            let known = usize::try_from(offset).unwrap_or(usize::MAX);
            Ok(Some(Part {
                bytes: answer.body.slice(known.min(answer.body.len())..),
                size: Some(answer.body.len() as u64),
            }))
        }
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(unexpected(agent.address(), AGENT, &ask, &answer)),
    }
}

/// What is in a folder of a sandbox; `None` stands for one that is not there.
pub(crate) async fn browse(
    agent: &mut Connection,
    path: &str,
) -> Result<Option<Vec<Entry>>, ClientError> {
    let ask = Ask::get(&format!("/files/browse?path={}", escape(path)));
    let answer = agent.fetch(&ask).await?;
    match answer.status {
        StatusCode::OK => {
            let listed = serde_json::from_slice(&answer.body);
            let listed = listed.map_err(|error| ClientError::Other {
                address: agent.address().clone(),
                what: AGENT,
                why: format!("its answer to {} is no list of files ({error})", ask.act()),
            });
            listed.map(Some)
        }
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(unexpected(agent.address(), AGENT, &ask, &answer)),
    }
}

/// Percent-encodes what may not stand in a query.
pub(crate) fn escape(text: &str) -> String {
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
