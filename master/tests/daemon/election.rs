//! Several masters and a real ZooKeeper server of Debian's package, left out where it is not installed.

use std::net::SocketAddr;
use std::time::Duration;

use detector::{DetectError, Detector, Place};
use expect_test::expect;
use master::flags::{Config, RegistryKind};
use master::{RunError, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zookeeper_client::{Client, Permission};

use crate::support::{config, http, soon, until};
use crate::zookeeper::Server as ZooKeeper;

/// The timeout of the masters' sessions.
const SESSION: Duration = Duration::from_secs(4);

fn elected(zk: &str) -> Config {
    Config {
        hostname: Some("localhost".into()),
        registry: RegistryKind::Durable,
        zk: Some(zk.parse().unwrap()),
        zk_session_timeout: SESSION,
        ..config()
    }
}

async fn leads(master: &Server) -> bool {
    let metrics = http::get(master.address(), "/metrics/snapshot").await;
    metrics["master/elected"] == 1.0
}

async fn until_it_leads(master: &Server) {
    until("a leader", async || leads(master).await.then_some(())).await;
}

/// What a master answers to a reader who asks for the state.
async fn answer(master: &Server) -> (String, Option<String>) {
    let answer = http::ask(master.address(), "GET /state", &[], b"").await;
    let location = answer.header("Location").map(str::to_owned);
    (answer.status, location)
}

/// A network that is silent until it is opened, and whenever it is closed again: what is sent
/// meanwhile waits.
struct Network {
    port: u16,
    open: watch::Sender<bool>,
}

impl Network {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, opened) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(carry(from_client, to_server, opened.clone()));
                tokio::spawn(carry(from_server, to_client, opened.clone()));
            }
        });
        Self { port, open }
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        let is_over = open.wait_for(|open| *open).await.is_err();
        if is_over || to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn one_master_leads_the_others_send_clients_there_and_the_next_finds_what_was_stored() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let zk = format!("zk://127.0.0.1:{}/tepui/masters", zookeeper.port());
    let first = Server::start(&elected(&zk)).await.unwrap();
    until_it_leads(&first).await;
    let second = Server::start(&elected(&zk)).await.unwrap();
    let there = format!("//localhost:{}/master/state", first.address().port());
    let redirected = ("307 Temporary Redirect".to_owned(), Some(there));
    until("a redirect to the leader", async || {
        (answer(&second).await == redirected).then_some(())
    })
    .await;
    assert!(!leads(&second).await);

    let server = format!("127.0.0.1:{}", zookeeper.port());
    let client = Client::connect(&server).await.unwrap();
    let mut names = client.list_children("/tepui/masters").await.unwrap();
    names.sort();
    let expected = [
        "json.info_0000000000",
        "json.info_0000000002",
        "log_replicas",
    ];
    assert_eq!(names, expected);
    let path = "/tepui/masters/json.info_0000000000";
    let (znode, stat) = client.get_data(path).await.unwrap();
    assert_ne!(stat.ephemeral_owner, 0, "it ends with its session");
    let state = http::get(first.address(), "/state").await;
    let znode = String::from_utf8(znode).unwrap();
    let znode = znode.replace(state["id"].as_str().unwrap(), "ID");
    let znode = znode.replace(&first.address().port().to_string(), "PORT");
    expect![[r#"{"address":{"hostname":"localhost","ip":"127.0.0.1","port":PORT},"capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}],"hostname":"localhost","id":"ID","ip":16777343,"pid":"master@127.0.0.1:PORT","port":PORT,"version":"1.11.0"}"#]]
        .assert_eq(&znode);
    assert_eq!(state["leader_info"]["hostname"], "localhost");

    let weights = br#"[{"role":"a","weight":3.5}]"#;
    let json = [("Content-Type", "application/json")];
    let set = http::ask(first.address(), "PUT /weights", &json, weights).await;
    assert_eq!(set.status, "200 OK", "{}", set.text());
    first.shutdown().await.unwrap();
    until_it_leads(&second).await;
    let found = http::get(second.address(), "/weights").await;
    assert_eq!(found[0]["weight"], 3.5);
    second.shutdown().await.unwrap();
    let names = client.list_children("/tepui/masters").await.unwrap();
    assert_eq!(
        names,
        ["log_replicas"],
        "who ends in good order leaves at once"
    );
}

#[tokio::test]
async fn whoever_looks_out_sees_each_leader_in_its_turn() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let zk = format!("zk://127.0.0.1:{}/mesos", zookeeper.port());
    let place = Place {
        url: zk.parse().unwrap(),
        session_timeout: SESSION,
    };
    let detector = Detector::start(place.clone(), None);
    let mut seen = detector.seen();
    let error = detector::find(&place).await.unwrap_err();
    assert!(matches!(error, DetectError::Nobody { .. }), "{error}");

    let mut epochs = Vec::new();
    for _ in 0..2 {
        let master = Server::start(&elected(&zk)).await.unwrap();
        let leader = soon("a leader", seen.wait_for(Option::is_some)).await;
        let leader = leader.unwrap().clone().unwrap();
        let found = detector::find(&place).await.unwrap();
        assert_eq!(found, leader);
        assert_eq!(
            SocketAddr::new(found.leader.ip, found.leader.port),
            master.address()
        );
        epochs.push(found.epoch);
        until_it_leads(&master).await;
        master.shutdown().await.unwrap();
        soon("nobody", seen.wait_for(Option::is_none))
            .await
            .unwrap();
    }
    assert!(epochs[0] < epochs[1], "{epochs:?}");
}

