//! The one loop: commands, notices and time go into the core, its effects go out.
//!
//! Nothing here waits but for the next thing to happen, and for the registry's queue at its bound.
//! Reads do not come through here: they take the newest published [`Snapshot`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::v1::scheduler::call::Type;
use http::StatusCode;
use http::header::HeaderValue;
use master_core::event::{
    Answer, Call, Effect, Event, FrameworkEvent, LinkId, RequestId, StoreId, StreamId, Subscription,
};
use master_core::{Connection as FrameworkConnection, Master, Unchanged};
use model::{FrameworkId, Instant};
use tokio::sync::{mpsc, oneshot, watch};

use crate::connection::Connection;
use crate::convert::calls::{self, Submitted};
use crate::convert::events;
use crate::election::term::Term;
use crate::facts::Facts;
use crate::handle::{Command, Handle};
use crate::http::body::Body;
use crate::http::negotiate::Media;
use crate::http::respond::Refusal;
use crate::http::stream::{self, EventSender};
use crate::http::{Response, respond, scheduler, validate};
use crate::link::{Opened, Outgoing};
use crate::logging;
use crate::readers::Readers;
use crate::registry::{Stored, Writer, entries};
use crate::run_error::RunError;
use crate::server::StartError;
use crate::state::{Kept, Snapshot};
use crate::watchers::Watchers;

/// How many commands are taken before time and notices are looked at again.
const BATCH_MAX: usize = 64;
/// Of its time, the loop spends at most one part in so many on snapshots.
const SNAPSHOT_SHARE: u32 = 10;

/// What must not wait for room among the commands; there is at most one for each stream and each
/// write.
pub(crate) enum Notice {
    /// The reading end of a stream is gone.
    StreamEnded(StreamId),
    /// A commit of the registry ended.
    Stored(Stored<StoreId>),
    /// This master was elected, and the registry is read.
    Elected(Box<Term>),
    /// This master led, and may not act any more; why.
    Deposed(&'static str),
    /// The leader is in one region, and this master in another.
    Misplaced {
        /// The leader's.
        leads: String,
        /// This master's.
        own: String,
    },
    /// This master was elected, and cannot lead.
    Unfit(Box<StartError>),
}

/// A stream whose reader is there.
struct OpenStream {
    id: String,
    sender: EventSender,
    connection: Connection,
    /// Known from SUBSCRIBED on.
    framework_id: Option<FrameworkId>,
}

/// A link whose agent is there.
struct OpenLink {
    frames: mpsc::Sender<Box<Outgoing>>,
    connection: Connection,
}

/// The loop's state.
pub(crate) struct MainLoop {
    core: Master,
    start: tokio::time::Instant,
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    notices: mpsc::UnboundedReceiver<Notice>,
    notifier: mpsc::UnboundedSender<Notice>,
    writer: Writer<StoreId>,
    streams: HashMap<StreamId, OpenStream>,
    links: HashMap<LinkId, OpenLink>,
    /// Operators that wait for an answer; each holds a connection, which bounds their number.
    requests: HashMap<RequestId, oneshot::Sender<Answer>>,
    watchers: Watchers,
    next_number: u64,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// What the next snapshot may share with the last.
    kept: Kept,
    /// When the next snapshot may be made.
    snapshot_at: tokio::time::Instant,
    snapshot_wanted: bool,
}

/// What a loop is made of.
pub(crate) struct Parts {
    /// The core, to which nothing has happened yet.
    pub(crate) core: Master,
    /// The core's [`Instant::ZERO`].
    pub(crate) start: tokio::time::Instant,
    /// What does not change.
    pub(crate) facts: Facts,
    /// Writes the registry; its commits are told to `notifier`.
    pub(crate) writer: Writer<StoreId>,
    /// Where documents are made.
    pub(crate) readers: Readers,
    /// How many operators may watch.
    pub(crate) watchers_max: usize,
    /// Takes notices.
    pub(crate) notifier: mpsc::UnboundedSender<Notice>,
    /// Gives them to the loop.
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
}

impl MainLoop {
    /// A loop that does not run yet, and the handle to it.
    pub(crate) fn new(parts: Parts) -> (Self, Handle) {
        let mut kept = Kept::default();
        let first = Arc::new(Snapshot::new(0, &parts.core, &mut kept));
        let (snapshots, published) = watch::channel(first);
        let (handle, receiver) = Handle::new(parts.facts, parts.readers, published);
        let this = Self {
            core: parts.core,
            start: parts.start,
            handle: handle.clone(),
            commands: receiver,
            notices: parts.notices,
            notifier: parts.notifier,
            writer: parts.writer,
            streams: HashMap::new(),
            links: HashMap::new(),
            requests: HashMap::new(),
            watchers: Watchers::new(parts.watchers_max, Arc::clone(handle.watchers())),
            next_number: 1,
            snapshots,
            kept,
            snapshot_at: parts.start,
            snapshot_wanted: false,
        };
        (this, handle)
    }

