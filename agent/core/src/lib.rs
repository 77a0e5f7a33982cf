//! Agent core: decides what a node does about its tasks, and does nothing itself.
//!
//! Events in, effects out: [`Agent::step`] is told what happened and answers with what is to be
//! done, [`Agent::deadline`] tells when it wants to be called next. There is no clock, no file and
//! no randomness here; all three come in as values, so that a run can be repeated exactly.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod agent;
pub mod allocation;
mod checking;
pub mod checks;
pub mod containers;
pub mod draining;
pub mod effect;
pub mod event;
pub mod executor;
pub mod executor_api;
mod executor_calls;
mod executor_ends;
pub mod executors;
mod frames;
pub mod gc;
pub mod holdings;
mod launches;
pub mod operations;
pub mod oversubscription;
mod pods;
pub mod projects;
pub mod random;
pub mod recovery;
pub mod registration;
mod requests;
pub mod resend;
pub mod rotation;
pub mod sandbox;
pub mod status_updates;
pub mod supervise;

pub use agent::{Agent, Settings};
pub use effect::{Effect, End, Fact, LinkId, Signal, Status, ToMaster, WallTime};
pub use event::{Event, FromMaster};
