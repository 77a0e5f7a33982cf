//! Answers of the operator API, in the form that the caller takes.

use api::v1::master::Response as Message;
use api::v1::master::response::Type;
use bytes::Bytes;
use prost::Message as _;

use super::Caller;
use crate::http::body::Body;
use crate::http::negotiate::Media;
use crate::http::pieces::Made;
use crate::http::{Response, respond};

/// An answer of this type; the caller of this function sets the field of the type's name.
pub(super) fn typed(kind: Type) -> Message {
    Message {
        r#type: Some(kind.into()),
        ..Message::default()
    }
}

/// 200 with a message.
pub(super) fn message(caller: &Caller<'_>, message: &Message) -> Response {
    bytes(
        caller,
        match caller.media {
            Media::Json => api::json::to_json(message).into_bytes(),
            Media::Protobuf => message.encode_to_vec(),
        },
    )
}

/// 200 with JSON, as far as it is made.
pub(super) fn made(made: Made) -> Response {
    match made {
        Made::Whole(text) => respond::ok(Media::Json, text),
        Made::Pieces(pieces) => {
            let mut response = respond::ok(Media::Json, Bytes::new());
            *response.body_mut() = Body::Pieces(Box::new(pieces));
            response
        }
    }
}

/// 200 with a message that was written before.
pub(super) fn bytes(caller: &Caller<'_>, bytes: Vec<u8>) -> Response {
    respond::ok(caller.media, bytes)
}
