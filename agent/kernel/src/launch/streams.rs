//! Streams: a container's standard input, output and error, and the agent's ends of them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use model::sandbox::{Io, WindowSize};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::host::Host;
use super::spawn::{LaunchError, step};
use crate::files::{self, above_stdio};
use crate::{mounts, terminal};

/// What the agent has of a container's input and output.
#[derive(Debug)]
pub enum Streams {
    /// Nothing: output goes to the files of the sandbox, or nowhere.
    Apart,
    /// Pipes. The reading ends are at their end once no process of the container has the others.
    Pipes {
        /// To write standard input to; dropped, the container reads its end.
        stdin: OwnedFd,
        /// To read standard output from.
        stdout: OwnedFd,
        /// To read standard error from.
        stderr: OwnedFd,
        /// Where a copy belongs; none where the container has no sandbox.
        files: Option<OutputFiles>,
    },
    /// A terminal, whose input and output are one. See [`crate::terminal`] for its size. Reading
    /// gives EIO once no process of the container has its other end.
    Terminal {
        /// The agent's end.
        terminal: OwnedFd,
        /// Where a copy belongs; none where the container has no sandbox.
        files: Option<OutputFiles>,
    },
}

/// The files of a sandbox that take output, opened for appending.
#[derive(Debug)]
pub struct OutputFiles {
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

impl OutputFiles {
    /// Opens the files in a sandbox, where they are made and given to the container's user.
    pub(super) fn open(
        sandbox: impl AsFd,
        names: [&str; 2],
        (uid, gid): (u32, u32),
    ) -> Result<Self, LaunchError> {
        let open = |name: &str| {
            let file = files::append(&sandbox, Path::new(name)).and_then(above_stdio);
            let file = file.map_err(step(format!("open {name} in the sandbox")))?;
            mounts::give(&file, uid, gid).map_err(step(format!("chown {name}")))?;
            Ok(file)
        };
        let [stdout, stderr] = names;
        Ok(Self {
            stdout: open(stdout)?,
            stderr: open(stderr)?,
        })
    }
}

/// Where a container's terminal comes from.
pub(super) enum Terminals<'a> {
    /// The file system of terminals that was made for it.
    Own(&'a OwnedFd),
    /// The one at `/dev/pts` of its parent.
    Parents(&'a OwnedFd),
    /// None that the container sees.
    Unseen,
}

/// Both ends of a container's streams.
pub(super) struct Ends {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    /// Whether the container's end is a terminal.
    pub(super) terminal: bool,
    /// The agent's end.
    pub(super) streams: Streams,
}

impl Ends {
    pub(super) fn make(
        host: &Host,
        io: Io,
        files: Option<OutputFiles>,
        terminals: &Terminals<'_>,
        owner: (u32, u32),
    ) -> Result<Self, LaunchError> {
        let null = || copy(&host.null);
        match (io, files) {
            (Io::Nothing, _) | (Io::Files, None) => Ok(Self {
                stdin: null()?,
                stdout: null()?,
                stderr: null()?,
                terminal: false,
                streams: Streams::Apart,
            }),
            (Io::Files, Some(files)) => Ok(Self {
                stdin: null()?,
                stdout: files.stdout,
                stderr: files.stderr,
                terminal: false,
                streams: Streams::Apart,
            }),
            (Io::Pipes, files) => Self::pipes(files, owner),
            (Io::Terminal(size), files) => Self::terminal(size, files, terminals, owner),
        }
    }

    fn pipes(files: Option<OutputFiles>, owner: (u32, u32)) -> Result<Self, LaunchError> {
        let (stdin, to_stdin) = pipe()?;
        let (from_stdout, stdout) = pipe()?;
        let (from_stderr, stderr) = pipe()?;
        // A task may open what it was given again, by /dev/stdout.
        for end in [&stdin, &stdout, &stderr] {
            mounts::give(end, owner.0, owner.1).map_err(step("chown a pipe"))?;
        }
        Ok(Self {
            stdin,
            stdout,
            stderr,
            terminal: false,
            streams: Streams::Pipes {
                stdin: to_stdin,
                stdout: from_stdout,
                stderr: from_stderr,
                files,
            },
        })
    }

    fn terminal(
        size: WindowSize,
        files: Option<OutputFiles>,
        terminals: &Terminals<'_>,
        (uid, gid): (u32, u32),
    ) -> Result<Self, LaunchError> {
        let opened = match terminals {
            Terminals::Own(filesystem) => terminal::open(filesystem),
            Terminals::Parents(parent) => match terminal::open_in(parent) {
                // Its root is one without terminals.
                Err(Errno::ENOENT | Errno::ENODEV | Errno::ENOTDIR) => terminal::unseen(),
                result => result,
            },
            Terminals::Unseen => terminal::unseen(),
        };
        let (agents, containers) = opened.map_err(step("open a terminal"))?;
        terminal::resize(&agents, size).map_err(step("resize the terminal"))?;
        mounts::give(&containers, uid, gid).map_err(step("chown the terminal"))?;
        Ok(Self {
            stdout: copy(&containers)?,
            stderr: copy(&containers)?,
            stdin: above_stdio(containers).map_err(step("dup"))?,
            terminal: true,
            streams: Streams::Terminal {
                terminal: agents,
                files,
            },
        })
    }

    /// Standard input, output and error of the container.
    pub(super) fn stdio(&self) -> [RawFd; 3] {
        [&self.stdin, &self.stdout, &self.stderr].map(AsRawFd::as_raw_fd)
    }
}

/// A pipe, both ends above those of standard input and output.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let make = || {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((above_stdio(reader)?, above_stdio(writer)?))
    };
    make().map_err(step("pipe"))
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd, LaunchError> {
    fd.try_clone()
        .map_err(|error| files::errno(&error))
        .and_then(above_stdio)
        .map_err(step("dup"))
}
