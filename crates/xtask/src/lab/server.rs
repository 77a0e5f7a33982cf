//! Server: what nodes fetch, by HTTP from this host's loopback; to them it is 10.0.2.2.
//!
//! Plain files, and images as a registry gives them (API version 2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A document: its type and its bytes.
type Document = (String, Arc<[u8]>);
type Documents = Arc<Mutex<BTreeMap<String, Document>>>;

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    documents: Documents,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listen on 127.0.0.1")?;
        let port = listener.local_addr().context("find the port")?.port();
        let documents = Documents::default();
        let shared = Arc::clone(&documents);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let documents = Arc::clone(&shared);
                tokio::spawn(async move {
                    // Whoever asked may be gone.
                    drop(answer(stream, &documents).await);
                });
            }
        });
        Ok(Self {
            port,
            documents,
            task,
        })
    }

    /// Gives out these bytes on this path.
    pub(crate) fn put(&self, path: &str, kind: &str, bytes: impl Into<Arc<[u8]>>) {
        let mut documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        documents.insert(path.to_owned(), (kind.to_owned(), bytes.into()));
    }

    /// Host and port, as nodes name it.
    pub(crate) fn name(&self) -> String {
        format!("10.0.2.2:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: TcpStream, documents: &Documents) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await? <= 2 {
            break;
        }
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let found = {
        let documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.get(path).cloned()
    };
    let (status, (kind, body)) = match found {
        Some(document) => ("200 OK", document),
        None => ("404 Not Found", (String::new(), Arc::from([]))),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Docker-Distribution-API-Version: registry/2.0\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != Some("HEAD") {
        stream.write_all(&body).await?;
    }
    stream.shutdown().await
}
