//! Init duties: what PID 1 owes a machine before and after the agent's work, as named phases.
//!
//! The same program does them on a booting node, does what is left of them as PID 1 of a namespace
//! (so that they are tested in milliseconds), and leaves them out on an ordinary Linux host.
//! No phase waits for a time that is not bounded, except for an address, which a node cannot do
//! without.

mod apart;
mod clock;
mod copy;
mod dhcp;
mod disk;
mod ext4;
mod file_system;
mod kept;
mod modules;
mod mounts;
mod names;
mod network;
mod power;
mod sntp;
mod sysctls;
mod xfs;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;

use agent_kernel::block;
use agent_kernel::boot_mounts::BootMountError;
use agent_kernel::cgroup::{self, AgentPlace};
use agent_kernel::facts;
use agent_kernel::power::Wishes;
use agent_kernel::process;
use agent_kernel::reexec::Past;
use model::sandbox::Access;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::again::History;
use crate::config::{Config, DiskWeights};

pub use mounts::early;
pub use power::{Ending, finish, main_loop_listens};

/// Where programs that speak TLS find whom to trust.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where the node's own files for tasks are.
const ETC: &str = "/run/tepui/etc";
/// Is there once the phases were through.
const BOOTED: &str = "/run/tepui/booted";
/// The default root: where it comes from, and where it is used.
const ROOTFS_PACKED: &str = "/usr/share/tepui/rootfs";
const ROOTFS: &str = "/run/tepui/rootfs";

/// How many descriptors the agent may have, and each of its tasks: as services on other systems.
const DESCRIPTORS_MAX: u64 = 524_288;

/// What the agent stands on once the phases are through.
#[derive(Debug)]
pub struct Node {
    /// Where sandboxes and the checkpoint live; it exists.
    pub work_dir: PathBuf,
    /// The name this agent is known by.
    pub hostname: String,
    /// The address that this machine is reached at; `Config::advertise_ip` goes before it.
    pub address: IpAddr,
    /// The root of a task that names no image; none on a host that was told none.
    pub default_rootfs: Option<PathBuf>,
    /// Holds the `resolv.conf` and `hosts` that tasks see.
    pub etc_dir: PathBuf,
    /// The cgroups of containers; none where this machine has no usable cgroup v2.
    pub cgroups: Option<cgroup::Tree>,
    /// What this process has under it.
    pub machine: Machine,
    /// Whether this process is PID 1, and so has to reap every orphan.
    pub is_pid1: bool,
    /// What there is to tell of earlier processes of this agent.
    pub history: History,
    /// Wishes to end, from signals and the power button. SIGTERM, SIGINT and SIGPWR are taken; every
    /// other signal is the main loop's.
    pub power: mpsc::Receiver<PowerEvent>,
}

/// Why the main loop should return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerEvent {
    /// The machine is to be off: SIGTERM, SIGPWR, the power button.
    PowerOff,
    /// The machine is to start again: Ctrl-Alt-Del, which arrives as SIGINT.
    Reboot,
    /// The process is to end; on an ordinary host.
    Stop,
}

/// What this process has under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// PID 1 of a machine: kernel, disks, clock and power are ours.
    Whole,
    /// PID 1 of a namespace: mounts, names and network are ours, the rest belongs to a host.
    Namespace,
    /// An ordinary process on an ordinary Linux host.
    Host,
}

