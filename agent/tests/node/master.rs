//! A master of one agent and one link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use api::link::v1::agent_frame::Body as FromAgent;
use api::link::v1::link_server::{Link, LinkServer};
use api::link::v1::master_frame::Body as ToAgent;
use api::link::v1::{
    AcknowledgeOperation, AcknowledgeUpdate, AgentFrame, ApplyOperation, KillTask, MasterFrame,
    Register, Registered, RunTask, RunTaskGroup, StatusUpdate,
};
use api::v1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::PATIENCE;

/// A master that follows a script: what it hears goes to the test, what the test says to the agent.
pub(crate) struct Master {
    pub(crate) port: u16,
    heard: mpsc::Receiver<AgentFrame>,
    said: mpsc::Sender<ToAgent>,
    /// Of the agent that it expects.
    incarnation: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

struct Service {
    heard: mpsc::Sender<AgentFrame>,
    /// Of the link that there is.
    said: Arc<tokio::sync::Mutex<mpsc::Receiver<MasterFrame>>>,
}

#[tonic::async_trait]
impl Link for Service {
    type ConnectStream = ReceiverStream<Result<MasterFrame, tonic::Status>>;

    async fn connect(
        &self,
        request: tonic::Request<tonic::Streaming<AgentFrame>>,
    ) -> Result<tonic::Response<Self::ConnectStream>, tonic::Status> {
        let mut frames = request.into_inner();
        let heard = self.heard.clone();
        let (answer, answers) = mpsc::channel(64);
        let said = Arc::clone(&self.said);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = frames.next().await {
                if heard.send(frame).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let mut said = said.lock().await;
            loop {
                let frame = tokio::select! {
                    frame = said.recv() => frame,
                    () = answer.closed() => None,
                };
                let Some(frame) = frame else {
                    return;
                };
                if answer.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        Ok(tonic::Response::new(ReceiverStream::new(answers)))
    }
}

impl Master {
    /// A master of an agent that starts for the n-th time.
    pub(crate) fn start(incarnation: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (heard_in, heard) = mpsc::channel(64);
        let (frames_in, frames) = mpsc::channel(64);
        let (said, mut wanted) = mpsc::channel(64);
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let service = Service {
            heard: heard_in,
            said: Arc::new(tokio::sync::Mutex::new(frames)),
        };
        runtime.spawn(async move {
            let service = TowerToHyperService::new(LinkServer::new(service));
            loop {
                let (stream, _) = listener.accept().await.expect("the agent");
                let service = service.clone();
                tokio::spawn(async move {
                    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    println!("the agent's link has ended: {served:?}");
                });
            }
        });
        let incarnation = Arc::new(AtomicU64::new(incarnation));
        let expected = Arc::clone(&incarnation);
        runtime.spawn(async move {
            while let Some(body) = wanted.recv().await {
                let frame = MasterFrame {
                    epoch: 3,
                    incarnation: expected.load(Ordering::SeqCst),
                    body: Some(body),
                };
                if frames_in.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Self {
            port,
            heard,
            said,
            incarnation,
            _runtime: runtime,
        }
    }

    /// The agent is about to come back.
    pub(crate) fn expect_next(&self) {
        self.incarnation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn say(&self, body: ToAgent) {
        self.said.blocking_send(body).expect("the agent listens");
    }

    pub(crate) fn hear(&mut self) -> FromAgent {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(frame) = self.heard.try_recv() {
                let expected = self.incarnation.load(Ordering::SeqCst);
                if frame.incarnation < expected {
                    // As every master does.
                    println!("dropped: {frame:?}");
                    continue;
                }
                assert_eq!(frame.incarnation, expected);
                return frame.body.expect("a body");
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the agent says nothing");
    }

    pub(crate) fn admit(&mut self) -> Register {
        let register = match self.hear() {
            FromAgent::Register(register) => register,
            other => panic!("{other:?} before Register"),
        };
        let info = register.agent_info.as_ref().expect("a description");
        assert_eq!(info.hostname, "node-of-the-test");
        assert_eq!(register.resource_version.len(), 16);
        self.say(ToAgent::Registered(Registered {
            agent_id: Some(v1::AgentId {
                value: "m-S0".into(),
            }),
            total_ping_timeout_ns: 75_000_000_000,
            ..Registered::default()
        }));
        register
    }

    pub(crate) fn run(&self, task: &str) {
        self.run_with("", task);
    }

    /// Runs a task that holds more than a little cpu and memory; `resources` end with a comma.
    pub(crate) fn run_with(&self, resources: &str, task: &str) {
        self.run_of(r#""checkpoint":true,"#, resources, task);
    }

    /// The same of a framework that says so of itself; `about` ends with a comma.
    pub(crate) fn run_of(&self, about: &str, resources: &str, task: &str) {
        self.say(ToAgent::RunTask(RunTask {
            framework_info: Some(framework(about)),
            task_info: Some(task_info(resources, task)),
            resource_version: Vec::new(),
            executor_expected: false,
        }));
    }

    /// Runs tasks in a pod, which may be there already.
    pub(crate) fn run_pod(&self, tasks: &[&str], executor_expected: bool) {
        let pod = r#"{"executor_id":{"value":"pod"},"type":"DEFAULT","framework_id":{"value":"m-0000"},
            "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},
                {"name":"mem","type":"SCALAR","scalar":{"value":32}}]}"#;
        let tasks = tasks.iter().map(|task| task_info("", task));
        self.say(ToAgent::RunTaskGroup(RunTaskGroup {
            framework_info: Some(framework(r#""checkpoint":true,"#)),
            executor_info: Some(api::json::from_json(pod.as_bytes()).expect("an executor")),
            task_group: Some(v1::TaskGroupInfo {
                tasks: tasks.collect(),
            }),
            resource_version: Vec::new(),
            executor_expected,
        }));
    }

    /// Kills a task.
    pub(crate) fn kill(&self, task: &str) {
        self.say(ToAgent::KillTask(KillTask {
            framework_id: Some(v1::FrameworkId {
                value: "m-0000".into(),
            }),
            task_id: Some(v1::TaskId { value: task.into() }),
            kill_policy: None,
        }));
    }

    /// The next update, acknowledged.
    pub(crate) fn update(&mut self) -> v1::TaskStatus {
        let status = match self.hear() {
            FromAgent::Update(StatusUpdate { status, .. }) => status.expect("a status"),
            other => panic!("{other:?} is no update"),
        };
        self.say(ToAgent::AcknowledgeUpdate(AcknowledgeUpdate {
            framework_id: Some(v1::FrameworkId {
                value: "m-0000".into(),
            }),
            task_id: Some(status.task_id.clone()),
            uuid: status.uuid.clone().expect("a uuid"),
        }));
        status
    }

    /// Sends an operation of this number; its status, acknowledged.
    pub(crate) fn apply(&mut self, number: u8, operation: &str) -> v1::OperationStatus {
        let info = api::json::from_json(operation.as_bytes()).expect("an operation");
        self.say(ToAgent::ApplyOperation(ApplyOperation {
            framework_id: None,
            info: Some(info),
            operation_uuid: vec![number; 16],
            resource_version: Vec::new(),
        }));
        let update = match self.hear() {
            FromAgent::OperationUpdate(update) => update,
            other => panic!("{other:?} is no status of an operation"),
        };
        assert_eq!(update.operation_uuid, vec![number; 16]);
        let status = update.status.expect("a status");
        let uuid = status.uuid.clone().expect("a uuid");
        self.say(ToAgent::AcknowledgeOperation(AcknowledgeOperation {
            operation_uuid: vec![number; 16],
            status_uuid: uuid.value,
        }));
        status
    }
}

fn framework(about: &str) -> v1::FrameworkInfo {
    let framework = format!(
        r#"{{"id":{{"value":"m-0000"}},"name":"f","user":"root",{about}
            "capabilities":[{{"type":"TASK_KILLING_STATE"}}]}}"#
    );
    api::json::from_json(framework.as_bytes()).expect("a framework")
}

fn task_info(resources: &str, task: &str) -> v1::TaskInfo {
    let task = format!(
        r#"{{"name":"n","agent_id":{{"value":"m-S0"}},"resources":[{resources}
            {{"name":"cpus","type":"SCALAR","scalar":{{"value":0.1}}}},
            {{"name":"mem","type":"SCALAR","scalar":{{"value":32}}}}],{task}}}"#
    );
    api::json::from_json(task.as_bytes()).expect("a task")
}
