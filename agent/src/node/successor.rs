//! Successor: the main loop's part in an upgrade, on both sides of it.
//!
//! A program that has arrived is executed between two steps, when all that was promised is stored and no
//! launch is under way: a container that is just being made would end with this program. One that was
//! executed settles when the agent is registered again, or has run a while where it was not before either.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_kernel::reexec;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::info;

use super::Main;
use crate::finder::Finder;
use crate::upgrade::{Arrived, UpgradeError, Upgrades};

/// How long launches are waited for.
const LAUNCHES_MAX: Duration = Duration::from_secs(60);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long ZooKeeper may take to hear that a session is over; meanwhile everything goes on.
const LEAVE_MAX: Duration = Duration::from_millis(500);
/// How long a program runs that need not be registered.
const RUN_MIN: Duration = Duration::from_secs(3);

/// A program that waits, and one that is on trial.
#[derive(Debug)]
pub(super) struct Successor {
    upgrades: Arc<Upgrades>,
    waits: Option<Waiting>,
    begun: Instant,
}

/// A program that waits for its moment.
#[derive(Debug)]
struct Waiting {
    arrived: Arrived,
    since: Instant,
    /// What is told to others before.
    leaving: JoinHandle<()>,
}

impl Successor {
    pub(super) fn new(upgrades: Arc<Upgrades>) -> Self {
        Self {
            upgrades,
            waits: None,
            begun: Instant::now(),
        }
    }

    /// It waits for its moment; one that waited before does no more.
    pub(super) fn arrived(&mut self, arrived: Arrived, finder: &Finder) {
        let leave = finder.leave();
        let leaving = tokio::spawn(async move {
            if let Some(leave) = leave {
                // What is not heard expires.
                let _ = timeout(LEAVE_MAX, leave).await;
            }
        });
        self.waits = Some(Waiting {
            arrived,
            since: Instant::now(),
            leaving,
        });
    }

    /// When the main loop is to look again at the latest.
    pub(super) fn deadline(&self) -> Option<tokio::time::Instant> {
        let waits = self.waits.is_some() || reexec::is_on_trial();
        waits.then(|| tokio::time::Instant::now() + LOOK_EVERY)
    }
}

impl Main {
    /// Between two steps.
    pub(super) fn succeed(&mut self) {
        let is_registered = self.agent.registration().registered().is_some();
        let successor = &mut self.successor;
        if reexec::is_on_trial() {
            let upgrade = successor.upgrades.upgrade();
            let needs_not = upgrade.is_none_or(|upgrade| !upgrade.was_registered);
            if is_registered || (needs_not && successor.begun.elapsed() >= RUN_MIN) {
                reexec::settled();
                info!("this program stays in the place of the one before it");
            }
        }
        let Some(waiting) = &successor.waits else {
            return;
        };
        let arrived = &waiting.arrived;
        let error = match self.containers.held().waiting {
            0 if waiting.leaving.is_finished() => {
                successor.upgrades.execute(arrived, is_registered)
            }
            _ if waiting.since.elapsed() < LAUNCHES_MAX => return,
            _ => UpgradeError::Launches(LAUNCHES_MAX),
        };
        let sha256 = arrived.to.sha256.clone();
        successor.upgrades.refused(&error, Some(sha256));
        successor.waits = None;
    }
}