/// Why the node does not come up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file system that has to be there was not mounted.
    #[error(transparent)]
    Mount(#[from] BootMountError),
    /// Signals cannot be taken.
    #[error("take signals")]
    Signals(#[source] agent_kernel::Errno),
    /// The work disk is not usable.
    #[error(transparent)]
    Disk(#[from] disk::DiskError),
    /// The network has no address and will not get one.
    #[error(transparent)]
    Network(#[from] network::NetworkError),
    /// A file or folder of the node's own was not written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The default root was not copied.
    #[error("copy the default root")]
    Copy(#[from] copy::CopyError),
    /// A thread was not started.
    #[error("start a thread")]
    Thread(#[source] io::Error),
}

/// Writes a line to the console, before and beside the log.
///
/// Nobody can be told where the console is gone, so an error ends here.
pub fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "tepui: {text}");
}

/// An error with its causes, as it is printed where it is handled.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Does one phase and tells how long it took.
fn phase<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let start = agent_kernel::clock::since_boot();
    let done = work();
    let took = agent_kernel::clock::since_boot().saturating_sub(start);
    info!(phase = name, ms = took.as_millis(), "init");
    done
}

/// Does the phases of a machine or namespace, after [`mounts::early`]; where this program was executed
/// again, what of them is of this process.
///
/// # Errors
/// Something is missing without which a node is none; the text names it.
pub fn run(
    config: &Config,
    machine: Machine,
    wishes: Wishes,
    past: &Past,
) -> Result<Node, InitError> {
    // One that failed before it was through begins anew with what may be missing.
    let is_first = past.cause.is_none() || !Path::new(BOOTED).exists();
    let whole = machine == Machine::Whole;
    if whole && is_first {
        phase("kernel settings", sysctls::apply);
        phase("kernel modules", modules::load_needed);
        phase("watchdog", modules::load_watchdog);
    }
    // Each container takes one for as long as it runs, and agent-core allows for 10 000; tasks inherit
    // the limit, and the kernel's own is 1 024, which can be raised to 4 096 only.
    if let Err(error) = process::raise_descriptors(DESCRIPTORS_MAX) {
        warn!(%error, "the agent and its tasks may have few descriptors");
    }
    if let Err(error) = process::lift_shared_limits() {
        warn!(%error, "containers share limits of signals, queues and locked memory");
    }
    let power = phase("power", || {
        power::watch(wishes, machine, config.work_dir.clone())
    })?;

    // The network waits for others, and so does its waiting beside the disk. A disk that is not usable
    // ends the machine without waiting for the network.
    let network = {
        let config = config.clone();
        thread::Builder::new()
            .name("network".to_owned())
            .spawn(move || {
                phase("network", || match kept::take(is_first, &config) {
                    Some(network) => Ok(network),
                    None => network::bring_up(&config, machine),
                })
            })
            .map_err(InitError::Thread)?
    };
    phase("work disk", || match past.cause {
        Some(_) if mounts::is_mounted(&config.work_dir, Access::ReadWrite) => Ok(()),
        Some(_) | None => disk::mount(config, machine).map(|()| share_disk(config)),
    })?;
    let history = History::take(past, &config.work_dir);
    let default_rootfs = phase("default root", || default_root(config, machine))?;
    let network = match network.join() {
        Ok(network) => network?,
        Err(panic) => std::panic::resume_unwind(panic),
    };

    let hostname = phase("names", || {
        let hostname = names::hostname(config, &network);
        names::write(&hostname, network.address, &network.facts).map(|()| hostname)
    })?;
    let cgroups = phase("cgroups", || cgroups(AgentPlace::OwnGroup));
    if whole && is_first {
        phase("lock", || {
            sysctls::lock_modules();
            check_entropy();
            check_ca_bundle();
        });
    }
    let address = IpAddr::V4(network.address);
    if whole {
        clock::keep(config.boot.ntp.clone(), network.facts.ntp)?;
    }
    network::keep(network, hostname.clone())?;
    write_file(Path::new(BOOTED), "")?;
    Ok(Node {
        work_dir: config.work_dir.clone(),
        hostname,
        address,
        default_rootfs,
        etc_dir: PathBuf::from(ETC),
        cgroups,
        machine,
        is_pid1: true,
        history,
        power,
    })
}

/// Says what an ordinary Linux host lacks, and stands on what it has.
///
/// # Errors
/// The work directory cannot be made.
pub fn on_host(config: &Config, wishes: Wishes, past: &Past) -> Result<Node, InitError> {
    let power = power::watch(wishes, Machine::Host, config.work_dir.clone())?;
    fs::create_dir_all(&config.work_dir).map_err(|source| InitError::Write {
        path: config.work_dir.clone(),
        source,
    })?;
    let hostname = config.hostname.clone().or_else(|| {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    if config.default_rootfs.is_none() {
        warn!("no --default_rootfs: a task that names no image cannot have a root of its own");
    }
    Ok(Node {
        work_dir: config.work_dir.clone(),
        hostname: hostname.unwrap_or_else(|| "localhost".to_owned()),
        address: config
            .ip
            .filter(|ip| !ip.is_unspecified())
            .unwrap_or_else(|| outward_address(config)),
        default_rootfs: config.default_rootfs.clone(),
        etc_dir: PathBuf::from("/etc"),
        cgroups: cgroups(AgentPlace::Stays),
        machine: Machine::Host,
        is_pid1: false,
        history: History::take(past, &config.work_dir),
        power,
    })
}

/// The address this host has towards the master: a connected UDP socket sends nothing, but is routed.
fn outward_address(config: &Config) -> IpAddr {
    let towards = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let master = config.master.towards();
        let master = master.ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.connect((master.host.as_str(), master.port))?;
        socket.local_addr()
    };
    towards().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// The default root, in a file system of its own: the initramfs can be neither mapped to other ids
/// nor kept out of a container's sight.
fn default_root(config: &Config, machine: Machine) -> Result<Option<PathBuf>, InitError> {
    if let Some(given) = &config.default_rootfs {
        return Ok(Some(given.clone()));
    }
    // Filled, and closed then, by an earlier process.
    if mounts::is_mounted(Path::new(ROOTFS), Access::ReadOnly) {
        return Ok(Some(PathBuf::from(ROOTFS)));
    }
    let packed = Path::new(ROOTFS_PACKED);
    if !packed.exists() {
        warn!(
            path = ROOTFS_PACKED,
            "there is no default root: a task has to name an image"
        );
        return Ok(None);
    }
    mounts::default_root(Path::new(ROOTFS), || copy::tree(packed, Path::new(ROOTFS)))?;
    give_back(packed, machine);
    Ok(Some(PathBuf::from(ROOTFS)))
}

/// Frees the memory of what the initramfs brought and nobody needs a second time.
fn give_back(path: &Path, machine: Machine) {
    if machine == Machine::Whole && agent_kernel::boot_mounts::root_is_memory() {
        let gone = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        if let Err(error) = gone {
            warn!(path = %path.display(), %error, "memory of the initramfs was not given back");
        }
    }
}

/// Has the work disk shared out between containers by their weights; there is none in memory.
fn share_disk(config: &Config) {
    let Some(disk) = block::disk_of(&config.work_dir) else {
        return;
    };
    let shared = match config.boot.disk_weights {
        DiskWeights::Iocost => cgroup::weigh_disk(disk),
        DiskWeights::Bfq => {
            modules::load_scheduler();
            block::schedule(disk, "bfq")
        }
        DiskWeights::None => return,
    };
    if let Err(error) = shared {
        warn!(%error, "the work disk is not shared out by weight");
    }
}

/// Prepares cgroups, and tells which isolation this machine cannot give to tasks.
fn cgroups(place: AgentPlace) -> Option<cgroup::Tree> {
    let made = cgroup::mount_point().map(|mount| cgroup::root_setup(&mount, place));
    let tree = match made {
        Some(Ok(tree)) => Some(tree),
        Some(Err(error)) => {
            warn!(error = chain(&error), "cgroups are not usable");
            None
        }
        None => None,
    };
    if let (Some(tree), AgentPlace::OwnGroup) = (&tree, place)
        && tree.controllers().contains(&"pids")
    {
        reserve_pids(tree);
    }
    if let (Some(tree), AgentPlace::OwnGroup) = (&tree, place)
        && tree.controllers().contains(&"memory")
    {
        reserve_memory(tree);
    }
    for (isolation, why) in facts::probe(tree.as_ref()).missing {
        warn!(%isolation, why, "tasks are not isolated in this way here");
    }
    tree
}

/// Leaves the node some of its numbers for processes and threads, whatever its containers do: an agent
/// that cannot start a thread cannot go on.
fn reserve_pids(tree: &cgroup::Tree) {
    let of = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let Some(all) = of("pid_max").into_iter().chain(of("threads-max")).min() else {
        return;
    };
    if let Err(error) = tree.limit_pids(all - all / 8) {
        warn!(
            error = chain(&error),
            "containers together may take every process number of this node"
        );
    }
}

/// The same of its memory: what containers may take that asked for no limit ends before the node's
/// own. PID 1 is never killed for lack of memory, but an agent that waits for it is of no use.
fn reserve_memory(tree: &cgroup::Tree) {
    /// The agent takes 16 MB when idle; the rest is the kernel's, and for requests under way.
    const RESERVE_MAX: u64 = 64 << 20;
    let facts = facts::measure(Path::new("/"));
    let Some(all) = facts.memory_bytes else {
        return;
    };
    let reserve = (all / 8).min(RESERVE_MAX);
    if let Err(error) = tree.limit_memory(all - reserve, reserve / 2) {
        warn!(
            error = chain(&error),
            "containers together may take all memory of this node"
        );
    }
}

/// Ids and keys are drawn from the kernel's generator, which says 256 when it is seeded.
fn check_entropy() {
    let bits = fs::read_to_string("/proc/sys/kernel/random/entropy_avail")
        .ok()
        .and_then(|bits| bits.trim().parse::<u32>().ok());
    match bits {
        Some(256..) => {}
        _ => warn!(
            ?bits,
            "the kernel's random numbers are not seeded yet: give the machine a virtio-rng"
        ),
    }
}

fn check_ca_bundle() {
    if !Path::new(CA_BUNDLE).exists() {
        warn!(
            path = CA_BUNDLE,
            "there are no certificate authorities: nothing can be fetched by https"
        );
    }
}

/// Writes a file of the node's own in place, so that a task that has it bound sees the new text.
fn write_file(path: &Path, text: &str) -> Result<(), InitError> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    };
    write().map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}
