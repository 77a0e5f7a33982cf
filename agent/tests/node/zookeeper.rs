//! A ZooKeeper server of one session at a time, as far as somebody needs it who looks for a leader: it has
//! one candidate, and remembers which sessions were begun and ended.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The candidate of the epoch that `master` has.
const LEADER: &str = "json.info_0000000002";
/// What stands in a connection, in bytes, at most.
const FRAME_BYTES_MAX: usize = 1 << 16;

/// Answers until it goes away.
pub(crate) struct ZooKeeper {
    pub(crate) port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// The port of the master that leads.
    master: u16,
    /// Whether nobody is answered any more.
    is_away: bool,
    connections: Vec<TcpStream>,
    begun: u64,
    ended: u64,
}

/// The requests that are known (zookeeper.proto, ZooDefs.OpCode).
const GET_DATA: i32 = 4;
const PING: i32 = 11;
const GET_CHILDREN: i32 = 8;
const GET_CHILDREN_2: i32 = 12;
const CLOSE_SESSION: i32 = -11;
/// No such request (KeeperException.Code).
const UNIMPLEMENTED: i32 = -6;
/// Of a znode's `Stat`.
const STAT: [u8; 68] = [0; 68];

impl ZooKeeper {
    /// A server that tells of a master at this port of 127.0.0.1.
    pub(crate) fn start(master: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Mutex::new(Shared {
            master,
            ..Shared::default()
        }));
        let server = Self {
            port,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut known = lock(&shared);
                if known.is_away {
                    return;
                }
                known
                    .connections
                    .push(stream.try_clone().expect("a descriptor"));
                drop(known);
                let shared = Arc::clone(&shared);
                // It ends with its connection.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        server
    }

    /// Where masters are looked for, as `--master` takes it.
    pub(crate) fn url(&self) -> String {
        format!("zk://127.0.0.1:{}/mesos", self.port)
    }

    /// Answers nobody any more, and refuses who connects.
    pub(crate) fn go_away(&self) {
        let mut shared = lock(&self.shared);
        shared.is_away = true;
        for connection in shared.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(shared);
        // The listener waits for one more.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }

    /// How many sessions were begun, and how many of them were ended by those who had them.
    pub(crate) fn sessions(&self) -> (u64, u64) {
        let shared = lock(&self.shared);
        (shared.begun, shared.ended)
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.go_away();
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    // A session is asked for: version, last change, timeout, session, password.
    let asked = frame(&mut stream)?;
    let timeout = asked.get(12..16).expect("a timeout").to_vec();
    let number = {
        let mut shared = lock(shared);
        shared.begun += 1;
        shared.begun
    };
    let mut answer = vec![0; 4];
    answer.extend(timeout);
    answer.extend(number.to_be_bytes());
    text(&mut answer, &[7; 16]);
    answer.push(0);
    send(&mut stream, &answer)?;
    loop {
        let request = frame(&mut stream)?;
        let mut parts = request.chunks_exact(4);
        let mut next = || {
            let part = parts.next().expect("a head");
            i32::from_be_bytes(part.try_into().expect("four bytes"))
        };
        let (number, kind) = (next(), next());
        let (error, body) = content(kind, shared);
        let mut answer = number.to_be_bytes().to_vec();
        answer.extend(1_u64.to_be_bytes());
        answer.extend(error.to_be_bytes());
        answer.extend(body);
        if kind == CLOSE_SESSION {
            lock(shared).ended += 1;
        }
        send(&mut stream, &answer)?;
    }
}

/// What a request is answered with, after the head.
fn content(kind: i32, shared: &Mutex<Shared>) -> (i32, Vec<u8>) {
    let mut body = Vec::new();
    match kind {
        PING | CLOSE_SESSION => {}
        GET_CHILDREN | GET_CHILDREN_2 => {
            body.extend(1_u32.to_be_bytes());
            text(&mut body, LEADER.as_bytes());
            if kind == GET_CHILDREN_2 {
                body.extend(STAT);
            }
        }
        GET_DATA => {
            let port = lock(shared).master;
            let info = format!(
                r#"{{"address":{{"hostname":"localhost","ip":"127.0.0.1","port":{port}}}}}"#
            );
            text(&mut body, info.as_bytes());
            body.extend(STAT);
        }
        _ => return (UNIMPLEMENTED, body),
    }
    (0, body)
}

fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn send(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("a length");
    stream.write_all(&[&length.to_be_bytes(), frame].concat())
}

/// A text, or bytes, with the length before it.
fn text(into: &mut Vec<u8>, text: &[u8]) {
    into.extend(u32::try_from(text.len()).expect("a length").to_be_bytes());
    into.extend(text);
}
