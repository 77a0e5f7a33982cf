//! A stand-in for an agent: a real link, and behind it tasks that are only said to run.
//!
//! A task's command tells how it goes: `exit N` and `true` end at once, everything else runs until
//! it is killed. Of each task one update waits for its acknowledgement at a time and is sent again
//! after 10 s, then 20 s, and so on, as an agent of Mesos does.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::link_client::LinkClient;
use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{
    AgentFrame, ExecutorExited, MasterFrame, Pong, Register, RunTask, StatusUpdate,
};
use api::v1;
use model::{Reason, TaskState};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

/// Frames that may wait on their way to the master; the agent waits when there are more.
const FRAMES_MAX: usize = 256;
/// How long an update waits for its first acknowledgement; doubled each time.
const RESEND_AFTER: Duration = Duration::from_secs(10);

/// Why a fake agent is not there.
#[derive(Debug, thiserror::Error)]
pub enum FakeAgentError {
    /// The master cannot be reached.
    #[error("open a link to {address}")]
    Connect {
        /// Where it listens.
        address: SocketAddr,
        /// The cause.
        source: tonic::transport::Error,
    },
    /// The link ended before the master admitted the agent.
    #[error("the master does not admit the agent: {0}")]
    Refused(String),
}

/// A running stand-in; it is gone without a word when it is dropped.
#[derive(Debug)]
pub struct FakeAgent {
    agent_id: String,
    task: JoinHandle<()>,
}

impl FakeAgent {
    /// Registers an agent with `cpus:4;mem:4096;disk:10240;ports:[31000-32000]` and serves it.
    ///
    /// # Errors
    /// The master is not there, or does not admit it.
    pub async fn start(address: SocketAddr, port: u16) -> Result<Self, FakeAgentError> {
        let connect = |source| FakeAgentError::Connect { address, source };
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        let register = AgentFrame {
            epoch: 0,
            incarnation: 1,
            body: Some(AgentBody::Register(register(port))),
        };
        let refused = |reason: &dyn std::fmt::Display| FakeAgentError::Refused(reason.to_string());
        frames.send(register).await.map_err(|e| refused(&e))?;
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .map_err(connect)?
            .connect()
            .await
            .map_err(connect)?;
        let mut incoming = LinkClient::new(channel)
            .connect(ReceiverStream::new(outgoing))
            .await
            .map_err(|e| refused(&e))?
            .into_inner();
        let first = incoming.message().await.map_err(|e| refused(&e))?;
        let (epoch, agent_id) = match first.map(|frame| (frame.epoch, frame.body)) {
            Some((epoch, Some(MasterBody::Registered(registered)))) => {
                (epoch, registered.agent_id.unwrap_or_default())
            }
            other => return Err(refused(&format!("{other:?}"))),
        };
        let node = Node {
            frames,
            epoch,
            agent_id: agent_id.clone(),
            port,
            numbers: 0,
            tasks: BTreeMap::new(),
        };
        Ok(Self {
            agent_id: agent_id.value,
            task: tokio::spawn(node.serve(incoming)),
        })
    }

