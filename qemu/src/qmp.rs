//! QEMU's monitor: one JSON object a line, a greeting, then commands and answers between events.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the monitor did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket cannot be reached.
    #[error("connect to the monitor {name}")]
    Connect {
        /// The socket's name in the cluster's folder.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("speak to the monitor")]
    Io(#[from] io::Error),
    /// An answer is not JSON.
    #[error("understand the monitor")]
    Parse(#[from] serde_json::Error),
    /// QEMU refused.
    #[error("{command}: {said}")]
    Refused {
        /// What it was told.
        command: String,
        /// What it said.
        said: String,
    },
}

/// A connection to the monitor of one guest.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
}

/// Connects to a socket by its name in a folder, however long the folder's path is: the path given
/// to the kernel leads through the open folder.
///
/// # Errors
/// No such folder or socket, or nobody listens there.
pub fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

impl Monitor {
    /// Connects to the socket `name` in `folder` and shakes hands.
    ///
    /// # Errors
    /// QEMU is gone, or answers with something else.
    pub fn open(folder: &Path, name: &str) -> Result<Monitor, QmpError> {
        let stream = connect(folder, name).map_err(|source| QmpError::Connect {
            name: name.to_owned(),
            source,
        })?;
        Monitor::over(stream)
    }

    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// The other end is not QEMU.
    pub fn over(stream: UnixStream) -> Result<Monitor, QmpError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Monitor {
            reader: BufReader::new(stream),
        };
        let _greeting = monitor.line()?;
        monitor.command("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Gives a command and returns what QEMU answers.
    ///
    /// # Errors
    /// QEMU refused, or is gone.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value, QmpError> {
        let text = json!({"execute": name, "arguments": arguments}).to_string() + "\n";
        self.reader.get_mut().write_all(text.as_bytes())?;
        loop {
            let answer = self.line()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(QmpError::Refused {
                    command: name.to_owned(),
                    said: error["desc"]
                        .as_str()
                        .unwrap_or("no reason given")
                        .to_owned(),
                });
            }
        }
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// QEMU refused, or is gone.
    pub fn power_button(&mut self) -> Result<(), QmpError> {
        self.command("system_powerdown", json!({})).map(drop)
    }

    /// Ends the guest at once, as a power cut does.
    ///
    /// # Errors
    /// QEMU refused, or is gone already.
    pub fn quit(&mut self) -> Result<(), QmpError> {
        self.command("quit", json!({})).map(drop)
    }

    /// Pulls both of the guest's network cables out, or puts them in again.
    ///
    /// # Errors
    /// QEMU refused, or is gone.
    pub fn set_link(&mut self, is_up: bool) -> Result<(), QmpError> {
        for name in ["net", "lan"] {
            self.command("set_link", json!({"name": name, "up": is_up}))?;
        }
        Ok(())
    }

    /// Sends the guest an interrupt that cannot be masked: a kernel that was started with
    /// `unknown_nmi_panic` panics.
    ///
    /// # Errors
    /// QEMU refused, or is gone.
    pub fn inject_nmi(&mut self) -> Result<(), QmpError> {
        self.command("inject-nmi", json!({})).map(drop)
    }

    /// Forwards a port of the host, as in `127.0.1.1:31000`, to one of the guest.
    ///
    /// # Errors
    /// The host's port is taken, or QEMU is gone.
    pub fn forward(&mut self, host: &str, guest_port: u16) -> Result<(), QmpError> {
        self.network(&format!("hostfwd_add net tcp:{host}-:{guest_port}"))
    }

    /// Ends a forwarding.
    ///
    /// # Errors
    /// There is none, or QEMU is gone.
    pub fn unforward(&mut self, host: &str) -> Result<(), QmpError> {
        self.network(&format!("hostfwd_remove net tcp:{host}"))
    }

    /// Forwardings have no command of their own, only one of the monitor for humans, which says
    /// what is wrong in words.
    fn network(&mut self, line: &str) -> Result<(), QmpError> {
        let said = self.command("human-monitor-command", json!({"command-line": line}))?;
        match said.as_str().map(str::trim) {
            None | Some("") => Ok(()),
            Some(said) if said.ends_with("removed") => Ok(()),
            Some(said) => Err(QmpError::Refused {
                command: line.to_owned(),
                said: said.to_owned(),
            }),
        }
    }

    fn line(&mut self) -> Result<Value, QmpError> {
        let mut text = String::new();
        if self.reader.read_line(&mut text)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(serde_json::from_str(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor whose other end says `answers`, a line to each command after the greeting.
    fn with(answers: &'static [&'static str]) -> Monitor {
        let (near, far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut far = BufReader::new(far);
            far.get_mut().write_all(b"{\"QMP\":{}}\n").unwrap();
            for answer in ["{\"return\":{}}"].iter().chain(answers) {
                far.read_line(&mut String::new()).unwrap();
                far.get_mut().write_all(answer.as_bytes()).unwrap();
                far.get_mut().write_all(b"\n").unwrap();
            }
        });
        Monitor::over(near).unwrap()
    }

    #[test]
    fn events_before_an_answer_are_passed_over() {
        let mut monitor = with(&["{\"event\":\"POWERDOWN\"}\n{\"return\":{}}"]);
        monitor.power_button().unwrap();
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let mut monitor = with(&[
            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}",
            "{\"return\":\"Could not set up host forwarding rule\\r\\n\"}",
        ]);
        assert_eq!(monitor.quit().unwrap_err().to_string(), "quit: no");
        let error = monitor.forward("127.0.1.1:80", 80).unwrap_err().to_string();
        assert_eq!(
            error,
            "hostfwd_add net tcp:127.0.1.1:80-:80: Could not set up host forwarding rule"
        );
    }
}
