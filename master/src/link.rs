//! The agents' end of the cluster: the gRPC service `tepui.link.v1.Link`.
//!
//! A link lives as long as its stream. Its first frame is Register; what an agent may leave unread
//! is bounded by [`FRAMES_MAX`], and an agent past it loses its link and connects anew.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api::link::v1::agent_frame::Body;
use api::link::v1::link_server::{Link, LinkServer};
use api::link::v1::{AgentFrame, MasterFrame};
use master_core::authorization::Action;
use master_core::event::{LinkId, MasterMessage, Registration};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};

use crate::access::{Identity, Realm};
use crate::connection::Connection;
use crate::convert::link;
use crate::grpc::status;
use crate::handle::{Command, Handle, Waiting};

/// How many frames may wait for one agent: a launch of as many tasks at once.
pub(crate) const FRAMES_MAX: usize = 16_384;
/// How long a new link may stay silent.
const REGISTER_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest frame: a Register with some thousand tasks.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A frame on its way to an agent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The frame's epoch.
    pub(crate) epoch: u64,
    /// The frame's incarnation.
    pub(crate) incarnation: u64,
    /// The frame's body.
    pub(crate) message: MasterMessage,
}

/// A new link, whose first frame was a good Register.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The frame's incarnation.
    pub(crate) incarnation: u64,
    /// The frame's body.
    pub(crate) registration: Registration,
    /// Where frames to the agent go.
    pub(crate) frames: mpsc::Sender<Box<Outgoing>>,
    /// The connection, to be cut when the agent does not read.
    pub(crate) connection: Connection,
}

/// The gRPC service.
pub(crate) struct Service {
    loop_: Handle,
}

