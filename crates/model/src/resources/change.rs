//! Changes: the operations that turn resources of an agent into others.
//!
//! What each takes and gives is told by its conversions; whether it is allowed is for those to ask
//! who carry it out.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Conversion, ConversionFault, Resource, Resources, Scalar, Value};

/// An operation on resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// RESERVE: pushes one reservation, or replaces those of `source`.
    Reserve {
        /// What is reserved now; none where the last reservation is the new one.
        source: Vec<Resource>,
        /// As they are reserved after it.
        resources: Vec<Resource>,
    },
    /// UNRESERVE: pops one reservation.
    Unreserve {
        /// As they are reserved before it.
        resources: Vec<Resource>,
    },
    /// CREATE of persistent volumes.
    Create {
        /// The volumes.
        volumes: Vec<Resource>,
    },
    /// DESTROY of persistent volumes.
    Destroy {
        /// The volumes.
        volumes: Vec<Resource>,
    },
    /// GROW_VOLUME.
    GrowVolume {
        /// The volume as it is.
        volume: Box<Resource>,
        /// What is added to it.
        addition: Box<Resource>,
    },
    /// SHRINK_VOLUME.
    ShrinkVolume {
        /// The volume as it is.
        volume: Box<Resource>,
        /// How much is taken from it.
        subtract: Scalar,
    },
    /// CREATE_DISK, which only resource providers carry out.
    CreateDisk {
        /// What the disk is made of.
        source: Box<Resource>,
        /// What becomes of it.
        target: DiskTarget,
        /// The profile it is made by.
        target_profile: Option<Arc<str>>,
    },
    /// DESTROY_DISK, which only resource providers carry out.
    DestroyDisk {
        /// The disk.
        source: Box<Resource>,
    },
}

/// What becomes of a raw disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskTarget {
    /// Mounted.
    Mount,
    /// A block device.
    Block,
    /// Neither, which is no target.
    Other,
}

/// The sorts of change, as Mesos names and counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// RESERVE.
    Reserve,
    /// UNRESERVE.
    Unreserve,
    /// CREATE.
    Create,
    /// DESTROY.
    Destroy,
    /// GROW_VOLUME.
    GrowVolume,
    /// SHRINK_VOLUME.
    ShrinkVolume,
    /// CREATE_DISK.
    CreateDisk,
    /// DESTROY_DISK.
    DestroyDisk,
}

impl ChangeKind {
    /// Every sort, in the order of this file.
    pub const ALL: [Self; 8] = [
        Self::Reserve,
        Self::Unreserve,
        Self::Create,
        Self::Destroy,
        Self::GrowVolume,
        Self::ShrinkVolume,
        Self::CreateDisk,
        Self::DestroyDisk,
    ];

    /// The name on the wire and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserve => "RESERVE",
            Self::Unreserve => "UNRESERVE",
            Self::Create => "CREATE",
            Self::Destroy => "DESTROY",
            Self::GrowVolume => "GROW_VOLUME",
            Self::ShrinkVolume => "SHRINK_VOLUME",
            Self::CreateDisk => "CREATE_DISK",
            Self::DestroyDisk => "DESTROY_DISK",
        }
    }
}

impl Change {
    /// What sort of change it is.
    #[must_use]
    pub const fn kind(&self) -> ChangeKind {
        match self {
            Self::Reserve { .. } => ChangeKind::Reserve,
            Self::Unreserve { .. } => ChangeKind::Unreserve,
            Self::Create { .. } => ChangeKind::Create,
            Self::Destroy { .. } => ChangeKind::Destroy,
            Self::GrowVolume { .. } => ChangeKind::GrowVolume,
            Self::ShrinkVolume { .. } => ChangeKind::ShrinkVolume,
            Self::CreateDisk { .. } => ChangeKind::CreateDisk,
            Self::DestroyDisk { .. } => ChangeKind::DestroyDisk,
        }
    }

