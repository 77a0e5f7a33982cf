//! The endpoints that belong to the process: files, log level, help, and odd paths.

use crate::support::{config, http, master, soon};

const TEXT: &str = "text/plain; charset=utf-8";

#[tokio::test]
async fn endpoints_of_the_process_answer_as_mesos_do() {
    let master = master().await;
    let address = master.address();
    let no_path = "Expecting 'path=value' in query.\n";
    for (request, status, kind, text) in [
        ("GET /files/browse", "400 Bad Request", Some(TEXT), no_path),
        ("GET /files/browse?path=/", "404 Not Found", Some(TEXT), ""),
        (
            "GET /files/read?path=",
            "400 Bad Request",
            Some(TEXT),
            no_path,
        ),
        (
            "GET /files/read?path=/nope&offset=0",
            "404 Not Found",
            Some(TEXT),
            "",
        ),
        (
            "GET /files/read?path=/nope&offset=-2",
            "400 Bad Request",
            Some(TEXT),
            "Negative offset provided: -2.\n",
        ),
        (
            "GET /files/read?path=/nope&length=x",
            "404 Not Found",
            Some(TEXT),
            "",
        ),
        (
            "GET /files/download?path=/nope",
            "404 Not Found",
            Some(TEXT),
            "404 Not Found.",
        ),
        ("GET /files/debug", "200 OK", Some("application/json"), "{}"),
        ("GET /logging/toggle", "200 OK", Some(TEXT), "0\n"),
        (
            "GET /logging/toggle?level=1",
            "400 Bad Request",
            Some(TEXT),
            "Expecting 'duration=value' in query.\n",
        ),
        (
            "GET /logging/toggle?level=x&duration=1secs",
            "400 Bad Request",
            Some(TEXT),
            "Failed to convert 'x' to number.\n",
        ),
        (
            "GET /logging/toggle?level=-1&duration=1secs",
            "400 Bad Request",
            Some(TEXT),
            "Invalid level '-1'.\n",
        ),
        (
            "GET /logging/toggle?level=1&duration=1mins",
            "200 OK",
            None,
            "",
        ),
        ("GET /logging/toggle", "200 OK", Some(TEXT), "1\n"),
        (
            "GET /help/nope",
            "404 Not Found",
            Some(TEXT),
            "404 Not Found.",
        ),
        (
            "GET /help/master/nope",
            "400 Bad Request",
            Some(TEXT),
            "No help available for '/master/nope'.\n",
        ),
        ("OPTIONS /health", "200 OK", None, ""),
        (
            "GET /redirect/x",
            "404 Not Found",
            Some(TEXT),
            "404 Not Found.",
        ),
        (
            "GET /__processes__/master",
            "404 Not Found",
            Some(TEXT),
            "404 Not Found.",
        ),
    ] {
        let answer = soon("an answer", http::ask(address, request, &[], b"")).await;
        let found = (
            answer.status.as_str(),
            answer.header("Content-Type"),
            answer.text(),
        );
        assert_eq!(found, (status, kind, text.to_owned()), "{request}");
    }
    let posted = http::ask(address, "POST /master/state/x", &[], b"").await;
    assert_eq!(posted.json()["hostname"], "localhost");
    let metrics = http::ask(address, "GET /metrics", &[], b"").await.text();
    assert!(metrics.contains("\nmesos_master_elected 1\n"));
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_log_is_shown_where_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::write(&log, "a line\n").unwrap();
    let config = master::flags::Config {
        external_log_file: Some(log.clone()),
        ..config()
    };
    let master = master::Server::start(&config).await.unwrap();
    let address = master.address();
    let read = http::get(address, "/files/read?path=/master/log&offset=2&length=3").await;
    assert_eq!(read.to_string(), r#"{"data":"lin","offset":2}"#);
    let size = http::get(address, "/files/read?path=/master/log&offset=-1").await;
    assert_eq!(size.to_string(), r#"{"data":"","offset":7}"#);
    let path = "GET /files/download?path=/master/log";
    let whole = http::ask(address, path, &[], b"").await;
    assert_eq!(whole.text(), "a line\n");
    let named = whole.header("Content-Disposition");
    assert_eq!(named, Some("attachment; filename=log"));
    let state = http::get(address, "/state").await;
    assert_eq!(state["external_log_file"], log.to_str().unwrap());
    master.shutdown().await.unwrap();
}
