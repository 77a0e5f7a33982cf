//! Output: the bytes that a task writes, carried from its agent to this program's own output.
//!
//! A file of the sandbox is followed (`follow`); when the task is over it is read to its end once more.

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::client::address::Address;
use crate::client::files::sandbox_path;
use crate::follow::{Life, OutputError, follow};
use crate::{chain, note};

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
        let folder = sandbox_path(framework, task, None);
        let out = follow(
            agent.clone(),
            folder.clone(),
            "stdout",
            self.life.subscribe(),
            tokio::io::stdout(),
        );
        followers.spawn(out);
        let err = follow(
            agent.clone(),
            folder,
            "stderr",
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
