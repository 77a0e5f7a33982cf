//! Election: a session with ZooKeeper, this master's znode in it, and what the core wants asked.
//!
//! `master-core::election` decides; here its requests are made, each on a task of its own, and answered
//! by one event. At most one request of a kind is under way, and one watch.
//!
//! Invariant: [`Standing`] has the newest lease before anything follows from an election that was won,
//! and none any more before anybody is told that it was lost.

mod request;
mod standing;
pub(crate) mod term;

use std::sync::Arc;
use std::time::Duration;

use detector::{Leader as Found, Place};
use master_core::election::{Effect, Election, Event, SessionNumber};
use model::Blob;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use zookeeper_client::Client;

use self::request::{Answer, Asker};
pub(crate) use self::standing::Standing;
use crate::flags::Leader;

/// How long a session that is given back may take to end at the servers.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What comes of an election; at most one of the first two, as whoever led never leads again, and the
/// last ends it.
pub(crate) enum Decision {
    /// This master is to lead.
    Elected {
        /// Under this epoch.
        epoch: u64,
        /// While this session lasts.
        session: Client,
    },
    /// It may not act any more.
    Deposed {
        /// Why.
        why: &'static str,
    },
    /// It does not belong to the masters among which it stands.
    Misplaced {
        /// The region of the leader.
        leads: String,
        /// This master's own.
        own: String,
    },
}

/// This master's part in an election, on a task of its own.
pub(crate) struct Contender {
    resign: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Who stands.
pub(crate) struct Candidate {
    /// Where.
    pub(crate) place: Place,
    /// What its znode holds.
    pub(crate) znode: Vec<u8>,
    /// As the leader's znode would tell it.
    pub(crate) own: Found,
    /// The region of its domain, where it has one.
    pub(crate) region: Option<String>,
    /// Where it is kept who leads.
    pub(crate) standing: Arc<Standing>,
}

impl Contender {
    /// Stands for election; what comes of it is told to `decisions`.
    pub(crate) fn start(candidate: Candidate, decisions: mpsc::Sender<Decision>) -> Self {
        let (resign, resigned) = oneshot::channel();
        let candidacy = Candidacy {
            core: Election::new(standing::now()),
            candidate,
            session: None,
            tasks: JoinSet::new(),
            is_watching: false,
            decisions,
        };
        Self {
            resign,
            task: tokio::spawn(candidacy.run(resigned)),
        }
    }

    /// Gives the session back, and with it the znode: the next master leads at once. Whatever acts as
    /// the leader has ended before.
    pub(crate) async fn resign(self) {
        let _ = self.resign.send(());
        drop(self.task.await);
    }
}

struct Candidacy {
    core: Election,
    candidate: Candidate,
    session: Option<(SessionNumber, Client)>,
    /// Requests and watches under way.
    tasks: JoinSet<Answer>,
    /// Whether a watch on the children is set that did not fire yet.
    is_watching: bool,
    decisions: mpsc::Sender<Decision>,
}

impl Candidacy {
    async fn run(mut self, mut resigned: oneshot::Receiver<()>) {
        self.step(Event::Tick);
        loop {
            let deadline = self.core.deadline();
            tokio::select! {
                _ = &mut resigned => break,
                Some(answer) = self.tasks.join_next() => match answer {
                    Ok(answer) => self.answered(answer),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // It belonged to a session that was given up.
                    Err(_) => {}
                },
                () = sleep_until(deadline) => self.step(Event::Tick),
            }
        }
        self.close().await;
    }

    /// Waits until the servers know that the session is over.
    async fn close(self) {
        drop(self.tasks);
        let Some((_, client)) = self.session else {
            return;
        };
        let mut state = client.state_watcher();
        drop(client);
        let ended = async { while !state.changed().await.is_terminated() {} };
        if tokio::time::timeout(CLOSE_MAX, ended).await.is_err() {
            tracing::warn!("the session with ZooKeeper is left to expire");
        }
    }

