//! The agent's main loop.

use crate::config::Config;
use crate::init::Node;

/// How the main loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The machine is to be off.
    PowerOff,
    /// The machine is to start again.
    Reboot,
    /// The process is to end with this code; on an ordinary host.
    Stop(i32),
}

/// Runs the agent until it is told to end, or cannot go on.
///
/// Returns with all of its containers ended where the machine is to be off.
#[must_use]
pub fn run(_config: Config, node: Node) -> Exit {
    let mut node = node;
    match node.power.blocking_recv() {
        Some(crate::init::PowerEvent::Reboot) => Exit::Reboot,
        Some(crate::init::PowerEvent::PowerOff) | None => Exit::PowerOff,
        Some(crate::init::PowerEvent::Stop) => Exit::Stop(0),
    }
}
