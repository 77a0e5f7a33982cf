//! Body: what a server sends, piece by piece, with an end to every wait.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::WebError;

/// The connection behind a body; closed when nobody reads on.
#[derive(Debug)]
pub(super) struct Connection(AbortHandle);

impl Connection {
    pub(super) fn new(task: AbortHandle) -> Self {
        Self(task)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    _connection: Connection,
    host: String,
    stall: Duration,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        host: String,
        stall: Duration,
    ) -> Self {
        Self {
            incoming,
            _connection: connection,
            host,
            stall,
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Nothing came for too long, or the body ends before its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, WebError> {
        loop {
            let frame = timeout(self.stall, self.incoming.frame()).await;
            let frame = frame.map_err(|_| WebError::Slow {
                host: self.host.clone(),
                what: "more bytes",
                limit: self.stall,
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(source)) => {
                    return Err(WebError::Http {
                        host: self.host.clone(),
                        source,
                    });
                }
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Self::chunk`], and where it is longer than `max` bytes.
    pub async fn whole(mut self, max: usize) -> Result<Vec<u8>, WebError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            if all.len() + bytes.len() > max {
                return Err(WebError::Long(max));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}
