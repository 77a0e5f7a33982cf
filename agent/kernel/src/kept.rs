//! Kept: descriptors that stay open over execve(2), and by which numbers the next program finds them.
//!
//! The table has a place for each purpose. What was put there is this module's own, and goes on to every
//! program after until somebody puts another in its place or takes it out. All else is close-on-exec.
//! The numbers are told in a variable of the environment, which the next program takes away; what it does
//! not know by its name, it closes.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::files;
use crate::reexec::Writer;

/// The variable that tells the numbers.
pub(crate) const VARIABLE: &str = "TEPUI_KEPT";
/// The longest text that is taken over.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Nothing is kept there.
const NONE: RawFd = -1;

/// What a descriptor is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The listening socket of the agent's port: who connects meanwhile waits, and is not refused.
    Port,
    /// The connection of the view of `/proc` (`/dev/fuse`).
    View,
    /// The mount namespace that holds the view's mount.
    ViewMounts,
    /// How that connection began.
    ViewGreeting,
    /// The agent's own words to its next program.
    State,
    /// The program before this one, as long as this one is on trial.
    Before,
    /// The hardware's watchdog.
    Watchdog,
}

impl Kept {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Port,
        Self::View,
        Self::ViewMounts,
        Self::ViewGreeting,
        Self::State,
        Self::Before,
        Self::Watchdog,
    ];

    /// As the variable has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::View => "view",
            Self::ViewMounts => "view_mounts",
            Self::ViewGreeting => "view_greeting",
            Self::State => "state",
            Self::Before => "before",
            Self::Watchdog => "watchdog",
        }
    }

    fn place(self) -> &'static Place {
        &TABLE[self as usize]
    }
}

/// A place of the table. A handler of signals reads it at any time.
struct Place {
    fd: AtomicI32,
    /// Whether the program before this one put it there.
    is_inherited: AtomicBool,
}

static TABLE: [Place; Kept::ALL.len()] = [const {
    Place {
        fd: AtomicI32::new(NONE),
        is_inherited: AtomicBool::new(false),
    }
}; Kept::ALL.len()];
/// One changes the table at a time.
static CHANGING: Mutex<()> = Mutex::new(());

/// Keeps another descriptor of the same open file from now on, in the place of what was kept before.
///
/// # Errors
/// There are no descriptors left; what was kept stays.
pub fn keep(what: Kept, file: impl AsFd) -> Result<(), Errno> {
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let (place, file) = (what.place(), file.as_fd());
    match place.fd.load(Ordering::Acquire) {
        NONE => {
            let above_stdio = FcntlArg::F_DUPFD_CLOEXEC(libc::STDERR_FILENO + 1);
            let fd = fcntl(file, above_stdio)?;
            place.fd.store(fd, Ordering::Release);
        }
        // One act: a handler of signals finds the one or the other.
        fd => {
            // SAFETY: both are open, the second is the table's own, and dup3(2) takes numbers.
            let rc = unsafe { libc::dup3(file.as_raw_fd(), fd, libc::O_CLOEXEC) };
            Errno::result(rc)?;
        }
    }
    place.is_inherited.store(false, Ordering::Release);
    Ok(())
}

/// Keeps nothing there any more.
pub fn forget(what: Kept) {
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let fd = what.place().fd.swap(NONE, Ordering::AcqRel);
    drop(owned(fd));
}

/// What the program before this one kept: another descriptor of the same open file. It stays kept until it
/// is forgotten or replaced.
#[must_use]
pub fn inherited(what: Kept) -> Option<OwnedFd> {
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let place = what.place();
    let fd = place.fd.load(Ordering::Acquire);
    if fd == NONE || !place.is_inherited.load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: the table's own descriptor stays open while the lock is held.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    file.try_clone_to_owned().ok()
}

/// Does something with what is kept there, which stays so meanwhile; `None` where nothing is.
pub(crate) fn borrowed<T>(what: Kept, work: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let fd = number(what)?;
    // SAFETY: the table's own descriptor stays open while the lock is held.
    Some(work(unsafe { BorrowedFd::borrow_raw(fd) }))
}

/// Keeps a text, in memory, in the place of the one before it; it is whole at any time.
///
/// # Errors
/// There is no memory, or no descriptor left; what was kept stays.
pub fn keep_text(what: Kept, text: &[u8]) -> Result<(), Errno> {
    let file = files::sealed(what.name(), text)?;
    keep(what, file)
}