    /// Runs until `stop` resolves.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub(crate) async fn run(
        mut self,
        recovered: Event,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let handle = self.handle.clone();
        let mut stop = std::pin::pin!(stop);
        self.step(recovered)?;
        loop {
            let deadline = self.deadline();
            tokio::select! {
                // What can be allocated waits until nothing else does; what else waits so is bounded.
                biased;
                () = &mut stop => return Ok(()),
                Some(notice) = self.notices.recv() => self.notice(notice)?,
                () = handle.snapshot_wanted() => self.snapshot_wanted = true,
                Some(command) = self.commands.recv() => {
                    self.command(command)?;
                    for _ in 1..BATCH_MAX {
                        let Ok(command) = self.commands.try_recv() else { break };
                        self.command(command)?;
                    }
                }
                () = sleep_until(deadline) => {
                    if self.core.deadline().is_some_and(|deadline| deadline <= self.now()) {
                        self.step(Event::Tick)?;
                    }
                }
            }
            self.publish();
        }
    }

    fn now(&self) -> Instant {
        let passed = self.start.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Option<tokio::time::Instant> {
        let core = self
            .core
            .deadline()
            .map(|at| self.start + Duration::from_nanos(at.as_nanos()));
        let snapshot = self.snapshot_wanted.then_some(self.snapshot_at);
        core.into_iter().chain(snapshot).min()
    }

    /// Makes a snapshot where one is wanted and due. Readers that come while one is not due share
    /// the next.
    fn publish(&mut self) {
        if !self.snapshot_wanted {
            return;
        }
        let begin = tokio::time::Instant::now();
        if begin < self.snapshot_at {
            return;
        }
        let step = self.handle.steps();
        let snapshot = Snapshot::new(step, &self.core, &mut self.kept);
        let before = self.snapshots.send_replace(Arc::new(snapshot));
        // To take a large one apart takes its time, too.
        self.handle.readers().spawn_blocking(move || drop(before));
        self.snapshot_wanted = false;
        let end = tokio::time::Instant::now();
        self.snapshot_at = end + (end - begin) * (SNAPSHOT_SHARE - 1);
    }

    fn notice(&mut self, notice: Notice) -> Result<(), RunError> {
        match notice {
            Notice::StreamEnded(stream) => {
                if let Some(open) = self.streams.remove(&stream) {
                    tracing::debug!(stream = open.id, "stream ended by its reader");
                }
                self.step(Event::StreamClosed { stream })
            }
            Notice::Stored(stored) => {
                self.handle
                    .metrics()
                    .registry_stored(stored.took, stored.size);
                stored.result?;
                stored
                    .tokens
                    .into_iter()
                    .try_for_each(|store| self.step(Event::RegistryStored { store }))
            }
            Notice::Elected(term) => self.begin(*term),
            Notice::Deposed(why) => Err(RunError::Deposed { why }),
            Notice::Misplaced { leads, own } => Err(RunError::Misplaced { leads, own }),
            Notice::Unfit(error) => Err(RunError::Unfit(error)),
        }
    }

    /// Leads from now on. Nobody was served before, so that the idle core leaves nothing behind.
    fn begin(&mut self, term: Term) -> Result<(), RunError> {
        (self.core, self.writer) = (term.core, term.writer);
        self.step(term.recovered)?;
        let facts = self.handle.facts();
        facts.standing.lead(term.epoch);
        tracing::info!(
            advertised = %facts.address,
            master_id = %facts.master_id,
            epoch = term.epoch,
            "master leads"
        );
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), RunError> {
        match command {
            Command::Subscribe {
                subscription,
                media,
                connection,
                answer,
            } => self.subscribe(subscription, media, connection, answer),
            Command::Call {
                principal,
                framework_id,
                stream_id,
                kind,
                call,
                answer,
            } => {
                let outcome =
                    self.current(&framework_id, principal.as_deref(), stream_id.as_deref());
                let response = match outcome {
                    Ok(framework_id) => self.call(framework_id, kind, call)?,
                    Err(refusal) => refusal.into(),
                };
                // A client that is gone needs no answer.
                drop(answer.send(response));
                Ok(())
            }
            Command::Operate {
                principal,
                call,
                answer,
            } => {
                let request = RequestId(self.number());
                self.requests.insert(request, answer);
                self.step(Event::Operate {
                    request,
                    principal,
                    call,
                })
            }
            Command::Watch { connection, answer } => {
                let queue = self.watchers.add(connection);
                drop(answer.send((queue, self.handle.steps())));
                Ok(())
            }
            Command::LinkOpened { opened, answer } => self.open_link(*opened, answer),
            Command::LinkFrame {
                link,
                epoch,
                incarnation,
                message,
            } => self.step(Event::AgentFrame {
                link,
                epoch,
                incarnation,
                message,
            }),
            Command::LinkClosed { link } => {
                self.links.remove(&link);
                self.step(Event::LinkClosed { link })
            }
        }
    }

    fn subscribe(
        &mut self,
        subscription: Subscription,
        media: Media,
        connection: Connection,
        answer: oneshot::Sender<Response>,
    ) -> Result<(), RunError> {
        let stream = StreamId(self.number());
        let id = uuid::Uuid::new_v4().to_string();
        let handle = self.handle.clone();
        let notifier = self.notifier.clone();
        let (sender, body) = stream::channel(
            move |event| events::record(event, media, handle.master_info()),
            move || drop(notifier.send(Notice::StreamEnded(stream))),
        );
        let mut response = Response::new(Body::Events(body));
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, media.header());
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(scheduler::STREAM_ID, value);
        }
        drop(answer.send(response));

