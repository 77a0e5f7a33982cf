//! The laboratory: a cluster of its own beside the user's, and the commands that speak to it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use qemu::guest::{Console, Watchdog};
use qemu::{AccelChoice, BootFiles, Cluster, Guest, Machine, Spec};
use serde_json::Value;

use crate::failures;
use crate::registry::Registry;
use crate::upgrades;

/// Where the release build leaves its programs.
pub(crate) const PROGRAMS: &str = "target/x86_64-unknown-linux-musl/release";
/// How long a node may stay silent here: three pings of two seconds.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(6);

/// The checkout.
fn root() -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(tests.join("..").canonicalize()?)
}

/// A cluster away from the user's own; what is left of an earlier one of that port is stopped.
fn spec(root: &Path, kernel: &str, agents: usize, port: u16) -> Result<Spec> {
    let folder = root.join(format!("target/vm-test-{port}"));
    if let Some(old) = Cluster::find(&folder)? {
        old.down(Duration::from_secs(5), &mut |line| println!("  {line}"))?;
    }
    let programs = root.join(PROGRAMS);
    Ok(Spec {
        accel: AccelChoice::Auto,
        agents,
        // What clients of other systems ask for a task and its executor is more than a smallest node.
        memory_mb: 512,
        port,
        prefix: format!("127.0.{}", port % 100),
        ..Spec::new(
            &folder,
            &root.join("target/image").join(kernel),
            &programs.join("tepui-master"),
            &programs.join("tepui-qemu"),
        )
    })
}

/// The cluster under test.
pub(crate) struct Lab {
    root: PathBuf,
    port: u16,
    cluster: Option<Cluster>,
    registry: Option<Registry>,
}

impl Lab {
    /// Boots nodes of this kernel and waits until all are registered. The port and the addresses
    /// are away from the user's own cluster. They pull images from this registry, where there is one.
    pub(crate) fn start(
        kernel: &str,
        agents: usize,
        port: u16,
        registry: Option<Registry>,
    ) -> Result<Self> {
        let root = root()?;
        let mut spec = spec(&root, kernel, agents, port)?;
        spec.master_flags = vec![
            "--agent_ping_timeout=2secs".to_owned(),
            "--max_agent_ping_timeouts=3".to_owned(),
        ];
        spec.append
            .push("tepui.executor_registration_timeout=40secs".to_owned());
        spec.append.push(failures::SETTING.to_owned());
        // Nobody gets any of it who does not ask.
        spec.append
            .push("tepui.resource_estimator=fixed:cpus:1;mem:64".to_owned());
        spec.append
            .push("tepui.qos_controller=pressure:cpu=30".to_owned());
        // With the weight that they have otherwise nobody misses what they take.
        spec.append
            .push("tepui.revocable_cpu_low_priority=false".to_owned());
        spec.append.push(upgrades::setting(&root)?);
        let names = registry.iter().map(Registry::name);
        spec.append
            .extend(names.map(|name| format!("tepui.docker_insecure_registries={name}")));
        let cluster = Cluster::start(&spec, &mut |line| println!("  {line}"))?;
        Ok(Self {
            root,
            port,
            cluster: Some(cluster),
            registry,
        })
    }

    /// The same with several masters, elected by as many ZooKeeper servers.
    pub(crate) fn elected(agents: usize, masters: usize, port: u16) -> Result<Self> {
        let root = root()?;
        let spec = Spec {
            masters,
            zookeepers: masters,
            zookeeper_port: port + 1000,
            ..spec(&root, "6.12", agents, port)?
        };
        let cluster = Cluster::start(&spec, &mut |line| println!("  {line}"))?;
        Ok(Self {
            root,
            port,
            cluster: Some(cluster),
            registry: None,
        })
    }

    /// A node of an image, whose disk holds another one at first, is of this size, and is shared out by
    /// weight.
    pub(crate) fn on_disk(image: &Path, port: u16, disk: &Path, disk_bytes: u64) -> Result<Self> {
        let root = root()?;
        let mut spec = Spec {
            image: image.to_owned(),
            disk_bytes,
            disk_image: Some(disk.to_owned()),
            ..spec(&root, "6.12", 1, port)?
        };
        spec.append.push("tepui.disk_weights=bfq".to_owned());
        let cluster = Cluster::start(&spec, &mut |line| println!("  {line}"))?;
        Ok(Self {
            root,
            port,
            cluster: Some(cluster),
            registry: None,
        })
    }

    /// What a node's console showed.
    pub(crate) fn console(&self, node: usize) -> Result<String> {
        let path = self.cluster()?.folder().join(format!("node{node}.log"));
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// An image of the registry, as the nodes name it.
    pub(crate) fn image(&self, name: &str) -> Result<String> {
        let registry = self.registry.as_ref().context("this lab has no registry")?;
        Ok(format!("{}/{name}", registry.name()))
    }

    /// What answers on a port of a node, as the host reaches it.
    pub(crate) fn node_port(&self, node: usize, port: u16) -> Result<String> {
        let address = &self.cluster()?.node(node)?.address;
        let host = address.rsplit_once(':').context("no port")?.0;
        Ok(format!("{host}:{port}"))
    }

    pub(crate) fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().context("the cluster was stopped")
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The master's address, or those of several.
    pub(crate) fn master(&self) -> String {
        match &self.cluster {
            Some(cluster) => cluster.state().master.clone(),
            None => format!("127.0.0.1:{}", self.port),
        }
    }

    /// A program of the release build.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.root.join(PROGRAMS).join(name))
    }

