//! How connections reach the main loop: commands go in, snapshots come out.
//!
//! A command may wait for room, and its connection with it. A read waits for nothing but a snapshot
//! newer than what it asks about, and for that only a moment.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use api::http::verbosity::Verbosity;
use api::v1::scheduler::call::Type;
use http::StatusCode;
use master_core::event::{AgentMessage, Answer, LinkId, OperatorCall, Subscription, Text};
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::access::{Access, Identity};
use crate::connection::Connection;
use crate::convert::calls::Submitted;
use crate::facts::Facts;
use crate::files::Files;
use crate::http::Response;
use crate::http::negotiate::Media;
use crate::http::respond::Refusal;
use crate::link::Opened;
use crate::logging;
use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::state::{Documents, Snapshot};
use crate::watchers::WatchQueue;

/// How many commands may wait; whoever brings one more waits with it, and so does its connection.
const COMMANDS_MAX: usize = 4096;
/// How long a read waits for a newer snapshot before it takes the one there is.
const SNAPSHOT_WAIT_MAX: Duration = Duration::from_millis(200);

/// What comes from connections.
pub(crate) enum Command {
    /// A SUBSCRIBE that passed every check but those of its FrameworkInfo.
    Subscribe {
        /// The call, or what is wrong with its framework's id.
        subscription: Subscription,
        /// The form of the events.
        media: Media,
        /// Where it came from.
        connection: Connection,
        /// Takes the answer, whose body is the stream.
        answer: oneshot::Sender<Response>,
    },
    /// Another call that is valid in itself.
    Call {
        /// Whom it is by, where authenticated.
        principal: Option<Text>,
        /// Who calls.
        framework_id: String,
        /// The header that came with it.
        stream_id: Option<String>,
        /// Its type.
        kind: Type,
        /// The call.
        call: Submitted,
        /// Takes the answer.
        answer: oneshot::Sender<Response>,
    },
    /// An operator wants something changed.
    Operate {
        /// Who, where authenticated.
        principal: Option<Text>,
        /// What.
        call: OperatorCall,
        /// Takes what became of it.
        answer: oneshot::Sender<Answer>,
    },
    /// An operator wants to be told of every change.
    Watch {
        /// Where it came from.
        connection: Connection,
        /// Takes the queue of changes, and the step after which it begins.
        answer: oneshot::Sender<(WatchQueue, u64)>,
    },
    /// A new link.
    LinkOpened {
        /// Its registration, and where frames go.
        opened: Box<Opened>,
        /// Takes the link's number.
        answer: oneshot::Sender<LinkId>,
    },
    /// A frame of a link.
    LinkFrame {
        /// Which link.
        link: LinkId,
        /// The frame's epoch.
        epoch: u64,
        /// The frame's incarnation.
        incarnation: u64,
        /// The frame's body.
        message: AgentMessage,
    },
    /// A link ended.
    LinkClosed {
        /// Which.
        link: LinkId,
    },
}

/// A command that waits for room.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How connections reach the loop; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

struct Shared {
    facts: Facts,
    metrics: Metrics,
    verbosity: Verbosity,
    /// How many operators watch.
    watchers: Arc<AtomicUsize>,
    /// Counts the steps of the core, so that a read knows whether its snapshot is the newest.
    steps: AtomicU64,
    version: AtomicU64,
    documents: Documents,
    readers: Readers,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    wanted: Notify,
}

impl Handle {
    /// A handle, and where its commands come out.
    pub(crate) fn new(
        facts: Facts,
        readers: Readers,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let shared = Shared {
            facts,
            metrics: Metrics::default(),
            verbosity: logging::verbosity(),
            watchers: Arc::default(),
            steps: AtomicU64::new(0),
            version: AtomicU64::new(0),
            documents: Documents::default(),
            readers,
            snapshots,
            wanted: Notify::new(),
        };
        let this = Self {
            commands,
            shared: Arc::new(shared),
        };
        (this, receiver)
    }

    /// How many steps the core has taken.
    pub(crate) fn steps(&self) -> u64 {
        self.shared.steps.load(Ordering::Acquire)
    }

    /// The version of what the core shows, `Master::version`.
    pub(crate) fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// The documents that many read.
    pub(crate) fn documents(&self) -> &Documents {
        &self.shared.documents
    }

    /// Where documents are made, and written to those who read them.
    pub(crate) fn readers(&self) -> &Runtime {
        self.shared.readers.handle()
    }

