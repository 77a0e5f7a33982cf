//! Output: the bytes that a task writes, carried from its agent to this program's own output.
//!
//! A file of the sandbox is read again and again from where the last reading ended. When the task
//! is over the file is read to its end once more.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::client::ClientError;
use crate::client::address::Address;
use crate::client::files::read_from;
use crate::client::http::Connection;

/// The pause after a reading that brought something; doubled up to `PAUSE_MAX` while none does.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// An agent that does not answer is asked again this often while the task runs.
const AGAIN: Duration = Duration::from_secs(2);
/// And this often once the task is over.
const LAST_TRIES: u32 = 3;

/// Whether a task may still write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    Over,
}

/// Why output was not carried to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("read {path} of the task")]
    Read { path: String, source: ClientError },
    #[error("write the task's output")]
    Write(#[source] std::io::Error),
}

impl OutputError {
    /// Whether nobody reads this program's output any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Follows one file of a sandbox until the task is over; gives the number of bytes carried.
pub(crate) async fn follow(
    agent: Address,
    path: String,
    mut life: watch::Receiver<Life>,
    mut sink: impl AsyncWrite + Unpin,
) -> Result<u64, OutputError> {
    let mut agent = Connection::new(agent);
    let mut offset = 0u64;
    let mut pause = PAUSE_MIN;
    let mut tries = 0;
    loop {
        // Looked at before the reading: what was written before the end is then read after it.
        let now = *life.borrow_and_update();
        match read_from(&mut agent, &path, offset).await {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default();
                offset += bytes.len() as u64;
                let written = async {
                    sink.write_all(&bytes).await?;
                    sink.flush().await
                };
                written.await.map_err(OutputError::Write)?;
                match (now, bytes.is_empty()) {
                    (Life::Over, true) => return Ok(offset),
                    (Life::Over, false) => continue,
                    (Life::Running, true) => {}
                    (Life::Running, false) => pause = PAUSE_MIN,
                }
            }
            Err(source) => {
                tries += u32::from(now == Life::Over);
                if tries >= LAST_TRIES {
                    return Err(OutputError::Read { path, source });
                }
                pause = AGAIN;
            }
        }
        match now {
            Life::Over => tokio::time::sleep(pause).await,
            Life::Running => tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                changed = life.changed() => if changed.is_err() {
                    // Nobody is left to say that the task is over.
                    return Ok(offset);
                },
            },
        }
    }
}