impl Service {
    /// The service as HTTP requests meet it.
    pub(crate) fn server(loop_: Handle) -> LinkServer<Self> {
        LinkServer::new(Self { loop_ }).max_decoding_message_size(FRAME_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Link for Service {
    type ConnectStream = Frames;

    async fn connect(
        &self,
        request: tonic::Request<Streaming<AgentFrame>>,
    ) -> Result<tonic::Response<Frames>, Status> {
        if !self.loop_.leads() {
            return Err(status::not_leading(self.loop_.facts()));
        }
        let headers = request.metadata().clone().into_headers();
        let access = self.loop_.access();
        let identity = access.authenticate(Realm::Agents, &headers).map_err(|_| {
            Status::unauthenticated("an agent must show credentials here (--credential)")
        })?;
        let connection = request
            .extensions()
            .get::<Connection>()
            .cloned()
            .ok_or_else(|| Status::internal("the request has no connection"))?;
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        let (answering, answered) = oneshot::channel();
        let mut incoming = Incoming {
            loop_: self.loop_.clone(),
            frames: request.into_inner(),
            connection,
            answered,
            identity,
        };
        // The answer's headers must not wait for the first frame: some clients send it only then.
        tokio::spawn(async move { incoming.read(frames).await });
        Ok(tonic::Response::new(Frames {
            outgoing,
            loop_: self.loop_.clone(),
            _answering: answering,
        }))
    }
}

/// The frames to one agent, encoded as they are read.
pub(crate) struct Frames {
    /// Each in a box of its own: the room for those that may wait is there from the beginning.
    outgoing: mpsc::Receiver<Box<Outgoing>>,
    loop_: Handle,
    /// Tells by its end that nothing more is sent: then nothing more is read.
    _answering: oneshot::Sender<()>,
}

impl Stream for Frames {
    type Item = Result<MasterFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(self.outgoing.poll_recv(cx)).map(|outgoing| {
            Ok(MasterFrame {
                epoch: outgoing.epoch,
                incarnation: outgoing.incarnation,
                body: Some(link::master_body(
                    outgoing.message,
                    self.loop_.master_info(),
                )),
            })
        });
        Poll::Ready(frame)
    }
}

/// The frames from one agent.
struct Incoming {
    loop_: Handle,
    frames: Streaming<AgentFrame>,
    connection: Connection,
    answered: oneshot::Receiver<()>,
    identity: Identity,
}

impl Incoming {
    /// Hands every frame to the main loop, until the link ends. Most links rest here, so that nothing
    /// stays that only a frame needs.
    async fn read(&mut self, frames: mpsc::Sender<Box<Outgoing>>) {
        let opened = match Box::pin(self.register(frames.clone())).await {
            Ok(opened) => opened,
            Err((incarnation, reason)) => return self.refuse(&frames, incarnation, reason),
        };
        drop(frames);
        let Some(link) = self.loop_.open_link(opened).await else {
            return;
        };
        loop {
            let frame = self.next().await;
            match self.take(link, frame) {
                ControlFlow::Continue(None) => {}
                ControlFlow::Continue(Some(waiting)) => waiting.await,
                ControlFlow::Break(()) => break,
            }
        }
        if let Some(waiting) = self.loop_.hand_in(Command::LinkClosed { link }) {
            waiting.await;
        }
    }

    fn refuse(&self, frames: &mpsc::Sender<Box<Outgoing>>, incarnation: u64, reason: String) {
        tracing::warn!(peer = %self.connection.peer(), %reason, "agent refused");
        let refused = Outgoing {
            epoch: self.loop_.epoch(),
            incarnation,
            message: MasterMessage::Refused {
                reason,
                is_final: false,
            },
        };
        // It is the first frame, so that there is room; an agent that is gone needs no answer.
        drop(frames.try_send(Box::new(refused)));
    }

    /// The next frame; `None` at the end of either direction.
    async fn next(&mut self) -> Option<Result<AgentFrame, Status>> {
        tokio::select! {
            frame = self.frames.next() => frame,
            _ = &mut self.answered => None,
        }
    }

    async fn register(
        &mut self,
        frames: mpsc::Sender<Box<Outgoing>>,
    ) -> Result<Box<Opened>, (u64, String)> {
        let first = tokio::time::timeout(REGISTER_TIME_MAX, self.frames.next());
        let frame = match first.await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err((0, error.to_string())),
            Ok(None) => return Err((0, "the link ended before its first frame".into())),
            Err(_) => return Err((0, format!("no frame within {REGISTER_TIME_MAX:?}"))),
        };
        let incarnation = frame.incarnation;
        let Some(Body::Register(register)) = frame.body else {
            return Err((incarnation, "the first frame is not Register".into()));
        };
        let registration = link::registration(register, self.connection.peer().ip())
            .map_err(|error| (incarnation, error.to_string()))?;
        self.authorize(&registration)
            .map_err(|reason| (incarnation, reason))?;
        self.connection.keep();
        Ok(Box::new(Opened {
            incarnation,
            registration,
            frames,
            connection: self.connection.clone(),
        }))
    }

    /// Whether this agent may come in, with the roles that its resources are reserved to.
    fn authorize(&self, registration: &Registration) -> Result<(), String> {
        let roles = registration.resources.iter();
        let mut roles = roles.filter_map(|resource| resource.reservations.last());
        let may_reserve = roles.all(|r| {
            self.identity
                .may(Action::ReserveResources, Some(r.role.as_str()))
        });
        if may_reserve && self.identity.may(Action::RegisterAgent, None) {
            return Ok(());
        }
        let resources = &registration.resources;
        Err(match self.identity.principal() {
            Some(principal) => format!(
                "Not authorized to register agent providing resources '{resources}' with \
                 principal '{principal}'"
            ),
            None => format!(
                "Not authorized to register agent providing resources '{resources}' without a \
                 principal"
            ),
        })
    }

    /// Hands on what came, until the link ends.
    fn take(
        &self,
        link: LinkId,
        frame: Option<Result<AgentFrame, Status>>,
    ) -> ControlFlow<(), Option<Waiting>> {
        match frame {
            Some(Ok(frame)) => ControlFlow::Continue(self.forward(link, frame)),
            Some(Err(error)) => {
                let peer = self.connection.peer();
                tracing::debug!(%peer, %error, "agent's link broke");
                ControlFlow::Break(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn forward(&self, link: LinkId, frame: AgentFrame) -> Option<Waiting> {
        let message = frame.body.map(link::agent_message).transpose();
        match message.map(Option::flatten) {
            Ok(Some(message)) => {
                let command = Command::LinkFrame {
                    link,
                    epoch: frame.epoch,
                    incarnation: frame.incarnation,
                    message,
                };
                self.loop_.hand_in(command)
            }
            Ok(None) => {
                tracing::debug!(link = link.0, "frame of an unknown kind dropped");
                None
            }
            Err(error) => {
                self.loop_.metrics().invalid_frame();
                tracing::warn!(link = link.0, %error, "agent's frame dropped");
                None
            }
        }
    }
}
