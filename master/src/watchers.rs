//! Operators who watch the cluster: each has a bounded queue of the changes, fed by the main loop.
//!
//! A change is shared by all of them, and becomes bytes when the first takes it, outside the loop.
//! Invariant: what waits for a slow reader stays within [`CHANGES_MAX`] and [`WEIGHT_MAX`]; at the
//! bound its connection is cut. Past the greatest number of watchers the oldest is let go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use api::v1;
use api::v1::master::Event as Message;
use api::v1::master::event::{
    AgentAdded, AgentRemoved, FrameworkAdded, FrameworkRemoved, FrameworkUpdated, TaskAdded,
    TaskUpdated, Type,
};
use bytes::Bytes;
use master_core::Master;
use master_core::event::{Change, Text};
use master_core::tasks::TaskStatus;
use prost::Message as _;
use tokio::sync::mpsc;

use crate::access::Identity;
use crate::connection::Connection;
use crate::convert::message;
use crate::http::negotiate::Media;
use crate::state::{messages, sight};

/// How many changes may wait for one reader: one step may bring one for each task of an agent.
pub(crate) const CHANGES_MAX: usize = 65_536;
/// About how many bytes may wait for one reader; one change may go past it alone.
pub(crate) const WEIGHT_MAX: usize = 32 << 20;

/// A change on its way to everybody who watches.
pub(crate) struct News {
    /// The step that brought it.
    pub(crate) step: u64,
    told: Told,
    /// As whom the framework runs that it is about.
    user: Option<Text>,
    weight: usize,
    json: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

/// What a message is made of, when somebody wants it.
enum Told {
    /// A task, or its status: the message is large and there are many.
    Task(Change),
    /// The message itself.
    Message(Message),
}

impl News {
    /// The news of a change; `None` where it was overtaken in the very step that brought it.
    fn of(step: u64, change: Change, core: &Master) -> Option<Self> {
        let user = user_of(&change, core);
        let typed = |kind: Type| Message {
            r#type: Some(kind.into()),
            ..Message::default()
        };
        let message = match change {
            Change::TaskAdded { .. } | Change::TaskUpdated { .. } => {
                return Some(Self::new(step, Told::Task(change), user));
            }
            Change::AgentAdded { agent_id } => Message {
                agent_added: Some(AgentAdded {
                    agent: messages::agent_of(core, &agent_id)?,
                }),
                ..typed(Type::AgentAdded)
            },
            Change::AgentRemoved { agent_id } => Message {
                agent_removed: Some(AgentRemoved {
                    agent_id: v1::AgentId::from(&agent_id),
                }),
                ..typed(Type::AgentRemoved)
            },
            Change::FrameworkAdded { framework_id } => Message {
                framework_added: Some(FrameworkAdded {
                    framework: messages::framework_of(core, &framework_id)?,
                }),
                ..typed(Type::FrameworkAdded)
            },
            Change::FrameworkUpdated { framework_id } => Message {
                framework_updated: Some(FrameworkUpdated {
                    framework: messages::framework_of(core, &framework_id)?,
                }),
                ..typed(Type::FrameworkUpdated)
            },
            Change::FrameworkRemoved { framework_id, info } => Message {
                framework_removed: Some(FrameworkRemoved {
                    framework_info: v1::FrameworkInfo {
                        id: Some(v1::FrameworkId::from(&framework_id)),
                        ..message(&info)
                    },
                }),
                ..typed(Type::FrameworkRemoved)
            },
        };
        Some(Self::new(step, Told::Message(message), user))
    }

    fn new(step: u64, told: Told, user: Option<Text>) -> Self {
        const SMALL: usize = 256;
        let content = match &told {
            Told::Task(Change::TaskAdded { task, .. }) => task.info.as_bytes().len(),
            Told::Task(Change::TaskUpdated { status, .. }) => match status {
                TaskStatus::Relayed(status) => status.as_bytes().len(),
                TaskStatus::Made(status) => status.message.len(),
            },
            Told::Task(_) => 0,
            Told::Message(message) => message.encoded_len(),
        };
        Self {
            step,
            told,
            user,
            weight: SMALL + content,
            json: OnceLock::new(),
            protobuf: OnceLock::new(),
        }
    }

