//! The body of an answer: bytes at hand, or what comes as it is made.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, SizeHint};

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// Bytes at hand.
    Whole(Full<Bytes>),
    /// A file, or a stream that stays open; an error breaks it off.
    Streamed(BoxBody<Bytes, io::Error>),
}

impl Body {
    /// What comes as it is made.
    pub(super) fn streamed<B>(body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static,
    {
        Self::Streamed(body.boxed())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Streamed(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Streamed(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Streamed(stream) => stream.size_hint(),
        }
    }
}