    /// The core has taken one more, after which it shows this version.
    pub(crate) fn count_step(&self, version: u64) {
        self.shared.version.store(version, Ordering::Release);
        self.shared.steps.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns when a read wants a newer snapshot.
    pub(crate) async fn snapshot_wanted(&self) {
        self.shared.wanted.notified().await;
    }

    /// Hands a command in; after the loop's end it is dropped.
    pub(crate) async fn send(&self, command: Command) {
        drop(self.commands.send(command).await);
    }

    /// Hands a command in; where it has to wait for room, gives what does that. Between two commands
    /// a caller of this keeps no room for one.
    pub(crate) fn hand_in(&self, command: Command) -> Option<Waiting> {
        match self.commands.try_send(command) {
            Ok(()) | Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(command)) => {
                let this = self.clone();
                Some(Box::pin(async move { this.send(command).await }))
            }
        }
    }

    /// Hands a command in and waits for its answer.
    pub(crate) async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Response>) -> Command,
    ) -> Response {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer)).await;
        answered.await.unwrap_or_else(|_| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The master is shutting down",
            )
            .into()
        })
    }

    /// Has an operator's request carried out.
    pub(crate) async fn operate(&self, principal: Option<Text>, call: OperatorCall) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Operate {
            principal,
            call,
            answer,
        })
        .await;
        let end = || Answer::Unavailable("The master is shutting down".into());
        answered.await.unwrap_or_else(|_| end())
    }

    /// Opens a queue of changes, from a step on; `None` after the loop's end.
    pub(crate) async fn watch(&self, connection: Connection) -> Option<(WatchQueue, u64)> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Watch { connection, answer }).await;
        answered.await.ok()
    }

    /// Hands a new link in; `None` after the loop's end.
    pub(crate) async fn open_link(&self, opened: Box<Opened>) -> Option<LinkId> {
        let (answer, answered) = oneshot::channel();
        if let Some(waiting) = self.hand_in(Command::LinkOpened { opened, answer }) {
            waiting.await;
        }
        answered.await.ok()
    }

    /// The newest snapshot; one that is a little older where the loop is busy.
    pub(crate) async fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self.snapshot_begun().await;
        self.finished(snapshot).await
    }

    /// The same, whose sums are still to be made.
    pub(crate) async fn snapshot_begun(&self) -> Arc<Snapshot> {
        let steps = self.steps();
        let mut snapshots = self.shared.snapshots.clone();
        if snapshots.borrow_and_update().step < steps {
            self.shared.wanted.notify_one();
            let newer = snapshots.wait_for(|snapshot| snapshot.step >= steps);
            drop(tokio::time::timeout(SNAPSHOT_WAIT_MAX, newer).await);
        }
        Arc::clone(&snapshots.borrow())
    }

    /// The same, as far as this caller may see it.
    pub(crate) async fn snapshot_for(&self, identity: &Identity) -> Arc<Snapshot> {
        self.finished(self.snapshot().await.seen_by(identity)).await
    }

    /// A snapshot that shows all that happened up to a step; `None` after the loop's end.
    pub(crate) async fn snapshot_since(&self, step: u64) -> Option<Arc<Snapshot>> {
        let mut snapshots = self.shared.snapshots.clone();
        self.shared.wanted.notify_one();
        let newer = snapshots.wait_for(|snapshot| snapshot.step >= step);
        let newer = newer.await.ok().map(|snapshot| Arc::clone(&snapshot))?;
        Some(self.finished(newer).await)
    }

    /// The snapshot with all that readers need, made on a thread that may block.
    async fn finished(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        if !snapshot.is_finished() {
            let shared = Arc::clone(&snapshot);
            // One that panicked there is found so again, and told, by whoever reads it.
            drop(self.readers().spawn_blocking(move || shared.finish()).await);
        }
        snapshot
    }

    /// What does not change while this master runs, and who leads.
    pub(crate) fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    /// The files that this master shows.
    pub(crate) fn files(&self) -> &Files {
        &self.shared.facts.files
    }

    /// How much is logged.
    pub(crate) fn verbosity(&self) -> &Verbosity {
        &self.shared.verbosity
    }

    /// How many operators watch.
    pub(crate) fn watchers(&self) -> &Arc<AtomicUsize> {
        &self.shared.watchers
    }

    /// The counters.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Who may come in, and what they may do.
    pub(crate) fn access(&self) -> &Access {
        &self.shared.facts.access
    }

    /// Whether this master leads.
    pub(crate) fn leads(&self) -> bool {
        self.shared.facts.standing.leads()
    }

    /// Who this master is, for frameworks and agents.
    pub(crate) fn master_info(&self) -> &api::v1::MasterInfo {
        &self.shared.facts.master_info
    }

    /// The leader's epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.shared.facts.standing.epoch()
    }
}
