//! Pump: carries one stream of output to whoever is attached.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use nix::errno::Errno;
use tokio::sync::watch;
use tracing::debug;

use super::line::{Line, Stream};
use super::{Pace, Piece};

/// The most that is read at a time.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// Carries one stream of output.
pub(super) struct Pump {
    line: Arc<Line>,
    from: Stream,
    /// The file of the sandbox that takes a copy.
    copy: Option<File>,
    piece: fn(Bytes) -> Piece,
    closed: watch::Receiver<bool>,
}

impl Pump {
    pub(super) fn new(
        line: &Arc<Line>,
        from: Stream,
        copy: Option<OwnedFd>,
        piece: fn(Bytes) -> Piece,
    ) -> Self {
        line.begin_pump();
        Self {
            closed: line.closed(),
            line: Arc::clone(line),
            from,
            copy: copy.map(File::from),
            piece,
        }
    }

    /// Carries all there is, up to the end of the stream or, once the container's first process is
    /// gone, to where nothing is left of what it wrote.
    pub(super) async fn run(mut self) {
        loop {
            let found = tokio::select! {
                ready = self.from.readable() => match ready {
                    Ok(mut ready) => ready.try_io(|from| read(from.get_ref())),
                    Err(_) => return,
                },
                // The sender lives as long as the line, which this keeps.
                _ = self.closed.wait_for(|closed| *closed) => break,
            };
            match found {
                Ok(Ok(bytes)) if !bytes.is_empty() => self.carry(bytes).await,
                // A terminal gives EIO where nobody has the other end any more.
                Ok(Ok(_) | Err(_)) => return,
                Err(_would_block) => {}
            }
        }
        while let Ok(bytes) = read(self.from.get_ref())
            && !bytes.is_empty()
        {
            self.carry(bytes).await;
        }
    }

    async fn carry(&mut self, bytes: Bytes) {
        self.keep(&bytes).await;
        self.give(bytes).await;
        // A container that only writes must not keep the loop's thread.
        tokio::task::yield_now().await;
    }

    /// Appends to the sandbox's file; what the disk does not take is lost there, and there only.
    async fn keep(&mut self, bytes: &Bytes) {
        let Some(mut file) = self.copy.take() else {
            return;
        };
        let bytes = bytes.clone();
        let written = tokio::task::spawn_blocking(move || {
            let result = file.write_all(&bytes);
            (file, result)
        });
        if let Ok((file, result)) = written.await {
            if let Err(error) = result {
                debug!(%error, "output of a container is not kept");
            }
            self.copy = Some(file);
        }
    }

    /// Gives a piece to everyone who is attached; who has left, or was cut off, is no longer.
    async fn give(&self, bytes: Bytes) {
        let waiting: Vec<_> = {
            let mut readers = self.line.readers();
            readers.retain(|reader| match reader.pace {
                Pace::Waits => !reader.pieces.is_closed(),
                Pace::CutsOff => reader.pieces.try_send((self.piece)(bytes.clone())).is_ok(),
            });
            let waiting = readers.iter().filter(|reader| reader.pace == Pace::Waits);
            waiting.map(|reader| reader.pieces.clone()).collect()
        };
        for reader in waiting {
            // One that leaves meanwhile is found out with the next piece.
            let _ = reader.send((self.piece)(bytes.clone())).await;
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.line.end_pump();
    }
}

/// Reads what is there; no bytes are the end.
fn read(from: &OwnedFd) -> io::Result<Bytes> {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    loop {
        match nix::unistd::read(from, &mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer.into());
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
