//! Pace: how often a container may ask, and who waits when it asks more often.
//!
//! Each request costs the agent some microseconds that the container is not charged with. One that asks
//! faster than [`RATE`] gets its answers late: what waits is the task, in the kernel, and no thread here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::sandbox::Load;
use nix::errno::Errno;

use super::{Container, Shared, lock};

/// Requests a second that are answered at once, and as many before the first one waits.
const RATE: u32 = 2000;

/// Answers of one container that wait; those past them are refused with EAGAIN.
const LATE_MAX: u32 = 256;

/// Threads whose state is looked at each time that running tasks are counted.
const COUNTED_MAX: usize = 4096;

/// The allowance of one container.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the allowance is whole again.
    full_at: Mutex<Instant>,
    late: AtomicU32,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            full_at: Mutex::new(now),
            late: AtomicU32::new(0),
        }
    }

    /// Takes one request's worth; when it may be answered.
    fn take(&self, now: Instant) -> Instant {
        let mut full_at = lock(&self.full_at);
        *full_at = (*full_at).max(now) + Duration::from_secs(1) / RATE;
        // A second's worth is in hand.
        let due = full_at.checked_sub(Duration::from_secs(1));
        due.unwrap_or(now).max(now)
    }
}

/// An answer; it takes whether it may be given.
type Answer = Box<dyn FnOnce(Result<(), Errno>) + Send>;

struct Late {
    due: Instant,
    container: Arc<Container>,
    answer: Answer,
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

#[derive(Default)]
struct Waiting {
    late: BinaryHeap<Reverse<Late>>,
    /// When tasks are counted next; `None` while nobody asks for the load.
    count_at: Option<Instant>,
    is_closed: bool,
}

/// The thread that gives late answers and counts running tasks.
#[derive(Default)]
pub(super) struct Clock {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

impl Clock {
    /// Gives an answer when its container may have it.
    pub(super) fn answer(
        &self,
        container: &Arc<Container>,
        answer: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let (pace, now) = (container.pace(), Instant::now());
        let due = pace.take(now);
        if due == now {
            return answer(Ok(()));
        }
        if pace.late.fetch_add(1, Ordering::Relaxed) >= LATE_MAX {
            pace.late.fetch_sub(1, Ordering::Relaxed);
            return answer(Err(Errno::EAGAIN));
        }
        let late = Late {
            due,
            container: Arc::clone(container),
            answer: Box::new(answer),
        };
        lock(&self.waiting).late.push(Reverse(late));
        self.changed.notify_one();
    }

    /// Counts running tasks from now on.
    pub(super) fn count(&self) {
        let mut waiting = lock(&self.waiting);
        if waiting.count_at.is_none() {
            waiting.count_at = Some(Instant::now() + Load::EVERY);
            self.changed.notify_one();
        }
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.changed.notify_one();
    }

    /// The thread's work.
    pub(super) fn run(&self, shared: &Shared) {
        let mut waiting = lock(&self.waiting);
        while !waiting.is_closed {
            let now = Instant::now();
            if let Some(Reverse(first)) = waiting.late.peek()
                && first.due <= now
                && let Some(Reverse(late)) = waiting.late.pop()
            {
                drop(waiting);
                late.container.pace().late.fetch_sub(1, Ordering::Relaxed);
                (late.answer)(Ok(()));
                waiting = lock(&self.waiting);
                continue;
            }
            if waiting.count_at.is_some_and(|at| at <= now) {
                drop(waiting);
                let goes_on = count_all(shared);
                waiting = lock(&self.waiting);
                waiting.count_at = goes_on.then(|| now + Load::EVERY);
                continue;
            }
            let late = waiting.late.peek().map(|Reverse(late)| late.due);
            let next = [late, waiting.count_at].into_iter().flatten().min();
            waiting = match next {
                Some(at) => {
                    let left = at.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(waiting, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(waiting);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }
}

/// Counts the running tasks of every container whose load was asked for; whether there is one.
fn count_all(shared: &Shared) -> bool {
    let views: Vec<_> = lock(&shared.views).values().cloned().collect();
    let mut left = COUNTED_MAX;
    let wanted = views.iter().filter(|view| view.count(&mut left));
    // All are counted, and not only up to the first.
    wanted.count() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_requests_is_in_hand_and_then_each_waits_for_its_turn() {
        let start = Instant::now();
        let pace = Pace::new(start);
        for _ in 0..RATE {
            assert_eq!(pace.take(start), start);
        }
        let each = Duration::from_secs(1) / RATE;
        assert_eq!(pace.take(start), start + each);
        assert_eq!(pace.take(start), start + each * 2);
        // A second later all but these two are in hand again.
        let later = start + Duration::from_secs(1);
        for _ in 0..RATE - 2 {
            assert_eq!(pace.take(later), later);
        }
        assert!(pace.take(later) > later);
    }
}
