//! Collect: removes the sandboxes that agent-core names, and what above them is empty then.
//!
//! When a container ended is known again after a restart by its sandbox's time of modification,
//! which is set at that moment.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_core::WallTime;
use agent_core::gc::{Gc, Share};
use model::ContainerId;
use nix::sys::statvfs::statvfs;
use tracing::{debug, info, warn};

use super::Settings;
use crate::init::chain;
use crate::paths;
use crate::sandboxes::Sandboxes;

/// What was collected since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Sandboxes that wait for their time.
    pub pending: u64,
    /// Sandboxes that were removed.
    pub removed: u64,
    /// Sandboxes that could not be.
    pub failed: u64,
    /// How old a sandbox may become, as the disk was filled when it was last looked at.
    pub allowed_age: Duration,
}

/// The collector of one work directory; paths are beneath it.
#[derive(Debug)]
pub(super) struct Collector {
    sandboxes: Arc<Sandboxes>,
    takes_all: bool,
    gc: Mutex<Gc<PathBuf>>,
    removed: AtomicU64,
    failed: AtomicU64,
    /// How full the disk was when it was last looked at.
    usage: Mutex<Share>,
}

impl Collector {
    pub(super) fn new(settings: &Settings, sandboxes: Arc<Sandboxes>) -> Self {
        Self {
            sandboxes,
            takes_all: settings.gc_non_executor_container_sandboxes,
            gc: Mutex::new(Gc::new(settings.gc)),
            removed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            usage: Mutex::default(),
        }
    }

    pub(super) fn begun(&self, sandbox: &Path) {
        if self.takes(sandbox) {
            self.gc().begun(sandbox.to_path_buf());
        }
    }

    pub(super) fn ended(&self, sandbox: &Path) {
        if self.takes(sandbox) {
            self.gc().ended(sandbox.to_path_buf(), now());
        }
    }

