//! Packing an answer with gzip, for a client that takes it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;

use super::Response;
use super::body::Body;

/// Answers below so many bytes are not worth packing, in Mesos' eyes.
const BYTES_MIN: usize = 1024;

/// Packs an answer that is large enough and is not packed yet.
pub(crate) fn pack(response: &mut Response) {
    if response.headers().contains_key(CONTENT_ENCODING) {
        return;
    }
    match response.body_mut() {
        Body::Whole(Some(bytes)) if bytes.len() >= BYTES_MIN => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
            // Writing into memory does not go wrong; if it did, the answer would go out as it is.
            let Ok(packed) = packed else { return };
            *response.body_mut() = Body::whole(packed);
        }
        Body::Pieces(pieces) => pieces.pack(),
        // Events are never packed: each is to arrive when it is sent.
        Body::Whole(_) | Body::Events(_) | Body::Watch(_) | Body::Grpc(_) => return,
    }
    let packed = HeaderValue::from_static("gzip");
    response.headers_mut().insert(CONTENT_ENCODING, packed);
}
