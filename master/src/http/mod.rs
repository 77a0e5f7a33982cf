//! HTTP as Mesos speaks it: statuses, bodies, paths, event streams.

pub(crate) mod body;
mod gate;
pub(crate) mod legacy;
pub(crate) mod operator;
pub(crate) mod pack;
pub(crate) mod pieces;
pub(crate) mod process;
mod redirect;
pub(crate) mod router;
pub(crate) mod scheduler;
pub(crate) mod stream;
pub(crate) mod validate;

pub(crate) use api::http::{call, document, negotiate, query, read, respond};

/// A request as it comes from a connection.
pub(crate) type Request = http::Request<hyper::body::Incoming>;
/// An answer to one.
pub(crate) type Response = http::Response<body::Body>;
