//! Cluster: a master that keeps its registry on disk, and a fleet of agents in another process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::fleet::ALL_IN;

/// How long all agents together may take to come in.
const ALL_IN_TIME_MAX: Duration = Duration::from_secs(300);
/// How long the master is left alone after that: what came in late is done with.
const SETTLE: Duration = Duration::from_millis(500);

/// A master, and perhaps agents; both end with this value.
pub(super) struct Cluster {
    // The fleet goes first, so that it does not look for a master that is gone.
    fleet: Option<Fleet>,
    master: Option<Daemon>,
    port: u16,
    folder: TempDir,
}

impl Cluster {
    /// A master alone, whose registry is in a folder beneath this one.
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder).context("make a folder for the registry")?;
        let mut this = Self {
            fleet: None,
            master: None,
            port: Daemon::free_port()?,
            folder,
        };
        this.start_master(program)?;
        Ok(this)
    }

    /// A master with so many agents.
    pub(super) fn with_agents(
        program: &Path,
        folder: &Path,
        agents: usize,
        options: &[&str],
    ) -> Result<Self> {
        let mut this = Self::start(program, folder)?;
        this.join(agents, options)?;
        std::thread::sleep(SETTLE);
        Ok(this)
    }

    /// Ends the master at once, as a crash does.
    pub(super) fn kill_master(&mut self) {
        self.master = None;
    }

    /// Starts a master at the address, and with the registry, of the one before.
    pub(super) fn start_master(&mut self, program: &Path) -> Result<()> {
        let work_dir = format!("--work_dir={}", self.folder.path().display());
        self.master = Some(Daemon::start(program, self.port, &[&work_dir])?);
        Ok(())
    }

    /// Has so many agents come in; gives the time from the first's beginning to the last's link.
    pub(super) fn join(&mut self, agents: usize, options: &[&str]) -> Result<Duration> {
        let fleet = Fleet::start(self.master()?.address(), agents, options)?;
        let took = fleet.wait_for_all()?;
        self.fleet = Some(fleet);
        Ok(took)
    }

    /// Waits until all agents have come in again.
    pub(super) fn wait_for_all(&self) -> Result<()> {
        let fleet = self.fleet.as_ref().context("there is no fleet")?;
        fleet.wait_for_all().map(drop)
    }

    /// The master.
    pub(super) fn master(&self) -> Result<&Daemon> {
        self.master.as_ref().context("there is no master")
    }

    /// Where the master listens.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        Ok(self.master()?.address())
    }
}

/// `cargo xtask fleet`, in a process of its own.
struct Fleet {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Fleet {
    fn start(master: SocketAddr, agents: usize, options: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut process = Command::new(program)
            .args(["fleet", "--master", &master.to_string()])
            .args(["--agents", &agents.to_string()])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start a fleet")?;
        let stdout = process.stdout.take().context("read the fleet")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let read = BufReader::new(stdout).lines();
            // The reader here is gone only with the fleet.
            drop(
                read.map_while(Result::ok)
                    .try_for_each(|line| sender.send(line)),
            );
        });
        Ok(Self { process, lines })
    }

    /// Waits until the fleet says that all are in; gives how long after its start that was.
    fn wait_for_all(&self) -> Result<Duration> {
        let begin = Instant::now();
        loop {
            let left = ALL_IN_TIME_MAX.saturating_sub(begin.elapsed());
            let line = self.lines.recv_timeout(left);
            let line = line.with_context(|| {
                format!("not all agents came in within {ALL_IN_TIME_MAX:?}, or the fleet ended")
            })?;
            if let Some(seconds) = line.strip_prefix(ALL_IN) {
                let seconds = seconds.trim().parse().context("read the fleet's line")?;
                return Ok(Duration::from_secs_f64(seconds));
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // One that has ended cannot be killed; either way it is waited for.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
