//! Output: the bytes that a task writes, carried from its agent to this program's own output.
//!
//! A file of the sandbox is followed (`follow`); when the task is over it is read to its end once more.

use tokio::io::{AsyncWrite, duplex};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::client::address::Address;
use crate::client::files::sandbox_path;
use crate::follow::{Life, OutputError, follow};
use crate::{chain, label, note};

/// What may wait between a file and its labels.
const PIPE_BYTES: usize = 64 << 10;

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
        self.add(agent, &sandbox_path(framework, task, None), None);
    }

    /// Begins to carry what is written in a folder, each line with a name before it where one is given.
    pub(crate) fn add(&mut self, agent: &Address, folder: &str, name: Option<&str>) {
        self.carry(agent, folder, "stdout", name, tokio::io::stdout());
        self.carry(agent, folder, "stderr", name, tokio::io::stderr());
    }

    fn carry(
        &mut self,
        agent: &Address,
        folder: &str,
        file: &'static str,
        name: Option<&str>,
        out: impl AsyncWrite + Unpin + Send + 'static,
    ) {
        let (agent, folder, life) = (agent.clone(), folder.to_owned(), self.life.subscribe());
        let followers = self.followers.get_or_insert_with(JoinSet::new);
        match name.map(|name| format!("{name}: ")) {
            None => followers.spawn(follow(agent, folder, file, life, out)),
            Some(label) => followers.spawn(async move {
                let (near, far) = duplex(PIPE_BYTES);
                let labelled = label::carry(&label, far, out);
                // Where nobody reads, the other end hears of it.
                let (carried, _) = tokio::join!(follow(agent, folder, file, life, near), labelled);
                carried
            }),
        };
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
