//! A connection's socket: gives what was read before, and counts what comes in and goes out.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Connection;

/// The socket.
pub(crate) struct Socket {
    stream: TcpStream,
    /// Bytes that were read before.
    before: Bytes,
    connection: Connection,
}

impl Socket {
    /// A socket of which some bytes were read already.
    pub(crate) fn new(stream: TcpStream, before: Bytes, connection: Connection) -> Self {
        connection.took(before.len());
        Self {
            stream,
            before,
            connection,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if !self.before.is_empty() {
            let length = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before[..length]);
            self.before.advance(length);
            if self.before.is_empty() {
                // What is empty would still hold the room it was read into, as long as a link lives.
                self.before = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let filled = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        match buf.filled().len() - filled {
            0 => {}
            bytes => self.connection.took(bytes),
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// hyper flushes when it has written all that it had to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.connection.flushed();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
