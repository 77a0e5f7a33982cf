//! The master daemon: HTTP, streams, agents' links, the registry, and the loop around the core.
//!
//! The core (`master-core`) decides; this crate does. One TCP port serves the scheduler API, the
//! state endpoints and the gRPC link of the agents.
//!
//! ```text
//! connections -> commands -> main loop -> step(event) -> effects -> streams, links, registry
//!                                 \-> snapshot, when a read wants a newer one
//! ```
#![forbid(unsafe_code)]

mod access;
mod connection;
mod convert;
mod election;
mod facts;
mod files;
pub mod flags;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod handle;
mod http;
mod link;
pub mod logging;
mod main_loop;
mod metrics;
mod readers;
pub mod registry;
mod run_error;
mod server;
mod state;
mod watchers;

pub use access::{AccessError, AclsError, CredentialsError};
pub use run_error::RunError;
pub use server::{Server, StartError, Stopper};

/// The version of the program.
pub const VERSION: &str = facts::BUILD;
