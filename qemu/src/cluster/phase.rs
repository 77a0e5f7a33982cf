//! How far the start of a cluster has come, for whoever waits for it.

use std::fmt;

/// A step of a start; each is told when it is done, but for the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Whether KVM works is being found out, which may take seconds.
    TryingKvm,
    /// What runs the nodes is settled, for a reason.
    Accelerated {
        /// In words.
        found: String,
    },
    /// The master listens; nodes are started next.
    MasterListens {
        /// Where.
        address: String,
        /// Its process id.
        pid: i32,
    },
    /// Of several masters one leads; nodes are started next.
    Elected {
        /// Where it listens.
        leader: String,
        /// How many masters there are.
        masters: usize,
        /// How many servers elect them.
        zookeepers: usize,
    },
    /// All nodes were started.
    NodesStarted {
        /// How many.
        nodes: usize,
        /// The memory of each.
        memory_mb: u64,
    },
    /// One more node has registered, or several.
    Registered {
        /// How many have.
        registered: usize,
        /// How many will.
        nodes: usize,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::TryingKvm => write!(f, "acceleration: trying KVM"),
            Phase::Accelerated { found } => write!(f, "acceleration: {found}"),
            Phase::MasterListens { address, pid } => {
                write!(f, "master: listens on {address} (pid {pid})")
            }
            Phase::Elected {
                leader,
                masters,
                zookeepers,
            } => write!(
                f,
                "masters: {masters}, by {zookeepers} ZooKeeper; the one on {leader} leads"
            ),
            Phase::NodesStarted { nodes, memory_mb } => {
                write!(f, "nodes: {nodes} of {memory_mb} MB started")
            }
            Phase::Registered { registered, nodes } => {
                write!(f, "nodes: {registered} of {nodes} registered")
            }
        }
    }
}
