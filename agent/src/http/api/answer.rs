//! Answers of the agent's API, in the form that the caller takes.

use api::Described;
use api::http::negotiate::Media;
use api::http::respond;
use api::v1::agent::Response as Message;
use api::v1::agent::response::Type;

use super::Caller;
use crate::http::Answer;

/// An answer of this type; the caller of this function sets the field of the type's name.
pub(super) fn typed(kind: Type) -> Message {
    Message {
        r#type: Some(kind.into()),
        ..Message::default()
    }
}

/// 200 with a message.
pub(super) fn message(caller: &Caller<'_>, message: &Message) -> Answer {
    let media = caller.accept.media();
    respond::ok(media, bytes(media, message))
}

/// A message in one of the two forms.
pub(super) fn bytes<M: Described>(media: Media, message: &M) -> Vec<u8> {
    match media {
        Media::Json => api::json::to_json(message).into_bytes(),
        Media::Protobuf => message.encode_to_vec(),
    }
}
