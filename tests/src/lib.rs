//! The simulated world: the very cores that ship, on a virtual clock and a seeded network.
//!
//! Masters that stand for election in a model of ZooKeeper, or one without it; nodes, schedulers,
//! executors. Processes crash at any effect, or are stopped and go on; calls are lost, doubled and
//! overtake each other; links stall and are cut; clocks jump; frames of the past come again. After
//! each happening the [`checkers`] are asked. A run is a function of its seed: `cargo xtask sim
//! --seed 81` repeats one, with a trace. That the checkers see what is wrong is shown by [`planted`]
//! bugs.
//!
//! What is modelled and not run: HTTP, gRPC, ZooKeeper, disks, the kernel. Those have tests of their own; for
//! them stands [`fake_agent`], which speaks the real link.

pub mod checkers;
pub mod executor;
pub mod fairness;
pub mod fake_agent;
pub mod ledger;
pub mod master;
pub mod node;
pub mod notation;
pub mod past;
pub mod planted;
pub mod queue;
pub mod scheduler;
pub mod world;
pub mod zookeeper;
