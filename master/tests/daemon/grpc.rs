//! The scheduler API over gRPC: the same calls and events as over HTTP, on one stream.

use api::scheduler::v1::scheduler_client::SchedulerClient;
use api::v1::offer::Operation;
use api::v1::offer::operation::{self, Launch};
use api::v1::scheduler::call::reconcile::Task;
use api::v1::scheduler::call::{self, Accept, Acknowledge, Reconcile, Subscribe};
use api::v1::scheduler::event::Type as EventType;
use api::v1::scheduler::{Call, Event};
use api::v1::{FrameworkId, FrameworkInfo, TaskId, TaskInfo};
use master::Server;
use master::flags::{AccessFlags, Config, Leader};
use model::TaskState;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::support::agent::{self, Agent};
use crate::support::http;
use crate::support::scheduler;
use crate::support::{config, master, soon};

/// A stream of calls and events.
struct Framework {
    calls: mpsc::Sender<Call>,
    events: Streaming<Event>,
    id: Option<FrameworkId>,
}

fn subscribe(principal: Option<&str>) -> Call {
    Call {
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(Subscribe {
            framework_info: FrameworkInfo {
                user: "root".into(),
                name: "grpc".into(),
                failover_timeout: Some(60.0),
                principal: principal.map(Into::into),
                ..FrameworkInfo::default()
            },
            ..Subscribe::default()
        }),
        ..Call::default()
    }
}

