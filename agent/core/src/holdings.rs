//! Holdings: what the node has, as it was configured and as operations left it.
//!
//! What operations made (reservations, volumes) is kept apart from what the configuration says, as
//! in the checkpoint: a node may come back with other resources. Where these have become too few,
//! what was kept is held all the same, since nobody could take a reservation back from an agent
//! that does not start.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::{Change, ConversionFault, ReservationKind, Resource, Role};
use model::{IdError, Resources, id};

/// What names the data of a persistent volume on this node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeName {
    /// The role it is reserved for.
    pub role: Role,
    /// `persistence.id`, unique for the role; an id by the rules of ids.
    pub id: Arc<str>,
}

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldingsError {
    /// What it takes is not there.
    #[error(transparent)]
    Conversion(#[from] ConversionFault),
    /// The name of a volume would name something else on the disk.
    #[error("the id of a persistent volume is malformed: {0}")]
    Name(IdError),
}

/// What the node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    configured: Resources,
    kept: Resources,
    total: Resources,
    /// Destroyed volumes whose data may still be there.
    doomed: BTreeSet<VolumeName>,
}

/// What a change means for the data on the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumesChanged {
    /// Volumes that are new.
    pub created: Vec<VolumeName>,
    /// Volumes that are no more.
    pub destroyed: Vec<VolumeName>,
}

impl VolumeName {
    /// The name of a volume on the agent's own disk; `None` for any other resource.
    #[must_use]
    pub fn of(resource: &Resource) -> Option<Self> {
        let disk = resource.disk.as_ref()?;
        if disk.source.is_some() {
            return None;
        }
        Some(Self {
            role: resource.reservation_role()?.clone(),
            id: disk.persistence.as_ref()?.id.clone(),
        })
    }
}

/// Whether an operation made it, so that it outlives the agent's process.
#[must_use]
pub fn is_kept(resource: &Resource) -> bool {
    resource.is_dynamically_reserved() || resource.is_persistent_volume()
}

impl Holdings {
    /// What the configuration says.
    #[must_use]
    pub fn new(configured: Resources) -> Self {
        Self {
            total: configured.clone(),
            configured,
            kept: Resources::new(),
            doomed: BTreeSet::new(),
        }
    }

    /// All that the node has, reservations and volumes included.
    #[must_use]
    pub fn total(&self) -> &Resources {
        &self.total
    }

    /// The reservations and volumes that operations made.
    #[must_use]
    pub fn kept(&self) -> &Resources {
        &self.kept
    }

    /// Whether the reservations are more than what the node is configured with.
    #[must_use]
    pub fn is_overdrawn(&self) -> bool {
        let bases: Resources = self.kept.iter().map(base).collect();
        !self.configured.contains(&bases)
    }

    /// Whether all of these are here; each for itself, since tasks may share a volume.
    #[must_use]
    pub fn holds_each(&self, resources: &Resources) -> bool {
        let mut all = resources.iter();
        all.all(|resource| self.kept.iter().any(|have| have.contains(resource)))
    }

    /// The reservations and volumes after a change.
    ///
    /// # Errors
    /// The change cannot be made.
    pub fn after(&self, change: &Change) -> Result<Resources, HoldingsError> {
        let total = self.total.convert_all(&change.conversions()?)?;
        for volume in total.iter().filter_map(VolumeName::of) {
            id::check(&volume.id).map_err(HoldingsError::Name)?;
        }
        Ok(total.filter(is_kept))
    }

    /// These are the reservations and volumes from now on.
    pub fn keep(&mut self, kept: Resources) -> VolumesChanged {
        let (before, after) = (names(&self.kept), names(&kept));
        let changed = VolumesChanged {
            created: after.difference(&before).cloned().collect(),
            destroyed: before.difference(&after).cloned().collect(),
        };
        self.doomed.extend(changed.destroyed.iter().cloned());
        self.doomed.retain(|volume| !after.contains(volume));
        self.total = self.configured.clone();
        for resource in &kept {
            self.total.subtract(&base(resource));
            self.total.add(resource.clone());
        }
        self.kept = kept;
        changed
    }

    /// This data may still be there, though its volume is no more.
    pub(crate) fn doom(&mut self, volume: VolumeName) {
        self.doomed.insert(volume);
    }

    /// The data of a destroyed volume is no longer there.
    pub(crate) fn destroyed(&mut self, volume: &VolumeName) {
        self.doomed.remove(volume);
    }

    /// Destroyed volumes whose data may still be there.
    pub fn doomed(&self) -> impl Iterator<Item = &VolumeName> {
        self.doomed.iter()
    }
}

/// What the configuration has in place of something that operations made.
fn base(resource: &Resource) -> Resource {
    let mut base = resource.without_volume();
    let is_static = |kind| kind == ReservationKind::Static;
    base.reservations.retain(|one| is_static(one.kind));
    base
}

fn names(resources: &Resources) -> BTreeSet<VolumeName> {
    resources.iter().filter_map(VolumeName::of).collect()
}
