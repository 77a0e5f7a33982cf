//! A call whose body goes on: records of RecordIO, the first of which is the call itself.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::call::decode;
use super::negotiate::Media;
use crate::Described;
use crate::recordio::Decoder;

/// The longest record that is taken.
const RECORD_BYTES_MAX: usize = 4 << 20;

/// The records of a request's body, as they come.
#[derive(Debug)]
pub struct Records<B> {
    body: B,
    decoder: Decoder,
    media: Media,
}

impl<B> Records<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// The records of a body, each in this form.
    pub fn new(body: B, media: Media) -> Self {
        Self {
            body,
            decoder: Decoder::new(RECORD_BYTES_MAX),
            media,
        }
    }

    /// The next record; `None` where the body ends in good order. May be dropped and called again.
    ///
    /// # Errors
    /// The body breaks off, is no RecordIO, or a record is no such message; in words for the client.
    pub async fn next<T: Described>(&mut self) -> Result<Option<T>, String> {
        loop {
            if let Some(record) = self.decoder.record().map_err(|error| error.to_string())? {
                return decode(self.media, &record).map(Some);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.decoder.push(&piece);
                    }
                }
                Some(Err(error)) => return Err(format!("Failed to read the body: {error}")),
                None => {
                    return self
                        .decoder
                        .finish()
                        .map(|()| None)
                        .map_err(|error| error.to_string());
                }
            }
        }
    }
}
