//! Line: the way to one container's streams.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_kernel::terminal;
use model::sandbox::WindowSize;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::Reader;

/// One stream, which does not block.
pub(super) type Stream = Arc<AsyncFd<OwnedFd>>;

/// Makes a descriptor one that the runtime waits for.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe: the caller vouches that the descriptor stays open, which an \
              `OwnedFd` does by itself"
)]
pub(super) fn open(fd: OwnedFd) -> io::Result<Stream> {
    let flags = OFlag::from_bits_truncate(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(Arc::new(AsyncFd::new(fd)?))
}

/// What input goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pipe, which has an end.
    Pipe,
    /// A terminal, whose size may change and whose end of input is a key.
    Terminal,
}

/// The way to one container's streams.
#[derive(Debug)]
pub(super) struct Line {
    kind: Kind,
    is_session: bool,
    /// Unset once its end was sent.
    stdin: Mutex<Option<Stream>>,
    is_input_taken: AtomicBool,
    readers: Mutex<Vec<Reader>>,
    /// True once all output has been given out.
    end: watch::Sender<bool>,
    /// True from when the container's first process is gone.
    closed: watch::Sender<bool>,
    /// Streams that are still read.
    pumps: Mutex<usize>,
}

impl Line {
    /// With the reader that was there before the container.
    pub(super) fn new(stdin: Stream, kind: Kind, reserved: Option<Reader>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            is_session: reserved.is_some(),
            stdin: Mutex::new(Some(stdin)),
            is_input_taken: AtomicBool::new(false),
            readers: Mutex::new(reserved.into_iter().collect()),
            end: watch::Sender::new(false),
            closed: watch::Sender::new(false),
            pumps: Mutex::new(0),
        })
    }

    /// Whether it began with its caller, and ends with that.
    pub(super) const fn is_session(&self) -> bool {
        self.is_session
    }

    pub(super) fn add(&self, reader: Reader) {
        held(&self.readers).push(reader);
    }

    pub(super) fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        held(&self.readers)
    }

    /// Tells when the container's first process is gone.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// One more stream is read.
    pub(super) fn begin_pump(&self) {
        *held(&self.pumps) += 1;
    }

    /// One less; with the last of them the output ends.
    pub(super) fn end_pump(&self) {
        let mut pumps = held(&self.pumps);
        *pumps -= 1;
        if *pumps == 0 {
            self.end.send_replace(true);
            for reader in self.readers().drain(..) {
                // Whoever has left need not hear it.
                let _ = reader.whole.send(());
            }
        }
    }

    /// Takes the one place at the input.
    pub(super) fn attach(line: Arc<Self>) -> Option<Input> {
        let was_taken = line.is_input_taken.swap(true, Ordering::AcqRel);
        (!was_taken).then_some(Input(line))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why input does not reach a container.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Its end was sent before, or nobody has the other end any more.
    #[error("Failed writing to stdin: {0}")]
    Write(#[source] io::Error),
    /// It has no terminal.
    #[error("Unable to set the window size: {}", .0.desc())]
    Size(#[source] Errno),
}

/// The way to a container's input; one at a time.
#[derive(Debug)]
pub struct Input(Arc<Line>);

impl Drop for Input {
    fn drop(&mut self) {
        self.0.is_input_taken.store(false, Ordering::Release);
    }
}

impl Input {
    /// Writes bytes, as fast as the container takes them; no bytes are the end of a pipe.
    ///
    /// # Errors
    /// Nobody will read them.
    pub async fn write(&self, mut bytes: &[u8]) -> Result<(), InputError> {
        let stdin = held(&self.0.stdin).clone();
        let stdin = stdin.ok_or_else(|| InputError::Write(io::ErrorKind::BrokenPipe.into()))?;
        if bytes.is_empty() {
            if self.0.kind == Kind::Pipe {
                held(&self.0.stdin).take();
            }
            return Ok(());
        }
        while !bytes.is_empty() {
            let mut ready = stdin.writable().await.map_err(InputError::Write)?;
            let write = |to: &AsyncFd<OwnedFd>| Ok(nix::unistd::write(to.get_ref(), bytes)?);
            match ready.try_io(write) {
                Ok(Ok(written)) => bytes = &bytes[written..],
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(InputError::Write(error)),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// Tells the container's terminal how large the window is.
    ///
    /// # Errors
    /// The container has no terminal.
    pub fn resize(&self, size: WindowSize) -> Result<(), InputError> {
        let stdin = held(&self.0.stdin).clone();
        let stdin = stdin.ok_or(InputError::Size(Errno::ENOTTY))?;
        terminal::resize(stdin.get_ref().as_fd(), size).map_err(InputError::Size)
    }

    /// Returns when all output of the container has been given out.
    pub async fn until_end(&self) {
        // An error would be that the line is gone, which this keeps.
        let _ = self.0.end.subscribe().wait_for(|end| *end).await;
    }
}
