//! The greeting: how a connection begins, and how one that goes on over execve(2) is taken up.
//!
//! The kernel greets once for each connection (FUSE_INIT), and the library wants to be greeted by whatever it
//! is given. So it is given one end of a pair of sockets first: through the other it gets the kernel's own
//! greeting, and its answer goes to the kernel. Then the device takes the socket's place under the library's
//! own number. The two messages are kept; a later process greets the library with them, and where it would
//! answer otherwise than the kernel was told, the connection is not taken up.
//!
//! Requests that the process before had read and not answered are sent again by the kernel, since Linux 6.9,
//! when it is asked to (FUSE_NOTIFY_RESEND). Before that they would wait for ever, and no connection is
//! taken up.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use fuser::{Config, Session, SessionACL};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};

use super::files::Files;
use super::{ProcViewError, step};
use crate::files::{self, above_stdio};
use crate::kept::{self, Kept};

/// The version of what is kept.
const VERSION: u8 = 1;
/// What is read at once: the kernel refuses less than FUSE_MIN_READ_BUFFER, of 8192 bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 16;
/// The version of the protocol that there is, and the place of its number in FUSE_INIT, past the header.
const MAJOR: (u32, usize) = (7, 40);
/// FUSE_HAS_RESEND among the second flags, and their place.
const RESENDS: (u32, usize) = (1 << 7, 56);
/// FUSE_INIT_EXT among the first flags, and their place: the kernel has second ones.
const EXTENDED: (u32, usize) = (1 << 30, 52);
/// `struct fuse_out_header` with FUSE_NOTIFY_RESEND in place of an error: length, code, and no request.
const RESEND: [u8; 16] = [16, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// How a connection began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// The kernel's words.
    request: Vec<u8>,
    /// The library's.
    answer: Vec<u8>,
}

impl Greeting {
    fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.request.get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    }

    /// Whether the kernel sends again what was not answered.
    fn resends(&self) -> bool {
        let has = |(flag, at): (u32, usize)| self.number(at).is_some_and(|flags| flags & flag != 0);
        has(EXTENDED) && has(RESENDS)
    }

    fn write(&self) -> Vec<u8> {
        let mut text = vec![VERSION];
        for message in [&self.request, &self.answer] {
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
            text.extend_from_slice(&length.to_le_bytes());
            text.extend_from_slice(message);
        }
        text
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (version, text) = text.split_first()?;
        let message = |text: &[u8]| -> Option<(Vec<u8>, usize)> {
            let (length, rest) = text.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            Some((rest.get(..length)?.to_vec(), 4 + length))
        };
        let (request, taken) = message(text)?;
        let (answer, last) = message(&text[taken..])?;
        let is_whole = *version == VERSION && taken + last == text.len();
        is_whole.then_some(Self { request, answer })
    }
}

/// A connection that goes on.
#[derive(Debug)]
pub(super) struct Before {
    device: OwnedFd,
    /// The namespace of its mount.
    pub(super) mounts: OwnedFd,
    greeting: Greeting,
}

/// The connection of the program before this one, where it can be taken up.
pub(super) fn before() -> Option<Before> {
    let device = kept::inherited(Kept::View)?;
    let mounts = kept::inherited(Kept::ViewMounts)?;
    let greeting = Greeting::read(&kept::inherited_text(Kept::ViewGreeting)?)?;
    greeting.resends().then_some(Before {
        device,
        mounts,
        greeting,
    })
}

/// Keeps nothing of a connection any more: it ends with the session.
pub(super) fn forget() {
    for what in [Kept::View, Kept::ViewMounts, Kept::ViewGreeting] {
        kept::forget(what);
    }
}