    /// The id that the master gave it.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the agent says of itself.
fn register(port: u16) -> Register {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    let range = v1::value::Range {
        begin: 31000,
        end: 32000,
    };
    let ports = v1::Resource {
        name: "ports".into(),
        r#type: v1::value::Type::Ranges.into(),
        ranges: Some(v1::value::Ranges { range: vec![range] }),
        ..Default::default()
    };
    let resources = vec![
        scalar("cpus", 4.0),
        scalar("mem", 4096.0),
        scalar("disk", 10240.0),
        ports,
    ];
    let capability = |number| v1::agent_info::Capability {
        r#type: Some(number),
    };
    Register {
        agent_info: Some(v1::AgentInfo {
            hostname: "localhost".into(),
            port: Some(port.into()),
            resources,
            ..Default::default()
        }),
        version: "1.11.0".into(),
        // From MULTI_ROLE to TASK_RESOURCE_LIMITS: what an agent of 1.11.0 says it can do.
        capabilities: (1..=8).map(capability).collect(),
        resource_version: vec![7; 16],
        advertise_ip: "127.0.0.1".into(),
        ..Default::default()
    }
}

/// The agent's side of the link.
struct Node {
    frames: mpsc::Sender<AgentFrame>,
    epoch: u64,
    agent_id: v1::AgentId,
    port: u16,
    /// Counts what needs an id of its own; the port tells agents of one master apart.
    numbers: u64,
    /// By framework and task.
    tasks: BTreeMap<(String, String), Task>,
}

/// A task, and the updates that its framework has not acknowledged.
struct Task {
    framework_id: v1::FrameworkId,
    executor_id: v1::ExecutorId,
    latest: TaskState,
    status: v1::TaskStatus,
    updates: VecDeque<v1::TaskStatus>,
    resend_at: Instant,
    resend_after: Duration,
}

impl Node {
    async fn serve(mut self, mut incoming: tonic::Streaming<MasterFrame>) {
        loop {
            let deadline = self.tasks.values().filter(|task| !task.updates.is_empty());
            let deadline = deadline.map(|task| task.resend_at).min();
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
                () = tokio::time::sleep_until(due) => self.send_again().await,
            }
        }
    }

    async fn take(&mut self, body: MasterBody) {
        match body {
            MasterBody::Ping(ping) => {
                let sequence = ping.sequence;
                self.send(AgentBody::Pong(Pong { sequence })).await;
            }
            MasterBody::RunTask(run) => self.run(run).await,
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
            MasterBody::Registered(_)
            | MasterBody::Refused(_)
            | MasterBody::ReconcileTasks(_)
            | MasterBody::ApplyOperation(_)
            | MasterBody::AcknowledgeOperation(_)
            | MasterBody::ReconcileOperations(_)
            | MasterBody::RunTaskGroup(_)
            | MasterBody::FrameworkMessage(_)
            | MasterBody::FrameworkUpdated(_)
            | MasterBody::DrainAgent(_)
            | MasterBody::Shutdown(_) => {}
        }
    }

