//! Switchboard: the input and output of containers that have a terminal or pipes, and who is attached.
//!
//! Mesos runs a helper process of this name beside each such container; here it is a task of the
//! agent. Output is read from the container's launch on, copied to its sandbox where it has one, and
//! given to everyone who is attached at that time. Any number may be attached to the output, one at a
//! time to the input.
//!
//! A session begins with its caller attached, and nothing of its output is lost: the process waits
//! for a caller that does not read. Whoever else is attached is cut off at a bound ([`PIECES_MAX`]).

mod line;
mod pump;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_kernel::launch::Streams;
use bytes::Bytes;
use model::ContainerId;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::init::chain;
use line::Line;
pub use line::{Input, InputError};
use pump::Pump;

/// Pieces of output that wait for one reader.
const PIECES_MAX: usize = 64;

/// A piece of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Of standard output, or of the terminal.
    Stdout(Bytes),
    /// Of standard error.
    Stderr(Bytes),
}

/// Why nobody can be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The container has neither a terminal nor pipes, or is not there.
    #[error("I/O switchboard server was disabled for this container")]
    Disabled,
    /// Somebody else is attached to the input.
    #[error("Multiple input connections are not allowed")]
    Taken,
}

/// The output of a container from the moment of attaching on.
#[derive(Debug)]
pub struct Output {
    pieces: mpsc::Receiver<Piece>,
    /// Comes after the last piece, where nothing was left out.
    whole: oneshot::Receiver<()>,
}

impl Output {
    /// The next piece; `None` at the end. May be dropped and called again.
    ///
    /// # Errors
    /// This reader was too slow, and was cut off.
    pub async fn next(&mut self) -> io::Result<Option<Piece>> {
        match self.pieces.recv().await {
            Some(piece) => Ok(Some(piece)),
            None if self.whole.try_recv().is_ok() => Ok(None),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Who waits for a piece of output.
#[derive(Debug)]
struct Reader {
    pieces: mpsc::Sender<Piece>,
    whole: oneshot::Sender<()>,
    pace: Pace,
}

/// What becomes of a reader that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// The process waits for it.
    Waits,
    /// It is cut off.
    CutsOff,
}

/// All lines of an agent; cloned freely.
#[derive(Debug, Clone, Default)]
pub struct Switchboard(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// Of containers that are there.
    open: BTreeMap<ContainerId, Arc<Line>>,
    /// Of sessions that are about to be launched, each with its caller.
    reserved: BTreeMap<ContainerId, Reader>,
}

/// What ends with this process: nobody else has the other ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// Sessions, each with its process.
    pub sessions: usize,
    /// Terminals of other containers, whose processes get SIGHUP.
    pub terminals: usize,
}

/// A caller's place at the output of a session that is about to be launched.
#[derive(Debug)]
pub struct Reservation {
    board: Switchboard,
    container: ContainerId,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.board.lines().reserved.remove(&self.container);
    }
}

impl Switchboard {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attaches to the output of a session before it is launched, so that it cannot end unseen.
    /// `None` where a session of this name is about to be launched already.
    #[must_use]
    pub fn reserve(&self, container: &ContainerId) -> Option<(Reservation, Output)> {
        let mut lines = self.lines();
        if lines.reserved.contains_key(container) {
            return None;
        }
        let (reader, output) = reader(Pace::Waits);
        lines.reserved.insert(container.clone(), reader);
        let reservation = Reservation {
            board: self.clone(),
            container: container.clone(),
        };
        Some((reservation, output))
    }

    /// What would end with this process now.
    #[must_use]
    pub fn ends(&self) -> Ends {
        let lines = self.lines();
        let sessions = lines.open.values().filter(|line| line.is_session()).count();
        Ends {
            sessions,
            terminals: lines.open.len() - sessions,
        }
    }

    /// A container runs whose streams these are.
    pub fn connect(&self, container: &ContainerId, streams: Streams) {
        let mut lines = self.lines();
        let reserved = lines.reserved.remove(container);
        match begin(streams, reserved) {
            Ok(Some(line)) => {
                lines.open.insert(container.clone(), line);
            }
            Ok(None) => {}
            Err(error) => debug!(%container, error = chain(&error), "streams of a container"),
        }
    }

    /// The container's first process is gone: what it has written is still given out, and then the
    /// output ends, whoever else has the other ends.
    pub fn disconnect(&self, container: &ContainerId) {
        if let Some(line) = self.lines().open.remove(container) {
            line.close();
        }
    }

    /// Attaches to the output of a container.
    ///
    /// # Errors
    /// It has none to attach to.
    pub fn output(&self, container: &ContainerId) -> Result<Output, AttachError> {
        let lines = self.lines();
        let line = lines.open.get(container).ok_or(AttachError::Disabled)?;
        let (reader, output) = reader(Pace::CutsOff);
        line.add(reader);
        Ok(output)
    }

    /// Attaches to the input of a container; the place is free again when that is dropped.
    ///
    /// # Errors
    /// It has none, or somebody is attached.
    pub fn input(&self, container: &ContainerId) -> Result<Input, AttachError> {
        let line = self.lines().open.get(container).cloned();
        let line = line.ok_or(AttachError::Disabled)?;
        Line::attach(line).ok_or(AttachError::Taken)
    }
}

fn reader(pace: Pace) -> (Reader, Output) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let (told, whole) = oneshot::channel();
    let reader = Reader {
        pieces: sender,
        whole: told,
        pace,
    };
    (reader, Output { pieces, whole })
}

/// Begins to read a container's streams; `None` where it has none.
fn begin(streams: Streams, reserved: Option<Reader>) -> io::Result<Option<Arc<Line>>> {
    match streams {
        Streams::Apart => Ok(None),
        Streams::Pipes {
            stdin,
            stdout,
            stderr,
            files,
        } => {
            let (stdin, stdout, stderr) =
                (line::open(stdin)?, line::open(stdout)?, line::open(stderr)?);
            let line = Line::new(stdin, line::Kind::Pipe, reserved);
            let copies = files.map(|files| (files.stdout, files.stderr)).unzip();
            let pumps = [
                Pump::new(&line, stdout, copies.0, Piece::Stdout),
                Pump::new(&line, stderr, copies.1, Piece::Stderr),
            ];
            for pump in pumps {
                tokio::spawn(pump.run());
            }
            Ok(Some(line))
        }
        Streams::Terminal { terminal, files } => {
            let terminal = line::open(terminal)?;
            let line = Line::new(Arc::clone(&terminal), line::Kind::Terminal, reserved);
            let copy = files.map(|files| files.stdout);
            tokio::spawn(Pump::new(&line, terminal, copy, Piece::Stdout).run());
            Ok(Some(line))
        }
    }
}

#[cfg(test)]
mod tests;
