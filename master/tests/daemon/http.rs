//! The scheduler API's ladder of statuses, over raw HTTP.

use std::io::Read;

use crate::support::http::{self, Client};
use crate::support::scheduler::{self, Scheduler, framework_info};
use crate::support::{master, soon};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const SUBSCRIBE: &str =
    r#"{"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "x"}}}"#;
const UUID: &str = "AAAAAAAAAAAAAAAAAAAABw==";

/// Every answer to a call that is refused before its framework is looked at.
#[tokio::test]
async fn calls_are_refused_in_the_order_of_mesos_and_in_its_words() {
    let post = "POST /master/api/v1/scheduler";
    let json_text = "application/json";
    let not_acceptable =
        "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
    let unsupported = "Expecting 'Content-Type' of application/json or application/x-protobuf";
    let invalid = |fault: &str| format!("Failed to validate scheduler::Call: {fault}");
    let missing = |field: &str| invalid(&format!("Expecting '{field}' to be present"));
    let of = |call: &str| format!(r#"{{"type": "{call}", "framework_id": {{"value": "f"}}}}"#);
    let ack = format!(
        r#"{{"type": "ACKNOWLEDGE", "framework_id": {{"value": "f"}}, "acknowledge":
            {{"agent_id": {{"value": "a"}}, "task_id": {{"value": "t"}}, "uuid": "{UUID}"}}}}"#
    );
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, String, &'a str, String);
    let cases: Vec<Case<'_>> = vec![
        (
            "PUT /api/v1/scheduler",
            vec![],
            String::new(),
            "405 Method Not Allowed",
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'PUT'.".into(),
        ),
        (
            post,
            vec![],
            SUBSCRIBE.into(),
            "400 Bad Request",
            "Expecting 'Content-Type' to be present".into(),
        ),
        (
            post,
            vec![("Content-Type", "application/json; charset=utf-8")],
            "{".into(),
            "415 Unsupported Media Type",
            unsupported.into(),
        ),
        (
            post,
            vec![("Content-Type", "application/recordio")],
            String::new(),
            "415 Unsupported Media Type",
            unsupported.into(),
        ),
        (
            post,
            vec![JSON],
            r#"{"type": "SUBSCRIBE", "#.into(),
            "400 Bad Request",
            "Failed to parse body into JSON: syntax error at line 1 near: ".into(),
        ),
        (
            post,
            vec![JSON],
            format!(r#"{SUBSCRIBE} {{"a":1}}"#),
            "400 Bad Request",
            "Failed to parse body into JSON: Parsed JSON included non-whitespace trailing \
             characters:  {\"a\":1}"
                .into(),
        ),
        (
            post,
            vec![JSON],
            "[]".into(),
            "400 Bad Request",
            "Failed to convert JSON into Call protobuf: Expecting a JSON object".into(),
        ),
        (
            post,
            vec![JSON],
            r#"{"type": 1}"#.into(),
            "400 Bad Request",
            "Failed to convert JSON into Call protobuf: Not expecting a JSON number for field \
             'type'"
                .into(),
        ),
        (
            post,
            vec![JSON],
            r#"{"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "x"}}}"#.into(),
            "400 Bad Request",
            "Failed to convert JSON into Call protobuf: Missing required fields: \
             subscribe.framework_info.user"
                .into(),
        ),
        (
            post,
            vec![PROTOBUF],
            "\u{7f}\u{7f}".into(),
            "400 Bad Request",
            "Failed to parse body into Call protobuf".into(),
        ),
        (
            post,
            vec![PROTOBUF],
            String::new(),
            "400 Bad Request",
            missing("type"),
        ),
        (
            post,
            vec![PROTOBUF],
            "\u{10}\u{63}".into(),
            "400 Bad Request",
            missing("type"),
        ),
        (
            post,
            vec![JSON],
            "{}".into(),
            "400 Bad Request",
            missing("type"),
        ),
        (
            post,
            vec![JSON],
            of("FROBNICATE"),
            "400 Bad Request",
            missing("type"),
        ),
        (
            post,
            vec![JSON],
            of("subscribe"),
            "400 Bad Request",
            missing("type"),
        ),
        (
            post,
            vec![JSON],
            of("SUBSCRIBE"),
            "400 Bad Request",
            missing("subscribe"),
        ),
        (
            post,
            vec![JSON],
            r#"{"type": "REVIVE"}"#.into(),
            "400 Bad Request",
            missing("framework_id"),
        ),
        (
            post,
            vec![JSON],
            of("DECLINE"),
            "400 Bad Request",
            missing("decline"),
        ),
        (
            post,
            vec![JSON],
            of("ACCEPT"),
            "400 Bad Request",
            missing("accept"),
        ),
        (
            post,
            vec![JSON],
            of("KILL"),
            "400 Bad Request",
            missing("kill"),
        ),
        (
            post,
            vec![JSON],
            of("REQUEST"),
            "400 Bad Request",
            missing("request"),
        ),
        (
            post,
            vec![JSON],
            of("RECONCILE"),
            "400 Bad Request",
            missing("reconcile"),
        ),
        (
            post,
            vec![JSON],
            ack,
            "400 Bad Request",
            invalid("Not a valid UUID"),
        ),
        (
            post,
            vec![JSON],
            SUBSCRIBE.replace(r#""name": "x""#, r#""name": "x", "id": {"value": "f"}"#),
            "400 Bad Request",
            invalid("'framework_id' differs from 'subscribe.framework_info.id'"),
        ),
        (
            post,
            vec![JSON, ("Accept", "text/html"), ("Mesos-Stream-Id", "s")],
            SUBSCRIBE.into(),
            "406 Not Acceptable",
            not_acceptable.into(),
        ),
        (
            post,
            vec![JSON, ("Accept", "application/json;q=0")],
            SUBSCRIBE.into(),
            "406 Not Acceptable",
            not_acceptable.into(),
        ),
        (
            post,
            vec![JSON, ("Accept", json_text), ("Mesos-Stream-Id", "s")],
            SUBSCRIBE.into(),
            "400 Bad Request",
            "Subscribe calls should not include the 'Mesos-Stream-Id' header".into(),
        ),
        (
            post,
            vec![JSON, ("Accept", "text/html")],
            of("REVIVE"),
            "400 Bad Request",
            "Framework cannot be found".into(),
        ),
    ];

    let master = master().await;
    let mut client = Client::connect(master.address()).await;
    for (line, headers, body, status, text) in cases {
        let answer = soon("an answer", client.ask(line, &headers, body.as_bytes())).await;
        assert_eq!(
            (answer.status.as_str(), answer.text()),
            (status, text),
            "{headers:?} {body}"
        );
        assert_eq!(
            answer.header("Content-Type"),
            Some("text/plain; charset=utf-8")
        );
        let allowed = status.starts_with("405").then_some("POST");
        assert_eq!(answer.header("Allow"), allowed);
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn calls_are_bound_to_the_stream_of_their_framework() {
    let master = master().await;
    let mut framework = Scheduler::subscribe(master.address(), framework_info("one")).await;
    let id = framework.framework_id.clone();
    let body = json!({"type": "REVIVE", "framework_id": {"value": id}}).to_string();
    let line = "POST /api/v1/scheduler";
    let bare = framework.calls.ask(line, &[JSON], body.as_bytes()).await;
    assert_eq!(bare.status, "400 Bad Request");
    assert_eq!(
        bare.text(),
        "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
    );
    let wrong = [JSON, ("Mesos-Stream-Id", "zz")];
    let wrong = framework.calls.ask(line, &wrong, body.as_bytes()).await;
    assert_eq!(wrong.status, "400 Bad Request");
    assert_eq!(
        wrong.text(),
        format!(
            "The stream ID 'zz' included in this request didn't match the stream ID currently \
             associated with framework ID {id}"
        )
    );
    framework.accepted(json!({"type": "REVIVE"})).await;
    let unknown = framework.call(json!({"type": "UNKNOWN"})).await;
    assert_eq!(unknown.status, "501 Not Implemented");

    let update = |info: Value| json!({"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": info}});
    let mut info = framework_info("renamed");
    info["id"] = json!({"value": id});
    let good = framework.call(update(info.clone())).await;
    assert_eq!(
        (good.status.as_str(), good.header("Content-Length")),
        ("200 OK", Some("0"))
    );
    info["user"] = json!("nobody");
    let bad = framework.call(update(info)).await;
    assert_eq!(bad.status, "400 Bad Request");
    assert_eq!(
        bad.text(),
        "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; \
         attempted to update from 'root' to 'nobody'"
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_invalid_framework_gets_one_error_and_the_end() {
    let master = master().await;
    for (info, message) in [
        (
            json!({"user": "root", "name": "x", "roles": [""], "capabilities": [{"type": "MULTI_ROLE"}]}),
            "'FrameworkInfo.roles' contains invalid role: Role names cannot be the empty string",
        ),
        (
            json!({"user": "root", "name": "x", "id": {"value": "a/b"}}),
            "'a/b' contains invalid characters",
        ),
    ] {
        let (mut events, _) = Scheduler::open(master.address(), info).await;
        let error = scheduler::event(&mut events).await;
        assert_eq!(
            error,
            json!({"type": "ERROR", "error": {"message": message}})
        );
        assert_eq!(events.chunk().await, Some(vec![]), "the last chunk");
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_subscription_is_told_who_leads() {
    let master = master().await;
    let address = master.address();
    let (mut events, _) = Scheduler::open(address, framework_info("x")).await;
    let subscribed = scheduler::event(&mut events).await;
    let id = subscribed["subscribed"]["master_info"]["id"]
        .as_str()
        .unwrap();
    let port = address.port();
    assert_eq!(
        subscribed,
        json!({"type": "SUBSCRIBED", "subscribed": {
            "framework_id": {"value": format!("{id}-0000")},
            "heartbeat_interval_seconds": 15.0,
            "master_info": {
                "id": id,
                "ip": 16_777_343,
                "port": port,
                "pid": format!("master@127.0.0.1:{port}"),
                "hostname": "localhost",
                "version": "1.11.0",
                "address": {"hostname": "localhost", "ip": "127.0.0.1", "port": port},
                "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {}],
            },
        }})
    );
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn protobuf_comes_back_where_it_is_asked_for() {
    let master = master().await;
    // The same SUBSCRIBE, by hand: type 1; framework_info with user and name.
    let body = b"\x10\x01\x1a\x0d\x0a\x0b\x0a\x04root\x12\x03one";
    for (accept, media) in [
        (None, "application/json"),
        (Some("*/*"), "application/json"),
        (Some("application/x-protobuf"), "application/x-protobuf"),
    ] {
        let mut client = Client::connect(master.address()).await;
        let headers: Vec<_> = [PROTOBUF]
            .into_iter()
            .chain(accept.map(|a| ("Accept", a)))
            .collect();
        client.send("POST /api/v1/scheduler", &headers, body).await;
        let (status, headers) = soon("the answer", client.head()).await;
        assert_eq!(status, "200 OK");
        let found = headers
            .iter()
            .find(|(name, _)| name == "Content-Type")
            .unwrap();
        assert_eq!(found.1, media);
        let chunk = client.chunk().await.unwrap();
        let newline = chunk.iter().position(|byte| *byte == b'\n').unwrap();
        let record = &chunk[newline + 1..];
        if media == "application/json" {
            assert!(record.starts_with(br#"{"type":"SUBSCRIBED""#));
        } else {
            let event: api::v1::scheduler::Event = api::decode(record).unwrap();
            assert_eq!(event.r#type, Some(1));
            assert!(event.subscribed.is_some());
        }
    }
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn large_answers_are_packed_where_gzip_is_accepted_and_events_never() {
    let master = master().await;
    let address = master.address();
    let gzip = [("Accept-Encoding", "gzip, deflate")];
    let packed = http::ask(address, "GET /metrics/snapshot", &gzip, b"").await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.body.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("\"master/elected\":1.0"));
    let small = http::ask(address, "GET /version", &gzip, b"").await;
    assert_eq!(small.header("Content-Encoding"), None);

    let mut client = Client::connect(address).await;
    let headers = [JSON, gzip[0]];
    client
        .send("POST /api/v1/scheduler", &headers, SUBSCRIBE.as_bytes())
        .await;
    let (_, headers) = client.head().await;
    assert!(headers.iter().all(|(name, _)| name != "Content-Encoding"));
    assert_eq!(scheduler::event(&mut client).await["type"], "SUBSCRIBED");
    let script = http::ask(address, "GET /state?jsonp=f", &[], b"").await;
    assert_eq!(script.header("Content-Type"), Some("text/javascript"));
    assert!(script.text().starts_with("f({") && script.text().ends_with("})"));
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn requests_may_be_pipelined_and_heads_are_bounded() {
    let master = master().await;
    let mut client = Client::connect(master.address()).await;
    let request =
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write(request).await;
    assert_eq!(client.answer().await.text(), "");
    assert_eq!(client.answer().await.json()["version"], "1.11.0");

    let mut client = Client::connect(master.address()).await;
    let long = "x".repeat(100_000);
    let answer = client.ask("GET /health", &[("X", &long)], b"").await;
    assert_eq!(answer.status, "431 Request Header Fields Too Large");
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_framework_that_subscribes_again_keeps_its_user_and_takes_what_may_change() {
    let master = master().await;
    let address = master.address();
    let first = Scheduler::subscribe(address, framework_info("old")).await;
    let mut info = framework_info("new");
    info["id"] = json!({"value": first.framework_id});
    info["user"] = json!("nobody");
    info["checkpoint"] = json!(true);
    let again = Scheduler::subscribe(address, info).await;
    assert_eq!(again.framework_id, first.framework_id);
    let state = http::ask(address, "GET /state", &[], b"").await.json();
    let framework = &state["frameworks"][0];
    let shown = (
        &framework["name"],
        &framework["user"],
        &framework["checkpoint"],
    );
    assert_eq!(shown, (&json!("new"), &json!("root"), &json!(false)));
    master.shutdown().await.unwrap();
}
