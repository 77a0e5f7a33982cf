//! The main loop against a master of this test's own: over a real link, port and disk.
//!
//! The test that runs a task needs root and a static busybox, and says so where it has neither.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use api::link::v1::agent_frame::Body as FromAgent;
use api::link::v1::link_server::{Link, LinkServer};
use api::link::v1::master_frame::Body as ToAgent;
use api::link::v1::{
    AcknowledgeUpdate, AgentFrame, KillTask, MasterFrame, Registered, RunTask, StatusUpdate,
};
use api::v1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use model::{Reason, TaskState};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// A master that follows a script: what it hears goes to the test, what the test says to the agent.
struct Master {
    port: u16,
    heard: mpsc::Receiver<AgentFrame>,
    said: mpsc::Sender<ToAgent>,
    incarnation: u64,
    _runtime: tokio::runtime::Runtime,
}

struct Service {
    heard: mpsc::Sender<AgentFrame>,
    said: tokio::sync::Mutex<Option<mpsc::Receiver<MasterFrame>>>,
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
        let mut said = self.said.lock().await.take();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = frames.next().await {
                if heard.send(frame).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(frame) = said.as_mut().expect("one link").recv().await {
                if answer.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        Ok(tonic::Response::new(ReceiverStream::new(answers)))
    }
}

impl Master {
    fn start() -> Self {
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
            said: tokio::sync::Mutex::new(Some(frames)),
        };
        runtime.spawn(async move {
            let (stream, _) = listener.accept().await.expect("the agent");
            let service = TowerToHyperService::new(LinkServer::new(service));
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            println!("the agent's link has ended: {served:?}");
        });
        runtime.spawn(async move {
            while let Some(body) = wanted.recv().await {
                let frame = MasterFrame {
                    epoch: 3,
                    incarnation: 1,
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
            incarnation: 0,
            _runtime: runtime,
        }
    }

    fn say(&self, body: ToAgent) {
        self.said.blocking_send(body).expect("the agent listens");
    }

    fn hear(&mut self) -> FromAgent {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(frame) = self.heard.try_recv() {
                self.incarnation = frame.incarnation;
                return frame.body.expect("a body");
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the agent says nothing");
    }

    fn admit(&mut self) {
        match self.hear() {
            FromAgent::Register(register) => {
                let info = register.agent_info.expect("a description");
                assert_eq!(info.hostname, "node-of-the-test");
                assert_eq!(register.resource_version.len(), 16);
            }
            other => panic!("{other:?} before Register"),
        }
        assert_eq!(self.incarnation, 1);
        self.say(ToAgent::Registered(Registered {
            agent_id: Some(v1::AgentId {
                value: "m-S0".into(),
            }),
            total_ping_timeout_ns: 75_000_000_000,
            ..Registered::default()
        }));
    }

    fn run(&self, task: &str) {
        let task = format!(
            r#"{{"name":"n","agent_id":{{"value":"m-S0"}},"resources":[
                {{"name":"cpus","type":"SCALAR","scalar":{{"value":0.1}}}},
                {{"name":"mem","type":"SCALAR","scalar":{{"value":32}}}}],{task}}}"#
        );
        let framework = r#"{"id":{"value":"m-0000"},"name":"f","user":"root",
            "capabilities":[{"type":"TASK_KILLING_STATE"}]}"#;
        self.say(ToAgent::RunTask(RunTask {
            framework_info: Some(api::json::from_json(framework.as_bytes()).expect("a framework")),
            task_info: Some(api::json::from_json(task.as_bytes()).expect("a task")),
            resource_version: Vec::new(),
        }));
    }

