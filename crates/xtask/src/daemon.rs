//! Daemon: a master in a process of its own, on a free port of loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long it may take until `/health` answers.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(5);

/// A running master; it ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
    address: SocketAddr,
}

/// What a process holds in memory, in bytes (proc(5)).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) rss: u64,
    /// The most it ever held.
    pub(crate) rss_max: u64,
    /// Now, each page that is shared divided by those who share it.
    pub(crate) pss: u64,
}

impl Daemon {
    /// A port that is free now.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn free_port() -> Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
        Ok(listener.local_addr().context("find a free port")?.port())
    }

    /// Starts the program with these flags besides its address, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub(crate) fn start(program: &Path, port: u16, flags: &[&str]) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let process = Command::new(program)
            .args(["--ip=127.0.0.1", "--hostname=localhost"])
            .arg(format!("--port={port}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut this = Self { process, address };
        let begin = Instant::now();
        while !this.is_healthy() {
            let ended = this.process.try_wait().context("look at the master")?;
            if let Some(status) = ended {
                anyhow::bail!("the master ended at its start: {status}");
            }
            ensure!(
                begin.elapsed() < START_TIME_MAX,
                "the master does not answer after its start"
            );
            std::thread::sleep(POLL);
        }
        Ok(this)
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(START_TIME_MAX))?;
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer.starts_with(b"HTTP/1.1 200 OK\r\n"))
        };
        ask().unwrap_or(false)
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it holds in memory.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.process.id());
            std::fs::read_to_string(path).context("the master is gone")
        };
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        let bytes = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            let kilobytes: Option<u64> = number.and_then(|text| text.parse().ok());
            kilobytes
                .map(|kilobytes| kilobytes << 10)
                .with_context(|| format!("read {name}"))
        };
        Ok(Memory {
            rss: bytes(&status, "VmRSS:")?,
            rss_max: bytes(&status, "VmHWM:")?,
            pss: bytes(&rollup, "Pss:")?,
        })
    }

    /// How many descriptors it has open.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.process.id());
        let open = std::fs::read_dir(path).context("the master is gone")?;
        Ok(open.count())
    }

    /// How much processor time it has used (proc(5), `stat`).
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        /// `sysconf(_SC_CLK_TCK)` on every Linux.
        const TICKS_PER_SECOND: u64 = 100;
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(path).context("the master is gone")?;
        // The name, which comes second, may hold spaces; it ends with the last bracket.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let fields = after.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|text| text.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended cannot be killed; either way it is waited for.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
