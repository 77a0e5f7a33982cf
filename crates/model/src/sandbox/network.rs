//! Networks: whose a container's is.

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// The node's, or that of the container that it is nested in.
    #[default]
    Shared,
    /// New with the container: its capabilities count in it.
    Own,
    /// Made before the container, by the node: no capability of the container counts in it, and nothing
    /// in it can be changed from inside.
    Ready,
}
