//! The events of one stream, and its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tonic::Status;

use crate::http::stream::EventStream;

/// What comes back to a framework.
///
/// ```text
/// Opening -> Open -> Ended
///        \-> Refused ---^
/// ```
pub(super) struct Events {
    state: State,
    /// Why a call was refused, which ends the stream; `None` once nobody can refuse one any more.
    refused: Option<oneshot::Receiver<Status>>,
    /// Tells by its end that nobody reads: then no more calls are.
    _reading: oneshot::Sender<()>,
}

enum State {
    /// SUBSCRIBE has not been answered.
    Opening(oneshot::Receiver<EventStream>),
    /// It has.
    Open(EventStream),
    /// It is not going to be; `refused` tells why.
    Refused,
    /// Nothing more comes.
    Ended,
}

impl Events {
    pub(super) const fn new(
        opened: oneshot::Receiver<EventStream>,
        refused: oneshot::Receiver<Status>,
        reading: oneshot::Sender<()>,
    ) -> Self {
        Self {
            state: State::Opening(opened),
            refused: Some(refused),
            _reading: reading,
        }
    }

    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(refused) = &mut self.refused else {
            return Poll::Pending;
        };
        match ready!(Pin::new(refused).poll(cx)) {
            Ok(status) => Poll::Ready(status),
            // The calls have ended without one, and the events go on.
            Err(_) => {
                self.refused = None;
                Poll::Pending
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.state {
                State::Opening(opened) => match ready!(Pin::new(opened).poll(cx)) {
                    Ok(events) => self.state = State::Open(events),
                    Err(_) => self.state = State::Refused,
                },
                State::Refused if self.refused.is_some() => return Poll::Pending,
                State::Refused => return Poll::Ready(None),
                State::Open(events) => return events.poll_event(cx),
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.state, State::Ended) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(status) = self.poll_refused(cx) {
            self.state = State::Ended;
            return Poll::Ready(Some(Err(status)));
        }
        let event = ready!(self.poll_event(cx));
        if event.is_none() {
            self.state = State::Ended;
        }
        Poll::Ready(event.map(|record| Ok(unframed(record))))
    }
}

/// The message of a record: gRPC frames messages itself.
fn unframed(record: Bytes) -> Bytes {
    let newline = record.iter().position(|byte| *byte == b'\n');
    newline.map_or(Bytes::new(), |place| record.slice(place + 1..))
}
