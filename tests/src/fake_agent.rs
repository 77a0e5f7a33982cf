//! A stand-in for an agent: a real link, and behind it tasks that are only said to run.
//!
//! A task's command tells how it goes: `exit N` and `true` end at once, a short `sleep N` at its end
//! after so many seconds, everything else runs until it is killed. Operations are said to be applied. Of each task one update, and of each operation
//! its status, waits for the acknowledgement and is sent again after 10 s, then 20 s, and so on, as
//! an agent of Mesos does.

mod node;
mod operations;
mod tasks;

use std::net::SocketAddr;
use std::time::Duration;

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::link_client::LinkClient;
use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{AgentFrame, Register};
use api::v1;
use node::Node;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
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
        let node = Node::new(frames, epoch, agent_id.clone(), port);
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