    /// `tepui` with these words, on this cluster.
    pub(crate) fn tepui(&self, words: &[&str]) -> Command {
        let mut command = self.program("tepui");
        command
            .args(words)
            .env("TEPUI_MASTER", self.master())
            .stdin(Stdio::null());
        command
    }

    /// `tepui run` with these words, to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Result<Output> {
        let mut all = vec!["run"];
        all.extend(words);
        finish(&mut self.tepui(&all), Duration::from_secs(90))
    }

    /// The output of a shell command that must end well on some node.
    pub(crate) fn shell(&self, script: &str) -> Result<String> {
        let output = self.run(&["--cpus", "0.1", "--mem", "32", "--", script])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{script}: {}: {text}{said}",
            output.status
        );
        Ok(text)
    }

    /// What the master answers on this path.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = qemu::http::get(&self.master(), path)?;
        ensure!(status == 200, "{path}: status {status}");
        Ok(serde_json::from_slice(&body)?)
    }

    /// Waits until the master's answer on `path` is as wanted.
    pub(crate) fn wait_for(
        &self,
        path: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            let value = self.get(path)?;
            if wanted(&value) {
                return Ok(value);
            }
            ensure!(
                Instant::now() < deadline,
                "not within {within:?}: {path} is {value:#}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Boots one guest, its console on a pipe, to its end or until its power is cut as soon as the
    /// console shows `cut_at`; what the console showed.
    pub(crate) fn boot_alone(
        &self,
        append: &[&str],
        disk: Option<PathBuf>,
        cut_at: Option<&str>,
    ) -> Result<String> {
        let guest = Guest {
            disk,
            ..self.alone(append)?
        };
        let mut was_cut = false;
        let text = Self::boot(&self.root, &guest, |line, child| {
            let cuts = !was_cut && cut_at.is_some_and(|wanted| line.contains(wanted));
            if cuts {
                was_cut = true;
                child.kill()?;
            }
            Ok(())
        })?;
        ensure!(
            was_cut == cut_at.is_some(),
            "{cut_at:?} was not shown: {text}"
        );
        Ok(text)
    }

    /// A node of its own, with a serial port that is read.
    pub(crate) fn alone(&self, append: &[&str]) -> Result<Guest> {
        let image = self.root.join("target/image/6.12");
        let boot = BootFiles::checked(&image)?;
        let (accel, _) = AccelChoice::Auto.settle(&boot.kernel)?;
        Ok(Guest {
            name: "alone".to_owned(),
            machine: Machine::Q35,
            accel,
            cpus: 1,
            memory_mb: 256,
            boot,
            append: append.iter().map(|&word| word.to_owned()).collect(),
            disk: None,
            forward: None,
            lan: None,
            console: Console::Stdio,
            watchdog: Watchdog::None,
        })
    }

    /// Boots a node, and gives what it said until its end; each line may be followed by a deed.
    pub(crate) fn boot(
        root: &Path,
        guest: &Guest,
        mut follow: impl FnMut(&str, &mut Child) -> Result<()>,
    ) -> Result<String> {
        let folder = root.join("target/vm-test-alone");
        std::fs::create_dir_all(&folder)?;
        let mut child = Command::new(qemu::guest::QEMU)
            .current_dir(&folder)
            .args(guest.command_line(&folder))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let console = child.stdout.take().context("no console")?;
        let (lines, shown) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                // Nobody listens any more once the case has ended.
                let _sent = lines.send(String::from_utf8_lossy(&line).replace('\r', ""));
            }
        });
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut text = String::new();
        loop {
            match shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    text.push_str(&line);
                    text.push('\n');
                    follow(&line, &mut child)?;
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    child.wait()?;
                    bail!("the guest did not end within 90 s: {text}");
                }
            }
        }
        child.wait()?;
        Ok(text)
    }

    /// Stops the cluster in good order; the lines that say how.
    pub(crate) fn down(&mut self) -> Result<Vec<String>> {
        let cluster = self.cluster.take().context("the cluster was stopped")?;
        let mut lines = Vec::new();
        cluster.down(Duration::from_secs(30), &mut |line| {
            lines.push(line.to_owned())
        })?;
        Ok(lines)
    }

    /// The ends of the logs, after a failure.
    pub(crate) fn show_logs(&self) {
        let Some(cluster) = &self.cluster else { return };
        for name in ["master.log", "node1.log", "node2.log"] {
            println!(
                "  -- {name}\n{}",
                qemu::process::tail(&cluster.folder().join(name), 25)
            );
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take()
            && let Err(error) = cluster.down(Duration::ZERO, &mut |_| {})
        {
            println!("  stop the cluster: {error}");
        }
    }
}

/// Runs a command to its end, or kills it.
pub(crate) fn finish(command: &mut Command, within: Duration) -> Result<Output> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let deadline = Instant::now() + within;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = std::thread::spawn(move || read(stdout));
    let stderr = std::thread::spawn(move || read(stderr));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    match status {
        Some(status) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        None => bail!(
            "{command:?} did not end within {within:?}: {}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    }
}

fn read(stream: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What a killed process leaves unread is not missed.
        let _read = stream.read_to_end(&mut bytes);
    }
    bytes
}
