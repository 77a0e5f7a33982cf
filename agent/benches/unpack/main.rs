//! Pulling and unpacking an image of 1 GB, beside skopeo and umoci on the same files in one run.
//!
//! Question: how long does it take from asking a registry on this host to unpacked layers, and how much
//! memory do all processes of it hold at once at most? Bound by inflating gzip, one core a layer, and
//! by writing files. The image is made of this host's own programs, so that figures of two hosts are
//! about two images; ratios are not.
//!
//!     cargo xtask bench unpack [--megabytes N] [--rounds N]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::images::settings::{Default as Registry, Settings};
use agent::images::{Provisioner, Wanted};
use agent::unpack::{self, Unpacker};
use agent::web::{Authorities, Client, Patience};
use agent_kernel::worker::Workers;

use registry::Server;

mod image;
mod registry;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// This program's first argument that makes it pull the image, as an agent does.
const PULL: &str = "pull";
const LAYERS: usize = 3;
/// How often the memory of the processes is looked at.
const SAMPLE: Duration = Duration::from_millis(20);
/// The most that this program may take, as a share of what the others take: time, memory. Three layers
/// are unpacked at once here, and one after the other there.
const BUDGET: [f64; 2] = [0.5, 1.0];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.get(1).map(String::as_str) {
        Some(unpack::ROLE) => return unpack::enter(),
        Some(PULL) => pull(&arguments[2..]),
        _ => bench(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[String]) -> Outcome<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err("to give files other ids takes root".into());
    }
    for program in ["skopeo", "umoci", "docker-registry", "tar", "gzip"] {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if found.is_err() {
            let text = format!("no {program} here: apt-get install {program}");
            return Err(text.into());
        }
    }
    let option = |name: &str, default: u64| -> Outcome<u64> {
        let at = arguments.iter().position(|argument| argument == name);
        match at.and_then(|at| arguments.get(at + 1)) {
            Some(text) => Ok(text.parse()?),
            None => Ok(default),
        }
    };
    let bytes = option("--megabytes", 1000)? * 1_000_000;
    let rounds = option("--rounds", 3)?.max(1);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-unpack");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    eprintln!("making an image of {} MB", bytes / 1_000_000);
    let packed = image::make(&folder, bytes)?;
    let registry = Server::start(&folder)?;
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--dest-tls-verify=false"])
        .args([
            format!("oci:{}:latest", folder.join("image").display()),
            format!("docker://{}", registry.image()),
        ]))?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        ours.push(by_us(&folder, &registry)?);
        theirs.push(by_others(&folder, &registry)?);
    }
    let counts = (
        count(&layers(&folder)?)?,
        count(&[folder.join("bundle/rootfs")])?,
    );
    if counts.0 != counts.1 {
        return Err(format!("{} files are not {} files", counts.0, counts.1).into());
    }
    report(bytes, packed, counts.0, &ours, &theirs)?;
    drop(registry);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Seconds, and megabytes held by all processes at once at most.
type Taken = (f64, f64);

