//! The stand-in's side of the link: frames in, frames out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::link_client::LinkClient;
use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{AgentFrame, MasterFrame, Pong, Register, Unregister};
use api::v1;
use model::Resources;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::channel::channel;
use super::operations::Applied;
use super::tasks::{Task, TaskKey};
use super::{Conduct, FRAMES_MAX, FakeAgentError, Order, RESEND_AFTER};

/// The agent's side of the link.
#[derive(Debug)]
pub(super) struct Node {
    /// What it says of itself.
    said: Register,
    /// What it has, as operations left it.
    pub(super) total: Resources,
    /// None while there is no link.
    frames: Option<mpsc::Sender<AgentFrame>>,
    epoch: u64,
    /// Empty before the first registration.
    pub(super) agent_id: v1::AgentId,
    pub(super) port: u16,
    /// Counts what needs an id of its own; the port tells agents of one master apart.
    pub(super) numbers: u64,
    pub(super) tasks: BTreeMap<TaskKey, Task>,
    /// Those whose status is not acknowledged, by their uuid.
    pub(super) operations: BTreeMap<Vec<u8>, Applied>,
    /// Set while tasks end and none is taken.
    pub(super) drain: Option<v1::DrainConfig>,
    pub(super) source: Option<IpAddr>,
    pub(super) conduct: Conduct,
    /// How many tasks have ended by themselves.
    pub(super) ended: u64,
}

impl Node {
    pub(super) fn new(said: Register, total: Resources) -> Self {
        let port = said.agent_info.as_ref().and_then(|info| info.port);
        Self {
            port: port.and_then(|port| port.try_into().ok()).unwrap_or(0),
            said,
            total,
            frames: None,
            epoch: 0,
            agent_id: v1::AgentId::default(),
            numbers: 0,
            tasks: BTreeMap::new(),
            operations: BTreeMap::new(),
            drain: None,
            source: None,
            conduct: Conduct::default(),
            ended: 0,
        }
    }

    /// Opens a link and registers with all that is here.
    pub(super) async fn connect(
        &mut self,
        address: SocketAddr,
    ) -> Result<Streaming<MasterFrame>, FakeAgentError> {
        let refused = |reason: &dyn std::fmt::Display| FakeAgentError::Refused(reason.to_string());
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        self.epoch = 0;
        self.frames = Some(frames);
        self.send(AgentBody::Register(self.registration())).await;
        let mut incoming = LinkClient::new(channel(address, self.source).await?)
            .connect(ReceiverStream::new(outgoing))
            .await
            .map_err(|e| refused(&e))?
            .into_inner();
        let first = incoming.message().await.map_err(|e| refused(&e))?;
        match first.map(|frame| (frame.epoch, frame.body)) {
            Some((epoch, Some(MasterBody::Registered(registered)))) => {
                self.epoch = epoch;
                self.agent_id = registered.agent_id.unwrap_or_default();
                Ok(incoming)
            }
            other => Err(refused(&format!("{other:?}"))),
        }
    }

    fn registration(&self) -> Register {
        let is_known = !self.agent_id.value.is_empty();
        let agent_id = is_known.then(|| self.agent_id.clone());
        let mut register = Register {
            agent_id: agent_id.clone(),
            frameworks: self.frameworks(),
            executors: self.executors(),
            tasks: self.tasks.values().map(Task::listed).collect(),
            operations: self
                .operations
                .values()
                .filter_map(Applied::listed)
                .collect(),
            drain_config: self.drain,
            total_resources: api::convert::to_refined(&self.total),
            ..self.said.clone()
        };
        if let Some(info) = &mut register.agent_info {
            info.id = agent_id;
        }
        register
    }

    /// Serves the link until the master or an order ends it.
    pub(super) async fn serve(
        &mut self,
        mut incoming: Streaming<MasterFrame>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        // What was sent over an earlier link may be lost.
        self.send_everything_again().await;
        loop {
            let waiting = self.tasks.values().filter(|task| !task.updates.is_empty());
            let tasks = waiting.map(|task| task.resend_at);
            let operations = self.operations.values().map(|applied| applied.resend_at);
            let ends = self.tasks.values().filter_map(|task| task.ends_at);
            let deadline = tasks.chain(operations).chain(ends).min();
            let due = deadline.unwrap_or_else(|| Instant::now() + RESEND_AFTER);
            tokio::select! {
                frame = incoming.message() => match frame {
                    Ok(Some(frame)) => {
                        self.epoch = frame.epoch;
                        let Some(body) = frame.body else { continue };
                        self.take(body).await;
                    }
                    Ok(None) | Err(_) => break,
                },
                order = orders.recv() => {
                    if matches!(order, Some(Order::Unregister)) {
                        self.send(AgentBody::Unregister(Unregister {})).await;
                        // The link ends when the master has read that.
                        while let Ok(Some(_)) = incoming.message().await {}
                    }
                    break;
                }
                () = tokio::time::sleep_until(due) => {
                    self.wake().await;
                    self.send_again().await;
                    self.send_due_operations().await;
                }
            }
            self.finish_draining();
        }
        self.frames = None;
    }

