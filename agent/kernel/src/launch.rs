//! Launch: one container from plan to running process.
//!
//! In three processes, each with its own duty:
//! - the agent ([`spawn`]): cgroup, detached mounts, descriptors, clone3(2), id maps;
//! - its child up to execve(2) (`namespaces::clone_launcher`): async-signal-safe work only;
//! - the launcher ([`enter`]): the agent's binary again, inside the namespaces, where it finishes the
//!   container, becomes its init and starts the task.

mod enter;
mod filters;
mod host;
mod init;
mod lean;
mod orders;
mod parts;
mod spawn;
mod streams;
mod volumes;

pub use enter::enter;
pub use host::{Host, root_file};
pub use spawn::{LaunchError, Launched, Note, spawn, spawn_in, spawn_noted};
pub use streams::{OutputFiles, Streams};

/// A report of a step of the launch: what went wrong is named in its text.
const KIND_STEP: u8 = 0;

/// A report that the task's own program could not be executed.
const KIND_EXECUTE: u8 = 1;
