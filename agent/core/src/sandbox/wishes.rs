//! Wishes: what a `ContainerInfo` asks for beyond image and volumes.

use alloc::string::String;
use alloc::vec::Vec;

use model::sandbox::{Capability, Rlimit};

use super::ProfileWish;
use super::network::NamedNetwork;

/// What a container asks for; unset is the node's own way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// A host name of its own.
    pub hostname: Option<String>,
    /// Which network it sees.
    pub network: Network,
    /// Limits by setrlimit(2).
    pub rlimits: Vec<Rlimit>,
    /// The size of its `/dev/shm`.
    pub shm_bytes: Option<u64>,
    /// Whose System V objects and `/dev/shm` a nested container sees.
    pub ipc: Ipc,
    /// Whether a nested container sees the processes of its parent.
    pub share_pids: bool,
    /// Whether a nested container has limits of its own.
    pub own_limits: bool,
    /// The capabilities that it has where it asks for none, as far as the operator allows them.
    pub usual: Vec<Capability>,
    /// The capabilities in force.
    pub effective: Option<Vec<Capability>>,
    /// The capabilities that can be had.
    pub bounding: Option<Vec<Capability>>,
    /// The seccomp profile.
    pub seccomp: ProfileWish,
    /// Every capability, and nothing of `/proc` masked.
    pub privileged: bool,
}

/// Which network a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// The node's, or the parent's where it is nested.
    #[default]
    Shared,
    /// A loopback device and nothing else.
    Loopback,
    /// One of its own that is connected with others.
    Named(NamedNetwork),
}

/// Whose System V objects and `/dev/shm` a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ipc {
    /// The parent's, where it is nested; else its own.
    #[default]
    SharesParent,
    /// Its own.
    Private,
}
