//! The agent; see ARCHITECTURE.md.
