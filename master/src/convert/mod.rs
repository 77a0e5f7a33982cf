//! Between messages of the wire and the core's vocabulary.
//!
//! The core never sees protobuf: what it decides by is taken out here, and the whole message rides
//! along as a `Blob` of wire bytes.

pub(crate) mod calls;
pub(crate) mod checks;
pub(crate) mod events;
pub(crate) mod link;
pub(crate) mod maintenance;
pub(crate) mod operations;
pub(crate) mod quota;
pub(crate) mod tasks;

use api::Described;
use model::Blob;
use prost::Message;

/// A message as the core carries it.
pub(crate) fn blob<M: Message>(message: &M) -> Blob {
    Blob::new(&message.encode_to_vec())
}

/// A message that the core carried. Blobs are made by [`blob`] or checked when they came in, so one
/// that does not decode is a fault of ours; it reads as an empty message and is logged.
pub(crate) fn message<M: Message + Default + Described>(blob: &Blob) -> M {
    M::decode(blob.as_bytes()).unwrap_or_else(|error| {
        tracing::error!(message = M::descriptor().name, %error, "blob does not decode");
        M::default()
    })
}
