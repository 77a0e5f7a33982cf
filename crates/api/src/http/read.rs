//! Reading a request's body, within bounds of size and time.

use std::io::Read;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::StatusCode;
use http::header::{self, HeaderMap};
use http_body::Body;
use http_body_util::BodyExt;

use super::respond::Refusal;

/// The largest body, also after it is unpacked. An ACCEPT of 10 000 tasks is about 8 MiB of JSON.
const BODY_BYTES_MAX: usize = 32 << 20;
/// The time a whole body has to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// The request's body, unpacked where it is gzip.
///
/// # Errors
/// It is too large, too slow, or packed in a way that is not read here.
pub async fn body<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let arrived = tokio::time::timeout(BODY_TIME_MAX, collect(body));
    let bytes = arrived.await.unwrap_or_else(|_| {
        Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("The request's body did not arrive within {BODY_TIME_MAX:?}"),
        ))
    })?;
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None | Some(b"" | b"identity") => Ok(bytes),
        Some(b"gzip" | b"x-gzip") => unpack(&bytes),
        Some(other) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "Expecting 'Content-Encoding' of gzip, but received '{}'",
                String::from_utf8_lossy(other)
            ),
        )),
    }
}

async fn collect<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::bad_request(format!("Failed to read the request's body: {error}"))
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

fn unpack(bytes: &[u8]) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| {
            Refusal::bad_request(format!("Failed to gunzip the request's body: {error}"))
        })?;
    if unpacked.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    Ok(unpacked.into())
}

fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The request's body is larger than {BODY_BYTES_MAX} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;
    use http::header::HeaderValue;
    use http_body_util::Full;

    fn gzip() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers
    }

    fn packed(bytes: &[u8]) -> Full<Bytes> {
        let mut packed = Vec::new();
        GzEncoder::new(bytes, Compression::fast())
            .read_to_end(&mut packed)
            .unwrap();
        Full::new(packed.into())
    }

    #[tokio::test]
    async fn gzip_bodies_are_unpacked_and_stay_bounded() {
        let small = body(&gzip(), packed(b"hello")).await;
        assert_eq!(small.ok().unwrap(), "hello");
        let bomb = body(&gzip(), packed(&vec![0; BODY_BYTES_MAX + 1])).await;
        assert_eq!(bomb.err().unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
        let garbage = body(&gzip(), Full::new(Bytes::from_static(b"hello"))).await;
        assert_eq!(garbage.err().unwrap().status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn a_body_past_the_bound_is_refused() {
        let large = Full::new(Bytes::from(vec![b' '; BODY_BYTES_MAX + 1]));
        let refused = body(&HeaderMap::new(), large).await;
        assert_eq!(
            refused.err().unwrap().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_times_out() {
        struct Silent;
        impl Body for Silent {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Pending
            }
        }
        let refused = body(&HeaderMap::new(), Silent).await;
        assert_eq!(refused.err().unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
