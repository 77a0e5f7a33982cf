//! One event stream: records of RecordIO, each an HTTP chunk of its own.
//!
//! Events wait as they are and become bytes when the reader takes them, outside the main loop.
//! Invariant: what waits for a slow reader stays within [`EVENTS_MAX`] and [`WEIGHT_MAX`]; at the
//! bound the sender gets [`Overflow`] and gives the stream up. The end of a stream is told once,
//! whoever ended it, when the [`EventStream`] goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use master_core::event::FrameworkEvent;
use tokio::sync::mpsc;

use crate::convert::events::weight;

/// How many events may wait for one reader: one step may bring an event for each task of a framework,
/// as a reconciliation of 100 000 tasks does, before even a quick reader has its turn.
pub(crate) const EVENTS_MAX: usize = 262_144;
/// About how many bytes may wait for one reader; one event may go past it alone, since the OFFERS
/// of a large cluster must be deliverable.
pub(crate) const WEIGHT_MAX: usize = 64 << 20;

/// The reader does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{EVENTS_MAX} events or {WEIGHT_MAX} bytes wait for the reader")]
pub(crate) struct Overflow;

/// The writing end, kept by the main loop; dropping it ends the stream in good order.
#[derive(Debug)]
pub(crate) struct EventSender {
    queue: mpsc::Sender<FrameworkEvent>,
    waiting: Arc<AtomicUsize>,
}

/// The reading end, the body of the answer to SUBSCRIBE.
pub(crate) struct EventStream {
    queue: mpsc::Receiver<FrameworkEvent>,
    waiting: Arc<AtomicUsize>,
    encode: Box<dyn Fn(&FrameworkEvent) -> Bytes + Send>,
    ended: Option<Box<dyn FnOnce() + Send>>,
}

/// Makes both ends. `encode` makes a framed record; `ended` is called when the reading end goes.
pub(crate) fn channel(
    encode: impl Fn(&FrameworkEvent) -> Bytes + Send + 'static,
    ended: impl FnOnce() + Send + 'static,
) -> (EventSender, EventStream) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let waiting = Arc::new(AtomicUsize::new(0));
    let stream = EventStream {
        queue: receiver,
        waiting: Arc::clone(&waiting),
        encode: Box::new(encode),
        ended: Some(Box::new(ended)),
    };
    let sender = EventSender {
        queue: sender,
        waiting,
    };
    (sender, stream)
}

impl EventSender {
    /// Queues one event.
    pub(crate) fn send(&self, event: FrameworkEvent) -> Result<(), Overflow> {
        let weight = weight(&event);
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        if before > 0 && before + weight > WEIGHT_MAX {
            return Err(Overflow);
        }
        match self.queue.try_send(event) {
            // A reader that is gone tells so by its own end.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Overflow),
        }
    }
}

impl EventStream {
    /// The next record; `None` once the writing end is gone and nothing waits.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let event = ready!(self.queue.poll_recv(cx));
        Poll::Ready(event.map(|event| {
            self.waiting.fetch_sub(weight(&event), Ordering::Relaxed);
            (self.encode)(&event)
        }))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use master_core::WallTime;
    use master_core::event::Status;
    use model::{Reason, TaskState};

    fn error(length: usize) -> FrameworkEvent {
        FrameworkEvent::Error {
            message: "x".repeat(length),
        }
    }

    fn update(task_id: String) -> FrameworkEvent {
        FrameworkEvent::Made(Status {
            task_id: task_id.into(),
            agent_id: None,
            executor_id: None,
            state: TaskState::Lost,
            reason: Reason::Reconciliation,
            message: String::new(),
            timestamp: WallTime(0),
            unreachable_time: None,
            base: None,
        })
    }

    #[test]
    fn a_reader_that_does_not_read_overflows_by_count_and_by_weight() {
        let (sender, _stream) = channel(|_| Bytes::new(), || {});
        for _ in 0..EVENTS_MAX {
            assert_eq!(sender.send(FrameworkEvent::Heartbeat), Ok(()));
        }
        assert_eq!(sender.send(FrameworkEvent::Heartbeat), Err(Overflow));

        let (sender, _stream) = channel(|_| Bytes::new(), || {});
        assert_eq!(
            sender.send(error(WEIGHT_MAX)),
            Ok(()),
            "alone it goes through"
        );
        assert_eq!(sender.send(error(1)), Err(Overflow));

        let (sender, _stream) = channel(|_| Bytes::new(), || {});
        assert_eq!(sender.send(update("x".repeat(WEIGHT_MAX))), Ok(()));
        assert_eq!(
            sender.send(update("t1".into())),
            Err(Overflow),
            "ids that a framework made up weigh too"
        );
    }

    #[tokio::test]
    async fn the_end_is_told_once_and_after_the_last_record() {
        let ends = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ends);
        let (sender, mut stream) = channel(
            |_| Bytes::from_static(b"1\nx"),
            move || {
                counted.fetch_add(1, Ordering::Relaxed);
            },
        );
        sender.send(FrameworkEvent::Heartbeat).unwrap();
        drop(sender);
        let mut next = async || std::future::poll_fn(|cx| stream.poll_event(cx)).await;
        assert_eq!(next().await.as_deref(), Some(b"1\nx".as_slice()));
        assert_eq!(next().await, None);
        assert_eq!(ends.load(Ordering::Relaxed), 0);
        drop(stream);
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }
}
