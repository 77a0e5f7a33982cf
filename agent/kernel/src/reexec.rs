//! Re-execution: this process executes its own program again, whatever state it is in.
//!
//! execve(2) keeps the number, the children, and what is not close-on-exec; memory and all other threads
//! go. It is asked for by [`again`], and done by the handler of a fatal signal, which is on a stack of its
//! own (the library gives one to the main thread and to every thread that it starts) and makes system
//! calls alone: the program is open, arguments and environment are laid out, and what is to be told is
//! written into memory that waits for it.
//!
//! What the next process is told ([`Past`]) is a variable of its environment: why, and when that happened
//! before, so that it can see a loop. It takes the variable away. What it finds open besides is in `kept`.
//!
//! [`exchange`] executes another program instead. That one is on trial until it says that it has
//! [`settled`]: whatever befalls it before leads back to the program that executed it, whose descriptor it
//! was given with the others. So it prepares itself before it does anything else.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

use crate::files::{self, above_stdio};
use crate::kept::{self, Kept};

/// The variable that tells the next process.
const VARIABLE: &str = "TEPUI_EXECUTED_AGAIN";
/// The room for all that it says, its name among it.
const TEXT_BYTES: usize = 1024;
/// The room for the numbers of what is kept.
const KEPT_BYTES: usize = 256;
/// How many moments are told.
const MOMENTS_MAX: usize = 16;
/// What parts the moments from the cause.
const MARK: u8 = b';';
/// Stands among the moments where this program was executed in the place of another, and where it was
/// executed because its successor did not settle.
const EXCHANGED: &str = "exchanged";
const RESTORED: &str = "restored";
/// The signals that end a program that has a fault.
const FATAL: [libc::c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
];

/// What this program is to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// The same, or there was none.
    #[default]
    Same,
    /// Another, executed in its place; it is on trial.
    Exchanged,
    /// The one that it had taken the place of.
    Restored,
}

/// Why this program was executed again, and how often lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// What it is to the one before it.
    pub step: Step,
    /// Why; unset in a program that was started.
    pub cause: Option<String>,
    /// When that happened, since the machine's start; the newest last.
    pub moments: Vec<Duration>,
}

impl Past {
    /// Takes what the process before has left; to be called before there is a second thread.
    #[must_use]
    pub fn take() -> Self {
        if let Some(text) = std::env::var_os(kept::VARIABLE) {
            // SAFETY: there is one thread yet, as is asked for.
            unsafe { std::env::remove_var(kept::VARIABLE) };
            kept::take(&text);
        }
        let Some(text) = std::env::var_os(VARIABLE) else {
            return Self::default();
        };
        // SAFETY: there is one thread yet, as is asked for.
        unsafe { std::env::remove_var(VARIABLE) };
        Self::parse(&text)
    }

    fn parse(text: &OsStr) -> Self {
        let text = text.to_string_lossy();
        let (moments, cause) = text.split_once(char::from(MARK)).unwrap_or(("", &text));
        let words = moments.split(',');
        let step = words.clone().fold(Step::Same, |step, word| match word {
            EXCHANGED => Step::Exchanged,
            RESTORED => Step::Restored,
            _ => step,
        });
        let moments = words.filter_map(|moment| moment.parse().ok());
        Self {
            step,
            cause: Some(cause.to_string()),
            moments: moments.map(Duration::from_secs).collect(),
        }
    }

    /// How often it happened within this time before now.
    #[must_use]
    pub fn within(&self, time: Duration, now: Duration) -> usize {
        let since = now.saturating_sub(time);
        self.moments.iter().filter(|at| **at >= since).count()
    }
}

/// What the next program is executed with. It is made once, and never moved.
struct Prepared {
    /// This program.
    own: RawFd,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    text: UnsafeCell<[u8; TEXT_BYTES]>,
    kept: UnsafeCell<[u8; KEPT_BYTES]>,
    /// Where in the text the moment and the cause go.
    begins: usize,
    process: libc::pid_t,
    if_not: IfNot,
}

// SAFETY: the pointers are to strings that are never freed or changed, and the text is written by the
// one thread that won `TAKEN`, which does not give it up while the others may read.
unsafe impl Sync for Prepared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Prepared {}

static PREPARED: OnceLock<Prepared> = OnceLock::new();
/// The thread that executes; 0 while none does.
static TAKEN: AtomicI32 = AtomicI32::new(0);
/// Whether this program has taken the place of another, and has not settled.
static ON_TRIAL: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether a panic of this thread, as it is about now, is somebody else's to answer for.
    static IS_TOLERATED: Cell<bool> = const { Cell::new(false) };
}

