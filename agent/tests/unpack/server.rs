//! A server on this host with a few files, and some that never come as they should.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What it has, by path; beside them `/moved`, `/stalls` and `/cut` do what they are called.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(files: Files) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        let shared = (Arc::clone(&asked), Arc::new(files));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counter, files) = shared.clone();
                std::thread::spawn(move || answer(stream, &counter, &files));
            }
        });
        Ok(Self { address, asked })
    }

    /// `http://ADDRESS/`.
    pub(crate) fn root(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, asked: &AtomicUsize, files: &Files) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    lines
        .find(|line| line.as_ref().is_ok_and(String::is_empty))?
        .ok()?;
    asked.fetch_add(1, Ordering::SeqCst);
    let path = first.split(' ').nth(1)?;
    if let Some(body) = files.get(path) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).ok()?;
        return stream.write_all(body).ok();
    }
    let head = match path {
        "/moved" => "HTTP/1.1 302 Found\r\nlocation: /file\r\ncontent-length: 0\r\n\r\n",
        "/stalls" | "/cut" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome",
        _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone",
    };
    stream.write_all(head.as_bytes()).ok()?;
    if path == "/stalls" {
        // Until whoever asked has gone.
        return lines.next().map(drop);
    }
    Some(())
}
