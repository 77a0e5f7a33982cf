//! Processes that outlive the one that started them, known again by id and command line.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process that was started here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// An argument that no other process has: ids are used again.
    pub mark: String,
}

impl Process {
    /// Starts `command` in a process group of its own, with no input, and output appended to `log`.
    ///
    /// # Errors
    /// The log cannot be opened, or the program not be run.
    pub fn start(command: &mut Command, mark: &str, log: &Path) -> io::Result<Process> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let process = Process {
            pid: i32::try_from(child.id()).map_err(io::Error::other)?,
            mark: mark.to_owned(),
        };
        // The kernel lets the parent go on before the new program's command line can be read.
        let deadline = Instant::now() + Duration::from_secs(1);
        while !process.runs() && child.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Its end is noticed here too, so that no dead child is left while this process lives.
        std::thread::spawn(move || {
            let _status = child.wait();
        });
        Ok(process)
    }

    /// Whether it runs still. One that has ended has no command line.
    #[must_use]
    pub fn runs(&self) -> bool {
        match fs::read(format!("/proc/{}/cmdline", self.pid)) {
            Ok(line) => line
                .split(|byte| *byte == 0)
                .any(|word| word == self.mark.as_bytes()),
            Err(_) => false,
        }
    }

    /// Sends a signal, where it runs still.
    ///
    /// # Errors
    /// It belongs to someone else.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        if !self.runs() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The processes that it started, as far as they run.
    #[must_use]
    pub fn children(&self) -> Vec<Pid> {
        let pid = self.pid;
        let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let listed = listed.unwrap_or_default();
        let numbers = listed.split_whitespace().filter(|_| self.runs());
        numbers
            .filter_map(|one| one.parse().ok())
            .map(Pid::from_raw)
            .collect()
    }

    /// Whether it has ended within `patience`.
    #[must_use]
    pub fn ends_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.runs() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Memory it holds, and its share of memory held together with others, in bytes.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        kilobytes(&text, "VmRSS:").map(|kilobytes| kilobytes * 1024)
    }
}

/// The value of a line `Name:   123 kB`.
#[must_use]
pub fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The last lines of a log, for an error's sake; empty where there is none.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut data = Vec::new();
        file.read_to_end(&mut data)?;
        Ok(data)
    };
    let data = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&data).replace('\r', "");
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ours_only_with_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("sleep");
        command.args(["60", "0.00731"]);
        let process = Process::start(&mut command, "0.00731", &log).unwrap();
        assert!(process.runs());
        let other = Process {
            mark: "something else".to_owned(),
            ..process.clone()
        };
        assert!(!other.runs());
        other.signal(Signal::SIGKILL).unwrap();
        assert!(process.runs());
        process.signal(Signal::SIGKILL).unwrap();
        assert!(process.ends_within(Duration::from_secs(5)));
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(tail(&log, 2), "");
        fs::write(&log, "one\r\ntwo\r\nthree\r\n").unwrap();
        assert_eq!(tail(&log, 2), "two\nthree");
        assert_eq!(tail(&log, 9), "one\ntwo\nthree");
    }
}
