//! Requests to ZooKeeper; each ends in one answer.

use detector::Place;
use master_core::election::{Event, Request, SessionNumber};
use model::{Blob, Instant, election};
use zookeeper_client::{Client, CreateMode, Error, OneshotWatcher, StateWatcher};

/// What a request came to.
pub(super) enum Answer {
    /// A session is open.
    Opened {
        session: SessionNumber,
        client: Client,
    },
    /// The children of the folder, with a watch on them where one was wanted.
    Listed {
        session: SessionNumber,
        asked: Instant,
        names: Vec<String>,
        watch: Option<OneshotWatcher>,
    },
    /// The watch fired.
    Changed { session: SessionNumber },
    /// What only the core wants to know.
    Other(Event),
}

/// Opens a session.
pub(super) async fn open(session: SessionNumber, place: Place) -> Answer {
    match place.connect().await {
        Ok(client) => Answer::Opened { session, client },
        Err(error) => {
            let servers = place.url.hosts();
            tracing::warn!(servers, %error, "ZooKeeper is not reached; it is tried again");
            failed(session, Request::Open)
        }
    }
}

/// Waits for the end of a session.
pub(super) async fn end(session: SessionNumber, mut state: StateWatcher) -> Answer {
    // One that has ended already is not told again.
    let mut found = state.peek_state();
    while !found.is_terminated() {
        found = state.changed().await;
    }
    tracing::warn!(state = %found, "the session with ZooKeeper ended");
    Answer::Other(Event::Expired { session })
}

/// Waits for a watch.
pub(super) async fn change(session: SessionNumber, watch: OneshotWatcher) -> Answer {
    watch.changed().await;
    Answer::Changed { session }
}

/// What is asked within a session.
pub(super) struct Asker {
    pub(super) session: SessionNumber,
    pub(super) client: Client,
    pub(super) place: Place,
}

impl Asker {
    /// Makes this master's znode.
    pub(super) async fn join(self, data: Vec<u8>) -> Answer {
        let session = self.session;
        match self.create(&data).await {
            Ok(name) => {
                tracing::info!(znode = name, "stands for election");
                Answer::Other(Event::Joined { session, name })
            }
            Err(error) => self.refused(Request::Join, &error),
        }
    }

    async fn create(&self, data: &[u8]) -> Result<String, Error> {
        let folder = &self.place.url.path;
        let persistent = self.place.options(CreateMode::Persistent);
        self.client.mkdir(folder, &persistent).await?;
        let prefix = format!("{folder}/{}_", election::LABEL);
        let options = self.place.options(CreateMode::EphemeralSequential);
        let (_, sequence) = self.client.create(&prefix, data, &options).await?;
        Ok(format!("{}_{sequence}", election::LABEL))
    }

    /// Lists the candidates.
    pub(super) async fn list(self, asked: Instant, wants_watch: bool) -> Answer {
        match self.children(wants_watch).await {
            Ok((names, watch)) => Answer::Listed {
                session: self.session,
                asked,
                names,
                watch,
            },
            Err(error) => self.refused(Request::List, &error),
        }
    }

    async fn children(
        &self,
        wants_watch: bool,
    ) -> Result<(Vec<String>, Option<OneshotWatcher>), Error> {
        let folder = &self.place.url.path;
        // A server that lost its leader goes on answering readers for a while, and their sessions end
        // without it: the lease counts from what the leader of the ensemble has heard.
        self.client.sync(folder).await?;
        if wants_watch {
            let (names, watch) = self.client.list_and_watch_children(folder).await?;
            return Ok((names, Some(watch)));
        }
        Ok((self.client.list_children(folder).await?, None))
    }

    /// Reads the znode of another master.
    pub(super) async fn read(self, name: String) -> Answer {
        let path = format!("{}/{name}", self.place.url.path);
        let data = match self.client.get_data(&path).await {
            Ok((data, _)) => Some(Blob::new(&data)),
            Err(Error::NoNode) => None,
            Err(error) => return self.refused(Request::Read, &error),
        };
        Answer::Other(Event::Read {
            session: self.session,
            name,
            data,
        })
    }

    fn refused(&self, request: Request, error: &Error) -> Answer {
        let place = &self.place.url;
        match error {
            Error::NoAuth => tracing::error!(
                %place, ?request,
                "ZooKeeper lets nobody do this with these credentials; give the owner's in --zk"
            ),
            error => tracing::warn!(%place, ?request, %error, "ZooKeeper; it is tried again"),
        }
        failed(self.session, request)
    }
}

fn failed(session: SessionNumber, request: Request) -> Answer {
    Answer::Other(Event::Failed { session, request })
}
