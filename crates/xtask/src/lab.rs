//! Lab: a cluster of one node in QEMU, built from this checkout and away from the user's own.

pub(crate) mod framework;
pub(crate) mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use image::Kernel;
use qemu::{AccelChoice, Cluster, Phase, Spec, process};

use crate::image::root;

/// Where cargo leaves the static programs, in its target folder.
const PROGRAMS: &str = "x86_64-unknown-linux-musl/release";
/// What Debian has of what a lab is built and run by.
pub(crate) const TOOLS: [&str; 3] = ["musl-tools", "qemu-system-x86", "e2fsprogs"];
/// Every package that a lab takes a program from.
const PACKAGES: [&str; 6] = ["agent", "cli", "image", "master", "probe", "qemu"];
/// How long a node may take to power off.
const DOWN_TIME_MAX: Duration = Duration::from_secs(20);

/// What the node is to be.
pub(crate) struct Wanted {
    /// The folder for all its files, in `target`.
    pub(crate) name: &'static str,
    pub(crate) kernel: Kernel,
    /// The master's port; the node's address goes by its last two digits.
    pub(crate) port: u16,
    pub(crate) cpus: u32,
    pub(crate) memory_mb: u64,
    pub(crate) disk_mb: u64,
    /// More words for the node's command line.
    pub(crate) append: Vec<String>,
    pub(crate) programs: Programs,
}

/// Where the programs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Programs {
    /// They are built first.
    Built,
    /// They are taken as they lie there.
    Found,
}

/// A booted node with its master, until it is dropped.
pub(crate) struct Lab {
    target: PathBuf,
    kernel: Kernel,
    cluster: Option<Cluster>,
    pub(crate) master: SocketAddr,
    pub(crate) node: SocketAddr,
}

impl Lab {
    /// Builds what is needed, boots, and waits until the node is registered.
    ///
    /// # Errors
    /// Something does not build, or the cluster does not come up.
    pub(crate) fn start(wanted: &Wanted) -> Result<Self> {
        let spec = spec(wanted.name, wanted.kernel, wanted.programs)?;
        let spec = Spec {
            accel: AccelChoice::Auto,
            agents: 1,
            cpus: wanted.cpus,
            memory_mb: wanted.memory_mb,
            disk_bytes: wanted.disk_mb << 20,
            port: wanted.port,
            prefix: format!("127.0.{}", wanted.port % 100),
            master_flags: vec!["--allocation_interval=100ms".to_owned()],
            append: wanted.append.clone(),
            ..spec
        };
        let cluster = Cluster::start(&spec, &mut |phase: &Phase| eprintln!("lab: {phase}"))?;
        let node = cluster
            .node(1)?
            .address
            .parse()
            .context("the node's address")?;
        let master = cluster
            .state()
            .master
            .parse()
            .context("the master's address")?;
        Ok(Self {
            target: root()?.join("target"),
            kernel: wanted.kernel,
            cluster: Some(cluster),
            master,
            node,
        })
    }

    /// A program of the release build, as bytes.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn program(&self, name: &str) -> Result<Vec<u8>> {
        let path = program(name)?;
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    /// The folder of what the image was made of.
    pub(crate) fn parts(&self) -> PathBuf {
        self.target.join("image/parts").join(self.kernel.as_str())
    }

    /// What the node's console showed.
    ///
    /// # Errors
    /// The cluster is gone, or its log cannot be read.
    pub(crate) fn console(&self) -> Result<String> {
        let path = self.folder()?.join("node1.log");
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The ends of the logs, to look into after a failure.
    pub(crate) fn show_logs(&self) {
        let Ok(folder) = self.folder() else { return };
        for name in ["master.log", "node1.log"] {
            println!("-- {name}\n{}", process::tail(&folder.join(name), 20));
        }
    }

    fn folder(&self) -> Result<PathBuf> {
        let cluster = self.cluster.as_ref().context("the cluster is stopped")?;
        Ok(cluster.folder().to_owned())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take()
            && let Err(error) = cluster.down(DOWN_TIME_MAX, &mut |_| ())
        {
            eprintln!("lab: stop the cluster: {error}");
        }
    }
}

/// A cluster in a folder of `target`, of what is built from this checkout; one that was left there is
/// stopped.
///
/// # Errors
/// Something does not build.
pub(crate) fn spec(name: &str, kernel: Kernel, programs: Programs) -> Result<Spec> {
    match programs {
        Programs::Built => build()?,
        Programs::Found => {}
    }
    let target = root()?.join("target");
    let programs = target.join(PROGRAMS);
    let image = target.join("image").join(kernel.as_str());
    crate::image::run(&crate::image::Args {
        kernel,
        init: Some(programs.join("tepui-agent")),
        out: Some(image.clone()),
        refresh: false,
        xfs: false,
    })?;
    let folder = target.join(name);
    if let Some(old) = Cluster::find(&folder)? {
        old.down(Duration::from_secs(5), &mut |_| ())?;
    }
    let (master, qemu) = (programs.join("tepui-master"), programs.join("tepui-qemu"));
    Ok(Spec::new(&folder, &image, &master, &qemu))
}

/// Where a program of the last release build is.
///
/// # Errors
/// This is no checkout.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    Ok(root()?.join("target").join(PROGRAMS).join(name))
}

/// Sees to packages of Debian and to the target that static programs are built for; those that are there are
/// left alone.
///
/// # Errors
/// Something is missing and cannot be had; what it is for was told.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let install = root()?.join("qemu/install");
    let status = Command::new(&install)
        .args(packages)
        // Standard output is for figures.
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("run {}", install.display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("what this needs is not there: see above"),
    }
}

/// Builds the static programs, as nodes run them.
///
/// # Errors
/// They do not build.
pub(crate) fn build() -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()?);
    cargo.args(["build", "--quiet", "--release"]);
    cargo.args(["--target", "x86_64-unknown-linux-musl"]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    match cargo.status().context("start cargo")? {
        status if status.success() => Ok(()),
        status => bail!("the programs do not build: {status}"),
    }
}
