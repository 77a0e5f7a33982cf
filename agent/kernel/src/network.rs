//! Network: what containers have instead of the node's.
//!
//! A [`Space`] is a network namespace that the node owns, made before the container that gets it.
//! [`connect`] puts an end of it on a bridge of the node, and the [`Tables`] say what passes there.

mod attributes;
mod connection;
mod links;
mod nftables;
mod rates;
mod space;

pub use connection::{ConnectError, Connection, connect, has_bridge, make_bridge};
pub use links::{remove_all, remove_others};
pub use nftables::{FirewallError, Tables};
pub(crate) use space::sysfs;
pub use space::{Space, SpaceError};
