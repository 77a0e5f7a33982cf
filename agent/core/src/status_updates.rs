//! Status updates: one queue a task, first in first out, sent again until acknowledged.
//!
//! Only the head of a queue is ever sent. An acknowledgement that names another update is ignored;
//! one of a terminal update ends the queue. After a terminal update a queue takes nothing more.
//! While the agent has no master, nothing is sent; then all heads are, at once. So are a
//! framework's when it subscribes again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use model::{FrameworkId, Instant, StatusUuid, TaskId, TaskState};

use crate::effect::Status;
use crate::resend::{Flow, RETRY_MIN, Resend};

/// What names a task on an agent.
pub type TaskKey = (FrameworkId, TaskId);

/// Updates that may wait in one queue; past it only the terminal one is taken.
pub const WAITING_MAX: usize = 64;

/// The queues of all tasks.
#[derive(Debug, Default)]
pub struct StatusUpdates {
    /// Those that are not acknowledged; none is empty but that of a task that goes on.
    queues: BTreeMap<TaskKey, VecDeque<Status>>,
    /// The heads that are with the master.
    resend: Resend<TaskKey>,
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
        let ended = queue.back().is_some_and(|s| s.state.is_terminal());
        let known = queue.iter().any(|s| s.uuid == status.uuid);
        let full = queue.len() >= WAITING_MAX && !status.state.is_terminal();
        if ended || known || full {
            return Pushed::Refused;
        }
        queue.push_back(status);
        if queue.len() > 1 {
            return Pushed::Queued(None);
        }
        Pushed::Queued(self.send_head(now, key, RETRY_MIN))
    }

    /// Takes an acknowledgement. It must be stored before the next update is sent.
    pub fn acknowledge(&mut self, now: Instant, key: &TaskKey, uuid: StatusUuid) -> Acknowledged {
        let Some(queue) = self.queues.get_mut(key) else {
            return Acknowledged::Ignored;
        };
        if queue.front().is_none_or(|head| head.uuid != uuid) {
            return Acknowledged::Ignored;
        }
        let done = queue.pop_front();
        self.resend.forget(key);
        if done.is_some_and(|status| status.state.is_terminal()) {
            self.queues.remove(key);
            return Acknowledged::Ended;
        }
        Acknowledged::Next(self.send_head(now, key, RETRY_MIN))
    }

    /// A master is there: every head is to be sent now.
    pub fn resume(&mut self, now: Instant) -> Vec<Forward> {
        self.resend.resume();
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
        self.resend.pause();
    }

    /// The heads whose wait is over.
    pub fn due(&mut self, now: Instant) -> Vec<Forward> {
        let due = self.resend.due(now).into_iter();
        due.filter_map(|(key, wait)| self.send_head(now, &key, wait))
            .collect()
    }

    /// When [`Self::due`] next has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.resend.deadline()
    }

    /// Drops a task's queue: nobody is to be told any more.
    pub fn forget(&mut self, key: &TaskKey) {
        self.queues.remove(key);
        self.resend.forget(key);
    }

    /// Drops all queues of a framework.
    pub fn forget_all(&mut self, framework_id: &FrameworkId) {
        let own = self.queues.keys().filter(|key| key.0 == *framework_id);
        let keys: Vec<TaskKey> = own.cloned().collect();
        for key in &keys {
            self.forget(key);
        }
    }

    /// How many tasks have a queue.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.queues.len()
    }

    /// The updates of a task that are not acknowledged, the oldest first.
    pub fn waiting(&self, key: &TaskKey) -> impl Iterator<Item = &Status> {
        self.queues.get(key).into_iter().flatten()
    }

    fn send_head(&mut self, now: Instant, key: &TaskKey, wait: Duration) -> Option<Forward> {
        if self.resend.flow() == Flow::Held {
            return None;
        }
        let queue = self.queues.get(key)?;
        let status = queue.front()?.clone();
        let latest = queue.back()?.state;
        self.resend.sent(now, key, wait);
        Some(Forward {
            framework_id: key.0.clone(),
            status,
            latest,
        })
    }
}

#[cfg(test)]
mod tests {
    use model::Source;

    use super::*;
    use crate::effect::WallTime;

    fn status(number: u8, state: TaskState) -> Status {
        Status {
            task_id: TaskId::new("t").expect("an id"),
            executor_id: None,
            state,
            source: Source::Executor,
            reason: None,
            message: None,
            uuid: StatusUuid([number; 16]),
            timestamp: WallTime(0),
            container: None,
            pid: None,
            limitation: None,
            healthy: None,
            check: None,
            degraded: None,
            given: None,
        }
    }

    #[test]
    fn a_queue_that_is_full_takes_the_end_alone_and_keeps_its_order() {
        let mut updates = StatusUpdates::default();
        let key = (
            FrameworkId::new("f").expect("an id"),
            TaskId::new("t").expect("an id"),
        );
        let now = Instant::ZERO;
        updates.resume(now);
        for number in 0..WAITING_MAX as u8 {
            let pushed = updates.push(now, &key, status(number, TaskState::Running));
            assert_ne!(pushed, Pushed::Refused, "{number}");
        }
        let more = status(200, TaskState::Running);
        assert_eq!(updates.push(now, &key, more), Pushed::Refused);
        let end = status(201, TaskState::Failed);
        assert_eq!(updates.push(now, &key, end), Pushed::Queued(None));
        let uuids = updates.waiting(&key).map(|status| status.uuid.0[0]);
        assert!(uuids.eq((0..WAITING_MAX as u8).chain([201])));
    }
}
