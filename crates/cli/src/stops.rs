//! Stops: the signals by which a person or a service manager ends `tepui run`.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why a run is to end before its task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// Nobody reads the output any more.
    BrokenPipe,
}

impl Stop {
    /// The exit code of a program that the like signal ended.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Interrupt => 128 + 2,
            Self::BrokenPipe => 128 + 13,
            Self::Terminate => 128 + 15,
        }
    }
}

/// The signals, listened to from the start of a run.
pub(crate) struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    /// Takes the signals over from their default, which is to end this program at once.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}
