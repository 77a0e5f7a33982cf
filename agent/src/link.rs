//! Link: the one gRPC stream to the leading master.
//!
//! Agent-core says when a stream is opened and given up; a task of its own does it. What comes in
//! waits for the main loop in a bounded queue, and the stream behind it stands still. What goes
//! out waits in a bounded queue, too; when that is full the master does not read, and the stream is
//! given up, so that everything in it is sent again on the next one.

use std::path::Path;
use std::time::Duration;

use agent_core::LinkId;
use api::link::v1 as wire;
use api::link::v1::link_client::LinkClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::config::Config;
use crate::credential;
use crate::node::Input;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Frames that may wait to be sent. One step may send an update of every task, after a registration
/// for one, before the stream takes any: a bound below that would never let such an agent through.
const WAITING_MAX: usize = 16_384;
const _: () = assert!(WAITING_MAX > agent_core::agent::TASKS_MAX);
/// The longest frame that is taken from a master.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What happened to a stream.
#[derive(Debug)]
pub enum LinkEvent {
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
    pub fn open(id: LinkId, config: &Config, inputs: mpsc::Sender<Input>) -> Self {
        let (frames, outgoing) = mpsc::channel(WAITING_MAX);
        let master = config.master.to_string();
        let credential = config.credential.clone();
        let task = tokio::spawn(async move {
            let why = match run(id, &master, credential.as_deref(), &inputs, outgoing).await {
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
        let _ = tokio::time::timeout(patience, &mut self.task).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    id: LinkId,
    master: &str,
    credential: Option<&Path>,
    inputs: &mpsc::Sender<Input>,
    outgoing: mpsc::Receiver<wire::AgentFrame>,
) -> Result<(), String> {
    let shown = credential.map(credential::read).transpose();
    let shown = shown.map_err(|error| format!("--credential: {}", chain(&error)))?;
    let endpoint = Endpoint::from_shared(format!("http://{master}"))
        .map_err(|error| chain(&error))?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true);
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| format!("connect to the master at {master}: {}", chain(&error)))?;
    let mut client = LinkClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
    // Register goes out with the call: a master answers once it has read it.
    if inputs
        .send(Input::Link(id, LinkEvent::Opened))
        .await
        .is_err()
    {
        return Ok(());
    }
    let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
    if let Some(shown) = shown {
        request.metadata_mut().insert("authorization", shown);
    }
    let answer = client.connect(request).await;
    let mut incoming = answer
        .map_err(|status| {
            format!(
                "{master} does not answer as a Tepui master: {}",
                words(&status)
            )
        })?
        .into_inner();
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

fn words(status: &tonic::Status) -> String {
    match status.message() {
        "" => status.code().description().to_string(),
        message => message.to_string(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    crate::init::chain(error)
}