/// The text that the program before this one kept.
#[must_use]
pub fn inherited_text(what: Kept) -> Option<Vec<u8>> {
    let file = File::from(inherited(what)?);
    let mut text = Vec::new();
    // The file's own position is at its end, and is shared.
    loop {
        let mut chunk = [0; 4096];
        let at = u64::try_from(text.len()).ok()?;
        match file.read_at(&mut chunk, at).ok()? {
            0 => return Some(text),
            length if text.len() + length > TEXT_BYTES_MAX => return None,
            length => text.extend_from_slice(&chunk[..length]),
        }
    }
}

/// The number of what is kept there.
pub(crate) fn number(what: Kept) -> Option<RawFd> {
    let fd = what.place().fd.load(Ordering::Acquire);
    (fd != NONE).then_some(fd)
}

/// Takes over what the variable tells.
pub(crate) fn take(text: &OsStr) {
    let text = text.to_string_lossy();
    for told in text.split(',') {
        let Some((name, number)) = told.split_once(':') else {
            continue;
        };
        let Some(file) = number.parse().ok().and_then(opened) else {
            continue;
        };
        let known = Kept::ALL.into_iter().find(|one| one.name() == name);
        // What this program does not know ends here.
        if let Some(known) = known
            && keep(known, &file).is_ok()
        {
            known.place().is_inherited.store(true, Ordering::Release);
        }
    }
}

/// A descriptor by its number, if it is open and none of the standard ones.
fn opened(fd: RawFd) -> Option<OwnedFd> {
    if fd <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: F_GETFD takes no argument; a number that is not open is answered with EBADF.
    let rc = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    Errno::result(rc).ok()?;
    owned(fd)
}

fn owned(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number was the table's own, or the program's before this one, and is nobody else's.
    (fd != NONE).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has everything in the table stay open over execve(2), and writes down the numbers: the last act before
/// it, in any state of the process. Who is to be left out goes with this program.
pub(crate) fn hand_over(writer: &mut Writer<'_>, left_out: Option<Kept>) {
    writer.bytes(VARIABLE.as_bytes());
    writer.bytes(b"=");
    for what in Kept::ALL {
        if let Some(fd) = number(what)
            && left_out != Some(what)
        {
            // SAFETY: F_SETFD takes a number; a descriptor that is gone meanwhile is EBADF.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
            writer.bytes(what.name().as_bytes());
            writer.bytes(b":");
            writer.number(fd.unsigned_abs().into());
            writer.bytes(b",");
        }
    }
    writer.end();
}

/// After an execve(2) that was none: as [`keep`] left it.
pub(crate) fn hand_back() {
    for what in Kept::ALL {
        if let Some(fd) = number(what) {
            // SAFETY: F_SETFD takes a number; a descriptor that is gone meanwhile is EBADF.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// The tests share the one table, each with places of its own.
    fn inode(file: impl AsFd) -> u64 {
        let file = file.as_fd().try_clone_to_owned().expect("a descriptor");
        File::from(file).metadata().expect("metadata").ino()
    }

    #[test]
    fn a_place_holds_what_was_put_there_last() {
        let (first, second) = (
            files::sealed("a", b"a").expect("a file"),
            files::sealed("b", b"b").expect("a file"),
        );
        keep(Kept::State, &first).expect("kept");
        let fd = number(Kept::State).expect("a number");
        keep(Kept::State, &second).expect("kept");
        assert_eq!(number(Kept::State), Some(fd));
        // SAFETY: it is kept open until the end of the test.
        let kept = unsafe { BorrowedFd::borrow_raw(fd) };
        assert_eq!(inode(kept), inode(&second));
        // It is this program's own, and not one before it.
        assert!(inherited(Kept::State).is_none());
        forget(Kept::State);
        assert_eq!(number(Kept::State), None);
    }

    #[test]
    fn what_was_told_is_taken_over_and_what_is_not_known_is_closed() {
        use std::os::fd::IntoRawFd;
        let known = files::sealed("k", b"k").expect("a file");
        let which = inode(&known);
        let (known, other) = (
            known.into_raw_fd(),
            files::sealed("o", b"o").expect("a file").into_raw_fd(),
        );
        let told = format!("watchdog:{known},of_a_later_build:{other},port:,view:x,before:2,x");
        take(OsStr::new(&told));
        let found = inherited(Kept::Watchdog).expect("what was kept");
        assert_eq!(inode(found), which);
        assert!(opened(other).is_none(), "what is not known is closed");
        assert!(inherited(Kept::Before).is_none(), "a standard descriptor");
        forget(Kept::Watchdog);
    }
}