    fn answered(&mut self, answer: Answer) {
        let current = self.session.as_ref().map(|(number, _)| *number);
        match answer {
            Answer::Opened { session, client } => {
                let timeout = client.session_timeout();
                let servers = self.candidate.place.url.hosts();
                tracing::info!(servers, ?timeout, "session with ZooKeeper is open");
                self.tasks
                    .spawn(request::end(session, client.state_watcher()));
                self.session = Some((session, client));
                self.step(Event::Opened { session, timeout });
            }
            Answer::Listed {
                session,
                asked,
                names,
                watch,
            } => {
                if let Some(watch) = watch.filter(|_| current == Some(session)) {
                    self.is_watching = true;
                    self.tasks.spawn(request::change(session, watch));
                }
                self.step(Event::Listed {
                    session,
                    asked,
                    names,
                });
            }
            Answer::Changed { session } => {
                self.is_watching = false;
                self.step(Event::Changed { session });
            }
            Answer::Other(event) => self.step(event),
        }
    }

    fn step(&mut self, event: Event) {
        let effects = self.core.step(standing::now(), event);
        if let Some(until) = self.core.leads_until() {
            self.candidate.standing.renew(until);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Open { session } => {
                // What is under way holds the old session open.
                self.tasks.abort_all();
                (self.session, self.is_watching) = (None, false);
                let place = self.candidate.place.clone();
                self.tasks.spawn(request::open(session, place));
            }
            Effect::Join { session } => {
                let znode = self.candidate.znode.clone();
                self.ask(session, |asker| asker.join(znode));
            }
            Effect::List { session } => {
                let is_watching = self.is_watching;
                self.ask(session, |asker| asker.list(standing::now(), !is_watching));
            }
            Effect::Read { session, name } => self.ask(session, |asker| asker.read(name)),
            Effect::Lead { epoch } => {
                let Some((_, session)) = &self.session else {
                    return;
                };
                tracing::info!(epoch, "elected; the registry is read");
                // The one before is none any more, though this one does not lead yet: who asks meanwhile
                // asks again, rather than being sent to a leader that may be asleep.
                self.follow(None);
                let session = session.clone();
                self.decide(Decision::Elected { epoch, session });
            }
            Effect::Follow { leader } => self.follow(leader.as_ref()),
            Effect::StepDown { why } => {
                self.candidate.standing.end();
                self.decide(Decision::Deposed { why });
            }
        }
    }

    fn ask<F>(&mut self, session: SessionNumber, request: impl FnOnce(Asker) -> F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        if let Some((number, client)) = &self.session
            && *number == session
        {
            let asker = Asker {
                session,
                client: client.clone(),
                place: self.candidate.place.clone(),
            };
            self.tasks.spawn(request(asker));
        }
    }

    fn decide(&self, decision: Decision) {
        // There is room for all that can come; nobody listens only once the master has ended.
        drop(self.decisions.try_send(decision));
    }

    fn follow(&self, znode: Option<&Blob>) {
        let leader = match znode.map(|znode| Found::read(znode.as_bytes())) {
            None => Leader::Unknown,
            Some(Ok(found)) if self.is_own(&found) => {
                tracing::info!("the znode of this master's own past leads, until it expires");
                Leader::Unknown
            }
            Some(Ok(found)) => {
                self.compare_regions(znode);
                Leader::Elsewhere {
                    hostname: found.hostname,
                    port: found.port,
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the leader is not understood");
                Leader::Unknown
            }
        };
        if leader != self.candidate.standing.leader() {
            tracing::info!(%leader, "another master leads, or none that is known");
            self.candidate.standing.follow(leader);
        }
    }

    /// All masters are in one region: elsewhere, agents would be near or far by who happens to lead.
    fn compare_regions(&self, znode: Option<&Blob>) {
        let leads = znode.and_then(|znode| detector::region(znode.as_bytes()));
        if let (Some(leads), Some(own)) = (leads, self.candidate.region.clone())
            && leads != own
        {
            self.decide(Decision::Misplaced { leads, own });
        }
    }

    /// A client that would be sent there would come back here.
    fn is_own(&self, found: &Found) -> bool {
        (found.ip, found.port) == (self.candidate.own.ip, self.candidate.own.port)
    }
}

async fn sleep_until(deadline: Option<model::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(standing::now())).await,
        None => std::future::pending().await,
    }
}
