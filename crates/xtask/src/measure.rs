//! Figures of the whole system, each taken by really doing it.
//!
//! `measure boot`: how long a node takes from the start of QEMU to PID 1, to its registration, and to
//! the first offer in a scheduler's hands; how large what it boots is; what it holds when idle.

use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use image::Kernel;
use image::boot::INITRAMFS;
use qemu::{AccelChoice, Cluster, Machine, Phase, Spec, http};
use serde::Serialize;

use crate::image::root;

/// Where cargo leaves the static programs, in its target folder.
pub(crate) const PROGRAMS: &str = "x86_64-unknown-linux-musl/release";

/// What PID 1 writes to the console first.
const PID_1: &str = "pid 1 at ";

/// How long a step of a boot may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a node is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(3);

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The start of a node.
    Boot(Boot),
}

#[derive(clap::Args)]
struct Boot {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// How many boots; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// The kernel: 6.12, or 6.1.
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// What runs the node: auto, kvm or tcg.
    #[arg(long, default_value_t)]
    accel: AccelChoice,
    /// The machine: q35 or microvm.
    #[arg(long, default_value = "q35", value_parser = ["q35", "microvm"])]
    machine: String,
    /// Memory of the node, in MB.
    #[arg(long, default_value_t = 256)]
    memory: u64,
}

/// What one boot took.
#[derive(Debug, Clone, Serialize)]
struct Run {
    pid_1_s: f64,
    registered_s: f64,
    first_offer_s: f64,
    agent_pss_mb: f64,
    agent_rss_mb: f64,
    node_used_mb: f64,
    qemu_rss_mb: f64,
}

/// The figures, the medians of all boots.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    accel: String,
    kernel: String,
    memory_mb: u64,
    kernel_bytes: u64,
    initramfs_bytes: u64,
    median: Run,
    runs: Vec<Run>,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let What::Boot(boot) = &args.what;
    let report = measure(boot)?;
    match boot.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", table(&report)),
    }
    Ok(())
}

fn measure(boot: &Boot) -> Result<Report> {
    let target = root()?.join("target");
    let programs = target.join(PROGRAMS);
    for program in ["tepui-agent", "tepui-master", "tepui-qemu"] {
        if !programs.join(program).is_file() {
            bail!(
                "no {program} in {}: build it first (cargo build --release --target \
                 x86_64-unknown-linux-musl -p agent -p master -p qemu)",
                programs.display()
            );
        }
    }
    let image = target.join("image").join(boot.kernel.as_str());
    crate::image::run(&crate::image::Args {
        kernel: boot.kernel,
        init: Some(programs.join("tepui-agent")),
        out: Some(image.clone()),
        refresh: false,
        xfs: false,
    })?;
    let mut spec = spec(boot, &target.join("measure"), &image, &programs)?;
    let mut runs = Vec::new();
    let mut accel = String::new();
    for number in 1..=boot.runs {
        eprintln!("boot {number} of {}", boot.runs);
        let (run, used) = one(&spec)?;
        runs.push(run);
        // KVM need not be tried again.
        spec.accel = used.parse()?;
        accel = used;
    }
    let manifest = image::Manifest::load(&image)?.context("the image lost its manifest")?;
    let size = |name: &str| manifest.files.get(name).map_or(0, |sum| sum.bytes);
    Ok(Report {
        machine: boot.machine.clone(),
        accel,
        kernel: manifest.kernel_release.clone(),
        memory_mb: boot.memory,
        kernel_bytes: size("vmlinuz"),
        initramfs_bytes: size(INITRAMFS),
        median: median(&runs),
        runs,
    })
}

