//! A message of the wire, carried through a core that does not look inside.
//!
//! Cores never see protobuf. What they must hand on unread (a whole `TaskInfo`, a `FrameworkInfo`)
//! they hold as the bytes the shell gave them; the shell encodes and decodes.

use alloc::sync::Arc;
use core::fmt;

/// Encoded bytes of one message; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Blob(Arc<[u8]>);

impl Blob {
    /// Takes the encoded bytes of one message.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}
