//! The core as its shell drives it: events in, effects out.

mod life;
mod operations;
mod world;
