//! The look-out: sees in ZooKeeper which master leads, and tells whoever waits for it.
//!
//! What was seen last holds while ZooKeeper is away: a leader may well lead meanwhile, and what it is
//! told by whoever it does not lead any more is fenced by its epoch, not here.

use std::convert::Infallible;
use std::time::Duration;

use model::election::{LABEL, leader};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use zookeeper_client::{Client, Error, StateWatcher, WatchedEvent};

use crate::{Leader, LeaderError, Place};

/// How often the candidates are listed though no watch said that they changed (MESOS-9426).
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the folder is looked for that no master has made yet: no watch can be set on it.
const FOLDER_EVERY: Duration = Duration::from_secs(1);
/// The first pause before something that did not work is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(8);
/// How long nobody looks out whose process was about to end, and goes on.
const REST: Duration = Duration::from_secs(5);

/// A leader, and the term in which it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Greater than that of every leader before.
    pub epoch: u64,
    /// Who it is.
    pub leader: Leader,
}

/// Why nobody can say who leads.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// No server answers.
    #[error("no ZooKeeper server answers at {servers}")]
    Connect {
        /// The servers.
        servers: String,
        /// The cause.
        source: Error,
    },
    /// A request was not answered.
    #[error("read {path} of ZooKeeper at {servers}")]
    Request {
        /// The servers.
        servers: String,
        /// The folder.
        path: String,
        /// The cause.
        source: Error,
    },
    /// No master stands for election.
    #[error("no master stands for election in {path} of ZooKeeper at {servers}")]
    Nobody {
        /// The servers.
        servers: String,
        /// The folder.
        path: String,
    },
    /// One leads that is not understood.
    #[error("znode {path}")]
    Znode {
        /// The znode.
        path: String,
        /// What it lacks.
        source: LeaderError,
    },
}

/// Looks out for the leader until it is dropped.
#[derive(Debug)]
pub struct Detector {
    seen: watch::Receiver<Option<Term>>,
    leave: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Detector {
    /// Begins to look out, with what somebody saw a moment before, as far as anybody did.
    #[must_use]
    pub fn start(place: Place, before: Option<Term>) -> Self {
        let (tell, seen) = watch::channel(before);
        let (leave, leaving) = mpsc::channel(1);
        let task = tokio::spawn(look_out(place, tell, leaving));
        Self { seen, leave, task }
    }

    /// Ends the session, as somebody does whose process is about to end: ZooKeeper need not wait until it
    /// expires. What was seen last holds on, and in some seconds the look-out begins anew. Returns when the
    /// server has taken it; where no server answers, whoever calls has to stop waiting.
    pub fn leave(&self) -> impl Future<Output = ()> + Send + 'static {
        let leave = self.leave.clone();
        async move {
            let (told, left) = oneshot::channel();
            if leave.send(told).await.is_ok() {
                // There is nobody left to end a session where that was dropped.
                let _ = left.await;
            }
        }
    }

    /// Who leads, as it is seen; none where nobody was seen yet, or the last one is gone.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<Option<Term>> {
        self.seen.clone()
    }
}

impl Drop for Detector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks once who leads; waits no longer than the session's timeout for a server.
///
/// # Errors
/// Nobody can say.
pub async fn find(place: &Place) -> Result<Term, DetectError> {
    let client = connect(place).await?;
    let names = client.list_children(&place.url.path).await;
    let term = match names {
        Ok(names) => read(&client, place, &names).await?,
        Err(Error::NoNode) => None,
        Err(source) => return Err(request(place, source)),
    };
    term.ok_or_else(|| DetectError::Nobody {
        servers: place.url.hosts(),
        path: place.url.path.clone(),
    })
}

