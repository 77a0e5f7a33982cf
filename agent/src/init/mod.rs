//! Init duties: what PID 1 owes a machine before and after the agent's work, as named phases.
//!
//! The same program does them on a booting node, on a machine that is only a namespace (tests), and
//! leaves them out on an ordinary Linux host.

use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::mpsc;

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
    /// Whether this process is PID 1, and so has to reap every orphan.
    pub is_pid1: bool,
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
