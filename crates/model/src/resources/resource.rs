//! One resource: a name, a value, and the metadata that tells it from others of its name.
//!
//! Two resources merge only where [`Resource::is_addable_to`] holds, and one is taken out of another
//! only where [`Resource::is_subtractable_from`] does (reference, section 5.2).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Role, Scalar, Value};

/// A resource with all its metadata, reservations as a stack, the deepest role last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// `cpus`, `mem`, `disk`, `ports`, `gpus`, or any other.
    pub name: Arc<str>,
    /// How much.
    pub value: Value,
    /// The role it is offered or allocated to; `None` while it is neither.
    pub allocation_role: Option<Role>,
    /// The reservations, each refining the one before; none for an unreserved resource.
    pub reservations: Vec<Reservation>,
    /// Where a disk comes from and what lies on it. It is larger than all the rest, and rare.
    pub disk: Option<Box<DiskInfo>>,
    /// May be taken back at any time.
    pub revocable: bool,
    /// May be held by several tasks at a time.
    pub shared: bool,
    /// The resource provider it comes from; `None` for the agent's own.
    pub provider_id: Option<Arc<str>>,
}

/// One element of the reservation stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reservation {
    /// Who made it.
    pub kind: ReservationKind,
    /// For whom.
    pub role: Role,
    /// The principal that made it.
    pub principal: Option<Arc<str>>,
    /// Free labels; they are part of the reservation's identity.
    pub labels: Vec<Label>,
}

/// Whether a reservation was made by the agent's configuration or at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKind {
    /// By the agent's `--resources`.
    Static,
    /// By an operation.
    Dynamic,
}

/// A key, and a value or none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Option<Arc<str>>,
}

/// What is known of a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DiskInfo {
    /// Where it comes from; `None` for the agent's work directory.
    pub source: Option<DiskSource>,
    /// Set for a persistent volume.
    pub persistence: Option<Persistence>,
    /// Where a persistent volume is mounted.
    pub volume: Option<Volume>,
}

/// A disk beside the agent's work directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSource {
    /// What sort of disk.
    pub kind: DiskKind,
    /// The plugin that made it.
    pub vendor: Option<Arc<str>>,
    /// Its id with that plugin.
    pub id: Option<Arc<str>>,
    /// The profile it was made by.
    pub profile: Option<Arc<str>>,
    /// The plugin's own notes.
    pub metadata: Vec<Label>,
}

/// The sorts of disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskKind {
    /// A sort this version does not know.
    Unknown,
    /// A directory that may be divided.
    Path {
        /// The directory.
        root: Option<Arc<str>>,
    },
    /// A mount point, taken as a whole.
    Mount {
        /// The mount point.
        root: Option<Arc<str>>,
    },
    /// A block device, taken as a whole.
    Block,
    /// A disk not yet made into one of the others.
    Raw,
}

/// The name under which the data of a volume lives on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// Unique for a role on an agent.
    pub id: Arc<str>,
    /// The principal that made it.
    pub principal: Option<Arc<str>>,
}

/// A mount in the container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Volume {
    /// Where the container sees it.
    pub container_path: Arc<str>,
    /// Where it lies on the node.
    pub host_path: Option<Arc<str>>,
    /// Whether it may be written.
    pub mode: VolumeMode,
}

/// Whether a volume may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VolumeMode {
    /// Read and write.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// Why one resource is invalid, in Mesos' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceFault {
    /// The name is the empty text.
    #[error("Empty resource name")]
    EmptyName,
    /// `type` is SCALAR and `scalar` is missing, or another value is there as well.
    #[error("Invalid scalar resource")]
    Scalar,
    /// A scalar below zero.
    #[error("Invalid scalar resource: value <= 0")]
    NotPositive,
    /// `type` is RANGES and `ranges` is missing, or another value is there as well.
    #[error("Invalid ranges resource")]
    Ranges,
    /// A range ends before it begins.
    #[error("Invalid ranges resource: begin > end")]
    RangeBackwards,
    /// An integer in two ranges.
    #[error("Invalid ranges resource: overlapping ranges")]
    RangesOverlap,
    /// `type` is SET and `set` is missing, or another value is there as well.
    #[error("Invalid set resource")]
    Set,
    /// A text twice in a set.
    #[error("Invalid set resource: duplicated elements")]
    SetDuplicate,
    /// A type that resources cannot have.
    #[error("Unsupported resource type")]
    Type,
    /// A part of a GPU.
    #[error("The 'gpus' resource must be an unsigned integer")]
    Gpus,
    /// Both reservation formats at once, a broken stack, or a role that is none.
    #[error("{0}")]
    Reservation(String),
    /// DiskInfo on something else than a disk, or one that contradicts itself.
    #[error("{0}")]
    Disk(String),
    /// Shared, and not a disk.
    #[error("Resource {0} cannot be shared")]
    SharedName(String),
    /// Shared, and not a persistent volume.
    #[error("Only persistent volumes can be shared")]
    Shared,
}

/// An invalid resource of a message: what it was, and its fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Resource '{resource}' is invalid: {fault}")]
pub struct InvalidResource {
    /// The resource as text.
    pub resource: String,
    /// What is wrong with it.
    pub fault: ResourceFault,
}

impl Resource {
    /// An unreserved resource without any metadata.
    #[must_use]
    pub fn new(name: &str, value: Value) -> Self {
        Self {
            name: Arc::from(name),
            value,
            allocation_role: None,
            reservations: Vec::new(),
            disk: None,
            revocable: false,
            shared: false,
            provider_id: None,
        }
    }

