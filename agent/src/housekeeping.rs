//! Housekeeping: what keeps the work directory within its bounds, beside the main loop.
//!
//! Output of running containers is rotated; sandboxes of ended ones are collected. Agent-core decides
//! both (`agent_core::rotation`, `agent_core::gc`); the main loop says which containers come and go.

mod collect;
mod rotate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_core::gc;
use agent_core::rotation::{RotationError, Rule, Rules};
use model::ContainerId;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::sandboxes::Sandboxes;

use collect::Collector;
use rotate::Rotator;

pub use collect::Figures;

/// How often the sizes of outputs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// And so while one grows faster than that is good for.
const LOOK_SOON: Duration = Duration::from_millis(50);

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When sandboxes go.
    pub gc: gc::Settings,
    /// How often the disk is looked at.
    pub disk_watch_interval: Duration,
    /// Whether sandboxes of containers without an executor go by age too, and not only with what
    /// they are in.
    pub gc_non_executor_container_sandboxes: bool,
    /// How output is rotated.
    pub rotation: Rules,
}

impl Settings {
    /// The flags that say so, as texts.
    #[must_use]
    pub fn flags(&self) -> [(&'static str, String); 8] {
        let (stdout, stderr) = (self.rotation.stdout, self.rotation.stderr);
        let size = |rule: Rule| model::bytes::format(rule.size);
        let keep = |rule: Rule| format!("rotate {}", rule.keep);
        [
            (
                "disk_watch_interval",
                model::duration::format(self.disk_watch_interval),
            ),
            ("gc_delay", model::duration::format(self.gc.delay)),
            ("gc_disk_headroom", self.gc.headroom.to_string()),
            (
                "gc_non_executor_container_sandboxes",
                self.gc_non_executor_container_sandboxes.to_string(),
            ),
            ("logrotate_stderr_options", keep(stderr)),
            ("logrotate_stdout_options", keep(stdout)),
            ("max_stderr_size", size(stderr)),
            ("max_stdout_size", size(stdout)),
        ]
    }
}

/// What the main loop and launches tell of containers.
#[derive(Debug)]
pub struct Housekeeping {
    settings: Settings,
    /// The sandboxes in use.
    in_use: Mutex<BTreeMap<ContainerId, PathBuf>>,
    collector: Arc<Collector>,
    rotator: Arc<Rotator>,
}

impl Housekeeping {
    /// Nothing is in use yet, and nothing is done before [`Self::start`].
    #[must_use]
    pub fn new(settings: Settings, sandboxes: Arc<Sandboxes>) -> Self {
        Self {
            settings,
            in_use: Mutex::default(),
            rotator: Arc::new(Rotator::new(sandboxes.work_dir())),
            collector: Arc::new(Collector::new(&settings, sandboxes)),
        }
    }

    /// Begins to collect and to rotate, as long as the runtime lives. These containers ended just
    /// now.
    pub fn start(&self, orphans: &[ContainerId]) {
        let collector = Arc::clone(&self.collector);
        let watch_every = self.settings.disk_watch_interval;
        let orphans: BTreeSet<ContainerId> = orphans.iter().cloned().collect();
        tokio::spawn(async move {
            let found = Arc::clone(&collector);
            // A panic in there was logged; what is not found is not collected.
            let _ = tokio::task::spawn_blocking(move || found.find(&orphans)).await;
            let mut times = interval(watch_every);
            times.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                times.tick().await;
                let collector = Arc::clone(&collector);
                // As above.
                let _ = tokio::task::spawn_blocking(move || collector.collect()).await;
            }
        });
        let rotator = Arc::clone(&self.rotator);
        tokio::spawn(async move {
            let mut pause = LOOK_EVERY;
            loop {
                sleep(pause).await;
                let watched = rotator.watched();
                if watched.is_empty() {
                    continue;
                }
                let rotator = Arc::clone(&rotator);
                let looked = tokio::task::spawn_blocking(move || rotator.look(&watched));
                // A panic in there was logged; the next look may do better.
                let is_busy = looked.await.unwrap_or(false);
                pause = if is_busy { LOOK_SOON } else { LOOK_EVERY };
            }
        });
    }

    /// A container is about to use a sandbox.
    pub fn begun(&self, container: &ContainerId, sandbox: &Path) {
        self.in_use()
            .insert(container.clone(), sandbox.to_path_buf());
        self.collector.begun(sandbox);
    }

    /// How the output of a task is rotated that has these variables.
    ///
    /// # Errors
    /// The variables ask for a rotation that cannot be.
    pub fn rules<'a>(
        &self,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Rules, RotationError> {
        self.settings.rotation.with(environment)
    }

    /// A container is about to write its output.
    pub fn rotate(&self, sandbox: &Path, rules: Rules) {
        self.rotator.begun(sandbox, rules);
    }

    /// A container is gone, or was never started.
    pub fn ended(&self, container: &ContainerId) {
        let Some(sandbox) = self.in_use().remove(container) else {
            return;
        };
        let watched = self.rotator.ended(&sandbox);
        self.collector.ended(&sandbox);
        let (collector, rotator) = (Arc::clone(&self.collector), Arc::clone(&self.rotator));
        // The main loop does not wait for a disk.
        tokio::task::spawn_blocking(move || {
            if let Some(watched) = watched {
                rotator.look(&[watched]);
            }
            collector.mark(&sandbox);
        });
    }

    /// What was collected.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.collector.figures()
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeMap<ContainerId, PathBuf>> {
        // An insertion or a removal is whole or not begun.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
