//! Recovery: what an earlier process of this agent left, in its checkpoint and in the kernel.
//!
//! The checkpoint is read before anything else is opened, since it tells which of the containers that
//! are found go on: their networks, folders and images are not to be cleared away. Agent-core hears of
//! them once all is there that they may need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use agent_core::Agent;
use agent_core::event::Event;
use agent_kernel::launch::Host;
use model::ContainerId;
use tracing::{info, warn};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::Config;
use crate::config::recovery::Recover;
use crate::containers::{Calls, Survivors, boot_id};
use crate::networks::Attachment;
use crate::paths;

use super::{Main, wall};

/// What was found.
pub(super) struct Recovered {
    /// The log, to go on with.
    pub(super) checkpoint: Checkpoint,
    /// The containers that it expects.
    pub(super) expected: BTreeSet<ContainerId>,
    /// Those that were found.
    pub(super) survivors: Survivors,
    /// How long that took.
    pub(super) took: Duration,
}

/// Feeds the checkpoint to agent-core, and looks for the containers that it expects.
///
/// # Errors
/// The checkpoint cannot be used.
pub(super) fn recover(
    config: &Config,
    work_dir: &Path,
    agent: &mut Agent,
    host: &Host,
) -> Result<Recovered, CheckpointError> {
    let begun = Instant::now();
    let read = Checkpoint::open(&paths::checkpoint(work_dir), config.recovery.strictness)?;
    if read.torn_bytes > 0 {
        warn!(
            bytes = read.torn_bytes,
            "cut a torn tail off the checkpoint"
        );
    }
    let (facts, wall) = (read.facts.len(), wall());
    for fact in read.facts {
        agent.step(model::Instant::ZERO, wall, Event::Recovered(fact));
    }
    let (expected, calls) = match config.recovery.recover {
        Recover::Reconnect => (agent.expected().cloned().collect(), Calls::Wanted),
        Recover::Cleanup => (BTreeSet::new(), Calls::Unwanted),
    };
    let survivors = Survivors::find(host, &boot_id(), &expected, calls);
    let tasks = agent.tasks().count();
    info!(facts, tasks, containers = survivors.len(), "recovered");
    Ok(Recovered {
        checkpoint: read.checkpoint,
        expected,
        survivors,
        took: begun.elapsed(),
    })
}

impl Main {
    /// Takes the survivors over; gives the events that end the recovery.
    pub(super) fn end_recovery(
        &mut self,
        survivors: Survivors,
        attachments: BTreeMap<ContainerId, Attachment>,
        expected: &BTreeSet<ContainerId>,
    ) -> Vec<Event> {
        let mut events = self.containers.adopt(survivors, attachments, expected);
        // Children that ended before this process had a way to hear of it.
        events.extend(self.containers.reap());
        let holdings = self.agent.holdings();
        if holdings.is_overdrawn() {
            warn!(
                configured = %self.description.resources,
                kept = %holdings.kept(),
                "reservations and volumes are more than this node is configured with"
            );
        }
        self.purge_volumes();
        events
    }
}
