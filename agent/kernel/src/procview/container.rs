//! One view: its texts, as old as a tenth of a second at most, and what readers have of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use model::ContainerId;
use model::sandbox::{CgroupLimits, LaunchPlan, Load, View, ViewFile};

use super::pace::Pace;
use super::{Shared, facts, lock};
use crate::{clock, reexec};

/// How old a text is at most that is handed out.
const FRESH: Duration = Duration::from_millis(100);

/// What the texts of readers that are not done take together. Past it a reader gets what is current at
/// each call.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// How long tasks are counted for somebody who asked for the load: until it is forgotten anyway.
const INTEREST: Duration = Duration::from_secs(20 * 60);

type Text = Arc<[u8]>;

/// The view of one container.
#[derive(Debug)]
pub(super) struct Container {
    id: ContainerId,
    pub(super) view: View,
    pub(super) limits: Option<CgroupLimits>,
    /// Its cgroup and those above, the innermost first.
    pub(super) groups: Vec<PathBuf>,
    pub(super) clocks: Clocks,
    texts: Mutex<[Option<(Instant, Text)>; ViewFile::ALL.len()]>,
    /// Held while a text is made, for some milliseconds.
    account: Mutex<Account>,
    handles: AtomicU64,
    kept: Mutex<Kept>,
    pace: Pace,
}

/// By what a container counts its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// When it was made, or whoever it shares them with.
    pub(super) since: Instant,
    /// Whether they began then, and not with the node.
    pub(super) are_own: bool,
}

/// What has to be known of earlier.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The load, and when it was asked for last.
    load: Option<(Load, Instant)>,
    /// Idle time of all processors up to an age, and the time used up to then.
    idle: Duration,
    age: Duration,
    used: Duration,
}

impl Account {
    /// The idle time up to now.
    pub(super) fn idle(&mut self, age: Duration, used: Duration, cpus: u32) -> Duration {
        let all = age.saturating_sub(self.age).saturating_mul(cpus);
        let idle = all.saturating_sub(used.saturating_sub(self.used));
        self.idle = self.idle.saturating_add(idle);
        (self.age, self.used) = (age, used);
        self.idle
    }

    /// The load; where nobody has asked for it yet, that of its whole life.
    pub(super) fn load(&mut self, whole_life: impl FnOnce() -> Load) -> Load {
        let load = self.load.map_or_else(whole_life, |(load, _)| load);
        self.load = Some((load, Instant::now()));
        load
    }
}

/// The texts of readers, by their handles.
#[derive(Debug, Default)]
struct Kept {
    texts: BTreeMap<u64, Text>,
    bytes: usize,
}

fn first_handle() -> u64 {
    u64::try_from(clock::since_boot().as_nanos()).unwrap_or(1)
}

impl Container {
    pub(super) fn new(plan: &LaunchPlan, view: View, groups: Vec<PathBuf>, clocks: Clocks) -> Self {
        let id = plan.container.clone();
        Self::of(id, view, plan.cgroup.limits, groups, clocks)
    }

    /// The view of a container that was launched before.
    pub(super) fn of(
        id: ContainerId,
        view: View,
        limits: Option<CgroupLimits>,
        groups: Vec<PathBuf>,
        clocks: Clocks,
    ) -> Self {
        Self {
            id,
            view,
            limits,
            groups,
            clocks,
            texts: Mutex::default(),
            account: Mutex::default(),
            // No reader's of an earlier process, whose files go on: fewer than one a nanosecond is opened.
            handles: AtomicU64::new(first_handle()),
            kept: Mutex::default(),
            pace: Pace::new(Instant::now()),
        }
    }

    pub(super) const fn id(&self) -> &ContainerId {
        &self.id
    }

    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// A handle for a reader.
    pub(super) fn handle(&self) -> u64 {
        self.handles.fetch_add(1, Ordering::Relaxed)
    }

    /// What a reader reads: from the start, what is current; else, what it began with. `None` where no
    /// text could be made.
    pub(super) fn read(
        &self,
        shared: &Shared,
        file: ViewFile,
        handle: u64,
        from_start: bool,
    ) -> Option<Text> {
        if !from_start && let Some(text) = lock(&self.kept).texts.get(&handle) {
            return Some(Arc::clone(text));
        }
        let text = self.current(shared, file)?;
        let mut kept = lock(&self.kept);
        if let Some(old) = kept.texts.remove(&handle) {
            kept.bytes -= old.len();
        }
        if kept.bytes.saturating_add(text.len()) <= KEPT_BYTES_MAX {
            kept.bytes += text.len();
            kept.texts.insert(handle, Arc::clone(&text));
        }
        Some(text)
    }

    /// A reader is done.
    pub(super) fn released(&self, handle: u64) {
        let mut kept = lock(&self.kept);
        if let Some(old) = kept.texts.remove(&handle) {
            kept.bytes -= old.len();
        }
    }

    /// The current text. While one thread makes it, another gets the one before: so that a container
    /// whose text takes long keeps one thread at most.
    fn current(&self, shared: &Shared, file: ViewFile) -> Option<Text> {
        let found = || lock(&self.texts)[file as usize].clone();
        let fresh = |found: &(Instant, Text)| found.0.elapsed() < FRESH;
        let before = found();
        if let Some(found) = before.as_ref().filter(|found| fresh(found)) {
            return Some(Arc::clone(&found.1));
        }
        let mut account = match (self.account.try_lock(), before) {
            (Ok(account), _) => account,
            (Err(TryLockError::WouldBlock), Some((_, text))) => return Some(text),
            (Err(TryLockError::WouldBlock), None) => lock(&self.account),
            (Err(TryLockError::Poisoned(poisoned)), _) => poisoned.into_inner(),
        };
        if let Some((_, text)) = found().filter(fresh) {
            return Some(text);
        }
        // The thread is to outlive whatever is wrong with one text.
        let made = catch_unwind(AssertUnwindSafe(|| {
            reexec::tolerating(|| {
                let facts = facts::read(shared, self, file, &mut account);
                (shared.author.text)(file, &facts)
            })
        }));
        let text: Text = made.ok()?.into_bytes().into();
        lock(&self.texts)[file as usize] = Some((Instant::now(), Arc::clone(&text)));
        Some(text)
    }

    /// Counts the running tasks, where somebody wants the load; whether somebody does.
    pub(super) fn count(&self, left: &mut usize) -> bool {
        let mut account = lock(&self.account);
        match account.load {
            None => false,
            Some((_, asked)) if asked.elapsed() > INTEREST => {
                account.load = None;
                false
            }
            Some((load, asked)) => {
                let running = facts::running(self, left).unwrap_or(load.running);
                account.load = Some((load.step(running), asked));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_what_all_processors_had_less_what_was_used_and_never_shrinks() {
        let seconds = Duration::from_secs;
        let mut account = Account::default();
        assert_eq!(account.idle(seconds(10), seconds(5), 2), seconds(15));
        // More than one processor's time was used, as a limit of 1.1 allows.
        assert_eq!(account.idle(seconds(20), seconds(17), 1), seconds(15));
        assert_eq!(account.idle(seconds(30), seconds(17), 1), seconds(25));
        assert_eq!(account.idle(seconds(30), seconds(0), 1), seconds(25));
    }
}