/// Begins a session on a new connection, which is kept from then on.
pub(super) fn first(
    files: Files,
    device: OwnedFd,
    config: Config,
) -> Result<Session<Files>, ProcViewError> {
    let mut request = vec![0; MESSAGE_BYTES_MAX];
    let length = retried(|| read(&device, &mut request)).map_err(step("read FUSE_INIT"))?;
    request.truncate(length);
    let mut greeting = Greeting {
        request,
        answer: Vec::new(),
    };
    // The library would want to be greeted twice.
    if greeting.number(MAJOR.1) != Some(MAJOR.0) {
        return Err(step("speak FUSE of another version")(Errno::EPROTO));
    }
    let session = greeted(files, &mut greeting, config)?;
    retried(|| write(&device, &greeting.answer)).map_err(step("answer FUSE_INIT"))?;
    take_place(&device, &session)?;
    let kept = kept::keep(Kept::View, &device)
        .and_then(|()| kept::keep_text(Kept::ViewGreeting, &greeting.write()));
    if kept.is_err() {
        // It ends with this program then.
        forget();
    }
    Ok(session)
}

/// Takes a connection up.
pub(super) fn again(
    files: Files,
    before: &Before,
    config: Config,
) -> Result<Session<Files>, ProcViewError> {
    let mut greeting = Greeting {
        request: before.greeting.request.clone(),
        answer: Vec::new(),
    };
    let session = greeted(files, &mut greeting, config)?;
    if greeting != before.greeting {
        return Err(step("take up a connection that began otherwise")(
            Errno::EPROTO,
        ));
    }
    take_place(&before.device, &session)?;
    retried(|| write(&before.device, &RESEND)).map_err(step("have requests sent again"))?;
    Ok(session)
}

/// A session that was greeted, and waits at a socket; fills in what it answered.
fn greeted(
    files: Files,
    greeting: &mut Greeting,
    config: Config,
) -> Result<Session<Files>, ProcViewError> {
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    let (ours, theirs) = pair.map_err(step("socketpair"))?;
    let theirs = above_stdio(theirs).map_err(step("socketpair"))?;
    retried(|| write(&ours, &greeting.request)).map_err(step("greet the library"))?;
    let session = Session::from_fd(files, theirs, SessionACL::All, config);
    let session = session.map_err(|error| step("greet the library")(files::errno(&error)))?;
    greeting.answer = vec![0; MESSAGE_BYTES_MAX];
    let length = retried(|| read(&ours, &mut greeting.answer));
    let length = length.map_err(step("hear the library's answer"))?;
    greeting.answer.truncate(length);
    Ok(session)
}

/// Puts the device in the place of the socket, under the session's own number.
fn take_place(device: &OwnedFd, session: &Session<Files>) -> Result<(), ProcViewError> {
    let (device, number) = (device.as_raw_fd(), session.as_fd().as_raw_fd());
    // SAFETY: both are open and stay their owners', and dup3(2) takes numbers.
    let rc = unsafe { libc::dup3(device, number, libc::O_CLOEXEC) };
    Errno::result(rc)
        .map(drop)
        .map_err(step("take the socket's place"))
}

fn retried<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_as_it_was_written_and_tells_what_the_kernel_can() {
        let mut request = vec![0; 104];
        request[40] = 7;
        let mut greeting = Greeting {
            request,
            answer: b"answer".to_vec(),
        };
        assert_eq!(greeting.number(MAJOR.1), Some(MAJOR.0));
        assert!(!greeting.resends());
        greeting.request[RESENDS.1] = 1 << 7;
        assert!(!greeting.resends(), "a kernel without second flags");
        greeting.request[EXTENDED.1 + 3] = 1 << 6;
        assert!(greeting.resends());
        let text = greeting.write();
        assert_eq!(Greeting::read(&text), Some(greeting));
        for length in 0..text.len() {
            assert_eq!(Greeting::read(&text[..length]), None, "{length}");
        }
        let mut longer = text.clone();
        longer.push(0);
        let mut later = text;
        later[0] = 2;
        assert_eq!(
            (Greeting::read(&longer), Greeting::read(&later)),
            (None, None)
        );
    }
}
