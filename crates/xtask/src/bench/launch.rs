//! `cargo xtask bench launch`: a command task's launch beside bwrap, crun and runc, on a machine that
//! is booted for it, or on this host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use image::Kernel;
use qemu::guest::{Console, QEMU, Watchdog};
use qemu::{AccelChoice, BootFiles, Guest, Machine};
use serde_json::Value;

use super::report::{self, Figure};
use super::runtimes;
use crate::image::{AGENT, root};
use crate::lab;

/// What its lines of figures begin with; a console has others.
const MARK: &str = "figure ";
/// Its last line on a machine of its own.
const OVER: &str = "bench: over";
/// What a node's programs are built with (`tests/run`): asked for by themselves, the agent's libraries
/// would have other features and be built once more.
const BESIDE: [&str; 6] = ["agent", "cli", "image", "initramfs", "master", "qemu"];
/// The size of the disk that the machine gets.
const DISK_MB: u64 = 1024;

/// Where, and how often.
#[derive(clap::Args)]
pub(super) struct Args {
    /// On this host's kernel rather than on a machine that is booted; takes root.
    #[arg(long)]
    host: bool,
    /// Launches of each program, with the node's network and with one of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Containers that run at once while their memory is taken; 0 takes none.
    #[arg(long, default_value_t = 20)]
    containers: u32,
    /// Launches whose rate is taken; 0 takes none.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// The kernel of the machine: 6.12, or 6.1.
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// What runs it: auto, kvm or tcg.
    #[arg(long, default_value_t)]
    accel: AccelChoice,
    /// Take the programs of the last run instead of building them.
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    report: report::Args,
}

/// Builds and runs it, and shows its figures.
pub(super) fn run(args: &Args) -> Result<()> {
    let folder = root()?.join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    match args.host {
        true => {
            let own = fs::metadata("/proc/self").context("find out who this is")?;
            ensure!(
                own.uid() == 0,
                "--host starts containers here, and takes root"
            );
            lab::install(&["musl-tools", "busybox-static"])?;
        }
        false => lab::install(&lab::TOOLS)?,
    }
    let runtimes = runtimes::prepare(&root()?.join("target/image"), &folder)?;
    let bench = folder.join("launch");
    if !args.no_build {
        eprintln!("bench: building the agent and the benchmark");
        fs::copy(build()?, &bench).with_context(|| format!("write {}", bench.display()))?;
    }
    let agent = root()?.join("target").join(AGENT);
    for program in [&agent, &bench] {
        ensure!(
            program.is_file(),
            "no program at {}: leave --no-build out, and it is built",
            program.display()
        );
    }
    let mut options = vec![
        format!("bench.rounds={}", args.rounds),
        format!("bench.containers={}", args.containers),
    ];
    let figures = if args.host {
        options.push(format!("bench.rate={}", args.rate));
        let place = |name: &str, path: &Path| format!("bench.{name}={}", path.display());
        let work = tempfile::tempdir_in(&folder).context("make a folder to work in")?;
        options.push(place("agent", &agent));
        options.push(place("runtimes", &runtimes));
        options.push(place("folder", &work.path().join("world")));
        let mut command = Command::new(&bench);
        figures(command.args(&options))?
    } else {
        // Under software emulation a rate says nothing that a launch does not.
        let disk = disk(&folder, &runtimes, &agent)?;
        let guest = guest(args, &bench, &folder, disk, options)?;
        let mut command = Command::new(QEMU);
        figures(command.args(guest.command_line(&folder)))?
    };
    report::print(&args.report, &figures)
}

/// The benchmark as a static program; cargo builds the agent's with it.
fn build() -> Result<PathBuf> {
    let mut command = crate::release::cargo()?;
    command
        .args(["bench", "--quiet", "--no-run", "--message-format", "json"])
        .args(["--target", "x86_64-unknown-linux-musl", "--bench", "launch"]);
    for package in BESIDE {
        command.args(["--package", package]);
    }
    let built = command
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo bench")?;
    if !built.status.success() {
        bail!("the benchmark was not built: {}", built.status);
    }
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages
        .filter(|message| message["target"]["name"] == "launch")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next().context("cargo built no benchmark")
}

/// A disk with the runtimes and the agent; what a run makes goes there, too.
fn disk(folder: &Path, runtimes: &Path, agent: &Path) -> Result<PathBuf> {
    let content = tempfile::tempdir_in(folder).context("make a folder for a disk")?;
    // Links in them are relative, and so is this one's way to them.
    let copied = Command::new("cp")
        .args(["--recursive", "--no-dereference", "--preserve=mode,links"])
        .args([runtimes, agent, content.path()])
        .status()
        .context("run cp")?;
    if !copied.success() {
        bail!("the content of a disk was not copied: {copied}");
    }
    let disk = folder.join("disk");
    // An old one would be filled up by what earlier runs left.
    let file = fs::File::create(&disk).with_context(|| format!("make {}", disk.display()))?;
    file.set_len(DISK_MB << 20).context("set a disk's size")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let formatted = Command::new("mke2fs")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(["-q", "-t", "ext4", "-d"])
        .args([content.path(), &disk])
        .status()
        .context("run mke2fs")?;
    if !formatted.success() {
        bail!("a disk was not formatted: {formatted}");
    }
    Ok(disk)
}

fn guest(
    args: &Args,
    bench: &Path,
    folder: &Path,
    disk: PathBuf,
    options: Vec<String>,
) -> Result<Guest> {
    qemu::preflight::qemu()?;
    let image = folder.join(format!("image-{}", args.kernel));
    crate::image::run(&crate::image::Args {
        kernel: args.kernel,
        init: Some(bench.to_owned()),
        out: Some(image.clone()),
        refresh: false,
        xfs: false,
    })?;
    let boot = BootFiles::checked(&image)?;
    let (accel, found) = args.accel.settle(&boot.kernel)?;
    eprintln!("bench: {found}");
    Ok(Guest {
        name: "bench".to_owned(),
        machine: Machine::Q35,
        accel,
        cpus: 1,
        memory_mb: 1024,
        boot,
        append: options,
        disk: Some(disk),
        forward: None,
        lan: None,
        console: Console::Stdio,
        watchdog: Watchdog::None,
    })
}

/// The figures that a program writes among its other lines, which go on to stderr.
fn figures(command: &mut Command) -> Result<Vec<Figure>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("read the benchmark")?;
    let mut figures = Vec::new();
    // A machine that is powered off tells nothing by its status.
    let mut failed = None;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("read the benchmark")?;
        let text = String::from_utf8_lossy(&line);
        // A console may write in front of a line, and ends it in its own way.
        match text.split_once(MARK) {
            Some((_, figure)) => figures.push(Figure::parse(figure.trim_end())?),
            None if text.contains(OVER) => {}
            None => {
                eprintln!("{}", text.trim_end());
                if let Some((_, why)) = text.split_once("error: ") {
                    failed = Some(why.trim_end().to_owned());
                }
            }
        }
    }
    let status = child.wait().context("wait for the benchmark")?;
    if !status.success() {
        bail!("the benchmark failed: {status}");
    }
    if let Some(why) = failed {
        bail!("the benchmark failed: {why}");
    }
    if figures.is_empty() {
        bail!("the benchmark told no figures");
    }
    Ok(figures)
}
