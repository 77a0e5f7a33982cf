//! Node: a real agent on this host, the program itself.
//!
//! It needs root, for containers, and a static busybox, for their root.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::http;

/// How long an agent may take to register.
const REGISTER_TIME_MAX: Duration = Duration::from_secs(20);
/// How long an agent may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an agent may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// What the commands of tasks find in their root.
const APPLETS: [&str; 6] = ["sh", "echo", "sleep", "cat", "true", "false"];

/// Where the parts of an agent are on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    agent: PathBuf,
    busybox: PathBuf,
}

impl Program {
    /// The agent's program and a busybox.
    ///
    /// # Errors
    /// One of them, or root, is missing.
    pub(crate) fn find(agent: Option<&Path>) -> Result<Self, String> {
        let owner = fs::metadata("/proc/self").map(|meta| meta.uid());
        if !matches!(owner, Ok(0)) {
            return Err("agents need root".into());
        }
        let beside = || Some(std::env::current_exe().ok()?.with_file_name("tepui-agent"));
        let agent = agent.map(Path::to_owned).or_else(beside);
        let Some(agent) = agent.filter(|path| path.exists()) else {
            return Err("no tepui-agent beside this program: cargo build --package agent".into());
        };
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from);
        let is_static = |path: &PathBuf| {
            // A program that needs libraries names its loader near its beginning (PT_INTERP).
            let bytes = fs::read(path).unwrap_or_default();
            let head = &bytes[..bytes.len().min(1024)];
            !head.is_empty() && !head.windows(9).any(|window| window == b"ld-linux-")
        };
        let Some(busybox) = busybox.into_iter().find(is_static) else {
            return Err("no static busybox: apt-get install busybox-static".into());
        };
        Ok(Self { agent, busybox })
    }
}

/// A running agent; it ends, with its containers, when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    process: Child,
    pub(crate) address: SocketAddr,
    /// The id that the master gave it.
    pub(crate) id: String,
    /// As it shows it in paths.
    pub(super) work_dir: String,
    _folder: TempDir,
}

impl Node {
    /// Starts an agent with these flags besides its master, its place and its root, and waits until it is
    /// registered.
    ///
    /// # Errors
    /// It ends, or is not registered in time.
    pub(crate) async fn start(
        program: &Program,
        master: SocketAddr,
        flags: &[String],
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for an agent")?;
        let root = folder.path().join("root");
        make_root(&root, &program.busybox).context("make a root for tasks")?;
        let work_dir = folder.path().join("work");
        fs::create_dir(&work_dir).context("make a work directory")?;
        let work_dir = work_dir.display().to_string();
        let log = fs::File::create(folder.path().join("log")).context("make a log")?;
        let address = free_address()?;
        let process = Command::new(&program.agent)
            // As the recorded agents knew it.
            .arg(format!("--master=localhost:{}", master.port()))
            .arg(format!("--ip={}", address.ip()))
            .arg(format!("--port={}", address.port()))
            .args(flags)
            .arg(format!("--work_dir={work_dir}"))
            .arg(format!("--default_rootfs={}", root.display()))
            .arg("--switch_user=false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.agent.display()))?;
        let mut node = Self {
            process,
            address,
            id: String::new(),
            work_dir,
            _folder: folder,
        };
        node.wait().await?;
        Ok(node)
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    async fn wait(&mut self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < REGISTER_TIME_MAX {
            if let Some(status) = self.process.try_wait().context("wait for an agent")? {
                let log = fs::read_to_string(self._folder.path().join("log")).unwrap_or_default();
                bail!("the agent ended: {status}\n{log}");
            }
            let request = b"GET /slave(1)/state HTTP/1.1\r\nHost: agent\r\n\r\n";
            let asked = timeout(ANSWER_TIME_MAX, http::exchange(self.address, request)).await;
            if let Ok(Ok((reply, _))) = asked {
                let state: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                if let Some(id) = state["id"].as_str().filter(|id| !id.is_empty()) {
                    id.clone_into(&mut self.id);
                    return Ok(());
                }
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the agent did not register within {REGISTER_TIME_MAX:?}")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.process.try_wait() {
            return;
        }
        // Told to, it ends its containers; kill(1) spares this tool another dependency.
        let told = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        let begin = std::time::Instant::now();
        while told.is_ok() && begin.elapsed() < END_TIME_MAX {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(POLL);
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port that nobody has.
fn free_address() -> Result<SocketAddr> {
    let taken = TcpListener::bind("127.0.0.1:0").context("find a port")?;
    taken.local_addr().context("find a port")
}

fn make_root(root: &Path, busybox: &Path) -> std::io::Result<()> {
    for folder in [
        "bin",
        "etc",
        "proc",
        "dev",
        "sys",
        "tmp",
        "mnt/mesos/sandbox",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        fs::write(root.join("etc").join(file), "")?;
    }
    fs::copy(busybox, root.join("bin/busybox"))?;
    for path in [root.join("bin/busybox"), root.to_owned()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    Ok(())
}
