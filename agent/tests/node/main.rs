//! The main loop against a master of this test's own: over a real link, port and disk.
//!
//! A test that runs a task needs root and a static busybox, and says so where it has neither.

mod containers;
mod fetch;
mod master;
mod output;
mod procview;
mod program;
mod restart;
mod tasks;
mod upgrade;
mod volumes;
mod zookeeper;

/// How long anything may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
