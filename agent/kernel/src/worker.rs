//! Workers: the agent's own program run again for one piece of work on bytes of unknown origin.
//!
//! A worker is cloned into namespaces and ids of its own, as a container's launcher is, and gets
//! three things: its orders, one input and one folder. It says how it went on its standard output.
//! Before it reads a byte of the input it confines itself ([`crate::confine`]).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use model::sandbox::{IdRange, Namespace};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::pipe2;

use crate::files::{self, above_stdio};
use crate::namespaces::{self, Launcher, Spaces};
use crate::process::{self, Pid};

/// How long a worker may take from the clone to execve(2).
const START_MAX: Duration = Duration::from_secs(30);

/// The most bytes of a worker's orders.
const ORDERS_BYTES_MAX: u64 = 1 << 20;

/// The static program's allocator takes a gigabyte of address space for its own at the start, writable
/// at once unless it is told otherwise: more than the memory that a worker is given.
const ALLOCATOR: &CStr = c"MIMALLOC_ARENA_EAGER_COMMIT=0";

/// Starts workers: holds the agent's own program.
#[derive(Debug)]
pub struct Workers {
    program: OwnedFd,
    null: OwnedFd,
}

/// One piece of work.
#[derive(Debug)]
pub struct Work<'a> {
    /// The first argument of the program, by which it knows what to do.
    pub role: &'a str,
    /// What else it has to know; read by [`orders`].
    pub orders: &'a [u8],
    /// The namespaces of its own.
    pub namespaces: &'a [Namespace],
    /// The node's ids behind its own; it begins as 0.
    pub ids: IdRange,
    /// Its standard input.
    pub input: OwnedFd,
    /// The folder it works in.
    pub folder: OwnedFd,
}

/// A worker that has been started. Dropped, it is killed.
#[derive(Debug)]
pub struct Worker {
    pidfd: OwnedFd,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = process::signal(&self.pidfd, Signal::SIGKILL);
    }
}

impl Worker {
    /// Takes the status of a worker that has closed its output, where nobody reaps for this process.
    pub fn bury(self) {
        let _ = process::signal(&self.pidfd, Signal::SIGKILL);
        // The agent's reaper may have been faster.
        let _ = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED);
    }
}

/// The step that went wrong on the way to a worker.
#[derive(Debug, thiserror::Error)]
#[error("start a worker: {step}")]
pub struct WorkerError {
    /// The act and its object.
    pub step: String,
    /// What the kernel said.
    pub source: Errno,
}

fn step(name: impl Into<String>) -> impl FnOnce(Errno) -> WorkerError {
    let step = name.into();
    move |source| WorkerError { step, source }
}

impl Workers {
    /// Opens the program.
    ///
    /// # Errors
    /// It is out of reach.
    pub fn open() -> Result<Self, WorkerError> {
        let program = opened("/proc/self/exe", OFlag::O_PATH)?;
        Self::of(program)
    }

    /// Of a program that is not this one.
    ///
    /// # Errors
    /// `/dev/null` is out of reach.
    pub fn of(program: OwnedFd) -> Result<Self, WorkerError> {
        let null = opened("/dev/null", OFlag::O_RDWR)?;
        Ok(Self { program, null })
    }

