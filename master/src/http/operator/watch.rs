//! SUBSCRIBE: a stream of all that changes, from a snapshot on.
//!
//! The queue of changes is opened first and the snapshot is taken later, so that none is missed; the
//! changes that the snapshot shows already are then passed over, so that none comes twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::v1::master::Event;
use api::v1::master::event::Type;
use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{Caller, state};
use crate::access::Identity;
use crate::http::body::Body;
use crate::http::document::Fields;
use crate::http::negotiate::Media;
use crate::http::respond::Refusal;
use crate::http::{Response, respond};
use crate::state::Snapshot;
use crate::watchers::{WatchQueue, record};

/// The time between two HEARTBEATs.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Answers a SUBSCRIBE.
pub(super) async fn subscribe(caller: &Caller<'_>) -> Result<Response, Refusal> {
    let (handle, media) = (caller.handle, caller.media);
    let queue = handle.watch(caller.connection.clone()).await;
    let opened = match queue {
        Some((queue, step)) => handle.snapshot_since(step).await.map(|s| (queue, s)),
        None => None,
    };
    let (queue, snapshot) = opened.ok_or_else(|| {
        let why = "The master is shutting down";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })?;
    let since = snapshot.step;
    let snapshot = snapshot.seen_by(&caller.identity);
    let write = move || subscribed(&snapshot, media);
    let written = handle.readers().spawn_blocking(write).await;
    let subscribed = written.map_err(|error| {
        tracing::error!(%error, "write the state");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")
    })?;
    let stream = WatchStream::new(queue, since, media, subscribed, caller.identity.clone());
    let mut response = Response::new(Body::Watch(Box::new(stream)));
    respond::set_type(&mut response, media);
    Ok(response)
}

fn subscribed(snapshot: &Arc<Snapshot>, media: Media) -> Bytes {
    let kind = Type::Subscribed;
    let interval = HEARTBEAT_INTERVAL.as_secs_f64();
    let subscribed = Fields::new()
        .message(1, "get_state", state::state(snapshot, media))
        .double(2, "heartbeat_interval_seconds", interval);
    let event = Fields::new()
        .value(1, "type", (kind.into(), kind.as_str_name()))
        .message(2, "subscribed", subscribed);
    api::recordio::encode(&event.into_bytes(media)).into()
}

/// The body of the answer to SUBSCRIBE.
pub(crate) struct WatchStream {
    /// What comes before every change.
    first: VecDeque<Bytes>,
    queue: WatchQueue,
    /// The step of the snapshot that was sent.
    since: u64,
    media: Media,
    /// Who watches, and so what is told.
    identity: Identity,
    heartbeat: Bytes,
    heartbeats: Interval,
}

impl WatchStream {
    fn new(
        queue: WatchQueue,
        since: u64,
        media: Media,
        subscribed: Bytes,
        identity: Identity,
    ) -> Self {
        let heartbeat = record(
            &Event {
                r#type: Some(Type::Heartbeat.into()),
                ..Event::default()
            },
            media,
        );
        let next = Instant::now() + HEARTBEAT_INTERVAL;
        let mut heartbeats = tokio::time::interval_at(next, HEARTBEAT_INTERVAL);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            first: VecDeque::from([subscribed, heartbeat.clone()]),
            queue,
            since,
            media,
            identity,
            heartbeat,
            heartbeats,
        }
    }

    /// The next record; `None` once the watcher is let go.
    pub(crate) fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(record) = self.first.pop_front() {
            return Poll::Ready(Some(record));
        }
        if self.heartbeats.poll_tick(cx).is_ready() {
            return Poll::Ready(Some(self.heartbeat.clone()));
        }
        loop {
            match std::task::ready!(self.queue.poll_next(cx)) {
                Some(news) if news.step <= self.since => {}
                Some(news) => {
                    if let Some(record) = news.record_for(&self.identity, self.media) {
                        return Poll::Ready(Some(record));
                    }
                }
                None => return Poll::Ready(None),
            }
        }
    }
}
