//! Connections that are opened in odd ways, or to do harm.

use serde_json::json;

use crate::support::agent::{self, Agent};
use crate::support::http::{self, Client};
use crate::support::scheduler::{self, Scheduler, framework_info};
use crate::support::{master, soon};

const SUBSCRIBE: &str =
    r#"{"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "x"}}}"#;

#[tokio::test]
async fn what_is_no_request_is_not_answered_and_odd_versions_are() {
    let master = master().await;
    let address = master.address();
    for bytes in ["GARBAGE\r\n\r\n", "GET /\r\n\r\n", "\u{16}\u{3}\u{1}\r\n"] {
        let mut client = Client::connect(address).await;
        client.write(bytes.as_bytes()).await;
        assert!(soon("the end", client.is_closed()).await, "{bytes:?}");
    }
    for version in ["1.0", "2.0"] {
        let mut client = Client::connect(address).await;
        let request = format!("GET /master/health HTTP/{version}\r\nHost: x\r\n\r\n");
        client.write(request.as_bytes()).await;
        let answer = soon("an answer", client.answer()).await;
        assert!(answer.status.ends_with("200 OK"), "{}", answer.status);
        assert!(soon("the end", client.is_closed()).await);
    }
    // A client of HTTP/1.0 gets its events in chunks all the same.
    let mut client = Client::connect(address).await;
    let length = SUBSCRIBE.len();
    let request = format!(
        "POST /api/v1/scheduler HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{SUBSCRIBE}"
    );
    client.write(request.as_bytes()).await;
    let (status, headers) = soon("the head", client.head()).await;
    assert_eq!(status, "200 OK");
    let chunked = ("Transfer-Encoding".to_owned(), "chunked".to_owned());
    assert!(headers.contains(&chunked));
    let event = soon("an event", scheduler::event(&mut client)).await;
    assert_eq!(event["type"], "SUBSCRIBED");
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn clients_that_hang_or_do_not_read_leave_the_others_alone() {
    let master = master().await;
    let address = master.address();
    let mut held = Vec::new();
    for kind in 0..300 {
        let mut client = Client::connect(address).await;
        match kind % 5 {
            // Silence; half a line; half a head; half a body; answers that nobody reads.
            0 => {}
            1 => client.write(b"GET /hea").await,
            2 => client.write(b"GET /health HTTP/1.1\r\nX: y\r\n").await,
            3 => {
                let head = "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: \
                            application/json\r\nContent-Length: 1000000\r\n\r\n{";
                client.write(head.as_bytes()).await;
            }
            _ => {
                client
                    .write(&b"GET /help HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50))
                    .await
            }
        }
        held.push(client);
    }
    let health = soon("an answer", http::ask(address, "GET /health", &[], b"")).await;
    assert_eq!(health.status, "200 OK");
    let _agent = Agent::register(address, agent::register("node1")).await;
    let mut framework = Scheduler::subscribe(address, framework_info("one")).await;
    let offers = framework.expect("OFFERS").await;
    let offer = &offers["offers"]["offers"][0];
    framework
        .accepted(json!({"type": "DECLINE", "decline": {"offer_ids": [offer["id"]]}}))
        .await;
    drop(held);
    master.shutdown().await.unwrap();
}
