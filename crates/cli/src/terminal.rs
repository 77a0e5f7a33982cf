//! Terminal: the one that this program runs in, handed to a process elsewhere.

use std::os::fd::AsFd;

use api::v1::tty_info::WindowSize;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Standard input as a terminal that hands every key on as it is pressed; as before when dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Takes the terminal over.
    pub(crate) fn take() -> Result<Self, Errno> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        // What was typed before is the process' as well.
        tcsetattr(&stdin, OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Whether a person is at this end of standard input.
pub(crate) fn is_interactive() -> bool {
    isatty(std::io::stdin())
}

/// The size of the window, by whichever of the three streams is a terminal.
pub(crate) fn window() -> Option<WindowSize> {
    size(std::io::stdin())
        .or_else(|| size(std::io::stdout()))
        .or_else(|| size(std::io::stderr()))
}

fn size(stream: impl AsFd) -> Option<WindowSize> {
    let size = tcgetwinsize(stream).ok()?;
    Some(WindowSize {
        rows: size.ws_row.into(),
        columns: size.ws_col.into(),
    })
}
