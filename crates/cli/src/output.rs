//! Output: the bytes that a task writes, carried from its agent to this program's own output.
//!
//! A file of the sandbox is read again and again from where the last reading ended. When the task
//! is over the file is read to its end once more.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::client::ClientError;
use crate::client::address::Address;
use crate::client::files::{read_from, sandbox_path};
use crate::client::http::Connection;
use crate::{chain, note};

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

/// How the carrying of output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// All of it is here; or it is not, and that was said.
    Whole,
    /// Nobody reads this program's output any more.
    BrokenPipe,
}

/// Both outputs of one task, once they are to be carried.
pub(crate) struct Output {
    life: watch::Sender<Life>,
    /// One for each file; `None` before they began.
    followers: Option<JoinSet<Result<u64, OutputError>>>,
}

impl Output {
    /// Nothing is carried yet.
    pub(crate) fn new() -> Self {
        Self {
            life: watch::Sender::new(Life::Running),
            followers: None,
        }
    }

    /// Begins to carry the output of a task; nothing where that has begun already.
    pub(crate) fn start(&mut self, agent: &Address, framework: &str, task: &str) {
        if self.followers.is_some() {
            return;
        }
        let followers = self.followers.insert(JoinSet::new());
        let path = |file| sandbox_path(framework, task, file);
        let out = follow(
            agent.clone(),
            path("stdout"),
            self.life.subscribe(),
            tokio::io::stdout(),
        );
        followers.spawn(out);
        let err = follow(
            agent.clone(),
            path("stderr"),
            self.life.subscribe(),
            tokio::io::stderr(),
        );
        followers.spawn(err);
    }

    /// Waits until nobody reads this program's output any more; for ever where that never is.
    ///
    /// May be dropped while it waits.
    pub(crate) async fn broken_pipe(&mut self) {
        while let Some(done) = self.next().await {
            if ended(done) == Carried::BrokenPipe {
                return;
            }
        }
        std::future::pending().await
    }

    /// Carries the rest, now that the task is over.
    pub(crate) async fn drain(&mut self) -> Carried {
        self.life.send_replace(Life::Over);
        let mut carried = Carried::Whole;
        while let Some(done) = self.next().await {
            if ended(done) == Carried::BrokenPipe {
                carried = Carried::BrokenPipe;
            }
        }
        carried
    }

    /// The end of the next follower; `None` where there is none.
    async fn next(&mut self) -> Option<Result<Result<u64, OutputError>, JoinError>> {
        self.followers.as_mut()?.join_next().await
    }
}

/// What an ended follower means; a fault that ends nothing else is only said.
fn ended(done: Result<Result<u64, OutputError>, JoinError>) -> Carried {
    match done {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.is_broken_pipe() => return Carried::BrokenPipe,
        Ok(Err(error)) => note(&chain(&error)),
        Err(error) => note(&format!("the output broke off: {error}")),
    }
    Carried::Whole
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