    /// Starts a worker; gives also the end of its output, which does not block and is at its end when
    /// the worker is. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The first step that went wrong; nothing is left then.
    pub fn start(&self, work: Work<'_>) -> Result<(Worker, OwnedFd), WorkerError> {
        let above = |fd| above_stdio(fd).map_err(step("descriptors"));
        let orders = files::sealed("orders", work.orders).map_err(step("orders"))?;
        let Work {
            role,
            namespaces: own,
            ids,
            input,
            folder,
            ..
        } = work;
        let (orders, input, folder) = (above(orders)?, above(input)?, above(folder)?);
        let (gate, gate_writer) = pipe()?;
        let (report, report_writer) = pipe()?;
        let (output, output_writer) = pipe()?;
        let arguments = arguments(role, orders.as_raw_fd(), folder.as_raw_fd())?;
        let mut pointers: Vec<_> = arguments.iter().map(|text| text.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let kept = [orders.as_raw_fd(), folder.as_raw_fd()];
        let launcher = Launcher {
            program: self.program.as_raw_fd(),
            arguments: &pointers,
            environment: &[ALLOCATOR.as_ptr(), std::ptr::null()],
            stdio: [
                input.as_raw_fd(),
                output_writer.as_raw_fd(),
                self.null.as_raw_fd(),
            ],
            kept: &kept,
            gate: gate.as_raw_fd(),
            gate_writer: gate_writer.as_raw_fd(),
            report: report_writer.as_raw_fd(),
        };
        let spaces = Spaces::own(own);
        let worker = namespaces::clone_launcher(&spaces, &launcher, |cloned| {
            let (pid, pidfd) = cloned.map_err(step("clone3"))?;
            let worker = Worker { pidfd };
            drop((report_writer, output_writer));
            let ids = own.contains(&Namespace::User).then_some(ids);
            match await_start(pid, ids, gate_writer, &report) {
                Ok(()) => Ok(worker),
                Err(error) => {
                    worker.bury();
                    Err(error)
                }
            }
        });
        Ok((worker?, output))
    }
}

fn opened(path: &str, flags: OFlag) -> Result<OwnedFd, WorkerError> {
    open(path, flags | OFlag::O_CLOEXEC, Mode::empty())
        .and_then(above_stdio)
        .map_err(step(format!("open {path}")))
}

/// Gives a worker its ids and lets it go on, until it executes its program.
fn await_start(
    pid: Pid,
    ids: Option<IdRange>,
    gate: OwnedFd,
    report: &OwnedFd,
) -> Result<(), WorkerError> {
    if let Some(ids) = ids {
        namespaces::write_id_maps(pid, ids).map_err(step("write the id maps"))?;
    }
    namespaces::set_oom_score(pid, 0).map_err(step("write oom_score_adj"))?;
    let opened = nix::unistd::write(&gate, &[1]);
    opened.map_err(step("open the gate"))?;
    drop(gate);
    executed(report)
}

fn pipe() -> Result<(OwnedFd, OwnedFd), WorkerError> {
    let make = || {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((above_stdio(reader)?, above_stdio(writer)?))
    };
    make().map_err(step("pipe"))
}

fn arguments(role: &str, orders: RawFd, folder: RawFd) -> Result<[CString; 4], WorkerError> {
    let text = |text: &str| CString::new(text).map_err(|_| step("arguments")(Errno::EINVAL));
    Ok([
        text("tepui-agent")?,
        text(role)?,
        text(&orders.to_string())?,
        text(&folder.to_string())?,
    ])
}

/// Waits until the report is closed by execve(2), or tells of the step that went wrong before.
fn executed(report: &OwnedFd) -> Result<(), WorkerError> {
    let deadline = Instant::now() + START_MAX;
    let mut record = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let waited = poll(
            &mut [PollFd::new(report.as_fd(), PollFlags::POLLIN)],
            timeout,
        );
        match waited {
            Ok(0) => return Err(step("wait for execve")(Errno::ETIMEDOUT)),
            Err(Errno::EINTR) => continue,
            result => result.map_err(step("wait for execve"))?,
        };
        let mut chunk = [0_u8; 64];
        match nix::unistd::read(report, &mut chunk) {
            Ok(0) => break,
            Ok(length) => record.extend_from_slice(&chunk[..length]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(step("read the report")(errno)),
        }
    }
    // The layout is that of `namespaces::run`: errno, a kind, the step's name.
    match record.split_first_chunk() {
        None => Ok(()),
        Some((errno, rest)) => {
            let name = String::from_utf8_lossy(rest.get(1..).unwrap_or_default()).into_owned();
            Err(step(name)(Errno::from_raw(i32::from_le_bytes(*errno))))
        }
    }
}

/// What a worker was started with.
#[derive(Debug)]
pub struct Given {
    /// As in [`Work::orders`].
    pub orders: Vec<u8>,
    /// As in [`Work::folder`].
    pub folder: OwnedFd,
}

/// In the worker: takes over what [`Workers::start`] gave. `None` where the program was run by
/// somebody else, by hand for example.
#[must_use]
pub fn given() -> Option<Given> {
    let mut numbers = std::env::args().skip(2).map(|text| text.parse().ok());
    let orders = taken(numbers.next()??)?;
    let folder = taken(numbers.next()??)?;
    // The memory was written through this very description: back to its start.
    // SAFETY: lseek(2) takes three numbers.
    let rc = unsafe { libc::lseek(orders.as_raw_fd(), 0, libc::SEEK_SET) };
    Errno::result(rc).ok()?;
    let mut bytes = Vec::new();
    let mut orders = File::from(orders).take(ORDERS_BYTES_MAX);
    orders.read_to_end(&mut bytes).ok()?;
    Some(Given {
        orders: bytes,
        folder,
    })
}

/// Takes over a descriptor by its number, if it is open and none of the standard ones.
fn taken(fd: RawFd) -> Option<OwnedFd> {
    if fd <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: F_GETFD takes no argument; a number that is not open is answered with EBADF.
    let rc = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    Errno::result(rc).ok()?;
    // SAFETY: the descriptor is open, was left for this process by its parent, and each number is
    // taken once, before anything else is opened.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
