//! What a cluster is to be: how many nodes of which size, where, with which image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ensemble::SESSION;
use crate::accel::AccelChoice;
use crate::guest::Machine;

/// The host's loopback address, as QEMU's network shows it to a guest.
const HOST: &str = "10.0.2.2";

/// The port of an agent.
pub(crate) const AGENT_PORT: u16 = 5051;

/// The most nodes: their number is the last byte of addresses.
pub const AGENTS_MAX: usize = 254;

/// What a cluster is to be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The folder for everything; an old cluster's files in it are removed.
    pub folder: PathBuf,
    /// The folder of the boot image.
    pub image: PathBuf,
    /// The master's program.
    pub master_program: PathBuf,
    /// This crate's program, which serves the LAN.
    pub qemu_program: PathBuf,
    /// What runs the nodes.
    pub accel: AccelChoice,
    /// The kind of machine.
    pub machine: Machine,
    /// How many nodes, from 1 to 254.
    pub agents: usize,
    /// Processors of a node.
    pub cpus: u32,
    /// Memory of a node.
    pub memory_mb: u64,
    /// The size of a node's work disk, which takes space only as it is written.
    pub disk_bytes: u64,
    /// What it holds at first, as an image; blank where there is none.
    pub disk_image: Option<PathBuf>,
    /// The master's port on 127.0.0.1; the first one's where there are several.
    pub port: u16,
    /// How many masters; more than one only with ZooKeeper.
    pub masters: usize,
    /// How many ZooKeeper servers; with none there is no election.
    pub zookeepers: usize,
    /// The first server's port on 127.0.0.1.
    pub zookeeper_port: u16,
    /// Three bytes of the addresses on which nodes are reached, as in `127.0.1`.
    pub prefix: String,
    /// More flags for the master.
    pub master_flags: Vec<String>,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// How long all nodes may take to register.
    pub patience: Duration,
}

impl Spec {
    /// Two small nodes in `folder`, with the image and the programs at their places.
    #[must_use]
    pub fn new(folder: &Path, image: &Path, master_program: &Path, qemu_program: &Path) -> Spec {
        Spec {
            folder: folder.to_owned(),
            image: image.to_owned(),
            master_program: master_program.to_owned(),
            qemu_program: qemu_program.to_owned(),
            accel: AccelChoice::Auto,
            machine: Machine::Q35,
            agents: 2,
            cpus: 1,
            memory_mb: 256,
            disk_bytes: 4 << 30,
            disk_image: None,
            port: 5050,
            masters: 1,
            zookeepers: 0,
            zookeeper_port: 2181,
            prefix: "127.0.1".to_owned(),
            master_flags: Vec::new(),
            append: Vec::new(),
            patience: Duration::from_secs(180),
        }
    }

    pub(super) fn master(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn node_ip(&self, number: usize) -> String {
        format!("{}.{number}", self.prefix)
    }

    /// The kernel's command line for a node, without what every guest gets.
    pub(super) fn append_for(&self, number: usize) -> Vec<String> {
        let mut words = vec!["quiet".to_owned()];
        if self.has_election() {
            words.push(format!("tepui.master={}", self.zk(HOST)));
            words.push(format!("tepui.zk_session_timeout={SESSION}"));
            // Masters tell an address that whoever is on the host reaches.
            words.push(format!("tepui.loopback_master_ip={HOST}"));
        } else {
            words.push(format!("tepui.master={HOST}:{}", self.port));
        }
        words.extend([
            format!("tepui.hostname=node{number}"),
            format!("tepui.advertise_ip={}", self.node_ip(number)),
            format!("tepui.advertise_port={AGENT_PORT}"),
            // Clients send the name of whoever runs them, whom no node knows.
            "tepui.switch_user=false".to_owned(),
        ]);
        words.extend(self.append.iter().cloned());
        words
    }
}