impl Framework {
    async fn open(master: &Server, authorization: Option<&str>) -> Result<Self, Status> {
        let endpoint = Channel::from_shared(format!("http://{}", master.address())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let (calls, receiver) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(authorization) = authorization {
            let value = authorization.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let connecting = SchedulerClient::new(channel).connect(request).await;
        Ok(Self {
            calls,
            events: connecting?.into_inner(),
            id: None,
        })
    }

    async fn subscribed(master: &Server) -> Self {
        let mut this = Self::open(master, None).await.unwrap();
        this.call_as_it_is(subscribe(None)).await;
        let event = this.expect(EventType::Subscribed).await;
        this.id = Some(event.subscribed.unwrap().framework_id);
        this.expect(EventType::Heartbeat).await;
        this
    }

    async fn call(&self, call: Call) {
        let framework_id = self.id.clone();
        self.call_as_it_is(Call {
            framework_id,
            ..call
        })
        .await;
    }

    async fn call_as_it_is(&self, call: Call) {
        self.calls.send(call).await.unwrap();
    }

    async fn expect(&mut self, kind: EventType) -> Event {
        let event = soon(kind.as_str_name(), self.events.message()).await;
        let event = event.unwrap().expect("an open stream");
        assert_eq!(event.r#type(), kind, "{event:?}");
        event
    }

    /// How the stream ends, whatever comes before.
    async fn end(&mut self) -> Option<(Code, String)> {
        loop {
            match soon("the end", self.events.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some((status.code(), status.message().to_owned())),
            }
        }
    }
}

/// A message from the JSON that the tests over HTTP make.
fn message<M: prost::Message + Default + api::Described>(json: &serde_json::Value) -> M {
    api::json::from_json(json.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_framework_runs_a_task_over_one_grpc_stream() {
    let master = master().await;
    let address = master.address();
    let mut agent = Agent::register(address, agent::register("node1")).await;
    let mut framework = Framework::subscribed(&master).await;
    let offers = framework.expect(EventType::Offers).await.offers.unwrap();
    let offer = &offers.offers[0];
    assert_eq!(offer.agent_id.value, agent.agent_id);

    let json = json!({"agent_id": {"value": agent.agent_id}});
    let task: TaskInfo = message(&scheduler::task("t1", &json, 1.0, 32.0));
    let launch = Operation {
        r#type: Some(operation::Type::Launch.into()),
        launch: Some(Launch {
            task_infos: vec![task],
        }),
        ..Operation::default()
    };
    let accept = Call {
        r#type: Some(call::Type::Accept.into()),
        accept: Some(Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![launch],
            filters: None,
        }),
        ..Call::default()
    };
    framework.call(accept).await;
    let run = agent.run_task().await;
    agent.update(&run, TaskState::Running, 1).await;
    let status = framework
        .expect(EventType::Update)
        .await
        .update
        .unwrap()
        .status;
    assert_eq!(status.task_id.value, "t1");

    let acknowledge = Call {
        r#type: Some(call::Type::Acknowledge.into()),
        acknowledge: Some(Acknowledge {
            agent_id: status.agent_id.unwrap(),
            task_id: status.task_id,
            uuid: status.uuid.unwrap(),
        }),
        ..Call::default()
    };
    framework.call(acknowledge).await;
    let frame = agent.frame().await;
    assert!(
        format!("{frame:?}").starts_with("AcknowledgeUpdate"),
        "{frame:?}"
    );

    let teardown = Call {
        r#type: Some(call::Type::Teardown.into()),
        ..Call::default()
    };
    framework.call(teardown).await;
    assert_eq!(framework.end().await, None);
    let state = http::get(address, "/state").await;
    assert_eq!(state["completed_frameworks"][0]["name"], "grpc");
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_disconnects_the_framework() {
    let master = master().await;
    let framework = Framework::subscribed(&master).await;
    drop(framework);
    crate::support::until("the disconnection", async || {
        let state = http::get(master.address(), "/state").await;
        (state["frameworks"][0]["connected"] == false).then_some(())
    })
    .await;
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cut_and_its_framework_is_disconnected() {
    let master = master().await;
    let mut framework = Framework::subscribed(&master).await;
    // Each task makes one UPDATE, none of which is read.
    let task = |number| Task {
        task_id: TaskId {
            value: format!("{number}-{}", "x".repeat(2000)),
        },
        agent_id: None,
    };
    let reconcile = Call {
        r#type: Some(call::Type::Reconcile.into()),
        framework_id: framework.id.clone(),
        reconcile: Some(Reconcile {
            tasks: (0..500).map(task).collect(),
        }),
        ..Call::default()
    };
    let more = async { while framework.calls.send(reconcile.clone()).await.is_ok() {} };
    soon("the cut", more).await;
    let state = http::get(master.address(), "/state").await;
    assert_eq!(state["frameworks"][0]["connected"], false);
    let broken = async {
        loop {
            match framework.events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    };
    assert!(
        soon("the end", broken).await,
        "cut, not ended in good order"
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn events_go_on_where_no_more_calls_come() {
    let master = master().await;
    let mut framework = Framework::subscribed(&master).await;
    framework.calls = mpsc::channel(1).0;
    let _agent = Agent::register(master.address(), agent::register("node1")).await;
    framework.expect(EventType::Offers).await;
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_refused_call_ends_the_stream_with_the_text_of_http() {
    let master = master().await;
    let of = |kind: call::Type| Call {
        r#type: Some(kind.into()),
        ..Call::default()
    };
    let invalid = |fault: &str| Some((Code::InvalidArgument, fault.to_owned()));
    let missing = |field: &str| {
        let fault = format!("Expecting '{field}' to be present");
        invalid(&format!("Failed to validate scheduler::Call: {fault}"))
    };
    for (first, expected) in [
        (Call::default(), missing("type")),
        (of(call::Type::Subscribe), missing("subscribe")),
        (of(call::Type::Revive), missing("framework_id")),
        (
            Call {
                framework_id: Some(FrameworkId { value: "f".into() }),
                ..of(call::Type::Revive)
            },
            invalid("Framework cannot be found"),
        ),
    ] {
        let mut framework = Framework::open(&master, None).await.unwrap();
        framework.call_as_it_is(first).await;
        assert_eq!(framework.end().await, expected);
    }

    for (next, expected) in [
        (of(call::Type::Accept), missing("accept")),
        (
            of(call::Type::Unknown),
            Some((Code::Unimplemented, "501 Not Implemented.".to_owned())),
        ),
    ] {
        let mut framework = Framework::subscribed(&master).await;
        framework.call(next).await;
        assert_eq!(framework.end().await, expected);
    }

    let mut framework = Framework::subscribed(&master).await;
    let again = Call {
        framework_id: framework.id.clone(),
        subscribe: subscribe(None).subscribe.map(|mut subscribe| {
            subscribe.framework_info.id = framework.id.clone();
            subscribe
        }),
        ..of(call::Type::Subscribe)
    };
    framework.call_as_it_is(again).await;
    let twice = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
    assert_eq!(framework.end().await, invalid(twice));
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_invalid_framework_gets_one_error_and_the_end() {
    let master = master().await;
    let mut framework = Framework::open(&master, None).await.unwrap();
    let mut call = subscribe(None);
    if let Some(subscribe) = &mut call.subscribe {
        subscribe.framework_info.role = Some("a/../b".into());
    }
    framework.call_as_it_is(call).await;
    framework.expect(EventType::Error).await;
    assert_eq!(framework.end().await, None);
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn credentials_and_the_leader_are_looked_at_before_the_first_call() {
    let credentials = json!({"credentials": [{"principal": "alice", "secret": "secret1"}]});
    let access = AccessFlags {
        authenticate_http_frameworks: true,
        http_framework_authenticators: Some("basic".into()),
        credentials: Some(credentials.to_string()),
        ..AccessFlags::default()
    };
    let master = Server::start(&Config { access, ..config() }).await.unwrap();
    for authorization in [None, Some("Basic YWxpY2U6bm9wZQ==")] {
        let refused = Framework::open(&master, authorization).await.err().unwrap();
        let found = (refused.code(), refused.message());
        assert_eq!(found, (Code::Unauthenticated, "401 Unauthorized."));
    }
    let alice = Some("Basic YWxpY2U6c2VjcmV0MQ==");
    let mut framework = Framework::open(&master, alice).await.unwrap();
    framework.call_as_it_is(subscribe(Some("bob"))).await;
    let mismatch = "Failed to validate scheduler::Call: Authenticated principal 'alice' does not \
                    match principal 'bob' set in `FrameworkInfo`";
    assert_eq!(
        framework.end().await,
        Some((Code::InvalidArgument, mismatch.to_owned()))
    );
    let mut framework = Framework::open(&master, alice).await.unwrap();
    framework.call_as_it_is(subscribe(None)).await;
    framework.expect(EventType::Subscribed).await;
    master.shutdown().await.unwrap();

    let elsewhere = Leader::Elsewhere {
        hostname: "m1".into(),
        port: 5050,
    };
    for (leader, text, location) in [
        (Leader::Unknown, "No leader elected", None),
        (
            elsewhere,
            "The leading master is m1:5050",
            Some("//m1:5050"),
        ),
    ] {
        let master = Server::start(&Config { leader, ..config() }).await.unwrap();
        let refused = Framework::open(&master, None).await.err().unwrap();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unavailable, text)
        );
        let found = refused.metadata().get("location");
        assert_eq!(found.map(|value| value.to_str().unwrap()), location);
        master.shutdown().await.unwrap();
    }
}