    /// The change as a record of the stream of somebody who may not see everything; `None` where it
    /// is hidden.
    pub(crate) fn record_for(&self, identity: &Identity, media: Media) -> Option<Bytes> {
        if !sight::is_limited(identity) {
            return Some(self.record(media));
        }
        let user = self.user.as_deref();
        let message = match &self.told {
            Told::Message(message) => message.clone(),
            Told::Task(change) if sight::shows_task(identity, change, user) => of_task(change),
            Told::Task(_) => return None,
        };
        sight::of_event(identity, message).map(|message| record(&message, media))
    }

    /// The change as a record of the stream.
    fn record(&self, media: Media) -> Bytes {
        let made = match media {
            Media::Json => &self.json,
            Media::Protobuf => &self.protobuf,
        };
        made.get_or_init(|| match &self.told {
            Told::Message(message) => record(message, media),
            Told::Task(change) => record(&of_task(change), media),
        })
        .clone()
    }
}

/// As whom the framework runs that a change is about.
fn user_of(change: &Change, core: &Master) -> Option<Text> {
    let id = match change {
        Change::TaskAdded { framework_id, .. } | Change::TaskUpdated { framework_id, .. } => {
            framework_id
        }
        Change::AgentAdded { .. }
        | Change::AgentRemoved { .. }
        | Change::FrameworkAdded { .. }
        | Change::FrameworkUpdated { .. }
        | Change::FrameworkRemoved { .. } => return None,
    };
    let view = core.view();
    let over = || {
        view.completed_frameworks()
            .find(|framework| framework.id == *id)
    };
    let framework = view.framework(id).or_else(over)?;
    Some(framework.info.user.clone())
}

/// An event as a record of the stream.
pub(crate) fn record(event: &Message, media: Media) -> Bytes {
    let record = match media {
        Media::Json => api::recordio::encode(api::json::to_json(event).as_bytes()),
        Media::Protobuf => api::recordio::encode(&event.encode_to_vec()),
    };
    record.into()
}

fn of_task(change: &Change) -> Message {
    match change {
        Change::TaskAdded { framework_id, task } => Message {
            r#type: Some(Type::TaskAdded.into()),
            task_added: Some(TaskAdded {
                task: messages::task(framework_id, task),
            }),
            ..Message::default()
        },
        Change::TaskUpdated {
            framework_id,
            status,
            state,
            task: _,
        } => Message {
            r#type: Some(Type::TaskUpdated.into()),
            task_updated: Some(TaskUpdated {
                framework_id: v1::FrameworkId::from(framework_id),
                status: messages::status(status),
                state: state.number(),
            }),
            ..Message::default()
        },
        Change::AgentAdded { .. }
        | Change::AgentRemoved { .. }
        | Change::FrameworkAdded { .. }
        | Change::FrameworkUpdated { .. }
        | Change::FrameworkRemoved { .. } => Message::default(),
    }
}

/// Everybody who watches, the oldest first; kept by the main loop.
pub(crate) struct Watchers {
    open: VecDeque<Watcher>,
    count_max: usize,
    count: Arc<AtomicUsize>,
}

struct Watcher {
    queue: mpsc::Sender<Arc<News>>,
    waiting: Arc<AtomicUsize>,
    connection: Connection,
}

/// The reading end of one watcher's queue.
pub(crate) struct WatchQueue {
    queue: mpsc::Receiver<Arc<News>>,
    waiting: Arc<AtomicUsize>,
    count: Arc<AtomicUsize>,
}

/// What became of news for one watcher.
enum Delivery {
    Queued,
    /// The reader is gone.
    Gone,
    /// The reader does not keep up.
    Overflow,
}

impl Watchers {
    /// Nobody yet; `count` tells others how many there are.
    pub(crate) const fn new(count_max: usize, count: Arc<AtomicUsize>) -> Self {
        Self {
            open: VecDeque::new(),
            count_max,
            count,
        }
    }

    /// One more; past the bound the oldest is let go.
    pub(crate) fn add(&mut self, connection: Connection) -> WatchQueue {
        self.open.retain(|watcher| !watcher.queue.is_closed());
        while self.open.len() >= self.count_max.max(1) {
            if let Some(oldest) = self.open.pop_front() {
                let peer = oldest.connection.peer();
                tracing::warn!(%peer, "too many operators watch; the oldest stream is closed");
            }
        }
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        self.open.push_back(Watcher {
            queue: sender,
            waiting: Arc::clone(&waiting),
            connection,
        });
        self.count.fetch_add(1, Ordering::Relaxed);
        WatchQueue {
            queue: receiver,
            waiting,
            count: Arc::clone(&self.count),
        }
    }