        let id_given = subscription.framework.id.as_ref();
        let subscription = match id_given.and_then(|id| self.core.kept_fields(id)) {
            Some(kept) => calls::keeping(subscription, kept),
            None => subscription,
        };
        self.streams.insert(
            stream,
            OpenStream {
                id,
                sender,
                connection,
                framework_id: None,
            },
        );
        self.step(Event::Subscribe {
            stream,
            subscription,
        })
    }

    /// The framework, where it is connected by this very stream; else the answer that says why not.
    fn current(
        &self,
        framework_id: &str,
        principal: Option<&str>,
        stream_id: Option<&str>,
    ) -> Result<FrameworkId, Refusal> {
        let unknown = || Refusal::bad_request("Framework cannot be found");
        let framework_id = FrameworkId::new(framework_id).map_err(|_| unknown())?;
        let framework = self.core.view().framework(&framework_id);
        if let (Some(principal), Some(framework)) = (principal, framework) {
            let own = framework.info.principal.as_deref().unwrap_or_default();
            if own != principal {
                return Err(Refusal::bad_request(validate::mismatch(principal, own)));
            }
        }
        let stream = match self.core.connection(&framework_id) {
            FrameworkConnection::Unknown => return Err(unknown()),
            FrameworkConnection::Disconnected => {
                return Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    "Framework is not subscribed",
                ));
            }
            FrameworkConnection::Connected(stream) => stream,
        };
        let given = stream_id.ok_or_else(|| {
            Refusal::bad_request(
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
            )
        })?;
        match self.streams.get(&stream) {
            Some(open) if open.id == given => Ok(framework_id),
            _ => Err(Refusal::bad_request(format!(
                "The stream ID '{given}' included in this request didn't match the stream ID \
                 currently associated with framework ID {framework_id}"
            ))),
        }
    }

    fn call(
        &mut self,
        framework_id: FrameworkId,
        kind: Type,
        call: Submitted,
    ) -> Result<Response, RunError> {
        self.handle.metrics().call(&framework_id, kind, &call);
        let call = match call {
            Submitted::Call(call) => call,
            Submitted::Nothing => return Ok(respond::empty(StatusCode::ACCEPTED)),
            Submitted::Update(update) => {
                match self.core.check_update(&framework_id, &update) {
                    Ok(()) => {}
                    Err(Unchanged::Invalid(fault)) => {
                        return Ok(Refusal::bad_request(fault).into());
                    }
                    Err(Unchanged::Forbidden(fault)) => {
                        return Ok(Refusal::new(StatusCode::FORBIDDEN, fault).into());
                    }
                }
                if let Err(fault) = self.core.check_registration(&update.framework) {
                    return Ok(Refusal::new(StatusCode::FORBIDDEN, fault).into());
                }
                let call = Call::UpdateFramework(update);
                self.step(Event::Call { framework_id, call })?;
                return Ok(respond::empty(StatusCode::OK));
            }
            Submitted::Unknown => {
                let refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, "501 Not Implemented.");
                return Ok(refusal.into());
            }
        };
        self.step(Event::Call { framework_id, call })?;
        Ok(respond::empty(StatusCode::ACCEPTED))
    }

    fn open_link(
        &mut self,
        opened: Opened,
        answer: oneshot::Sender<LinkId>,
    ) -> Result<(), RunError> {
        let link = LinkId(self.number());
        self.links.insert(
            link,
            OpenLink {
                frames: opened.frames,
                connection: opened.connection,
            },
        );
        let _ = answer.send(link);
        self.step(Event::Register {
            link,
            incarnation: opened.incarnation,
            registration: opened.registration,
        })
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Applies an event and whatever follows from its effects at once.
    fn step(&mut self, event: Event) -> Result<(), RunError> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if self.handle.facts().standing.check().is_err() {
                let why = "ZooKeeper was not heard for too long";
                return Err(RunError::Deposed { why });
            }
            let now = self.now();
            let begin = std::time::Instant::now();
            let effects = self.core.step(now, event);
            self.handle.metrics().stepped(
                self.core.view().counters().allocation_runs(),
                begin.elapsed(),
            );
            self.handle.count_step(self.core.version());
            for effect in effects {
                events.extend(self.carry_out(effect)?);
            }
        }
        Ok(())
    }

    /// Does what the core wants done; gives back what happened by that at once.
    fn carry_out(&mut self, effect: Effect) -> Result<Option<Event>, RunError> {
        match effect {
            Effect::Send { stream, event } => Ok(self.send_event(stream, event)),
            Effect::CloseStream { stream } => {
                self.streams.remove(&stream);
                Ok(Some(Event::StreamClosed { stream }))
            }
            Effect::ToAgent {
                link,
                epoch,
                incarnation,
                message,
            } => Ok(self.send_frame(
                link,
                Outgoing {
                    epoch,
                    incarnation,
                    message,
                },
            )),
            Effect::CloseLink { link } => {
                self.links.remove(&link);
                Ok(Some(Event::LinkClosed { link }))
            }
            Effect::Store { store, change } => {
                if !self.writer.store(store, entries::encode(change)) {
                    return Err(RunError::RegistryThread);
                }
                Ok(None)
            }
            Effect::Answer { request, answer } => {
                if let Some(waiting) = self.requests.remove(&request) {
                    // An operator that is gone needs no answer.
                    drop(waiting.send(answer));
                }
                Ok(None)
            }
            Effect::Publish(change) => {
                let step = self.handle.steps();
                self.watchers.publish(step, change, &self.core);
                Ok(None)
            }
            Effect::Note(note) => {
                self.handle.metrics().note(&note);
                logging::note(&note);
                Ok(None)
            }
        }
    }

    fn send_event(&mut self, stream: StreamId, event: FrameworkEvent) -> Option<Event> {
        let open = self.streams.get_mut(&stream)?;
        if let FrameworkEvent::Subscribed { framework_id, .. } = &event {
            open.framework_id = Some(framework_id.clone());
        }
        if let Some(framework_id) = &open.framework_id {
            self.handle.metrics().event(framework_id, &event);
        }
        let Err(reason) = open.sender.send(event) else {
            return None;
        };
        let framework_id = open.framework_id.as_ref().map_or("", FrameworkId::as_str);
        tracing::warn!(framework_id, %reason, "framework does not read its events; stream cut");
        open.connection.cut();
        self.streams.remove(&stream);
        Some(Event::StreamClosed { stream })
    }

    fn send_frame(&mut self, link: LinkId, frame: Outgoing) -> Option<Event> {
        let open = self.links.get(&link)?;
        match open.frames.try_send(Box::new(frame)) {
            // An agent that is gone tells so by the end of its link.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            Err(mpsc::error::TrySendError::Full(_)) => {
                let peer = open.connection.peer();
                tracing::warn!(%peer, link = link.0, "agent does not read its frames; link cut");
                open.connection.cut();
                self.links.remove(&link);
                Some(Event::LinkClosed { link })
            }
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        // A timer would wait for its next millisecond.
        Some(deadline) if deadline <= tokio::time::Instant::now() => {}
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
