//! A network before a ZooKeeper server, which breaks when it is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The number of a transaction among requests (`OpCode.multi`).
const MULTI: i32 = 14;

/// What is lost of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server never has it.
    Question,
    /// The server carries it out, and nobody hears.
    Answer,
}

#[derive(Default)]
struct State {
    cut: Mutex<Option<Cut>>,
    stays: AtomicBool,
    cuts: AtomicU64,
    ended: AtomicBool,
}

/// A network before a server, whose connections break when they are told to.
pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Begins to take connections for the server at a port.
    pub(super) fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.ended.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&own);
                std::thread::spawn(move || drop(carry(client, server, &state)));
            }
        });
        Self { port, state }
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connection at the next transaction.
    pub(super) fn cut_at_write(&self, cut: Cut) {
        *self.state.cut.lock().unwrap() = Some(cut);
    }

    /// Nothing crosses after the next cut.
    pub(super) fn stay_cut(&self) {
        self.state.stays.store(true, Ordering::SeqCst);
    }

    /// How often the connection was broken.
    pub(super) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // The listener waits for one more.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Carries requests one by one, and answers as they come.
fn carry(mut client: TcpStream, server: u16, state: &State) -> std::io::Result<()> {
    let is_over = state.stays.load(Ordering::SeqCst) && state.cuts.load(Ordering::SeqCst) > 0;
    if is_over {
        return Ok(());
    }
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    let back_thread = std::thread::spawn(move || {
        let copied = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
        copied
    });
    let mut is_first = true;
    loop {
        let mut length = [0; 4];
        if let Err(error) = client.read_exact(&mut length) {
            let _ = server.shutdown(Shutdown::Both);
            let _ = back_thread.join();
            let is_end = error.kind() == ErrorKind::UnexpectedEof;
            return if is_end { Ok(()) } else { Err(error) };
        }
        let size = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let mut request = vec![0; size];
        client.read_exact(&mut request)?;
        // The first is no request but the session's; the others begin with a number and a code.
        let code = request.get(4..8).and_then(|code| code.try_into().ok());
        let is_write = !is_first && code.map(i32::from_be_bytes) == Some(MULTI);
        is_first = false;
        let cut = match is_write {
            true => state.cut.lock().unwrap().take(),
            false => None,
        };
        match cut {
            None => server.write_all(&[&length, request.as_slice()].concat())?,
            Some(cut) => {
                state.cuts.fetch_add(1, Ordering::SeqCst);
                let _ = client.shutdown(Shutdown::Both);
                if cut == Cut::Answer {
                    server.write_all(&[&length, request.as_slice()].concat())?;
                    // The server has read it when it ends the connection after its last byte.
                    let _ = server.shutdown(Shutdown::Write);
                    let _ = back_thread.join();
                }
                let _ = server.shutdown(Shutdown::Both);
                return Ok(());
            }
        }
    }
}
