//! Link: the one gRPC stream to the leading master.
//!
//! Agent-core says when a stream is opened and given up; a task of its own does it. What comes in
//! waits for the main loop in a bounded queue, and the stream behind it stands still. What goes
//! out waits in a bounded queue, too; when that is full the master does not read, and the stream is
//! given up, so that everything in it is sent again on the next one.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use agent_core::LinkId;
use api::link::v1 as wire;
use api::link::v1::link_client::LinkClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::Stream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use crate::config::{Config, HostPort};
use crate::credential;
use crate::finder::Finder;
use crate::node::Input;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a master may take to say whether it takes the agent.
const TAKE_MAX: Duration = Duration::from_secs(10);
/// How long it is asked around for a master that leads, before the core's back-off begins.
const LOOK_MAX: Duration = Duration::from_secs(15);
const _: () = assert!(LOOK_MAX.as_secs() < agent_core::registration::ANSWER_MAX.as_secs());
/// The pause between two rounds of that, and up to half a second more.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// How many masters are asked in one round, with those that they name.
const MASTERS_MAX: usize = 16;
/// Frames that may wait to be sent. One step may send an update of every task, after a registration
/// for one, before the stream takes any: a bound below that would never let such an agent through.
const WAITING_MAX: usize = 16_384;
const _: () = assert!(WAITING_MAX > agent_core::agent::TASKS_MAX);
/// The longest frame that is taken from a master.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What happened to a stream.
#[derive(Debug)]
pub enum LinkEvent {
    /// It is not open yet, and is tried again; why.
    Trying(String),
    /// It is open.
    Opened,
    /// It ended, or never was open; why.
    Closed(String),
    /// A frame.
    Frame(Box<wire::MasterFrame>),
}

/// A stream that is open or being opened; dropped, it is closed.
#[derive(Debug)]
pub struct Link {
    /// Its name.
    pub id: LinkId,
    frames: mpsc::Sender<wire::AgentFrame>,
    task: JoinHandle<()>,
}

/// The queue of frames is full, or the stream is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSent;

impl Link {
    /// Begins to open a stream; what happens is told in `inputs`.
    #[must_use]
    pub fn open(
        id: LinkId,
        config: &Config,
        finder: Arc<Finder>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (frames, outgoing) = mpsc::channel(WAITING_MAX);
        let credential = config.credential.clone();
        let task = tokio::spawn(async move {
            let why = match run(id, &finder, credential.as_deref(), &inputs, outgoing).await {
                Ok(()) => "the master ended the stream".to_string(),
                Err(error) => error,
            };
            // The main loop is gone where nobody listens: then nobody needs to know.
            let _ = inputs.send(Input::Link(id, LinkEvent::Closed(why))).await;
        });
        Self { id, frames, task }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// It will not be sent: the stream is to be given up.
    pub fn send(&self, frame: wire::AgentFrame) -> Result<(), NotSent> {
        self.frames.try_send(frame).map_err(|_| NotSent)
    }

    /// Ends the stream after what is queued, but waits no longer than this.
    pub async fn finish(mut self, patience: Duration) {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.frames, closed));
        let _ = timeout(patience, &mut self.task).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a master did not take the agent.
struct Untaken {
    why: String,
    /// Where it says that the leader is.
    leader: Option<HostPort>,
}

async fn run(
    id: LinkId,
    finder: &Finder,
    credential: Option<&Path>,
    inputs: &mpsc::Sender<Input>,
    outgoing: mpsc::Receiver<wire::AgentFrame>,
) -> Result<(), String> {
    let shown = credential.map(credential::read).transpose();
    let shown = shown.map_err(|error| format!("--credential: {}", chain(&error)))?;
    let outgoing = Arc::new(Mutex::new(outgoing));
    let until = Instant::now() + LOOK_MAX;
    let (master, mut incoming) = loop {
        let Ok(mut masters) = timeout_at(until, finder.addresses()).await else {
            return Err(finder.nobody());
        };
        let mut next = 0;
        let mut why = finder.nobody();
        let taken = loop {
            let Some(master) = masters.get(next).cloned() else {
                break None;
            };
            next += 1;
            match open(&master, finder, shown.clone(), &outgoing).await {
                Ok(incoming) => break Some((master, incoming)),
                Err(untaken) => {
                    why = untaken.why;
                    let leader = untaken.leader.filter(|leader| !masters.contains(leader));
                    masters.extend(leader.filter(|_| masters.len() < MASTERS_MAX));
                }
            }
        };
        if let Some(taken) = taken {
            break taken;
        }
        if finder.is_fixed() || Instant::now() >= until {
            return Err(why);
        }
        let trying = Input::Link(id, LinkEvent::Trying(why));
        if inputs.send(trying).await.is_err() {
            return Ok(());
        }
        sleep(pause()).await;
    };
    finder.reached(&master);
    if inputs
        .send(Input::Link(id, LinkEvent::Opened))
        .await
        .is_err()
    {
        return Ok(());
    }
    while let Some(frame) = incoming
        .message()
        .await
        .map_err(|status| format!("link to the master at {master}: {}", words(&status)))?
    {
        let event = LinkEvent::Frame(Box::new(frame));
        if inputs.send(Input::Link(id, event)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Opens a stream to one master, which takes the agent or says why not before the first frame.
async fn open(
    master: &HostPort,
    finder: &Finder,
    shown: Option<MetadataValue<Ascii>>,
    outgoing: &Arc<Mutex<mpsc::Receiver<wire::AgentFrame>>>,
) -> Result<tonic::Streaming<wire::MasterFrame>, Untaken> {
    let untaken = |why| Untaken { why, leader: None };
    let endpoint = Endpoint::from_shared(format!("http://{master}"))
        .map_err(|error| untaken(chain(&error)))?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(|error| {
        let why = chain(&error);
        untaken(format!("connect to the master at {master}: {why}"))
    })?;
    let mut client = LinkClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
    let mut request = tonic::Request::new(Lent(Arc::clone(outgoing)));
    if let Some(shown) = shown {
        request.metadata_mut().insert("authorization", shown);
    }
    match timeout(TAKE_MAX, client.connect(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            let said = words(&status);
            let location = status.metadata().get("location");
            let location = location.and_then(|location| location.to_str().ok());
            Err(Untaken {
                why: format!("{master} does not answer as a Tepui master that leads: {said}"),
                leader: location.and_then(|location| finder.told(location)),
            })
        }
        Err(_) => Err(untaken(format!(
            "{master} gave no answer within {TAKE_MAX:?}"
        ))),
    }
}

/// The queue of frames, lent to one request at a time: a master that does not take the agent leaves
/// them for the next.
struct Lent(Arc<Mutex<mpsc::Receiver<wire::AgentFrame>>>);

impl Stream for Lent {
    type Item = wire::AgentFrame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.poll_recv(cx)
    }
}

/// The pause between two rounds: no two agents of a cluster ask in step.
fn pause() -> Duration {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    PAUSE_MIN + Duration::from_millis(random % 500)
}

fn words(status: &tonic::Status) -> String {
    match status.message() {
        "" => status.code().description().to_string(),
        message => message.to_string(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    crate::init::chain(error)
}
