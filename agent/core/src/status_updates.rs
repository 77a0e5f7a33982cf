//! Status updates: one queue a task, first in first out, sent again until acknowledged.
//!
//! Only the head of a queue is ever sent. An acknowledgement that names another update is ignored;
//! one of a terminal update ends the queue. After a terminal update a queue takes nothing more.
//! While the agent has no master, nothing is sent; then all heads are, at once. So are a
//! framework's when it subscribes again.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use model::{FrameworkId, Instant, StatusUuid, TaskId, TaskState};

use crate::effect::Status;

/// What names a task on an agent.
pub type TaskKey = (FrameworkId, TaskId);

/// The first wait for an acknowledgement (Mesos' `STATUS_UPDATE_RETRY_INTERVAL_MIN`).
pub const RETRY_MIN: Duration = Duration::from_secs(10);
/// The longest wait; each wait is twice the one before (`STATUS_UPDATE_RETRY_INTERVAL_MAX`).
pub const RETRY_MAX: Duration = Duration::from_secs(600);
/// Updates that may wait in one queue; past it only the terminal one is taken.
pub const WAITING_MAX: usize = 64;

/// The queues of all tasks.
#[derive(Debug, Default)]
pub struct StatusUpdates {
    queues: BTreeMap<TaskKey, Queue>,
    /// When each head that was sent is due again.
    due: BTreeSet<(Instant, TaskKey)>,
    flow: Flow,
}

/// Whether there is a master to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Flow {
    #[default]
    Held,
    Open,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Status>,
    /// Set while the head is with the master: when it is sent again, and the wait after that.
    sent: Option<(Instant, Duration)>,
}

/// An update to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The task's framework.
    pub framework_id: FrameworkId,
    /// The head of its queue.
    pub status: Status,
    /// The state at the queue's end.
    pub latest: TaskState,
}

/// What became of an update.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue; it is to be sent now if given.
    Queued(Option<Forward>),
    /// It is there already, comes after the task's end, or the queue is full.
    Refused,
}

/// What became of an acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The head is done; the next one is to be sent now if given.
    Next(Option<Forward>),
    /// The terminal update is done, and so is the queue.
    Ended,
    /// It does not name a head.
    Ignored,
}

impl StatusUpdates {
    /// Takes a new update. It must be stored before it is sent.
    pub fn push(&mut self, now: Instant, key: &TaskKey, status: Status) -> Pushed {
        let queue = self.queues.entry(key.clone()).or_default();
        let ended = queue.waiting.back().is_some_and(|s| s.state.is_terminal());
        let known = queue.waiting.iter().any(|s| s.uuid == status.uuid);
        let full = queue.waiting.len() >= WAITING_MAX && !status.state.is_terminal();
        if ended || known || full {
            return Pushed::Refused;
        }
        queue.waiting.push_back(status);
        if queue.waiting.len() > 1 {
            return Pushed::Queued(None);
        }
        Pushed::Queued(self.send_head(now, key, RETRY_MIN))
    }

    /// Takes an acknowledgement. It must be stored before the next update is sent.
    pub fn acknowledge(&mut self, now: Instant, key: &TaskKey, uuid: StatusUuid) -> Acknowledged {
        let Some(queue) = self.queues.get_mut(key) else {
            return Acknowledged::Ignored;
        };
        if queue.waiting.front().is_none_or(|head| head.uuid != uuid) {
            return Acknowledged::Ignored;
        }
        let done = queue.waiting.pop_front();
        if let Some((at, _)) = queue.sent.take() {
            self.due.remove(&(at, key.clone()));
        }
        if done.is_some_and(|status| status.state.is_terminal()) {
            self.queues.remove(key);
            return Acknowledged::Ended;
        }
        Acknowledged::Next(self.send_head(now, key, RETRY_MIN))
    }

    /// A master is there: every head is to be sent now.
    pub fn resume(&mut self, now: Instant) -> Vec<Forward> {
        self.flow = Flow::Open;
        let keys: Vec<TaskKey> = self.queues.keys().cloned().collect();
        keys.iter()
            .filter_map(|key| self.send_head(now, key, RETRY_MIN))
            .collect()
    }

    /// A framework listens again: its heads are to be sent now, whatever their wait, which begins
    /// anew.
    pub fn hasten(&mut self, now: Instant, framework_id: &FrameworkId) -> Vec<Forward> {
        let own = self.queues.keys().filter(|key| key.0 == *framework_id);
        let keys: Vec<TaskKey> = own.cloned().collect();
        keys.iter()
            .filter_map(|key| self.send_head(now, key, RETRY_MIN))
            .collect()
    }

    /// The master is gone: nothing is sent until [`Self::resume`].
    pub fn pause(&mut self) {
        self.flow = Flow::Held;
        self.due.clear();
        for queue in self.queues.values_mut() {
            queue.sent = None;
        }
    }

    /// The heads whose wait is over.
    pub fn due(&mut self, now: Instant) -> Vec<Forward> {
        let mut forwards = Vec::new();
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            let wait = self.queues.get(&key).and_then(|queue| queue.sent);
            let wait = wait.map_or(RETRY_MIN, |(_, wait)| (wait * 2).min(RETRY_MAX));
            self.due.remove(&(at, key.clone()));
            forwards.extend(self.send_head(now, &key, wait));
        }
        forwards
    }

    /// When [`Self::due`] next has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Drops a task's queue: nobody is to be told any more.
    pub fn forget(&mut self, key: &TaskKey) {
        if let Some(queue) = self.queues.remove(key)
            && let Some((at, _)) = queue.sent
        {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// The updates of a task that are not acknowledged, the oldest first.
    pub fn waiting(&self, key: &TaskKey) -> impl Iterator<Item = &Status> {
        self.queues.get(key).into_iter().flat_map(|q| &q.waiting)
    }

    fn send_head(&mut self, now: Instant, key: &TaskKey, wait: Duration) -> Option<Forward> {
        if self.flow == Flow::Held {
            return None;
        }
        let queue = self.queues.get_mut(key)?;
        let status = queue.waiting.front()?.clone();
        let latest = queue.waiting.back()?.state;
        if let Some((at, _)) = queue.sent.replace((now + wait, wait)) {
            self.due.remove(&(at, key.clone()));
        }
        self.due.insert((now + wait, key.clone()));
        Some(Forward {
            framework_id: key.0.clone(),
            status,
            latest,
        })
    }
}
