//! A guest's console on the user's terminal, until Ctrl-] is pressed.

use std::io::{self, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Ctrl-].
const ESCAPE: u8 = 0x1d;

/// The terminal, raw; as it was before once this is dropped.
struct Raw {
    before: Option<Termios>,
}

impl Raw {
    fn new() -> io::Result<Raw> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Raw { before: None });
        }
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw)?;
        Ok(Raw {
            before: Some(before),
        })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nothing can be done about a terminal that is gone.
            let _restored = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, before);
        }
    }
}

/// Connects the terminal and a console's socket with each other, until Ctrl-], the end of the
/// input, or the end of the guest.
///
/// # Errors
/// The terminal or the socket breaks.
pub fn attach(console: UnixStream) -> io::Result<()> {
    let raw = Raw::new()?;
    let mut from_guest = console.try_clone()?;
    let mut to_guest = console.try_clone()?;
    std::thread::spawn(move || {
        let copied = copy_keys(&mut io::stdin().lock(), &mut to_guest);
        if let Ok(Keys::Escape) | Err(_) = copied {
            let _ended = console.shutdown(Shutdown::Both);
        }
    });
    let mut out = io::stdout();
    let mut data = [0; 4096];
    loop {
        let length = from_guest.read(&mut data)?;
        if length == 0 {
            break;
        }
        out.write_all(&data[..length])?;
        out.flush()?;
    }
    drop(raw);
    Ok(())
}

/// How the keyboard's input ended.
enum Keys {
    /// With Ctrl-].
    Escape,
    /// It was no terminal, and is at its end; the guest may go on speaking.
    End,
}

fn copy_keys(from: &mut impl Read, to: &mut impl Write) -> io::Result<Keys> {
    let mut data = [0; 256];
    loop {
        let length = from.read(&mut data)?;
        if length == 0 {
            return Ok(Keys::End);
        }
        let typed = &data[..length];
        match typed.iter().position(|key| *key == ESCAPE) {
            Some(at) => {
                to.write_all(&typed[..at])?;
                return Ok(Keys::Escape);
            }
            None => to.write_all(typed)?,
        }
    }
}
