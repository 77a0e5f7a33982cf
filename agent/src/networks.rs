//! Networks: those that containers have instead of the node's.

mod pool;

pub use pool::Pool;
