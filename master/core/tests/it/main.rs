//! Scenarios of the master core: scripts in, transcripts out.

mod agents;
mod frameworks;
mod offers;
mod random;
mod tasks;
mod world;