    /// Tells everybody; whoever does not keep up is cut off.
    pub(crate) fn publish(&mut self, step: u64, change: Change, core: &Master) {
        if self.open.is_empty() {
            return;
        }
        if let Some(news) = News::of(step, change, core) {
            self.tell(&Arc::new(news));
        }
    }

    fn tell(&mut self, news: &Arc<News>) {
        self.open.retain(|watcher| match watcher.send(news) {
            Delivery::Queued => true,
            Delivery::Gone => false,
            Delivery::Overflow => {
                let peer = watcher.connection.peer();
                tracing::warn!(
                    %peer,
                    "operator does not read its events; connection cut: \
                     {CHANGES_MAX} events or {WEIGHT_MAX} bytes wait for it"
                );
                watcher.connection.cut();
                false
            }
        });
    }
}

impl Watcher {
    fn send(&self, news: &Arc<News>) -> Delivery {
        let before = self.waiting.fetch_add(news.weight, Ordering::Relaxed);
        if before > 0 && before + news.weight > WEIGHT_MAX {
            return Delivery::Overflow;
        }
        match self.queue.try_send(Arc::clone(news)) {
            Ok(()) => Delivery::Queued,
            Err(mpsc::error::TrySendError::Closed(_)) => Delivery::Gone,
            Err(mpsc::error::TrySendError::Full(_)) => Delivery::Overflow,
        }
    }
}

impl WatchQueue {
    /// The next change; `None` once the watcher is let go and nothing waits.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Arc<News>>> {
        let next = std::task::ready!(self.queue.poll_recv(cx));
        if let Some(news) = &next {
            self.waiting.fetch_sub(news.weight, Ordering::Relaxed);
        }
        std::task::Poll::Ready(next)
    }
}

impl Drop for WatchQueue {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::table::{Limits, Place, Table};
    use std::future::poll_fn;
    use std::time::Duration;

    async fn place() -> Place {
        let table = Table::new(Limits {
            connections: 1,
            held: usize::MAX,
            request_time: Duration::from_secs(60),
        });
        table.admit(([127, 0, 0, 1], 1).into()).await.unwrap()
    }

    fn news(step: u64, length: usize) -> Arc<News> {
        let agent_removed = AgentRemoved {
            agent_id: v1::AgentId {
                value: "x".repeat(length),
            },
        };
        Arc::new(News::new(
            step,
            Told::Message(Message {
                agent_removed: Some(agent_removed),
                ..Message::default()
            }),
            None,
        ))
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_cut_off_and_others_go_on() {
        let count = Arc::new(AtomicUsize::new(0));
        let mut watchers = Watchers::new(10, Arc::clone(&count));
        let stalled = place().await;
        let mut slow = watchers.add(stalled.connection().clone());
        let reading = place().await;
        let mut quick = watchers.add(reading.connection().clone());
        let mut next = async || poll_fn(|cx| quick.poll_next(cx)).await.unwrap();
        for step in 0..=CHANGES_MAX as u64 {
            watchers.tell(&news(step, 1));
            assert_eq!(next().await.step, step);
        }
        stalled.connection().was_cut().await;
        for step in 0..CHANGES_MAX as u64 {
            let news = poll_fn(|cx| slow.poll_next(cx)).await.unwrap();
            assert_eq!(news.step, step);
        }
        assert!(poll_fn(|cx| slow.poll_next(cx)).await.is_none(), "the end");
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop(slow);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn large_changes_count_by_their_weight() {
        let mut watchers = Watchers::new(10, Arc::default());
        let stalled = place().await;
        let _slow = watchers.add(stalled.connection().clone());
        for step in 1..=2 {
            watchers.tell(&news(step, WEIGHT_MAX));
        }
        stalled.connection().was_cut().await;
    }

    #[tokio::test]
    async fn past_the_greatest_number_the_oldest_is_let_go() {
        let mut watchers = Watchers::new(2, Arc::default());
        let reading = place().await;
        let mut all = [(); 3].map(|()| watchers.add(reading.connection().clone()));
        watchers.tell(&news(1, 1));
        let mut steps = Vec::new();
        for queue in &mut all {
            steps.push(poll_fn(|cx| queue.poll_next(cx)).await.map(|n| n.step));
        }
        assert_eq!(steps, [None, Some(1), Some(1)]);
    }
}
