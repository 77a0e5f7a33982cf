//! HTTP as Mesos speaks it, for masters and agents alike: what both check of a request, in Mesos' order,
//! and the statuses and words they answer with.
//!
//! What a path leads to, and what the body of an answer can be, is each program's own.

pub mod call;
pub mod document;
pub mod forms;
pub mod help;
pub mod negotiate;
pub mod prometheus;
pub mod query;
pub mod read;
pub mod records;
pub mod respond;
pub mod route;
pub mod verbosity;
