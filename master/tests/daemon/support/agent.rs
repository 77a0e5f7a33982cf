//! A stand-in for an agent: a real link, and nothing behind it.

use std::net::SocketAddr;

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::link_client::LinkClient;
use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{
    AgentFrame, ApplyOperation, MasterFrame, OperationStatusUpdate, Pong, Register, RunTask,
    StatusUpdate,
};
use api::v1;
use model::{OperationState, TaskState};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::soon;

/// An agent's end of a link.
pub(crate) struct Agent {
    frames: mpsc::Sender<AgentFrame>,
    incoming: Streaming<MasterFrame>,
    epoch: u64,
    pub(crate) incarnation: u64,
    pub(crate) agent_id: String,
    /// Whether pings are answered.
    pub(crate) answers: bool,
}

/// What an agent with 4 cpus and 4 GiB says of itself.
pub(crate) fn register(hostname: &str) -> Register {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    let ports = v1::Resource {
        name: "ports".into(),
        r#type: v1::value::Type::Ranges.into(),
        ranges: Some(v1::value::Ranges {
            range: vec![v1::value::Range {
                begin: 31000,
                end: 32000,
            }],
        }),
        ..Default::default()
    };
    Register {
        agent_id: None,
        agent_info: Some(v1::AgentInfo {
            hostname: hostname.into(),
            port: Some(5051),
            resources: vec![
                scalar("cpus", 4.0),
                scalar("mem", 4096.0),
                scalar("disk", 10240.0),
                ports,
            ],
            attributes: vec![v1::Attribute {
                name: "rack".into(),
                r#type: v1::value::Type::Text.into(),
                text: Some(v1::value::Text { value: "a".into() }),
                ..Default::default()
            }],
            ..Default::default()
        }),
        version: "1.11.0".into(),
        capabilities: vec![v1::agent_info::Capability { r#type: Some(1) }],
        resource_version: vec![7; 16],
        advertise_ip: "127.0.1.9".into(),
        ..Default::default()
    }
}

impl Agent {
    /// Opens a link and registers.
    pub(crate) async fn register(address: SocketAddr, register: Register) -> Self {
        let mut agent = Self::open(address, register, 1).await;
        match agent.frame().await {
            MasterBody::Registered(registered) => {
                agent.agent_id = registered.agent_id.unwrap().value;
            }
            other => panic!("not registered: {other:?}"),
        }
        agent.answer_first_ping().await;
        agent
    }

    /// Answers the ping that follows an admission: until then nothing is offered of a new agent.
    async fn answer_first_ping(&mut self) {
        let frame = soon("a ping", self.incoming.message()).await;
        match frame.unwrap().unwrap().body {
            Some(MasterBody::Ping(ping)) => {
                let sequence = ping.sequence;
                self.send(AgentBody::Pong(Pong { sequence })).await;
            }
            other => panic!("not Ping: {other:?}"),
        }
    }

    /// Opens a link and sends Register.
    pub(crate) async fn open(address: SocketAddr, register: Register, incarnation: u64) -> Self {
        let frame = AgentFrame {
            epoch: 0,
            incarnation,
            body: Some(AgentBody::Register(register)),
        };
        Self::open_with(address, Some(frame), incarnation).await
    }

    /// Opens a link and says nothing.
    pub(crate) async fn open_silent(address: SocketAddr) -> Self {
        Self::open_with(address, None, 0).await
    }

    async fn open_with(address: SocketAddr, first: Option<AgentFrame>, incarnation: u64) -> Self {
        let (frames, outgoing) = mpsc::channel(64);
        if let Some(frame) = first {
            frames.send(frame).await.unwrap();
        }
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let incoming = LinkClient::new(channel)
            .connect(ReceiverStream::new(outgoing))
            .await
            .unwrap()
            .into_inner();
        Self {
            frames,
            incoming,
            epoch: 0,
            incarnation,
            agent_id: String::new(),
            answers: true,
        }
    }

    /// The next frame that is no ping; `None` at the end of the link.
    pub(crate) async fn next(&mut self) -> Option<MasterBody> {
        loop {
            let frame = soon("a frame", self.incoming.message()).await.ok()??;
            assert_eq!(frame.incarnation, self.incarnation);
            assert!(frame.epoch >= 1);
            self.epoch = frame.epoch;
            match frame.body? {
                MasterBody::Ping(ping) if self.answers => {
                    let sequence = ping.sequence;
                    self.send(AgentBody::Pong(Pong { sequence })).await;
                }
                MasterBody::Ping(_) => {}
                body => return Some(body),
            }
        }
    }

    /// The next frame that is no ping.
    pub(crate) async fn frame(&mut self) -> MasterBody {
        self.next().await.expect("an open link")
    }

    /// The next frame, which must be RunTask.
    pub(crate) async fn run_task(&mut self) -> RunTask {
        match self.frame().await {
            MasterBody::RunTask(run) => run,
            other => panic!("not RunTask: {other:?}"),
        }
    }

    /// The next frame, which must be ApplyOperation.
    pub(crate) async fn operation(&mut self) -> ApplyOperation {
        match self.frame().await {
            MasterBody::ApplyOperation(apply) => apply,
            other => panic!("not ApplyOperation: {other:?}"),
        }
    }

    /// Sends the end of an operation, with what the agent has where it was not applied; gives back
    /// the status.
    pub(crate) async fn ended(
        &self,
        apply: &ApplyOperation,
        state: OperationState,
        total: &[v1::Resource],
    ) -> v1::OperationStatus {
        let status = v1::OperationStatus {
            operation_id: apply.info.as_ref().and_then(|info| info.id.clone()),
            state: state.number(),
            uuid: Some(v1::Uuid {
                value: apply.operation_uuid.clone(),
            }),
            ..Default::default()
        };
        self.send(AgentBody::OperationUpdate(OperationStatusUpdate {
            framework_id: apply.framework_id.clone(),
            operation_uuid: apply.operation_uuid.clone(),
            status: Some(status.clone()),
            total_resources: total.to_vec(),
        }))
        .await;
        status
    }

    pub(crate) async fn send(&self, body: AgentBody) {
        let frame = AgentFrame {
            epoch: self.epoch,
            incarnation: self.incarnation,
            body: Some(body),
        };
        self.frames.send(frame).await.unwrap();
    }

    /// Sends a status update; gives back its uuid.
    pub(crate) async fn update(&self, run: &RunTask, state: TaskState, number: u8) -> Vec<u8> {
        let task = run.task_info.as_ref().unwrap();
        // Version 4, variant 1: RFC 4122.
        let mut uuid = vec![number; 16];
        uuid[6] = 0x40;
        uuid[8] = 0x80;
        let status = v1::TaskStatus {
            task_id: task.task_id.clone(),
            state: state.number(),
            source: Some(v1::task_status::Source::Executor.into()),
            agent_id: Some(v1::AgentId {
                value: self.agent_id.clone(),
            }),
            executor_id: Some(v1::ExecutorId {
                value: task.task_id.value.clone(),
            }),
            timestamp: Some(1000.0 + f64::from(number)),
            uuid: Some(uuid.clone()),
            ..Default::default()
        };
        self.send(AgentBody::Update(StatusUpdate {
            framework_id: run.framework_info.as_ref().unwrap().id.clone(),
            executor_id: status.executor_id.clone(),
            latest_state: state.number(),
            status: Some(status),
        }))
        .await;
        uuid
    }
}