    async fn run(&mut self, run: RunTask) {
        let info = run.task_info.unwrap_or_default();
        let framework_id = run.framework_info.and_then(|framework| framework.id);
        let framework_id = framework_id.unwrap_or_default();
        let executor = info.executor.as_ref().map(|executor| &executor.executor_id);
        let executor_id = executor.cloned().unwrap_or(v1::ExecutorId {
            value: info.task_id.value.clone(),
        });
        let key = (framework_id.value.clone(), info.task_id.value.clone());
        self.numbers += 1;
        let container = format!("{:08x}-0000-4000-8000-{:012x}", self.port, self.numbers);
        let address = v1::network_info::IpAddress {
            ip_address: Some("127.0.0.1".into()),
            ..Default::default()
        };
        let status = v1::TaskStatus {
            task_id: info.task_id.clone(),
            source: Some(v1::task_status::Source::Executor.into()),
            agent_id: Some(self.agent_id.clone()),
            executor_id: Some(executor_id.clone()),
            container_status: Some(v1::ContainerStatus {
                container_id: Some(v1::ContainerId {
                    value: container,
                    ..Default::default()
                }),
                network_infos: vec![v1::NetworkInfo {
                    ip_addresses: vec![address],
                    ..Default::default()
                }],
                executor_pid: Some(std::process::id()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let task = Task {
            framework_id,
            executor_id,
            latest: TaskState::Staging,
            status,
            updates: VecDeque::new(),
            resend_at: Instant::now(),
            resend_after: RESEND_AFTER,
        };
        self.tasks.insert(key.clone(), task);
        if let Some(executor) = &info.executor {
            let command = executor.command.as_ref().and_then(|c| c.value.as_deref());
            if let Some(code) = command.and_then(exit_code) {
                return self.executor_ends(&key, code).await;
            }
        }
        self.update(&key, TaskState::Starting, None).await;
        self.update(&key, TaskState::Running, None).await;
        let command = info.command.and_then(|command| command.value);
        let command = command.unwrap_or_default();
        let Some(code) = exit_code(&command) else {
            return;
        };
        let ended = match code {
            0 => TaskState::Finished,
            _ => TaskState::Failed,
        };
        let message = format!("Command exited with status {code}");
        self.update(&key, ended, Some(message)).await;
    }

    /// An executor of the framework's own that ends before it took its task.
    async fn executor_ends(&mut self, key: &(String, String), code: i32) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let exited = ExecutorExited {
            framework_id: Some(task.framework_id.clone()),
            executor_id: Some(task.executor_id.clone()),
            // As wait(2) encodes it.
            wait_status: code << 8,
        };
        task.status.source = Some(v1::task_status::Source::Agent.into());
        task.status.reason = Some(Reason::ExecutorTerminated.number());
        self.update(key, TaskState::Failed, Some("Executor terminated".into()))
            .await;
        self.send(AgentBody::ExecutorExited(exited)).await;
    }

    async fn kill(&mut self, key: &(String, String)) {
        let message = "Command terminated with signal Terminated".to_owned();
        self.update(key, TaskState::Killed, Some(message)).await;
    }

    /// Queues an update; nothing follows a terminal one.
    async fn update(&mut self, key: &(String, String), state: TaskState, message: Option<String>) {
        let Some(task) = self.tasks.get_mut(key).filter(|t| !t.latest.is_terminal()) else {
            return;
        };
        self.numbers += 1;
        // Version 4, variant 1: RFC 4122.
        let uuid = (u128::from(self.port) << 96)
            | (0x4000_u128 << 64)
            | (0x8000_u128 << 48)
            | u128::from(self.numbers);
        let uuid = uuid.to_be_bytes();
        let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let command_failed = (state == TaskState::Failed).then_some(Reason::CommandExecutorFailed);
        let command_failed = command_failed.map(Reason::number);
        task.latest = state;
        task.updates.push_back(v1::TaskStatus {
            state: state.number(),
            message,
            reason: task.status.reason.or(command_failed),
            timestamp: Some(clock.as_secs_f64()),
            uuid: Some(uuid.to_vec()),
            ..task.status.clone()
        });
        if task.updates.len() == 1 {
            self.send_first(key).await;
        }
    }

    async fn acknowledged(&mut self, key: (String, String), uuid: &[u8]) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        if task
            .updates
            .front()
            .is_none_or(|update| update.uuid.as_deref() != Some(uuid))
        {
            return;
        }
        task.updates.pop_front();
        task.resend_after = RESEND_AFTER;
        if task.updates.is_empty() && task.latest.is_terminal() {
            self.tasks.remove(&key);
        } else {
            self.send_first(&key).await;
        }
    }

    async fn send_again(&mut self) {
        let now = Instant::now();
        let due = self.tasks.iter().filter(|(_, task)| task.resend_at <= now);
        let keys: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.send_first(&key).await;
        }
    }

    /// Sends the update that waits longest for its acknowledgement.
    async fn send_first(&mut self, key: &(String, String)) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let Some(status) = task.updates.front() else {
            return;
        };
        let body = AgentBody::Update(StatusUpdate {
            framework_id: Some(task.framework_id.clone()),
            executor_id: Some(task.executor_id.clone()),
            latest_state: task.latest.number(),
            status: Some(status.clone()),
        });
        task.resend_at = Instant::now() + task.resend_after;
        task.resend_after *= 2;
        self.send(body).await;
    }

    async fn send(&self, body: AgentBody) {
        let frame = AgentFrame {
            epoch: self.epoch,
            incarnation: 1,
            body: Some(body),
        };
        // A link that is gone is noticed by `serve`.
        drop(self.frames.send(frame).await);
    }
}

/// The status a command ends with at once; `None` where it runs on.
fn exit_code(command: &str) -> Option<i32> {
    match command.trim() {
        "true" => Some(0),
        text => text.strip_prefix("exit ")?.parse().ok(),
    }
}
