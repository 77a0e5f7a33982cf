//! Who may come in, and what they may do.

use api::link::v1::link_client::LinkClient;
use api::link::v1::{AgentFrame, agent_frame};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::support::agent::{self, Agent};
use crate::support::http::{self, Answer};
use crate::support::scheduler::{self, Scheduler, framework_info};
use crate::support::{config, soon};
use master::Server;
use master::flags::{AccessFlags, Config, Leader};
use serde_json::{Value, json};

const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6c2VjcmV0MQ==");
const BOB: (&str, &str) = ("Authorization", "Basic Ym9iOnNlY3JldDI=");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const SUBSCRIBE: &str =
    r#"{"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "x"}}}"#;

/// Every realm asks, for alice (secret1) and bob (secret2).
fn access() -> AccessFlags {
    let credentials = json!({"credentials": [
        {"principal": "alice", "secret": "secret1"},
        {"principal": "bob", "secret": "secret2"},
    ]});
    AccessFlags {
        authenticate_http_frameworks: true,
        authenticate_http_readonly: true,
        authenticate_http_readwrite: true,
        http_framework_authenticators: Some("basic".into()),
        credentials: Some(credentials.to_string()),
        ..AccessFlags::default()
    }
}

async fn master(access: AccessFlags) -> Server {
    let config = Config { access, ..config() };
    Server::start(&config).await.unwrap()
}

fn asked(answer: &Answer) -> Option<&str> {
    answer.header("WWW-Authenticate")
}

