//! What fuzz targets call: bytes as they come over the wire, through everything that looks at them
//! before the main loop does. Not an interface for anyone else.

use api::http::call::decode;
use api::http::negotiate::Media;

/// The body of a call of the agent's API; whether it is one that would be acted on.
#[must_use]
pub fn operator_call(media: Media, body: &[u8]) -> bool {
    decode(media, body).is_ok_and(|call| crate::http::is_good(&call))
}

/// The body of a call of an executor; whether it is one that agent-core would see.
#[must_use]
pub fn executor_call(media: Media, body: &[u8]) -> bool {
    decode(media, body).is_ok_and(|call| crate::wire::executor::call(&call).is_ok())
}
