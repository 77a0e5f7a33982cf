//! The core as its shell drives it: events in, effects out.

mod bounds;
mod checks;
mod containers;
mod executors;
mod lacks;
mod leaders;
mod life;
mod operations;
mod oversubscription;
mod pods;
mod restarts;
mod world;