#[tokio::test]
async fn credentials_are_asked_for_in_the_realm_of_each_path() {
    let master = master(access()).await;
    let address = master.address();
    for (line, realm) in [
        (
            "POST /master/api/v1/scheduler",
            Some("mesos-master-scheduler"),
        ),
        ("GET /api/v1/scheduler", Some("mesos-master-scheduler")),
        ("POST /api/v1", Some("mesos-master-readwrite")),
        ("POST /master/teardown", Some("mesos-master-readwrite")),
        ("GET /state", Some("mesos-master-readonly")),
        ("GET /master/flags", Some("mesos-master-readonly")),
        ("GET /metrics/snapshot", Some("mesos-master-readonly")),
        ("GET /master/health", None),
        ("GET /version", None),
        ("GET /redirect", None),
        ("GET /master/nope", None),
    ] {
        let answer = http::ask(address, line, &[], b"").await;
        let wanted = realm.map(|realm| format!("Basic realm=\"{realm}\""));
        assert_eq!(asked(&answer), wanted.as_deref(), "{line}");
        if realm.is_some() {
            assert_eq!(answer.status, "401 Unauthorized", "{line}");
            assert_eq!(answer.text(), "401 Unauthorized.", "{line}");
        }
    }
    for (authorization, status) in [
        ("Basic YWxpY2U6c2VjcmV0MQ==", "200 OK"),
        ("Basic Ym9iOnNlY3JldDI=", "200 OK"),
        ("Basic YWxpY2U6bm9wZQ==", "401 Unauthorized"),
        ("Basic Y2Fyb2w6bm9wZQ==", "401 Unauthorized"),
        ("Basic !!!", "401 Unauthorized"),
        ("Bearer abc", "401 Unauthorized"),
    ] {
        let headers = [("Authorization", authorization)];
        let answer = http::ask(address, "GET /master/state", &headers, b"").await;
        assert_eq!(answer.status, status, "{authorization}");
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_framework_is_its_principals_own() {
    let master = master(access()).await;
    let address = master.address();
    let post = "POST /api/v1/scheduler";

    let mut info = framework_info("x");
    info["principal"] = json!("bob");
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
    let answer = http::ask(address, post, &[JSON, ALICE], call.to_string().as_bytes()).await;
    assert_eq!(answer.status, "400 Bad Request");
    assert_eq!(
        answer.text(),
        "Failed to validate scheduler::Call: Authenticated principal 'alice' does not match \
         principal 'bob' set in `FrameworkInfo`"
    );

    // Who names none has the principal it came as.
    let mut alice = http::Client::connect(address).await;
    alice.send(post, &[JSON, ALICE], SUBSCRIBE.as_bytes()).await;
    let (status, headers) = soon("SUBSCRIBE's answer", alice.head()).await;
    assert_eq!(status, "200 OK");
    let stream_id = headers.iter().find(|(name, _)| name == "Mesos-Stream-Id");
    let stream_id = stream_id.unwrap().1.clone();
    let subscribed = scheduler::event(&mut alice).await;
    let id = &subscribed["subscribed"]["framework_id"];
    let state = http::ask(address, "GET /state", &[BOB], b"").await.json();
    assert_eq!(state["frameworks"][0]["principal"], "alice");

    let call = json!({"type": "REVIVE", "framework_id": id}).to_string();
    for (who, status, text) in [
        (
            BOB,
            "400 Bad Request",
            "Authenticated principal 'bob' does not match principal 'alice' set in `FrameworkInfo`",
        ),
        (ALICE, "202 Accepted", ""),
    ] {
        let headers = [JSON, who, ("Mesos-Stream-Id", &*stream_id)];
        let answer = http::ask(address, post, &headers, call.as_bytes()).await;
        assert_eq!((&*answer.status, &*answer.text()), (status, text));
    }

    // An update without the principal would give it up.
    let mut info = framework_info("x");
    info["id"] = id.clone();
    let call = json!({"type": "UPDATE_FRAMEWORK", "framework_id": id,
        "update_framework": {"framework_info": info}});
    let headers = [JSON, ALICE, ("Mesos-Stream-Id", &*stream_id)];
    let answer = http::ask(address, post, &headers, call.to_string().as_bytes()).await;
    assert_eq!(
        (&*answer.status, &*answer.text()),
        (
            "400 Bad Request",
            "FrameworkInfo update is not valid: Changing framework's principal is not allowed."
        )
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn rules_keep_frameworks_from_roles_and_readers_from_endpoints() {
    let acls = json!({
        "register_frameworks": [
            {"principals": {"values": ["alice"]}, "roles": {"values": ["web", "eng/%"]}},
            {"principals": {"type": "ANY"}, "roles": {"type": "NONE"}},
        ],
        "get_endpoints": [
            {"principals": {"values": ["bob"]}, "paths": {"type": "NONE"}},
        ],
    });
    let flags = AccessFlags {
        acls: Some(acls.to_string()),
        authenticate_http_readonly: true,
        credentials: access().credentials,
        ..AccessFlags::default()
    };
    let master = master(flags).await;
    let address = master.address();
    let info = |principal: &str, role: &str| {
        let mut info = framework_info("x");
        info["principal"] = json!(principal);
        info["role"] = json!(role);
        info
    };
    Scheduler::subscribe(address, info("alice", "web")).await;
    Scheduler::subscribe(address, info("alice", "eng/a")).await;
    for (principal, role) in [("alice", "eng"), ("bob", "web")] {
        let (mut events, _) = Scheduler::open(address, info(principal, role)).await;
        let event: Value = scheduler::event(&mut events).await;
        let message = format!("Not authorized to register framework  with roles {{ {role} }}");
        assert_eq!(event["error"]["message"], message);
        assert_eq!(
            soon("the end", events.chunk()).await.as_deref(),
            Some(&[][..])
        );
    }

    let metrics = "GET /metrics/snapshot";
    let answer = http::ask(address, metrics, &[BOB], b"").await;
    assert_eq!(
        (&*answer.status, &*answer.text()),
        ("403 Forbidden", "403 Forbidden.")
    );
    assert_eq!(
        http::ask(address, metrics, &[ALICE], b"").await.status,
        "200 OK"
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_the_rules_hide_is_in_no_listing_and_on_no_stream() {
    let any = json!({"type": "ANY"});
    let none = json!({"type": "NONE"});
    let bob = json!({"values": ["bob"]});
    let acls = json!({
        "view_frameworks": [
            {"principals": bob, "users": {"values": ["web"]}},
            {"principals": bob, "users": none},
        ],
        "view_tasks": [{"principals": bob, "users": none}],
        "view_roles": [{"principals": bob, "roles": {"values": ["*"]}}, {"principals": bob, "roles": none}],
        "view_flags": [{"principals": bob, "flags": none}],
        "access_mesos_logs": [{"principals": bob, "logs": none}],
        "get_maintenance_schedules": [{"principals": any, "machines": any}],
    });
    let master = master(AccessFlags {
        acls: Some(acls.to_string()),
        authenticate_http_readonly: true,
        authenticate_http_readwrite: true,
        credentials: access().credentials,
        ..AccessFlags::default()
    })
    .await;
    let address = master.address();
    let info = |name: &str, user: &str, role: &str| {
        let mut info = framework_info(name);
        info["user"] = json!(user);
        info["role"] = json!(role);
        info
    };
    let mut agent = Agent::register(address, agent::register("node1")).await;
    let mut shown = Scheduler::subscribe(address, info("shown", "web", "*")).await;
    let offers = shown.expect("OFFERS").await;
    let offer = &offers["offers"]["offers"][0];
    let task = scheduler::task("t1", offer, 1.0, 32.0);
    shown.accepted(scheduler::accept(offer, &[task])).await;
    agent.run_task().await;

    // Both watch from here on.
    let mut streams = Vec::new();
    for who in [ALICE, BOB] {
        let mut events = http::Client::connect(address).await;
        let body = br#"{"type": "SUBSCRIBE"}"#;
        events.send("POST /api/v1", &[JSON, who], body).await;
        assert_eq!(events.head().await.0, "200 OK");
        let snapshot = scheduler::event(&mut events).await;
        let state = &snapshot["subscribed"]["get_state"];
        let tasks = state["get_tasks"]["tasks"].as_array().unwrap().len();
        assert_eq!(tasks, usize::from(who == ALICE));
        assert_eq!(scheduler::event(&mut events).await["type"], "HEARTBEAT");
        streams.push(events);
    }
    let _hidden = Scheduler::subscribe(address, info("hidden", "root", "secret")).await;
    let _seen = Scheduler::subscribe(address, info("seen", "web", "*")).await;
    for (events, names) in streams.iter_mut().zip([&["hidden", "seen"][..], &["seen"]]) {
        for name in names {
            let event = scheduler::event(events).await;
            let info = &event["framework_added"]["framework"]["framework_info"];
            assert_eq!(info["name"], *name, "{event}");
        }
    }

    let all = |path| async move { http::ask(address, path, &[ALICE], b"").await.json() };
    let some = |path| async move { http::ask(address, path, &[BOB], b"").await.json() };
    let names = |document: &Value, list: &str, key: &str| -> Vec<String> {
        let list = document[list].as_array().unwrap().iter();
        let mut names: Vec<_> = list
            .map(|one| one[key].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    for path in ["GET /state", "GET /frameworks", "GET /state-summary"] {
        assert_eq!(
            names(&all(path).await, "frameworks", "name"),
            ["hidden", "seen", "shown"]
        );
        assert_eq!(
            names(&some(path).await, "frameworks", "name"),
            ["seen", "shown"],
            "{path}"
        );
    }
    assert_eq!(names(&all("GET /tasks").await, "tasks", "id"), ["t1"]);
    assert!(names(&some("GET /tasks").await, "tasks", "id").is_empty());
    assert_eq!(
        names(&all("GET /roles").await, "roles", "name"),
        ["*", "secret"]
    );
    assert_eq!(names(&some("GET /roles").await, "roles", "name"), ["*"]);
    assert!(all("GET /state").await.get("flags").is_some());
    assert!(some("GET /state").await.get("flags").is_none());

    let call = br#"{"type": "GET_FRAMEWORKS"}"#;
    let frameworks = http::ask(address, "POST /api/v1", &[JSON, BOB], call)
        .await
        .json();
    assert_eq!(
        frameworks["get_frameworks"]["frameworks"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let call = br#"{"type": "GET_ROLES"}"#;
    for (who, count) in [(ALICE, 2), (BOB, 1)] {
        let answer = http::ask(address, "POST /api/v1", &[JSON, who], call).await;
        let roles = answer.json();
        assert_eq!(roles["get_roles"]["roles"].as_array().unwrap().len(), count);
    }
    for (line, body) in [
        ("GET /flags", &b""[..]),
        ("GET /files/read?path=/master/log", b""),
        ("POST /api/v1", br#"{"type": "GET_FLAGS"}"#),
    ] {
        let answer = http::ask(address, line, &[JSON, BOB], body).await;
        assert_eq!(
            (&*answer.status, &*answer.text()),
            ("403 Forbidden", "403 Forbidden.")
        );
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_agent_shows_credentials_where_they_are_asked_for_and_may_be_kept_out() {
    let acls = json!({
        "register_agents": [{"principals": {"values": ["bob"]}, "agents": {"type": "NONE"}}],
    });
    let master = master(AccessFlags {
        authenticate_agents: true,
        credentials: access().credentials,
        acls: Some(acls.to_string()),
        ..AccessFlags::default()
    })
    .await;
    for (shown, expected) in [
        (None, Err(Code::Unauthenticated)),
        (Some("Basic YWxpY2U6bm9wZQ=="), Err(Code::Unauthenticated)),
        (Some(ALICE.1), Ok("Registered")),
        (Some(BOB.1), Ok("Refused")),
    ] {
        let channel = Channel::from_shared(format!("http://{}", master.address())).unwrap();
        let (frames, outgoing) = tokio::sync::mpsc::channel(1);
        let frame = AgentFrame {
            incarnation: 1,
            body: Some(agent_frame::Body::Register(agent::register("node1"))),
            ..AgentFrame::default()
        };
        frames.send(frame).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(shown) = shown {
            let shown = shown.parse().unwrap();
            request.metadata_mut().insert("authorization", shown);
        }
        let mut client = LinkClient::new(channel.connect().await.unwrap());
        let found = match client.connect(request).await {
            Err(status) => Err(status.code()),
            Ok(answer) => {
                let frame = soon("a frame", answer.into_inner().message()).await;
                Ok(format!("{:?}", frame.unwrap().unwrap().body.unwrap()))
            }
        };
        match (&found, expected) {
            (Ok(frame), Ok(kind)) => assert!(frame.starts_with(kind), "{frame}"),
            (found, expected) => assert_eq!(found.as_ref().err(), expected.as_ref().err()),
        }
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_master_that_does_not_lead_sends_clients_to_the_one_that_does() {
    let leader = Leader::Elsewhere {
        hostname: "localhost".into(),
        port: 8000,
    };
    for (leader, cases) in [
        (
            leader,
            [
                ("GET /health", "200 OK", None),
                (
                    "GET /state",
                    "307 Temporary Redirect",
                    Some("//localhost:8000/master/state"),
                ),
                (
                    "GET /master/state?jsonp=x",
                    "307 Temporary Redirect",
                    Some("//localhost:8000/master/state?jsonp=x"),
                ),
                (
                    "POST /api/v1/scheduler",
                    "307 Temporary Redirect",
                    Some("//localhost:8000/master/api/v1/scheduler"),
                ),
                (
                    "GET /master/redirect",
                    "307 Temporary Redirect",
                    Some("//localhost:8000"),
                ),
                ("GET /master/redirect/x?y=z", "404 Not Found", None),
                ("GET /master/nope", "404 Not Found", None),
            ],
        ),
        (
            Leader::Unknown,
            [
                ("GET /health", "200 OK", None),
                ("GET /state", "503 Service Unavailable", None),
                ("GET /master/state?jsonp=x", "503 Service Unavailable", None),
                ("POST /api/v1/scheduler", "503 Service Unavailable", None),
                ("GET /master/redirect", "503 Service Unavailable", None),
                (
                    "GET /master/redirect/x?y=z",
                    "503 Service Unavailable",
                    None,
                ),
                ("GET /master/nope", "404 Not Found", None),
            ],
        ),
    ] {
        let config = Config { leader, ..config() };
        let master = Server::start(&config).await.unwrap();
        for (line, status, location) in cases {
            let answer = http::ask(master.address(), line, &[], b"").await;
            assert_eq!(answer.status, status, "{line}");
            assert_eq!(answer.header("Location"), location, "{line}");
            if answer.status.starts_with("503") {
                assert_eq!(answer.text(), "No leader elected", "{line}");
            }
        }
        let metrics = http::get(master.address(), "/metrics/snapshot").await;
        assert_eq!(metrics["master/elected"], 0.0);
        master.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_master_that_would_follow_itself_does_not_start() {
    let config = Config {
        advertise_ip: Some([10, 0, 0, 1].into()),
        advertise_port: Some(5050),
        leader: Leader::Elsewhere {
            hostname: "10.0.0.1".into(),
            port: 5050,
        },
        ..config()
    };
    let refused = Server::start(&config).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "--leader=10.0.0.1:5050 is this very master; give self, or the address of another"
    );
}