#[tokio::test]
async fn a_leader_that_zookeeper_does_not_hear_has_ended_before_another_leads() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let network = Network::before(zookeeper.port()).await;
    network.open.send_replace(true);
    let zk = format!("zk://127.0.0.1:{}/mesos", network.port);
    let first = Server::start(&elected(&zk)).await.unwrap();
    until_it_leads(&first).await;
    let zk = format!("zk://127.0.0.1:{}/mesos", zookeeper.port());
    let second = Server::start(&elected(&zk)).await.unwrap();

    let address = first.address();
    network.open.send_replace(false);
    let (ended, mut end) = watch::channel(false);
    let first = tokio::spawn(async move {
        let outcome = first.ended().await;
        ended.send_replace(true);
        outcome
    });
    until_it_leads(&second).await;
    assert!(*end.borrow_and_update(), "two would act");
    let outcome = soon("the end of the first", first).await.unwrap();
    assert!(
        matches!(outcome, Err(RunError::Deposed { .. })),
        "{outcome:?}"
    );
    assert!(TcpStream::connect(address).await.is_err());
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn zookeeper_may_come_later_than_its_masters() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let network = Network::before(zookeeper.port()).await;
    let zk = format!("zk://127.0.0.1:{}/mesos", network.port);
    let master = Server::start(&elected(&zk)).await.unwrap();
    for _ in 0..3 {
        let unknown = ("503 Service Unavailable".to_owned(), None);
        assert_eq!(answer(&master).await, unknown);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let health = http::ask(master.address(), "GET /health", &[], b"").await;
    assert_eq!(health.status, "200 OK");
    network.open.send_replace(true);
    until_it_leads(&master).await;
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn with_a_credential_only_its_owners_stand_and_everyone_may_look() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zk");
    let port = zookeeper.port();
    std::fs::write(&file, format!("zk://me:secret@127.0.0.1:{port}/mesos\n")).unwrap();
    let own = elected(&format!("file://{}", file.display()));
    let master = Server::start(&own).await.unwrap();
    until_it_leads(&master).await;
    let flags = http::get(master.address(), "/flags").await;
    assert!(!flags.to_string().contains("secret"), "{flags}");

    let stranger = Client::connect(&format!("127.0.0.1:{port}")).await.unwrap();
    let path = "/mesos/json.info_0000000000";
    assert!(stranger.get_data(path).await.is_ok());
    assert!(stranger.delete(path, None).await.is_err());
    let (acls, _) = stranger.get_acl("/mesos").await.unwrap();
    assert_eq!(acls.len(), 2);
    assert!(acls.iter().any(|acl| acl.permission() == Permission::READ));
    let other = elected(&format!("zk://you:other@127.0.0.1:{port}/mesos"));
    let other = Server::start(&other).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!leads(&other).await);
    other.shutdown().await.unwrap();
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_master_of_another_region_than_the_leaders_ends_and_says_so() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let zk = format!("zk://127.0.0.1:{}/mesos", zookeeper.port());
    let within = |region: &str, zone: &str| Config {
        domain: Some(format!("region:{region};zone:{zone}").parse().unwrap()),
        ..elected(&zk)
    };
    let first = Server::start(&within("eu", "a")).await.unwrap();
    until_it_leads(&first).await;
    let server = format!("127.0.0.1:{}", zookeeper.port());
    let client = Client::connect(&server).await.unwrap();
    let path = "/mesos/json.info_0000000000";
    let (znode, _) = client.get_data(path).await.unwrap();
    let znode: serde_json::Value = serde_json::from_slice(&znode).unwrap();
    assert_eq!(znode["domain"]["fault_domain"]["region"]["name"], "eu");

    let third = Server::start(&within("us", "a")).await.unwrap();
    let outcome = soon("the end of the stranger", third.ended()).await;
    assert!(
        matches!(&outcome, Err(RunError::Misplaced { leads, own }) if leads == "eu" && own == "us"),
        "{outcome:?}"
    );
    let second = Server::start(&within("eu", "b")).await.unwrap();
    let nowhere = Server::start(&elected(&zk)).await.unwrap();
    for follower in [&second, &nowhere] {
        until("a redirect to the leader", async || {
            (answer(follower).await.0 == "307 Temporary Redirect").then_some(())
        })
        .await;
    }
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    // It may have led in between: it has no domain, and so none can be said to be another.
    drop(nowhere);
}
