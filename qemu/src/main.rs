//! `tepui-qemu`: a cluster of QEMU guests on this machine. `qemu/up` and its siblings call it.

mod arguments;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use qemu::cluster::{self, Health};
use qemu::guest::{Console, QEMU, Watchdog};
use qemu::process::tail;
use qemu::{BootFiles, Cluster, Guest, Machine, Spec};

use crate::arguments::{Boot, ConsoleOf, Down, Keep, Place, Tool, Up};

fn main() -> ExitCode {
    let done = match Tool::parse() {
        Tool::Up(args) => up(&args),
        Tool::Down(args) => down(&args),
        Tool::Status(place) => status(&place),
        Tool::Console(args) => console(&args),
        Tool::Boot(args) => boot(&args),
        Tool::Switch(place) => qemu::switch::serve(&place.folder)
            .context("serve the LAN")
            .map(|()| ExitCode::SUCCESS),
        Tool::Keep(args) => keep(&args),
        Tool::Forward(place) => qemu::forward::serve(&place.folder)
            .context("forward ports of tasks")
            .map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn keep(args: &Keep) -> Result<ExitCode> {
    let (program, arguments) = args.command.split_first().context("no program is named")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let kept = qemu::keeper::keep(command);
    kept.with_context(|| format!("keep {program} running"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a line with the seconds since the start.
struct Progress {
    started: Instant,
}

impl Progress {
    fn say(&self, line: &str) {
        println!("{:6.1} s  {line}", self.started.elapsed().as_secs_f64());
        // A line that cannot be shown is no reason to stop.
        let _flushed = std::io::stdout().flush();
    }
}

fn up(args: &Up) -> Result<ExitCode> {
    let progress = Progress {
        started: Instant::now(),
    };
    if let Some(cluster) = Cluster::find(&args.place.folder)? {
        return report_existing(&cluster);
    }
    if args.masters == 0 || (args.masters > 1 && args.zookeepers == 0) {
        bail!(
            "--masters {} without ZooKeeper: one master, or several with --zookeepers 3 (or 1)",
            args.masters
        );
    }
    qemu::preflight::qemu()?;
    qemu::preflight::memory(args.agents, args.memory)?;
    let programs = programs(args.programs.as_deref())?;
    let image = match &args.image {
        Some(image) => image.clone(),
        None => {
            progress.say(&format!("image: kernel {}", args.kernel));
            make_image(&programs, &args.kernel, None, Xfs::No)?
        }
    };
    let qemu_program = std::env::current_exe().context("find this program")?;
    let master_program = programs.join("tepui-master");
    let spec = Spec {
        accel: args.accel,
        agents: args.agents,
        cpus: args.cpus,
        memory_mb: args.memory,
        port: args.port,
        masters: args.masters,
        zookeepers: args.zookeepers,
        zookeeper_port: args.zookeeper_port,
        prefix: args.prefix.clone(),
        master_flags: args.master_flag.clone(),
        append: args.append.clone(),
        ..Spec::new(&args.place.folder, &image, &master_program, &qemu_program)
    };
    let started = Cluster::start(&spec, &mut |phase| progress.say(&phase.to_string()));
    let cluster = match started {
        Ok(cluster) => cluster,
        Err(error) => {
            let left = Cluster::find(&args.place.folder)?.is_some();
            let error = anyhow::Error::from(error);
            return Err(match left {
                true => error.context(
                    "the cluster did not come up (./qemu/down clears away what runs of it)",
                ),
                false => error,
            });
        }
    };
    if args.no_sample {
        progress.say("running");
        return Ok(ExitCode::SUCCESS);
    }
    sample(&cluster, &progress)?;
    Ok(ExitCode::SUCCESS)
}

/// There is a cluster already: nothing is changed.
fn report_existing(cluster: &Cluster) -> Result<ExitCode> {
    match cluster.health() {
        Health::Whole => {
            println!(
                "A cluster is up already: {} nodes, master at {}. Nothing was changed.\n\
                 ./qemu/status says more, ./qemu/down stops it.",
                cluster.state().nodes.len(),
                cluster.state().master
            );
            Ok(ExitCode::SUCCESS)
        }
        Health::Lacks(dead) => bail!(
            "a cluster was started here and is not whole any more: not running: {}. Nothing was changed; \
             ./qemu/down stops the rest and clears the way, logs are in {}",
            dead.join(", "),
            cluster.folder().display()
        ),
    }
}

/// Runs a task by the operator's command, as a user would.
fn sample(cluster: &Cluster, progress: &Progress) -> Result<()> {
    let tepui = Path::new("target/bin/tepui");
    let line = "echo Hello from $(hostname), Linux $(uname -r)";
    // Small enough for the smallest node that boots.
    progress.say(&format!("sample task: tepui run --mem 32 -- '{line}'"));
    let master = &cluster.state().master;
    let ran = Command::new(tepui)
        .args(["--master", master, "run", "--mem", "32", "--", line])
        .status()
        .with_context(|| format!("run {}", tepui.display()))?;
    if !ran.success() {
        bail!(
            "the sample task failed ({ran}); the last lines of the master's log:\n{}",
            tail(&cluster.folder().join("master.log"), 20)
        );
    }
    progress.say("done; the cluster runs on");
    println!(
        "\nTry next:\n  \
         target/bin/tepui run --cpus 0.5 --mem 64 -- 'echo hello from $(hostname); exit 7'\n  \
         target/bin/tepui nodes\n  target/bin/tepui tasks\n  \
         curl -L http://{first}/master/state\n  \
         ./qemu/status    ./qemu/console node1    ./qemu/down",
        first = master.split(',').next().unwrap_or_default()
    );
    Ok(())
}

fn down(args: &Down) -> Result<ExitCode> {
    let Some(cluster) = Cluster::find(&args.place.folder)? else {
        println!("No cluster is up.");
        return Ok(ExitCode::SUCCESS);
    };
    let progress = Progress {
        started: Instant::now(),
    };
    cluster.down(Duration::from_secs(args.grace), &mut |line| {
        progress.say(line)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn status(place: &Place) -> Result<ExitCode> {
    let Some(cluster) = Cluster::find(&place.folder)? else {
        println!("No cluster is up; ./qemu/up starts one.");
        return Ok(ExitCode::from(3));
    };
    let state = cluster.state();
    let registered = cluster.registered();
    let has_election = !state.parts.is_empty();
    let leader = qemu::http::leader(&state.master).ok();
    let leader = leader.filter(|_| has_election);
    println!("{:<10} {:<16} {:>8}  STATE", "PART", "ADDRESS", "PID");
    for (name, process) in state.processes() {
        let node = state.nodes.iter().find(|node| node.name == name);
        let part = state.parts.iter().find(|part| part.name == name);
        let address = match (node.or(part), name.as_str()) {
            (Some(one), _) => one.address.as_str(),
            (None, "master") => state.master.as_str(),
            (None, _) => "-",
        };
        let how = match (process.runs(), node, &registered) {
            (false, _, _) => "not running",
            (true, Some(node), Ok(names)) if names.contains(&node.name) => "registered",
            (true, Some(_), Ok(_)) => "running, not registered",
            (true, None, _) if leader.as_deref() == Some(address) => "leads",
            (true, Some(_), Err(_)) | (true, None, _) => "running",
        };
        println!("{name:<10} {address:<16} {:>8}  {how}", process.pid);
    }
    println!(
        "\naccelerator: {}; logs: {}",
        state.accel,
        cluster.folder().display()
    );
    match (cluster.health(), registered) {
        (Health::Whole, Ok(names)) if names.len() == state.nodes.len() => Ok(ExitCode::SUCCESS),
        (Health::Whole | Health::Lacks(_), _) => Ok(ExitCode::FAILURE),
    }
}

fn console(args: &ConsoleOf) -> Result<ExitCode> {
    let Some(cluster) = Cluster::find(&args.place.folder)? else {
        bail!("no cluster is up; ./qemu/up starts one");
    };
    let names: Vec<&str> = cluster
        .state()
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    let wanted = args.node.strip_prefix("node").unwrap_or(&args.node);
    let number = wanted
        .parse()
        .ok()
        .filter(|number| (1..=names.len()).contains(number));
    let Some(number) = number else {
        bail!(
            "no node {:?} in this cluster: there are {}",
            args.node,
            names.join(", ")
        );
    };
    let stream = cluster::console(&cluster, number)?;
    let log = cluster.folder().join(format!("node{number}.log"));
    println!("{}", tail(&log, 20));
    eprintln!("-- console of node{number}; Ctrl-] leaves it --");
    qemu::terminal::attach(stream).context("show the console")?;
    Ok(ExitCode::SUCCESS)
}

fn boot(args: &Boot) -> Result<ExitCode> {
    qemu::preflight::qemu()?;
    qemu::preflight::memory(1, args.memory)?;
    let programs = programs(args.programs.as_deref())?;
    let xfs = match args.xfs {
        true => Xfs::Yes,
        false => Xfs::No,
    };
    let image = make_image(&programs, &args.kernel, args.init.as_deref(), xfs)?;
    let boot = BootFiles::checked(&image)?;
    let (accel, found) = args.accel.settle(&boot.kernel)?;
    eprintln!("acceleration: {found}");
    if let Some(disk) = &args.disk
        && !disk.exists()
    {
        std::fs::File::create(disk)
            .and_then(|file| file.set_len(args.disk_mb << 20))
            .with_context(|| format!("make {}", disk.display()))?;
    }
    let machine = match args.machine.as_str() {
        "microvm" => Machine::Microvm {
            tsc_khz: qemu::guest::host_tsc_khz()
                .context("find the host's time-stamp counter's frequency")?,
        },
        _ => Machine::Q35,
    };
    let guest = Guest {
        name: "boot".to_owned(),
        machine,
        accel,
        cpus: args.cpus,
        memory_mb: args.memory,
        boot,
        append: args.append.clone(),
        disk: args.disk.clone(),
        forward: args.forward.clone(),
        lan: None,
        console: Console::Stdio,
        watchdog: Watchdog::None,
    };
    let status = Command::new(QEMU)
        .args(guest.command_line(Path::new(".")))
        .status()
        .with_context(|| format!("run {QEMU}"))?;
    match status.success() {
        true => Ok(ExitCode::SUCCESS),
        false => bail!("{QEMU} ended with {status}"),
    }
}

/// The folder of the built programs: where this one is, unless told otherwise.
fn programs(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let own = std::env::current_exe().context("find this program")?;
    let folder = own.parent().context("find this program's folder")?;
    Ok(folder.to_owned())
}

/// Whether an image carries the driver of XFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Xfs {
    No,
    Yes,
}

/// Has the image made by `tepui-image`, which lies beside this program; returns its folder.
fn make_image(programs: &Path, kernel: &str, init: Option<&Path>, xfs: Xfs) -> Result<PathBuf> {
    let own = match init {
        None => "",
        Some(_) => "boot-",
    };
    let (with, option) = match xfs {
        Xfs::No => ("", None),
        Xfs::Yes => ("-xfs", Some("--xfs")),
    };
    let out = PathBuf::from(format!("target/image/{own}{kernel}{with}"));
    let maker = programs.join("tepui-image");
    let agent = programs.join("tepui-agent");
    let made = Command::new(&maker)
        .args(["--kernel", kernel, "--init"])
        .arg(init.unwrap_or(&agent))
        .arg("--out")
        .arg(&out)
        .args(option)
        .status()
        .with_context(|| format!("run {}", maker.display()))?;
    match made.success() {
        true => Ok(out),
        false => bail!("the image was not made"),
    }
}