/// What becomes of a process that cannot be executed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfNot {
    /// It ends as it would have without.
    Ends,
    /// It is PID 1, with which the kernel would panic: the machine starts again at once.
    Restarts,
}

/// Gets ready: from here on [`again`] works, and fatal signals lead there. Once more it does nothing.
///
/// The program is to be executed with the arguments and the environment that this one has now.
///
/// # Errors
/// The program cannot be opened, or its arguments are none; handlers cannot be set.
pub fn prepare(past: &Past, if_not: IfNot) -> Result<(), Errno> {
    if PREPARED.get().is_some() {
        return Ok(());
    }
    let program = open(
        Path::new("/proc/self/exe"),
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let program = above_stdio(program)?.into_raw_fd();
    let string = |text: &OsStr| {
        let text = CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)?;
        // It has to be there for as long as the process is.
        Ok::<_, Errno>(text.into_raw().cast_const())
    };
    let mut arguments = Vec::new();
    for argument in std::env::args_os() {
        arguments.push(string(&argument)?);
    }
    arguments.push(ptr::null());
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let mut text = name;
        text.push("=");
        text.push(value);
        environment.push(string(&text)?);
    }
    let mut text = [0; TEXT_BYTES];
    let mut writer = Writer {
        text: &mut text,
        at: 0,
    };
    writer.bytes(VARIABLE.as_bytes());
    writer.bytes(b"=");
    let newest = past.moments.len().saturating_sub(MOMENTS_MAX - 1);
    for moment in &past.moments[newest..] {
        writer.number(moment.as_secs());
        writer.bytes(b",");
    }
    let begins = writer.at;
    // Without the program before it there is none to go back to.
    let is_on_trial = past.step == Step::Exchanged && kept::number(Kept::Before).is_some();
    ON_TRIAL.store(is_on_trial, Ordering::Release);
    let made = PREPARED.set(Prepared {
        own: program,
        arguments,
        environment,
        text: UnsafeCell::new(text),
        kept: UnsafeCell::new([0; KEPT_BYTES]),
        begins,
        process: std::process::id().cast_signed(),
        if_not,
    });
    made.map_err(|_| Errno::EALREADY)?;
    FATAL.into_iter().try_for_each(handle)
}

/// Does something whose panic ends that alone, and is caught.
pub fn tolerating<T>(work: impl FnOnce() -> T) -> T {
    /// Puts it back, on the way of a panic, too.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            IS_TOLERATED.set(self.0);
        }
    }
    let _before = Before(IS_TOLERATED.replace(true));
    work()
}

/// Whether a panic here ends nothing but what is being done.
#[must_use]
pub fn is_tolerated() -> bool {
    // A thread that is past the end of its variables does nothing of anybody's.
    IS_TOLERATED.try_with(Cell::get).unwrap_or(false)
}

/// Executes this program again; where it is on trial, the one before it. Comes back only with the reason why
/// it did not.
#[must_use]
pub fn again(cause: &str) -> Errno {
    match PREPARED.get() {
        Some(prepared) => execute(prepared, Next::Own, cause.as_bytes(), None),
        None => Errno::ENOENT,
    }
}

/// Executes another program in the place of this one, which comes back where the other does not settle.
/// Comes back only with the reason why it did not.
#[must_use]
pub fn exchange(program: impl AsFd, cause: &str) -> Errno {
    let Some(prepared) = PREPARED.get() else {
        return Errno::ENOENT;
    };
    if is_on_trial() {
        return Errno::EBUSY;
    }
    // SAFETY: it is this module's own, and never closed.
    let own = unsafe { BorrowedFd::borrow_raw(prepared.own) };
    if let Err(errno) = kept::keep(Kept::Before, own) {
        return errno;
    }
    let next = Next::Other(program.as_fd().as_raw_fd());
    let errno = execute(prepared, next, cause.as_bytes(), None);
    kept::forget(Kept::Before);
    errno
}

/// Whether this program has taken the place of another that is still waited for to come back.
#[must_use]
pub fn is_on_trial() -> bool {
    ON_TRIAL.load(Ordering::Acquire)
}

/// This program does what it is for: from now on it is itself that is executed again. Whether it was on
/// trial.
pub fn settled() -> bool {
    let was = ON_TRIAL.swap(false, Ordering::AcqRel);
    kept::forget(Kept::Before);
    was
}

