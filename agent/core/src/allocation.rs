//! Allocation: what the master gave a task, or an executor for itself, of this node.
//!
//! A container that has anything revocable is revocable as a whole (Mesos); of what its limits are
//! made, each resource is told apart.

/// What of the node somebody may count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocation {
    /// Processors, in thousandths.
    pub cpus_milli: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// What of it is given back when others need it.
    pub revocable: Revocable,
}

/// Which of the resources of a container are given back when others need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revocable {
    /// Its processors.
    pub cpus: bool,
    /// Its memory.
    pub memory: bool,
}

impl Revocable {
    /// Whether any is.
    #[must_use]
    pub const fn any(self) -> bool {
        self.cpus || self.memory
    }

    /// What is of one of them, or of the other.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            cpus: self.cpus || other.cpus,
            memory: self.memory || other.memory,
        }
    }
}

impl Allocation {
    /// What two have together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpus_milli: self.cpus_milli.saturating_add(other.cpus_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            revocable: self.revocable.or(other.revocable),
        }
    }
}