    /// The next update, acknowledged.
    fn update(&mut self) -> v1::TaskStatus {
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
}

/// The agent's program, as an ordinary process.
struct Agent {
    address: SocketAddr,
    process: Child,
    work_dir: tempfile::TempDir,
}

impl Agent {
    fn start(master: &Master, root: Option<&Path>) -> Self {
        let work_dir = tempfile::tempdir().expect("a folder");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        drop(taken);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tepui-agent"));
        command
            .arg(format!("--master=127.0.0.1:{}", master.port))
            .arg(format!("--work_dir={}", work_dir.path().display()))
            .arg(format!("--port={}", address.port()))
            .args(["--ip=127.0.0.1", "--hostname=node-of-the-test"])
            .args([
                "--resources=cpus:2;mem:256;disk:1024",
                "--attributes=rack:a1",
            ])
            .arg("--switch_user=false");
        if let Some(root) = root {
            command.arg(format!("--default_rootfs={}", root.display()));
        }
        Self {
            address,
            process: command.spawn().expect("the agent"),
            work_dir,
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the agent's port");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Asks until the answer holds a text.
    fn get_until(&self, path: &str, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            if answer.contains(wanted) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} is not in {answer}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it by SIGTERM; its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(self.process.id().try_into().expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        self.process.wait().expect("the agent's end").code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Only where the test failed is there still something to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_agent_registers_refuses_what_it_cannot_run_and_ends_when_told() {
    let mut master = Master::start();
    let agent = Agent::start(&master, None);
    master.admit();
    master.run(
        r#""task_id":{"value":"t1"},"executor":{"executor_id":{"value":"e"},
           "command":{"value":"x"}}"#,
    );
    let status = master.update();
    assert_eq!(status.state, TaskState::Failed.number());
    assert_eq!(status.reason, Some(Reason::ContainerLaunchFailed.number()));
    assert_eq!(
        status.message(),
        "custom executors are not supported by this agent yet"
    );
    master.run(r#""task_id":{"value":"t2"},"command":{"value":"true"}"#);
    let status = master.update();
    assert_eq!(
        status.message(),
        "this host was given no root for tasks (--default_rootfs)"
    );

    let state = agent.get_until("/slave(1)/state", r#""id":"t2""#);
    assert!(state.starts_with("HTTP/1.1 200 OK\r\n"), "{state}");
    for part in [
        r#""id":"m-S0""#,
        r#""attributes":{"rack":"a1"}"#,
        r#""cpus":2.0"#,
        r#""ports":"[31000-32000]""#,
        r#""state":"TASK_FAILED""#,
    ] {
        assert!(state.contains(part), "{part} is not in {state}");
    }
    assert!(
        agent
            .get("/metrics/snapshot")
            .contains(r#""slave/tasks_failed":2.0"#)
    );
    assert!(agent.get("/slave%281%29/health").contains("200 OK"));
    assert!(agent.get("/nope").contains("404 Not Found"));
    assert!(
        agent
            .get("/files/read?path=/etc/passwd&offset=0")
            .contains("404 Not Found")
    );
    assert!(
        agent
            .get("/files/browse?path=/frameworks/m-0000/executors/../../../../etc")
            .contains("404")
    );
    assert_eq!(agent.stop(), Some(0));
}

/// A root of a static busybox; `None` where this host has none, or the test may not use it.
fn busybox_root() -> Option<tempfile::TempDir> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let found = ["/usr/bin/busybox", "/bin/busybox"].map(fs::read);
    let Some(program) = found.into_iter().flatten().next() else {
        println!("skipped: needs busybox");
        return None;
    };
    // A program that needs libraries names its loader near its beginning (PT_INTERP).
    let head = &program[..program.len().min(1024)];
    if head.windows(9).any(|window| window == b"ld-linux-") {
        println!("skipped: needs a static busybox");
        return None;
    }
    let root = tempfile::tempdir().expect("a folder");
    for folder in [
        "bin",
        "etc",
        "proc",
        "dev",
        "sys",
        "tmp",
        "mnt/mesos/sandbox",
    ] {
        fs::create_dir_all(root.path().join(folder)).expect("a folder");
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        fs::write(root.path().join("etc").join(file), "").expect("a file");
    }
    let busybox = root.path().join("bin/busybox");
    fs::write(&busybox, program).expect("busybox");
    use std::os::unix::fs::PermissionsExt;
    for path in [busybox.as_path(), root.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    for applet in ["sh", "sleep", "echo", "cat"] {
        symlink("busybox", root.path().join("bin").join(applet)).expect("a link");
    }
    Some(root)
}

#[test]
fn a_task_runs_writes_its_output_fails_with_its_status_and_another_is_killed() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start();
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    master.run(r#""task_id":{"value":"t1"},"command":{"value":"echo hello; exit 7"}"#);
    let states = [master.update(), master.update(), master.update()];
    let seen = states
        .each_ref()
        .map(|status| (status.state, status.message()));
    assert_eq!(
        seen,
        [
            (TaskState::Starting.number(), ""),
            (TaskState::Running.number(), ""),
            (TaskState::Failed.number(), "Command exited with status 7"),
        ]
    );
    let path = "/frameworks/m-0000/executors/t1/runs/latest/stdout";
    let read = agent.get(&format!("/files/read?path={path}&offset=0"));
    assert!(read.ends_with(r#"{"data":"hello\n","offset":0}"#), "{read}");
    master.run(r#""task_id":{"value":"t2"},"command":{"value":"sleep 1000"}"#);
    master.update();
    master.update();
    master.say(ToAgent::KillTask(KillTask {
        framework_id: Some(v1::FrameworkId {
            value: "m-0000".into(),
        }),
        task_id: Some(v1::TaskId { value: "t2".into() }),
        kill_policy: None,
    }));
    assert_eq!(master.update().state, TaskState::Killing.number());
    assert_eq!(master.update().state, TaskState::Killed.number());
    assert!(agent.work_dir.path().join("meta/checkpoint.log").exists());
    assert_eq!(agent.stop(), Some(0));
}
