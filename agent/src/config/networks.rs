//! Networks: those that containers may have instead of the node's.

use super::settings::Why;
use super::values;

/// The most network namespaces that wait for containers.
const POOL_SIZE_MAX: usize = 256;

/// What the operator says of networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// How many network namespaces wait for containers.
    pub pool_size: usize,
}

impl Default for Networks {
    fn default() -> Self {
        // As many launches are under way at a time.
        Self { pool_size: 4 }
    }
}

/// A number of namespaces.
pub(super) fn pool_size(text: &str) -> Result<usize, Why> {
    match values::plain(text)? {
        size if size > POOL_SIZE_MAX => Err(format!(", {POOL_SIZE_MAX} at most")),
        size => Ok(size),
    }
}
