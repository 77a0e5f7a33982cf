//! The wire: Mesos' v1 messages, the link between master and agent, RecordIO, and Mesos' JSON.
//!
//! The structs in [`v1`] are prost's; what prost does not do is done by static tables made from the
//! same .proto files: required fields are checked on the wire bytes ([`decode`]), and JSON is a
//! transcoding between wire bytes and text ([`json`]). `cargo xtask codegen` writes both.
//!
//! The messages are proto2: a required field stands bare in its struct, so bytes from outside come
//! in through [`decode`] or [`json::from_json`] and never through prost alone.
#![forbid(unsafe_code)]

pub mod convert;
mod decode;
pub mod descriptor;
pub mod domain;
pub mod encode;
pub mod faults;
pub mod flat;
#[expect(
    clippy::all,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated: what prost and tonic write is not ours to word"
)]
#[rustfmt::skip]
mod generated;
#[cfg(feature = "http")]
pub mod http;
pub mod json;
mod link_codec;
pub mod recordio;
mod wire;

pub use decode::{DecodeError, decode};
pub use descriptor::Described;
pub use generated::google;
pub use generated::mesos::v1;

/// The scheduler API as a gRPC service.
pub mod scheduler {
    pub use crate::generated::tepui::scheduler::v1;
}

/// The service between master and agent.
pub mod link {
    pub use crate::generated::tepui::link::v1;
}
