//! The agent's shell: the main loop around agent-core, its link, its HTTP port and its files.
//!
//! Decisions are agent-core's, deeds of the kernel agent-kernel's; see ARCHITECTURE.md.

pub mod again;
pub mod checkpoint;
pub mod config;
pub mod containers;
mod credential;
pub mod description;
pub mod devices;
pub mod disk;
mod environment;
pub mod explained;
pub mod fetch;
pub mod finder;
pub mod fuzz;
pub mod handle;
pub mod handover;
pub mod housekeeping;
pub mod http;
pub mod images;
pub mod init;
pub mod kernel_log;
pub mod link;
pub mod logging;
pub mod looking;
pub mod networks;
pub mod node;
pub mod paths;
pub mod probe;
pub mod processors;
pub mod sandboxes;
pub mod seccomp;
pub mod snapshot;
pub mod switchboard;
pub mod token;
pub mod unpack;
pub mod upgrade;
pub mod volumes;
pub mod web;
pub mod wire;
pub mod workers;