/// A cluster of one node, beside whatever else runs here.
fn spec(boot: &Boot, folder: &Path, image: &Path, programs: &Path) -> Result<Spec> {
    let machine = match boot.machine.as_str() {
        "microvm" => Machine::Microvm {
            tsc_khz: qemu::guest::host_tsc_khz()
                .context("find the frequency of the host's time-stamp counter")?,
        },
        _ => Machine::Q35,
    };
    let (master, qemu) = (programs.join("tepui-master"), programs.join("tepui-qemu"));
    Ok(Spec {
        accel: boot.accel,
        machine,
        agents: 1,
        memory_mb: boot.memory,
        port: 5059,
        prefix: "127.0.59".to_owned(),
        ..Spec::new(folder, image, &master, &qemu)
    })
}

/// Boots once; returns the figures and the accelerator.
fn one(spec: &Spec) -> Result<(Run, String)> {
    if let Some(old) = Cluster::find(&spec.folder)? {
        old.down(Duration::from_secs(5), &mut |_| ())?;
    }
    let console = spec.folder.join("node1.log");
    let mut watched = None;
    let mut registered = None;
    let cluster = Cluster::start(spec, &mut |phase| match phase {
        Phase::MasterListens { address, .. } => {
            watched = Some(Watched::start(address.clone(), console.clone()));
        }
        Phase::Registered { .. } => registered = Some(Instant::now()),
        Phase::TryingKvm
        | Phase::Accelerated { .. }
        | Phase::Elected { .. }
        | Phase::NodesStarted { .. } => {}
    })?;
    let watched = watched.context("the master never listened")?;
    let since = |at: Instant| at.duration_since(watched.started).as_secs_f64();
    let pid_1 = watched
        .pid_1
        .recv_timeout(PATIENCE)
        .context("PID 1 said nothing")?;
    let offer = watched
        .offer
        .recv_timeout(PATIENCE)
        .context("no offer came")?;
    std::thread::sleep(SETTLE);
    let node = cluster.node(1)?;
    let (_, body) = http::get(&node.address, "/metrics").context("ask the node for its metrics")?;
    let metrics = String::from_utf8_lossy(&body).into_owned();
    let megabytes = |name: &str| -> Result<f64> {
        let mut lines = metrics.lines().filter_map(|line| line.split_once(' '));
        let found = lines.rfind(|(family, _)| *family == name);
        let bytes = found.and_then(|(_, number)| number.parse::<f64>().ok());
        Ok(bytes.with_context(|| format!("no {name} in the node's metrics"))? / 1e6)
    };
    let run = Run {
        pid_1_s: since(pid_1?),
        registered_s: since(registered.context("the node never registered")?),
        first_offer_s: since(offer?),
        agent_pss_mb: megabytes("mesos_tepui_agent_pss_bytes")?,
        agent_rss_mb: megabytes("mesos_tepui_agent_rss_bytes")?,
        node_used_mb: megabytes("mesos_system_mem_total_bytes")?
            - megabytes("mesos_tepui_mem_available_bytes")?,
        qemu_rss_mb: node.process().resident().unwrap_or(0) as f64 / 1e6,
    };
    let accel = cluster.state().accel.clone();
    cluster.down(Duration::from_secs(10), &mut |_| ())?;
    Ok((run, accel))
}

/// What is waited for beside the cluster's own start, each on a thread.
struct Watched {
    started: Instant,
    pid_1: mpsc::Receiver<Result<Instant>>,
    offer: mpsc::Receiver<Result<Instant>>,
}

impl Watched {
    /// Subscribes at `master` and watches `console`. The node is started right after.
    fn start(master: String, console: PathBuf) -> Watched {
        let (subscribed, ready) = mpsc::channel();
        let offer = on_thread(move || first_offer(&master, &subscribed));
        // A scheduler that is not subscribed yet would get its first offer late.
        let _subscribed = ready.recv_timeout(Duration::from_secs(5));
        let pid_1 = on_thread(move || line_appears(&console, PID_1));
        Watched {
            started: Instant::now(),
            pid_1,
            offer,
        }
    }
}