/// Which program is next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// This one, or the one before it.
    Own,
    /// Another.
    Other(RawFd),
}

/// The last steps, in any state of the process: system calls alone, no allocation and no lock.
fn execute(
    prepared: &Prepared,
    next: Next,
    cause: &[u8],
    signal: Option<&libc::siginfo_t>,
) -> Errno {
    // SAFETY: gettid(2) takes nothing and gives a number.
    let thread = unsafe { libc::gettid() };
    if let Err(other) = TAKEN.compare_exchange(0, thread, Ordering::AcqRel, Ordering::Acquire) {
        if other == thread {
            // A fault on the way here: what follows would fault again.
            return Errno::EFAULT;
        }
        loop {
            // SAFETY: pause(2) takes nothing; the other thread's execve(2) ends this one.
            unsafe { libc::pause() };
        }
    }
    // SAFETY: this thread alone has won `TAKEN`, and nobody else touches the text.
    let text = unsafe { &mut *prepared.text.get() };
    let mut writer = Writer {
        text,
        at: prepared.begins,
    };
    let before = kept::number(Kept::Before).filter(|_| is_on_trial());
    let (program, step, left_out) = match (next, before) {
        (Next::Other(program), _) => (program, EXCHANGED, None),
        (Next::Own, Some(before)) => (before, RESTORED, Some(Kept::Before)),
        (Next::Own, None) => (prepared.own, "", Some(Kept::Before)),
    };
    // What somebody wished for is no sign of a loop.
    if let Next::Own = next {
        writer.number(crate::clock::since_boot().as_secs());
        writer.bytes(b",");
    }
    writer.bytes(step.as_bytes());
    writer.bytes(&[MARK]);
    writer.bytes(cause);
    if let Some(signal) = signal {
        writer.signal(signal);
    }
    writer.end();
    // The environment is copied onto this stack, with the two texts as its last variables.
    let mut environment = [ptr::null::<libc::c_char>(); ENVIRONMENT_MAX];
    let length = prepared.environment.len().min(ENVIRONMENT_MAX - 3);
    environment[..length].copy_from_slice(&prepared.environment[..length]);
    environment[length] = prepared.text.get().cast_const().cast();
    environment[length + 1] = prepared.kept.get().cast_const().cast();
    // Libraries set it for all that they open, and this for the rest.
    let _ = files::close_on_exec_from(3);
    // SAFETY: as with the other text.
    let text = unsafe { &mut *prepared.kept.get() };
    kept::hand_over(&mut Writer { text, at: 0 }, left_out);
    // SAFETY: both lists end with a null pointer and hold pointers to NUL-terminated strings that are
    // never freed; execveat(2) copies them.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program,
            NO_PATH.as_ptr(),
            prepared.arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    let errno = Errno::last();
    kept::hand_back();
    TAKEN.store(0, Ordering::Release);
    errno
}

/// The program is the descriptor's own.
const NO_PATH: &CStr = c"";
/// Variables that go on; a machine's kernel hands its first program a few.
const ENVIRONMENT_MAX: usize = 256;

/// Writes into memory that is there; what does not fit is left out.
pub(crate) struct Writer<'a> {
    text: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.at < self.text.len() - 1 {
                // A line of text, whatever the cause holds.
                self.text[self.at] = match byte {
                    0 | b'\n' | b'\r' => b' ',
                    other => *other,
                };
                self.at += 1;
            }
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.digits(number, 10);
    }

    fn digits(&mut self, mut number: u64, base: u64) {
        let mut digits = [0_u8; 20];
        let mut from = digits.len();
        loop {
            from -= 1;
            digits[from] = b"0123456789abcdef"[(number % base) as usize];
            number /= base;
            if number == 0 || from == 0 {
                break;
            }
        }
        self.bytes(&digits[from..]);
    }

    fn signal(&mut self, signal: &libc::siginfo_t) {
        let name: &[u8] = match signal.si_signo {
            libc::SIGSEGV => b"SIGSEGV",
            libc::SIGBUS => b"SIGBUS",
            libc::SIGILL => b"SIGILL",
            libc::SIGFPE => b"SIGFPE",
            libc::SIGABRT => b"SIGABRT",
            _ => b"a signal",
        };
        self.bytes(name);
        if signal.si_code > 0 {
            self.bytes(b" at 0x");
            // SAFETY: a positive code says that a fault of the program raised the signal, and then
            // the address is set.
            let address = unsafe { signal.si_addr() };
            self.digits(address as u64, 16);
        }
        let mut name = [0_u8; 16];
        // SAFETY: PR_GET_NAME writes 16 bytes at most.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        self.bytes(b" in thread ");
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
        self.bytes(&name[..length]);
    }

    pub(crate) fn end(&mut self) {
        self.text[self.at] = 0;
    }
}