async fn look_out(
    place: Place,
    tell: watch::Sender<Option<Term>>,
    mut leaving: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut pause = RETRY_MIN;
    loop {
        let begun = tokio::time::Instant::now();
        let mut session = None;
        let ended = tokio::select! {
            looked = look_within_session(&place, &tell, &mut session) => Ok(looked),
            Some(told) = leaving.recv() => Err(told),
        };
        let error = match ended {
            Ok(Err(error)) => error,
            Ok(Ok(never)) => match never {},
            Err(told) => {
                // Its client is dropped by now, which ends it.
                if let Some(session) = session {
                    over(session).await;
                }
                let _ = told.send(());
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        if begun.elapsed() > RETRY_MAX {
            pause = RETRY_MIN;
        }
        tracing::warn!(zk = %place.url, error = chain(&error), "the leader cannot be looked for; it is tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Waits until a session is over; no longer than another would be waited for.
async fn over(mut session: StateWatcher) {
    let ends = async { while !session.changed().await.is_terminated() {} };
    let _ = tokio::time::timeout(REST, ends).await;
}

/// Looks until the session, or a request in it, is lost; how the session is, is seen in `session`.
async fn look_within_session(
    place: &Place,
    tell: &watch::Sender<Option<Term>>,
    session: &mut Option<StateWatcher>,
) -> Result<Infallible, DetectError> {
    let client = connect(place).await?;
    *session = Some(client.state_watcher());
    // Holds the one watch that is set.
    let mut watches = JoinSet::new();
    loop {
        let names = match list(&client, place, &mut watches).await {
            Ok(names) => names,
            // The first master makes the folder.
            Err(Error::NoNode) => Vec::new(),
            Err(source) => return Err(request(place, source)),
        };
        let found = match read(&client, place, &names).await {
            Ok(found) => found,
            Err(error @ DetectError::Znode { .. }) => {
                tracing::warn!(error = chain(&error), "the leader is not understood");
                None
            }
            Err(error) => return Err(error),
        };
        tell.send_if_modified(|seen| {
            let is_new = *seen != found;
            seen.clone_from(&found);
            is_new
        });
        let pause = match watches.is_empty() {
            true => FOLDER_EVERY,
            false => LOOK_EVERY,
        };
        tokio::select! {
            Some(_) = watches.join_next() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Lists the candidates; sets a watch where there is none.
async fn list(
    client: &Client,
    place: &Place,
    watches: &mut JoinSet<WatchedEvent>,
) -> Result<Vec<String>, Error> {
    let folder = &place.url.path;
    if !watches.is_empty() {
        return client.list_children(folder).await;
    }
    let (names, watch) = client.list_and_watch_children(folder).await?;
    watches.spawn(watch.changed());
    Ok(names)
}

/// Reads who leads; none where nobody stands for election.
async fn read(
    client: &Client,
    place: &Place,
    names: &[String],
) -> Result<Option<Term>, DetectError> {
    let Some(first) = leader(names.iter().map(String::as_str)) else {
        return Ok(None);
    };
    let path = format!("{}/{}", place.url.path, first.name);
    let unfit = |source| DetectError::Znode {
        path: path.clone(),
        source,
    };
    if first.label != LABEL {
        return Err(unfit(LeaderError::NoJson));
    }
    match client.get_data(&path).await {
        Ok((data, _)) => Ok(Some(Term {
            epoch: first.epoch(),
            leader: Leader::read(&data).map_err(unfit)?,
        })),
        // It has gone since; its going fires the watch.
        Err(Error::NoNode) => Ok(None),
        Err(source) => Err(request(place, source)),
    }
}

async fn connect(place: &Place) -> Result<Client, DetectError> {
    let connected = place.connect().await;
    connected.map_err(|source| DetectError::Connect {
        servers: place.url.hosts(),
        source,
    })
}

fn request(place: &Place, source: Error) -> DetectError {
    DetectError::Request {
        servers: place.url.hosts(),
        path: place.url.path.clone(),
        source,
    }
}

/// The error and its causes, in one line.
fn chain(error: &DetectError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