    /// What it takes and gives, one after the other.
    ///
    /// # Errors
    /// An agent does not carry it out.
    pub fn conversions(&self) -> Result<Vec<Conversion>, ConversionFault> {
        Ok(match self {
            Self::Reserve { source, resources } => {
                let reserved: Resources = resources.iter().cloned().collect();
                let taken = if source.is_empty() {
                    reserved.pop_reservation()
                } else {
                    source.iter().cloned().collect()
                };
                Vec::from([Conversion::new(taken, reserved)])
            }
            Self::Unreserve { resources } => resources
                .iter()
                .map(|resource| {
                    let reserved = one(resource.clone());
                    let popped = reserved.pop_reservation();
                    Conversion::new(reserved, popped)
                })
                .collect(),
            Self::Create { volumes } => volumes
                .iter()
                .map(|volume| Conversion::new(one(volume.without_volume()), one(volume.clone())))
                .collect(),
            Self::Destroy { volumes } => volumes
                .iter()
                .map(|volume| Conversion {
                    removed: Some(Box::new(volume.clone())),
                    ..Conversion::new(one(volume.clone()), one(volume.without_volume()))
                })
                .collect(),
            Self::GrowVolume { volume, addition } => {
                let grown = resized(volume, amount(volume).plus(amount(addition)));
                let mut taken = one((**volume).clone());
                taken.add((**addition).clone());
                Vec::from([Conversion::new(taken, one(grown))])
            }
            Self::ShrinkVolume { volume, subtract } => {
                let mut given = one(resized(volume, amount(volume).minus(*subtract)));
                given.add(resized(&volume.without_volume(), *subtract));
                Vec::from([Conversion::new(one((**volume).clone()), given)])
            }
            Self::CreateDisk { .. } | Self::DestroyDisk { .. } => {
                return Err(ConversionFault::Unsupported);
            }
        })
    }

    /// Every resource that it names.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        let (lists, single): ([&[Resource]; 2], [Option<&Resource>; 2]) = match self {
            Self::Reserve { source, resources } => ([source, resources], [None, None]),
            Self::Unreserve { resources: list }
            | Self::Create { volumes: list }
            | Self::Destroy { volumes: list } => ([list, &[]], [None, None]),
            Self::GrowVolume { volume, addition } => ([&[], &[]], [Some(volume), Some(addition)]),
            Self::ShrinkVolume { volume: one, .. }
            | Self::CreateDisk { source: one, .. }
            | Self::DestroyDisk { source: one } => ([&[], &[]], [Some(one), None]),
        };
        lists
            .into_iter()
            .flatten()
            .chain(single.into_iter().flatten())
    }

    /// The same change with every resource that it names changed.
    #[must_use]
    pub fn map_resources(mut self, mut change: impl FnMut(&mut Resource)) -> Self {
        match &mut self {
            Self::Reserve { source, resources } => {
                source.iter_mut().chain(resources).for_each(change);
            }
            Self::Unreserve { resources: list }
            | Self::Create { volumes: list }
            | Self::Destroy { volumes: list } => list.iter_mut().for_each(change),
            Self::GrowVolume { volume, addition } => {
                change(volume);
                change(addition);
            }
            Self::ShrinkVolume { volume: one, .. }
            | Self::CreateDisk { source: one, .. }
            | Self::DestroyDisk { source: one } => change(one),
        }
        self
    }

    /// The same change of resources that are allocated to nobody.
    #[must_use]
    pub fn unallocate(self) -> Self {
        self.map_resources(|resource| resource.allocation_role = None)
    }
}

fn one(resource: Resource) -> Resources {
    core::iter::once(resource).collect()
}

fn amount(resource: &Resource) -> Scalar {
    match resource.value {
        Value::Scalar(amount) => amount,
        Value::Ranges(_) | Value::Set(_) => Scalar::ZERO,
    }
}

fn resized(resource: &Resource, amount: Scalar) -> Resource {
    Resource {
        value: Value::Scalar(amount),
        ..resource.clone()
    }
}
