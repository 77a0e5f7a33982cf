//! Program: one that came from elsewhere, in memory, to be executed from there.
//!
//! On a node there is no other place for it: the root is the kernel's own memory. Once it is sealed it can
//! no longer change, whoever has it open.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::files::above_stdio;

/// The name by which `/proc/PID/exe` tells of it.
const NAME: &str = "tepui-agent";

/// A program that is being written.
#[derive(Debug)]
pub struct Draft(File);

/// A program that can no longer change.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Draft {
    /// Begins with nothing.
    ///
    /// # Errors
    /// As in memfd_create(2).
    pub fn begin() -> Result<Self, Errno> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let executable = flags | MFdFlags::from_bits_retain(libc::MFD_EXEC);
        let file = memfd_create(NAME, executable);
        // Before Linux 6.3 all of them are executable, and the flag is not known.
        let file = match file {
            Err(Errno::EINVAL) => memfd_create(NAME, flags),
            made => made,
        };
        file.and_then(above_stdio).map(|file| Self(file.into()))
    }

    /// Adds bytes at its end.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Ends the writing.
    ///
    /// # Errors
    /// As in fcntl(2), F_ADD_SEALS.
    pub fn seal(self) -> Result<Program, Errno> {
        let seals = SealFlag::F_SEAL_SEAL
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE;
        fcntl(&self.0, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Program(self.0.into()))
    }
}

impl Program {
    /// A second descriptor of it.
    ///
    /// # Errors
    /// There are none left.
    pub fn try_clone(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_was_written_runs_and_no_longer_changes() {
        let mut draft = Draft::begin().expect("memory");
        draft
            .add(&std::fs::read("/bin/true").expect("a program"))
            .expect("room");
        let program = draft.seal().expect("seals");
        let mut again = File::from(program.try_clone().expect("a descriptor"));
        assert!(again.write_all(b"x").is_err());
        let path = format!("/proc/{}/fd/{}", std::process::id(), program.0.as_raw_fd());
        let status = Command::new(path).status().expect("it runs");
        assert!(status.success());
    }
}