    /// An unreserved scalar.
    #[must_use]
    pub fn scalar(name: &str, amount: Scalar) -> Self {
        Self::new(name, Value::Scalar(amount))
    }
}

impl Resource {
    /// The role it is reserved for; `None` where unreserved.
    #[must_use]
    pub fn reservation_role(&self) -> Option<&Role> {
        self.reservations.last().map(|top| &top.role)
    }

    /// Whether its last reservation was made at run time.
    #[must_use]
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations
            .last()
            .is_some_and(|top| top.kind == ReservationKind::Dynamic)
    }

    /// Whether a reservation was refined for a role beneath.
    #[must_use]
    pub fn is_refined(&self) -> bool {
        self.reservations.len() > 1
    }

    /// Whether data lives on it.
    #[must_use]
    pub fn is_persistent_volume(&self) -> bool {
        self.disk.as_ref().is_some_and(|d| d.persistence.is_some())
    }

    /// Whether a framework in `role` may have it: it is unreserved, or reserved for the role or for
    /// an ancestor of it.
    #[must_use]
    pub fn is_allocatable_to(&self, role: &Role) -> bool {
        self.reservation_role()
            .is_none_or(|owner| owner == role || owner.is_ancestor_of(role))
    }

    /// Whether both are the same object, however a framework wants its volume mounted.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.has_metadata_of(other) && self.value == other.value
    }

    /// Whether adding one to the other gives one resource.
    #[must_use]
    pub fn is_addable_to(&self, other: &Self) -> bool {
        !self.shared && !self.is_indivisible() && self.has_metadata_of(other)
    }

    /// Whether some of it may be taken out of `other`.
    #[must_use]
    pub fn is_subtractable_from(&self, other: &Self) -> bool {
        self.has_metadata_of(other)
            && (!(self.shared || self.is_indivisible()) || self.value == other.value)
    }

    /// Whether `other` can be taken out of this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.is_subtractable_from(self) && self.value.contains(&other.value)
    }

    /// Whether it is taken as a whole or not at all.
    #[must_use]
    pub fn is_indivisible(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            disk.persistence.is_some()
                || disk.source.as_ref().is_some_and(|s| match s.kind {
                    DiskKind::Path { .. } => false,
                    DiskKind::Raw => s.id.is_some(),
                    DiskKind::Unknown | DiskKind::Mount { .. } | DiskKind::Block => true,
                })
        })
    }

    /// Whether everything but the amount is the same.
    fn has_metadata_of(&self, other: &Self) -> bool {
        self.name == other.name
            && self.value.same_type(&other.value)
            && self.allocation_role == other.allocation_role
            && self.reservations == other.reservations
            && self.revocable == other.revocable
            && self.shared == other.shared
            && self.provider_id == other.provider_id
            && match (&self.disk, &other.disk) {
                (None, None) => true,
                (Some(a), Some(b)) => a.is_same_as(b),
                (None, Some(_)) | (Some(_), None) => false,
            }
    }

    /// Checks what Mesos checks of every resource of a message (its `Resources::validate`), as far as
    /// the types of this module leave room for a fault.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), InvalidResource> {
        self.fault().map_or(Ok(()), |fault| {
            Err(InvalidResource {
                resource: self.to_string(),
                fault,
            })
        })
    }

    fn fault(&self) -> Option<ResourceFault> {
        if self.name.is_empty() {
            return Some(ResourceFault::EmptyName);
        }
        if let Value::Scalar(amount) = self.value
            && amount < Scalar::ZERO
        {
            return Some(ResourceFault::NotPositive);
        }
        if self.disk.is_some() && &*self.name != "disk" {
            return Some(ResourceFault::Disk(alloc::format!(
                "DiskInfo should not be set for {} resource",
                self.name
            )));
        }
        self.reservation_fault()
            .map(ResourceFault::Reservation)
            .or_else(|| self.shared_fault())
    }

    fn reservation_fault(&self) -> Option<String> {
        if self.reservations.iter().any(|over| over.role.is_star()) {
            return Some("Invalid reservation: role \"*\" cannot be reserved".into());
        }
        for (under, over) in self
            .reservations
            .iter()
            .zip(self.reservations.iter().skip(1))
        {
            if over.kind == ReservationKind::Static {
                return Some(
                    "Invalid refined reservation: A refined reservation cannot be STATIC".into(),
                );
            }
            if !under.role.is_ancestor_of(&over.role) {
                return Some(alloc::format!(
                    "Invalid refined reservation: role '{}' is not a refinement of '{}'",
                    over.role,
                    under.role
                ));
            }
        }
        None
    }

    fn shared_fault(&self) -> Option<ResourceFault> {
        if self.shared && &*self.name != "disk" {
            return Some(ResourceFault::SharedName(self.name.to_string()));
        }
        (self.shared && !self.is_persistent_volume()).then_some(ResourceFault::Shared)
    }

    /// The disk on which a volume lies: the same without the volume, for one holder at a time.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        let mut disk = self.clone();
        disk.shared = false;
        let source = disk.disk.take().and_then(|disk| disk.source);
        disk.disk = source.map(|source| {
            Box::new(DiskInfo {
                source: Some(source),
                ..DiskInfo::default()
            })
        });
        disk
    }
}

impl DiskInfo {
    /// Whether both are the same disk or volume. How a framework wants a volume mounted and who
    /// made it are no part of that.
    fn is_same_as(&self, other: &Self) -> bool {
        let id = |disk: &Self| disk.persistence.as_ref().map(|p| p.id.clone());
        self.source == other.source && id(self) == id(other)
    }
}