    /// Notes on the disk that the container ended now.
    pub(super) fn mark(&self, sandbox: &Path) {
        let path = self.sandboxes.work_dir().join(sandbox);
        let marked = File::open(&path).and_then(|folder| folder.set_modified(SystemTime::now()));
        if let Err(error) = marked {
            // A launch that failed early has none.
            debug!(path = %path.display(), error = chain(&error), "sandbox keeps its time");
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let usage = *self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let gc = self.gc();
        Figures {
            pending: u64::try_from(gc.pending()).unwrap_or(u64::MAX),
            removed: self.removed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            allowed_age: gc.allowed(usage),
        }
    }

    /// Finds what earlier agent processes left, of this agent's id and of others. What was running
    /// then has ended just now.
    pub(super) fn find(&self, orphans: &BTreeSet<ContainerId>) {
        let mut found = 0_u64;
        for run in paths::all_runs(self.sandboxes.work_dir()) {
            let name = run.file_name().and_then(OsStr::to_str);
            let name = name.and_then(|name| ContainerId::new(name).ok());
            if name.is_some_and(|name| orphans.contains(&name)) {
                self.mark(&run);
            }
            let ended = modified(&self.sandboxes.work_dir().join(&run)).unwrap_or_else(now);
            self.gc().found(run, ended.min(now()));
            found += 1;
        }
        if found > 0 {
            info!(sandboxes = found, "found sandboxes");
        }
    }

    /// Removes what is to go now.
    pub(super) fn collect(&self) {
        let usage = match usage(self.sandboxes.work_dir()) {
            Ok(usage) => usage,
            Err(error) => {
                warn!(error = chain(&error), "the disk's usage is not known");
                Share::default()
            }
        };
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        let due = self.gc().due(now(), usage);
        for sandbox in due {
            match self.sandboxes.remove(&sandbox) {
                Ok(()) => {
                    self.removed.fetch_add(1, Ordering::Relaxed);
                    info!(path = %sandbox.display(), "sandbox collected");
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    warn!(path = %sandbox.display(), error = chain(&error), "sandbox not collected");
                    // It gets another delay.
                    self.gc().found(sandbox, now());
                }
            }
        }
    }

    /// Whether a sandbox goes by its own age, and not with the one that it is in.
    fn takes(&self, sandbox: &Path) -> bool {
        self.takes_all || paths::is_run(sandbox)
    }

    fn gc(&self) -> MutexGuard<'_, Gc<PathBuf>> {
        // Each of its acts is whole or not begun.
        self.gc.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How full the file system is, by space or by files, whichever is more.
fn usage(work_dir: &Path) -> Result<Share, nix::Error> {
    let stat = statvfs(work_dir)?;
    let space = Share::of(
        stat.blocks().saturating_sub(stat.blocks_free()),
        stat.blocks(),
    );
    let files = Share::of(stat.files().saturating_sub(stat.files_free()), stat.files());
    Ok(space.max(files))
}

fn modified(path: &Path) -> Option<WallTime> {
    let time = fs::symlink_metadata(path).and_then(|data| data.modified());
    time.ok().map(wall)
}

fn now() -> WallTime {
    wall(SystemTime::now())
}

fn wall(time: SystemTime) -> WallTime {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(nanos.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::LATEST;
    use agent_core::gc;

    fn collector(work_dir: &Path, takes_all: bool) -> Collector {
        let settings = Settings {
            gc: gc::Settings {
                delay: Duration::from_secs(3600),
                headroom: Share::default(),
            },
            disk_watch_interval: Duration::from_secs(60),
            gc_non_executor_container_sandboxes: takes_all,
            rotation: agent_core::rotation::Rules::default(),
        };
        let sandboxes = Sandboxes::open(work_dir).expect("the folder");
        Collector::new(&settings, Arc::new(sandboxes))
    }

    /// Makes a sandbox whose container ended so many seconds ago.
    fn sandbox(work_dir: &Path, path: &str, age: u64) -> PathBuf {
        let whole = work_dir.join(path);
        fs::create_dir_all(whole.join("deep")).expect("a folder");
        fs::write(whole.join("deep/file"), "x").expect("a file");
        let ended = SystemTime::now() - Duration::from_secs(age);
        let folder = File::open(&whole).expect("the folder");
        folder.set_modified(ended).expect("its time");
        PathBuf::from(path)
    }

    #[test]
    fn old_sandboxes_go_with_their_empty_folders_and_others_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let work_dir = folder.path();
        let outside = work_dir.join("outside");
        fs::write(&outside, "kept").expect("a file");
        let old = sandbox(
            work_dir,
            "slaves/S0/frameworks/f/executors/e/runs/old",
            7200,
        );
        let link = work_dir.join(&old).join("deep/link");
        std::os::unix::fs::symlink(&outside, link).expect("a link");
        let latest = work_dir.join(&old).with_file_name(LATEST);
        std::os::unix::fs::symlink("old", latest).expect("a link");
        let busy = sandbox(
            work_dir,
            "slaves/S1/frameworks/f/executors/a/runs/busy",
            7200,
        );
        sandbox(work_dir, "slaves/S1/frameworks/f/executors/a/runs/new", 60);
        sandbox(
            work_dir,
            "slaves/S1/frameworks/f/executors/b/runs/old",
            7200,
        );
        let collector = collector(work_dir, false);
        collector.begun(&busy);
        collector.find(&BTreeSet::new());
        collector.collect();
        assert!(!work_dir.join("slaves/S0").exists());
        assert!(!work_dir.join("slaves/S1/frameworks/f/executors/b").exists());
        let runs = work_dir.join("slaves/S1/frameworks/f/executors/a/runs");
        assert!(runs.join("busy/deep/file").exists() && runs.join("new").exists());
        assert!(outside.exists());
        let figures = collector.figures();
        assert_eq!(
            (figures.pending, figures.removed, figures.failed),
            (1, 2, 0)
        );
    }

    #[test]
    fn the_end_of_a_container_is_known_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = "slaves/S1/frameworks/f/executors/a/runs/r";
        let run = sandbox(folder.path(), path, 7200);
        let before = collector(folder.path(), false);
        before.begun(&run);
        before.ended(&run);
        before.mark(&run);
        // This one was running when the agent died.
        let orphan = sandbox(folder.path(), &path.replace("runs/r", "runs/o"), 7200);
        let orphans = BTreeSet::from([ContainerId::new("o").expect("an id")]);
        let after = collector(folder.path(), false);
        after.find(&orphans);
        after.collect();
        for kept in [run, orphan] {
            assert!(folder.path().join(&kept).exists());
        }
    }

    #[test]
    fn sandboxes_without_an_executor_go_by_age_only_where_the_operator_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let nested = "slaves/S1/frameworks/f/executors/a/runs/r/containers/n";
        for takes_all in [false, true] {
            let collector = collector(folder.path(), takes_all);
            collector.begun(nested.as_ref());
            collector.ended(nested.as_ref());
            assert_eq!(collector.figures().pending, u64::from(takes_all));
        }
    }
}
