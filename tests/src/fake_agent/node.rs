//! The stand-in's side of the link: frames in, frames out.

use std::collections::BTreeMap;

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{AgentFrame, MasterFrame, Pong};
use api::v1;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::RESEND_AFTER;
use super::operations::Applied;
use super::tasks::{Task, TaskKey};

/// The agent's side of the link.
pub(super) struct Node {
    frames: mpsc::Sender<AgentFrame>,
    epoch: u64,
    pub(super) agent_id: v1::AgentId,
    pub(super) port: u16,
    /// Counts what needs an id of its own; the port tells agents of one master apart.
    pub(super) numbers: u64,
    pub(super) tasks: BTreeMap<TaskKey, Task>,
    /// Those whose status is not acknowledged, by their uuid.
    pub(super) operations: BTreeMap<Vec<u8>, Applied>,
    /// Set while tasks end and none is taken.
    pub(super) drain: Option<v1::DrainConfig>,
}

impl Node {
    pub(super) fn new(
        frames: mpsc::Sender<AgentFrame>,
        epoch: u64,
        agent_id: v1::AgentId,
        port: u16,
    ) -> Self {
        Self {
            frames,
            epoch,
            agent_id,
            port,
            numbers: 0,
            tasks: BTreeMap::new(),
            operations: BTreeMap::new(),
            drain: None,
        }
    }

    pub(super) async fn serve(mut self, mut incoming: tonic::Streaming<MasterFrame>) {
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
                    Ok(None) | Err(_) => return,
                },
                () = tokio::time::sleep_until(due) => {
                    self.wake().await;
                    self.send_again().await;
                    self.send_due_operations().await;
                }
            }
            self.finish_draining();
        }
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
            MasterBody::FrameworkSubscribed(_) => self.send_again().await,
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
        // A link that is gone is noticed by `serve`.
        drop(self.frames.send(frame).await);
    }
}
