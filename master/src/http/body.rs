//! The bodies of answers: whole bytes, an event stream, or what tonic made.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::stream::EventStream;

/// The body of an answer.
pub(crate) enum Body {
    /// Bytes at hand; `None` once they are given out.
    Whole(Option<Bytes>),
    /// A stream of events that stays open.
    Events(EventStream),
    /// A gRPC answer.
    Link(tonic::body::Body),
}

impl Body {
    /// Bytes at hand.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(stream) => stream
                .poll_event(cx)
                .map(|event| event.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Link(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Events(_) => false,
            Self::Link(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
            Self::Link(body) => body.size_hint(),
        }
    }
}