fn on_thread(
    wait: impl FnOnce() -> Result<Instant> + Send + 'static,
) -> mpsc::Receiver<Result<Instant>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more when the measurement was given up.
        let _sent = send.send(wait());
    });
    receive
}

fn line_appears(console: &Path, text: &str) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if fs::read_to_string(console).is_ok_and(|log| log.contains(text)) {
            return Ok(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("no line with {text:?} in {}", console.display())
}

/// Subscribes as a scheduler and waits for the first event of type OFFERS.
fn first_offer(master: &str, subscribed: &mpsc::Sender<()>) -> Result<Instant> {
    let body = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"measure","roles":["*"],"capabilities":[{"type":"MULTI_ROLE"}]}}}"#;
    let mut stream = TcpStream::connect(master).context("connect to the master")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reader = BufReader::new(stream);
    let (status, _) = http::head(&mut reader).context("subscribe at the master")?;
    if status != 200 {
        bail!("the master answers SUBSCRIBE with {status}");
    }
    let mut events = Vec::new();
    while http::chunk(&mut reader, &mut events).context("read the master's events")? {
        let _told = subscribed.send(());
        if String::from_utf8_lossy(&events).contains(r#""type":"OFFERS""#) {
            return Ok(Instant::now());
        }
    }
    bail!("the master ended the stream of events")
}

fn median(runs: &[Run]) -> Run {
    let of = |figure: fn(&Run) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    };
    Run {
        pid_1_s: of(|run| run.pid_1_s),
        registered_s: of(|run| run.registered_s),
        first_offer_s: of(|run| run.first_offer_s),
        agent_pss_mb: of(|run| run.agent_pss_mb),
        agent_rss_mb: of(|run| run.agent_rss_mb),
        node_used_mb: of(|run| run.node_used_mb),
        qemu_rss_mb: of(|run| run.qemu_rss_mb),
    }
}

fn table(report: &Report) -> String {
    let Report { median, runs, .. } = report;
    let spread = |figure: fn(&Run) -> f64| {
        let low = runs.iter().map(figure).fold(f64::INFINITY, f64::min);
        let high = runs.iter().map(figure).fold(0.0, f64::max);
        format!("{low:.2} to {high:.2}")
    };
    let seconds =
        |name: &str, value: f64, spread: String| format!("{name:<34} {value:>8.2} s    {spread}\n");
    let megabytes = |name: &str, value: f64| format!("{name:<34} {value:>8.1} MB\n");
    let head = format!(
        "{} {}, kernel {}, {} MB; median of {} boots, and from which to which\n",
        report.accel,
        report.machine,
        report.kernel,
        report.memory_mb,
        runs.len()
    );
    [
        head,
        seconds(
            "QEMU start to PID 1",
            median.pid_1_s,
            spread(|run| run.pid_1_s),
        ),
        seconds(
            "QEMU start to registration",
            median.registered_s,
            spread(|run| run.registered_s),
        ),
        seconds(
            "QEMU start to first offer",
            median.first_offer_s,
            spread(|run| run.first_offer_s),
        ),
        megabytes("kernel", report.kernel_bytes as f64 / 1e6),
        megabytes("initramfs", report.initramfs_bytes as f64 / 1e6),
        megabytes("idle agent, all of user space, PSS", median.agent_pss_mb),
        megabytes("idle agent, RSS", median.agent_rss_mb),
        megabytes("idle node, total less available", median.node_used_mb),
        megabytes("QEMU's process on the host, RSS", median.qemu_rss_mb),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first_offer_s: f64) -> Run {
        Run {
            pid_1_s: 1.0,
            registered_s: 2.0,
            first_offer_s,
            agent_pss_mb: 7.0,
            agent_rss_mb: 7.5,
            node_used_mb: 40.0,
            qemu_rss_mb: 280.0,
        }
    }

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let median = median(&[run(9.0), run(2.5), run(3.0)]);
        assert_eq!((median.pid_1_s, median.first_offer_s), (1.0, 3.0));
    }
}
