//! Capabilities: the sets to keep.

use model::sandbox::Capability;

/// None, in no set: what tasks need of them (ports below 1024, other users) is given by namespaces.
pub(super) const KEPT: [Capability; 0] = [];
