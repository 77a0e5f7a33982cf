//! The agent; see ARCHITECTURE.md.

pub mod config;
pub mod init;
pub mod node;
