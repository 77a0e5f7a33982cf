//! The master daemon; see ARCHITECTURE.md.