fn report(bytes: u64, packed: u64, files: u64, ours: &[Taken], theirs: &[Taken]) -> Outcome<()> {
    let median = |all: &[Taken], pick: fn(&Taken) -> f64| {
        let mut all: Vec<f64> = all.iter().map(pick).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let mut text = format!(
        "image of {} MB in {LAYERS} layers, {files} files, gzip {} MB\n",
        bytes / 1_000_000,
        packed / 1_000_000
    );
    let mut shares = [0.0; 2];
    let names = ["seconds", "peak MB"];
    let picks: [fn(&Taken) -> f64; 2] = [|taken| taken.0, |taken| taken.1];
    for (at, (name, pick)) in names.into_iter().zip(picks).enumerate() {
        let (ours, theirs) = (median(ours, pick), median(theirs, pick));
        shares[at] = ours / theirs;
        writeln!(
            text,
            "{name:>8}  tepui {ours:8.2}  skopeo and umoci {theirs:8.2}  ratio {:.2} (budget {})",
            shares[at], BUDGET[at]
        )?;
    }
    print!("{text}");
    match shares
        .iter()
        .zip(BUDGET)
        .all(|(share, budget)| *share <= budget)
    {
        true => Ok(()),
        false => Err("over the budget".into()),
    }
}

fn by_us(folder: &Path, registry: &Server) -> Outcome<Taken> {
    let store = folder.join("store");
    let _ = fs::remove_dir_all(&store);
    nix::unistd::sync();
    let mut pull = Command::new(std::env::current_exe()?);
    pull.arg(PULL).arg(&store).arg(registry.image());
    taken(&mut [pull])
}

fn by_others(folder: &Path, registry: &Server) -> Outcome<Taken> {
    let (layout, bundle) = (folder.join("pulled"), folder.join("bundle"));
    let _ = fs::remove_dir_all(&layout);
    let _ = fs::remove_dir_all(&bundle);
    nix::unistd::sync();
    let image = format!("{}:latest", layout.display());
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--quiet", "--src-tls-verify=false"]);
    skopeo
        .arg(format!("docker://{}", registry.image()))
        .arg(format!("oci:{image}"));
    let mut umoci = Command::new("umoci");
    umoci.args(["unpack", "--image", &image]).arg(&bundle);
    taken(&mut [skopeo, umoci])
}

/// Runs commands one after the other.
fn taken(commands: &mut [Command]) -> Outcome<Taken> {
    let start = Instant::now();
    let mut peak = 0;
    for command in commands {
        let mut child = command.stdout(Stdio::null()).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            peak = peak.max(resident(child.id()));
            std::thread::sleep(SAMPLE);
        };
        if !status.success() {
            return Err(format!("{command:?}: {status}").into());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, peak as f64 / 1e6))
}

/// Bytes that a process and its descendants hold.
fn resident(root: u32) -> u64 {
    let mut parents = BTreeMap::new();
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        let text = fs::read_to_string(entry.path().join("status"));
        let (Some(pid), Ok(text)) = (number, text) else {
            continue;
        };
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        parents.insert(pid, field("PPid:").unwrap_or(0));
        sizes.insert(pid, field("VmRSS:").unwrap_or(0) * 1024);
    }
    let is_below = |mut pid: u32| {
        while pid != root {
            match parents
                .get(&pid)
                .and_then(|parent| u32::try_from(*parent).ok())
            {
                Some(parent) if parent > 0 => pid = parent,
                _ => return false,
            }
        }
        true
    };
    sizes
        .iter()
        .filter(|(pid, _)| is_below(**pid))
        .map(|(_, bytes)| bytes)
        .sum()
}

/// In its own process: pulls the image into the store, as an agent does.
fn pull(arguments: &[String]) -> Outcome<()> {
    let [store, image] = arguments else {
        return Err("a store and an image".into());
    };
    let (authority, _) = image.split_once('/').ok_or("a registry")?;
    let settings = Settings {
        store: PathBuf::from(store),
        bytes_max: 64 << 30,
        default: Registry::Registry(format!("http://{authority}").parse()?),
        insecure: vec![authority.to_owned()],
        mirrors: BTreeMap::new(),
        appc: Default::default(),
        credentials: Default::default(),
        waits: Vec::new(),
    };
    let workers = Arc::new(Workers::open()?);
    let client = Client::new(&Authorities::default(), Patience::default())?;
    let provisioner = Provisioner::open(settings, client, Arc::new(Unpacker::new(workers)))?;
    let wanted = Wanted {
        name: image.clone(),
        appc: None,
        cached: true,
        credentials: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let provisioned = runtime.block_on(provisioner.provision(&wanted))?;
    match provisioned.layers.len() {
        LAYERS => Ok(()),
        other => Err(format!("{other} layers").into()),
    }
}

/// The unpacked layers of our store.
fn layers(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let all = fs::read_dir(folder.join("store/layers/sha256"))?;
    Ok(all
        .flatten()
        .map(|entry| entry.path().join("tree"))
        .collect())
}

/// Files that are not directories.
fn count(folders: &[PathBuf]) -> Outcome<u64> {
    let mut files = 0;
    let mut open = folders.to_vec();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => open.push(entry.path()),
                false => files += 1,
            }
        }
    }
    Ok(files)
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {status}").into()),
    }
}
