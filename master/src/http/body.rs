//! The bodies of answers: whole bytes, pieces, an event stream, or what tonic made.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::operator::watch::WatchStream;
use super::pieces::{self, Pieces};
use super::stream::EventStream;
use crate::connection::Connection;

/// The body of an answer.
pub(crate) enum Body {
    /// Bytes at hand; `None` once they are given out.
    Whole(Option<Bytes>),
    /// What is made as it is read.
    Pieces(Box<Pieces>),
    /// A stream of events that stays open.
    Events(EventStream),
    /// What an operator who watches is told.
    Watch(Box<WatchStream>),
    /// A gRPC answer.
    Grpc(tonic::body::Body),
}

impl Body {
    /// Bytes at hand.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::whole(bytes)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => pieces
                .poll_piece(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(Into::into))),
            Self::Events(stream) => stream
                .poll_event(cx)
                .map(|event| event.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Watch(stream) => stream
                .poll_record(cx)
                .map(|record| record.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Grpc(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Pieces(_) | Self::Events(_) | Self::Watch(_) => false,
            Self::Grpc(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Pieces(pieces) => pieces.size_hint(),
            Self::Events(_) | Self::Watch(_) => SizeHint::default(),
            Self::Grpc(body) => body.size_hint(),
        }
    }
}

/// A body whose connection knows of it.
pub(crate) struct Counted {
    body: Body,
    connection: Connection,
}

impl Counted {
    /// The body of an answer on this connection.
    pub(crate) fn new(body: Body, connection: Connection) -> Self {
        match &body {
            Body::Whole(bytes) => connection.answers(bytes.as_ref().map_or(0, Bytes::len)),
            Body::Pieces(_) => connection.answers(pieces::HELD_BYTES),
            Body::Events(_) | Body::Watch(_) => connection.keep(),
            Body::Grpc(_) => {}
        }
        Self { body, connection }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connection.answered();
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
