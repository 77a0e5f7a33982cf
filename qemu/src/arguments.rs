//! The command line of `tepui-qemu`. Options that only tests need are hidden.

use std::path::PathBuf;

use clap::Parser;
use qemu::AccelChoice;
use qemu::cluster::{AGENTS_MAX, ENSEMBLE_MAX};

/// Where things are, from the root of the checkout.
const CLUSTER: &str = "target/cluster";

/// A cluster of QEMU nodes on this machine.
#[derive(Parser)]
#[command(name = "tepui-qemu", disable_help_subcommand = true)]
pub(crate) enum Tool {
    /// Starts a cluster and runs a sample task on it.
    Up(Up),
    /// Stops it.
    Down(Down),
    /// Says what runs.
    Status(Place),
    /// A node's console; Ctrl-] leaves it.
    Console(ConsoleOf),
    /// Boots one guest with its console on this terminal.
    Boot(Boot),
    /// Serves the LAN between nodes, for ever.
    #[command(hide = true)]
    Switch(Place),
    /// Runs a program, and again whenever it ends.
    #[command(hide = true)]
    Keep(Keep),
    /// Forwards the ports that tasks hold, for as long as there is a cluster.
    #[command(hide = true)]
    Forward(Place),
}

/// Where a cluster is.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The cluster's folder.
    #[arg(long, default_value = CLUSTER, hide = true)]
    pub(crate) folder: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Up {
    /// How many nodes.
    #[arg(long, default_value_t = 2, value_parser = agents)]
    pub(crate) agents: usize,
    /// How many masters, of which one leads; more than one need ZooKeeper.
    #[arg(long, default_value_t = 1, value_parser = ensemble)]
    pub(crate) masters: usize,
    /// How many ZooKeeper servers elect the masters [default: none].
    #[arg(long, default_value_t = 0, hide_default_value = true, value_parser = ensemble)]
    pub(crate) zookeepers: usize,
    /// What runs them: auto tries KVM, and takes software emulation where it does not work.
    #[arg(long, default_value_t)]
    pub(crate) accel: AccelChoice,
    /// Processors of a node.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: u32,
    /// Memory of a node, in MB [default: 256].
    #[arg(long, default_value = "256", hide_default_value = true, value_parser = megabytes)]
    pub(crate) memory: u64,
    /// The kernel: 6.12 or 6.1.
    #[arg(long, default_value = "6.12", value_parser = ["6.12", "6.1"])]
    pub(crate) kernel: String,
    /// The folder of the programs.
    #[arg(long, hide = true)]
    pub(crate) programs: Option<PathBuf>,
    /// The folder of the boot image; made where not given.
    #[arg(long, hide = true)]
    pub(crate) image: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The master's port.
    #[arg(long, default_value_t = 5050, hide = true)]
    pub(crate) port: u16,
    /// The first ZooKeeper server's port.
    #[arg(long, default_value_t = 2181, hide = true)]
    pub(crate) zookeeper_port: u16,
    /// Three bytes of the nodes' addresses.
    #[arg(long, default_value = "127.0.1", hide = true)]
    pub(crate) prefix: String,
    /// A flag for the master.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub(crate) master_flag: Vec<String>,
    /// A word for the kernel's command line.
    #[arg(long, hide = true)]
    pub(crate) append: Vec<String>,
    /// Without the sample task.
    #[arg(long, hide = true)]
    pub(crate) no_sample: bool,
}

#[derive(clap::Args)]
pub(crate) struct Keep {
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Seconds that nodes have to power off by themselves.
    #[arg(long, default_value_t = 20)]
    pub(crate) grace: u64,
}

#[derive(clap::Args)]
pub(crate) struct ConsoleOf {
    /// The node: node1, or 1.
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(clap::Args)]
pub(crate) struct Boot {
    /// The static program that becomes PID 1 [default: the agent].
    #[arg(long)]
    pub(crate) init: Option<PathBuf>,
    /// The kernel: 6.12 or 6.1.
    #[arg(long, default_value = "6.12", value_parser = ["6.12", "6.1"])]
    pub(crate) kernel: String,
    /// What runs the guest.
    #[arg(long, default_value = "tcg")]
    pub(crate) accel: AccelChoice,
    /// q35 or microvm.
    #[arg(long, default_value = "q35", value_parser = ["q35", "microvm"])]
    pub(crate) machine: String,
    /// Processors.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: u32,
    /// Memory, in MB.
    #[arg(long, default_value = "256", value_parser = megabytes)]
    pub(crate) memory: u64,
    /// Words for the kernel's command line.
    #[arg(long)]
    pub(crate) append: Vec<String>,
    /// A raw image as the work disk; made blank with --disk-mb where there is none.
    #[arg(long)]
    pub(crate) disk: Option<PathBuf>,
    /// Have the kernel's XFS in the image: the work disk is one.
    #[arg(long)]
    pub(crate) xfs: bool,
    /// The size of a work disk that is made.
    #[arg(long, default_value_t = 1024)]
    pub(crate) disk_mb: u64,
    /// Where port 5051 of the guest is reached, as in 127.0.3.1:5051.
    #[arg(long)]
    pub(crate) forward: Option<String>,
    /// The folder of the programs.
    #[arg(long, hide = true)]
    pub(crate) programs: Option<PathBuf>,
}

fn ensemble(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= ENSEMBLE_MAX);
    number.ok_or_else(|| format!("a number up to {ENSEMBLE_MAX}"))
}

fn agents(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=AGENTS_MAX).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("not a number from 1 to {AGENTS_MAX}")),
    }
}

/// `256`, `256M`, `1G`.
fn megabytes(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.to_ascii_uppercase() {
        text if text.ends_with('G') => (text.trim_end_matches('G').to_owned(), 1024),
        text => (
            text.trim_end_matches("MB").trim_end_matches('M').to_owned(),
            1,
        ),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "not a size: 256, 256M or 1G, say".to_owned())?;
    match number.checked_mul(factor) {
        Some(size) if (96..=1 << 20).contains(&size) => Ok(size),
        Some(_) | None => Err("a node has from 96 MB to 1 TB".to_owned()),
    }
}