/// Sets the handler of a fatal signal.
fn handle(signal: libc::c_int) -> Result<(), Errno> {
    // SAFETY: an all-zero sigaction is a valid object, filled in below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // The second fault of a thread is to come through, too.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: `action` is whole, and its handler makes async-signal-safe calls alone.
    let rc = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    Errno::result(rc).map(drop)
}

/// The handler of fatal signals.
extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if let Some(prepared) = PREPARED.get() {
        // SAFETY: getpid(2) takes nothing and gives a number.
        let process = unsafe { libc::getpid() };
        // A child that has not executed yet is nobody to be executed again.
        if process == prepared.process {
            // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo, which is on this stack.
            let info = unsafe { info.as_ref() };
            let _ = execute(prepared, Next::Own, b"", info);
            if prepared.if_not == IfNot::Restarts {
                // SAFETY: sync(2) takes nothing.
                unsafe { libc::sync() };
                // SAFETY: reboot(2) with a plain command takes a number.
                unsafe { libc::reboot(libc::RB_AUTOBOOT) };
            }
        }
    }
    // SAFETY: the default action of a signal is always there.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: raise(3) is async-signal-safe; the signal is not blocked (SA_NODEFER).
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_the_next_process_is_read_as_it_was_written() {
        let mut text = [0; TEXT_BYTES];
        let mut writer = Writer {
            text: &mut text,
            at: 0,
        };
        for moment in [5, 1_000_000] {
            writer.number(moment);
            writer.bytes(b",");
        }
        writer.number(0);
        writer.bytes(&[MARK]);
        writer.bytes(b"panic: a;b\nc");
        writer.end();
        let text = CStr::from_bytes_until_nul(&text).expect("an end");
        let past = Past::parse(OsStr::from_bytes(text.to_bytes()));
        let seconds = Duration::from_secs;
        assert_eq!(
            past,
            Past {
                step: Step::Same,
                cause: Some("panic: a;b c".into()),
                moments: vec![seconds(5), seconds(1_000_000), seconds(0)],
            }
        );
        assert_eq!(past.within(seconds(10), seconds(1_000_005)), 1);
        assert_eq!(past.within(seconds(10), seconds(9)), 3);
    }

    #[test]
    fn what_this_program_is_to_the_one_before_it_stands_among_the_moments() {
        for (text, step, moments) in [
            ("5,;a panic", Step::Same, vec![5]),
            ("5,6,;a panic", Step::Same, vec![5, 6]),
            ("5,exchanged;upgrade", Step::Exchanged, vec![5]),
            ("exchanged;upgrade", Step::Exchanged, vec![]),
            (
                "5,7,restored;a panic, exchanged",
                Step::Restored,
                vec![5, 7],
            ),
            ("5,of_a_later_build;x", Step::Same, vec![5]),
        ] {
            let past = Past::parse(OsStr::new(text));
            let seconds = moments.into_iter().map(Duration::from_secs);
            assert_eq!(
                (past.step, past.moments),
                (step, seconds.collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_end_is_there() {
        let mut text = [1; TEXT_BYTES];
        let mut writer = Writer {
            text: &mut text,
            at: TEXT_BYTES - 4,
        };
        writer.digits(0xbeef, 16);
        writer.end();
        assert_eq!(&text[TEXT_BYTES - 4..], b"bee\0");
        for broken in ["", ";", "x", ",,;", "1,2", "1;"] {
            assert!(Past::parse(OsStr::new(broken)).cause.is_some());
        }
    }

    #[test]
    fn what_is_tolerated_ends_with_it_whether_it_panics_or_not() {
        assert!(!is_tolerated());
        tolerating(|| assert!(is_tolerated()));
        let caught = std::panic::catch_unwind(|| tolerating(|| panic!("of a test")));
        assert!(caught.is_err() && !is_tolerated());
    }

    #[test]
    fn nothing_is_executed_before_it_is_prepared() {
        assert_eq!(again("a test"), Errno::ENOENT);
    }
}
