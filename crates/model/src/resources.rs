//! Resources: placeholder until the algebra lands.

/// A collection of resources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources;
