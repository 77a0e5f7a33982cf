//! Workers: orders to a confined copy of this program, and its answer.
//!
//! Orders and answers are JSON. An answer is one line on the worker's output; empty lines before it
//! only tell that somebody still listens. The worker's exit status is the reaper's, so that it says
//! nothing here.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_kernel::worker::{self, Worker, WorkerError, Workers};
use model::sandbox::Namespace;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::unix::pipe::Receiver;

/// The namespaces of a worker that reaches nothing: all that a container has, and the network, which stays without a device.
pub const APART: [Namespace; 6] = [
    Namespace::User,
    Namespace::Pid,
    Namespace::Mount,
    Namespace::Ipc,
    Namespace::Uts,
    Namespace::Network,
];

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why a worker has not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It was not started.
    #[error(transparent)]
    Start(WorkerError),
    /// Its output cannot be read.
    #[error("read the worker's answer")]
    Read(#[source] io::Error),
    /// It is gone.
    #[error("the worker ended without an answer: killed, or out of the memory it may have")]
    Ended,
    /// What it says is no answer.
    #[error("the worker's answer is malformed")]
    Malformed,
    /// It was ended.
    #[error("not done after {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Starts a worker and waits for its answer; it is killed when the time is over or nobody waits.
///
/// # Errors
/// There is no answer.
pub async fn ask<O, A, S>(
    workers: &Arc<Workers>,
    orders: &O,
    time: Duration,
    start: S,
) -> Result<A, AskError>
where
    O: Serialize,
    A: DeserializeOwned,
    S: FnOnce(&Workers, &[u8]) -> Result<(Worker, OwnedFd), WorkerError> + Send + 'static,
{
    let orders = serde_json::to_vec(orders).map_err(|_| AskError::Malformed)?;
    let workers = Arc::clone(workers);
    let started = tokio::task::spawn_blocking(move || start(&workers, &orders));
    // The task is never aborted, and a panic in it is no answer.
    let (worker, output) = started
        .await
        .map_err(|_| AskError::Ended)?
        .map_err(AskError::Start)?;
    let output = Receiver::from_owned_fd(output).map_err(AskError::Read)?;
    let answer = tokio::time::timeout(time, read(&output)).await;
    drop(worker);
    let answer = answer.map_err(|_| AskError::Timeout(time))??;
    if answer.is_empty() {
        return Err(AskError::Ended);
    }
    serde_json::from_slice(&answer).map_err(|_| AskError::Malformed)
}

async fn read(output: &Receiver) -> Result<Vec<u8>, AskError> {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        output.readable().await.map_err(AskError::Read)?;
        match output.try_read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(AskError::Read(error)),
        }
        if answer.iter().all(|byte| *byte == b'\n') {
            answer.clear();
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(AskError::Malformed);
        }
    }
}

/// In the worker: does the work and writes the answer, also where it panics.
pub fn work<O, A>(
    role: &str,
    work: impl FnOnce(O, OwnedFd) -> A,
    panicked: fn(String) -> A,
) -> ExitCode
where
    O: DeserializeOwned,
    A: Serialize + 'static,
{
    let given = worker::given().and_then(|given| {
        let orders = serde_json::from_slice(&given.orders).ok()?;
        Some((orders, given.folder))
    });
    let Some((orders, folder)) = given else {
        // Nobody can be told where standard error is gone.
        let _ = writeln!(
            io::stderr(),
            "{role}: started by the agent only, with orders and a folder"
        );
        return ExitCode::from(2);
    };
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("?");
        say(&panicked(format!("panic at {place}: {text}")));
        // Another thread may wait for this one.
        std::process::exit(1);
    }));
    say(&work(orders, folder));
    ExitCode::SUCCESS
}

/// Where the agent has gone there is nobody to tell.
fn say(answer: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(answer) {
        line.push(b'\n');
        let _ = io::stdout().write_all(&line);
        let _ = io::stdout().flush();
    }
}

/// In the worker: tells that it is alive, and ends it where nobody listens any more.
pub fn still_there() {
    let mut out = io::stdout().lock();
    if out.write_all(b"\n").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
