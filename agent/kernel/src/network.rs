//! Network: what containers have instead of the node's.
//!
//! A [`Space`] is a network namespace that the node owns, made before the container that gets it.

mod space;

pub(crate) use space::sysfs;
pub use space::{Space, SpaceError};