    async fn send_everything_again(&mut self) {
        let now = Instant::now();
        for task in self.tasks.values_mut() {
            task.resend_at = now;
        }
        for applied in self.operations.values_mut() {
            applied.resend_at = now;
        }
        self.send_again().await;
        self.send_due_operations().await;
    }

    async fn take(&mut self, body: MasterBody) {
        match body {
            MasterBody::Ping(ping) => {
                let sequence = ping.sequence;
                self.send(AgentBody::Pong(Pong { sequence })).await;
            }
            MasterBody::RunTask(run) => self.run(run).await,
            MasterBody::RunTaskGroup(run) => self.run_group(run).await,
            MasterBody::KillTask(kill) => {
                let framework = kill.framework_id.unwrap_or_default().value;
                let task = kill.task_id.unwrap_or_default().value;
                self.kill(&(framework, task)).await;
            }
            MasterBody::ShutdownExecutor(shutdown) => {
                let framework = shutdown.framework_id.unwrap_or_default();
                let executor = shutdown.executor_id.unwrap_or_default();
                let of_executor =
                    |task: &Task| task.framework_id == framework && task.executor_id == executor;
                let tasks = self.tasks.iter().filter(|(_, task)| of_executor(task));
                let keys: Vec<_> = tasks.map(|(key, _)| key.clone()).collect();
                for key in keys {
                    self.kill(&key).await;
                }
            }
            MasterBody::AcknowledgeUpdate(acknowledge) => {
                let framework = acknowledge.framework_id.unwrap_or_default().value;
                let task = acknowledge.task_id.unwrap_or_default().value;
                self.acknowledged((framework, task), &acknowledge.uuid)
                    .await;
            }
            MasterBody::ShutdownFramework(shutdown) => {
                let framework = shutdown.framework_id.unwrap_or_default();
                self.tasks.retain(|_, task| task.framework_id != framework);
            }
            MasterBody::FrameworkSubscribed(_) => {
                self.send_again().await;
                self.repeat_all().await;
            }
            MasterBody::ApplyOperation(apply) => self.apply(apply).await,
            MasterBody::AcknowledgeOperation(acknowledge) => {
                self.operation_acknowledged(&acknowledge);
            }
            MasterBody::ReconcileOperations(reconcile) => {
                self.reconcile_operations(reconcile.operations).await;
            }
            MasterBody::DrainAgent(drain) => {
                self.drain = drain.config;
                for key in self.tasks.keys().cloned().collect::<Vec<_>>() {
                    self.kill(&key).await;
                }
            }
            MasterBody::FrameworkMessage(message) => self.echo(message).await,
            // Nothing here shows a FrameworkInfo.
            MasterBody::FrameworkUpdated(_)
            | MasterBody::Registered(_)
            | MasterBody::Refused(_)
            | MasterBody::ReconcileTasks(_)
            | MasterBody::Shutdown(_) => {}
        }
    }

    /// As an agent of Mesos the stand-in forgets that it drains when nothing is left.
    fn finish_draining(&mut self) {
        if self.tasks.is_empty() && self.operations.is_empty() {
            self.drain = None;
        }
    }

    /// 16 bytes that no other status has: version 4, variant 1 of RFC 4122.
    pub(super) fn uuid(&mut self) -> [u8; 16] {
        self.numbers += 1;
        let uuid = (u128::from(self.port) << 96)
            | (0x4000_u128 << 64)
            | (0x8000_u128 << 48)
            | u128::from(self.numbers);
        uuid.to_be_bytes()
    }

    pub(super) async fn send(&self, body: AgentBody) {
        let frame = AgentFrame {
            epoch: self.epoch,
            incarnation: 1,
            body: Some(body),
        };
        if let Some(frames) = &self.frames {
            // A link that is gone is noticed by `serve`.
            drop(frames.send(frame).await);
        }
    }
}
