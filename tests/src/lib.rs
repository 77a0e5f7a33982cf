//! The simulated world: the very cores that ship, on a virtual clock and a seeded network.
//!
//! One leader, several nodes, several schedulers. Links are cut, masters and nodes crash at any
//! effect, streams break; after each happening the [`checkers`] are asked. A run is a function of
//! its seed: `cargo xtask sim --seed 81` repeats one, with a trace.
//!
//! What is modelled and not run: HTTP, gRPC, disks, the kernel. Those have tests of their own; for
//! them stands [`fake_agent`], which speaks the real link.

pub mod checkers;
pub mod executor;
pub mod fake_agent;
pub mod leader;
pub mod node;
pub mod notation;
pub mod queue;
pub mod scheduler;
pub mod world;
