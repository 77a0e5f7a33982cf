//! From a resource to a message.

use std::sync::Arc;

use model::resources::{
    DiskInfo, DiskKind, DiskSource, Label, Range, Reservation, ReservationKind, Resource, Value,
    VolumeMode,
};

use crate::v1;
use crate::v1::resource::disk_info::source::Type as DiskType;
use crate::v1::resource::reservation_info::Type as ReservationType;
use crate::v1::value::Type as ValueType;

/// The role of what is not reserved, in the older format.
pub(crate) const UNRESERVED: &str = "*";

/// Writes a resource with its stack of reservations.
#[must_use]
pub fn to_resource(resource: &Resource) -> v1::Resource {
    let mut wire = v1::Resource {
        provider_id: resource
            .provider_id
            .as_ref()
            .map(|id| v1::ResourceProviderId {
                value: id.to_string(),
            }),
        name: resource.name.to_string(),
        allocation_info: resource.allocation_role.as_ref().map(|role| {
            v1::resource::AllocationInfo {
                role: Some(role.to_string()),
            }
        }),
        reservations: resource.reservations.iter().map(to_reservation).collect(),
        disk: resource.disk.as_deref().map(to_disk),
        revocable: resource
            .revocable
            .then(v1::resource::RevocableInfo::default),
        shared: resource.shared.then(v1::resource::SharedInfo::default),
        ..v1::Resource::default()
    };
    match &resource.value {
        Value::Scalar(scalar) => {
            wire.set_type(ValueType::Scalar);
            wire.scalar = Some(v1::value::Scalar {
                value: scalar.to_f64(),
            });
        }
        Value::Ranges(ranges) => {
            wire.set_type(ValueType::Ranges);
            let range = ranges
                .as_slice()
                .iter()
                .map(|&Range { begin, end }| v1::value::Range { begin, end })
                .collect();
            wire.ranges = Some(v1::value::Ranges { range });
        }
        Value::Set(set) => {
            wire.set_type(ValueType::Set);
            wire.set = Some(v1::value::Set {
                item: set.iter().map(ToString::to_string).collect(),
            });
        }
    }
    wire
}

/// The older format of a resource that has at most one reservation.
pub(super) fn unrefined(mut wire: v1::Resource) -> v1::Resource {
    let Some(info) = wire.reservations.pop() else {
        wire.role = Some(UNRESERVED.to_string());
        return wire;
    };
    wire.reservation =
        (info.r#type() == ReservationType::Dynamic).then(|| v1::resource::ReservationInfo {
            r#type: None,
            role: None,
            principal: info.principal.clone(),
            labels: info.labels.clone(),
        });
    wire.role = info.role;
    wire
}

/// Both formats of a resource that has at most one reservation; the newer of one that has more.
pub(super) fn both(wire: v1::Resource) -> v1::Resource {
    if wire.reservations.len() > 1 {
        return wire;
    }
    let reservations = wire.reservations.clone();
    v1::Resource {
        reservations,
        ..unrefined(wire)
    }
}

fn to_reservation(reservation: &Reservation) -> v1::resource::ReservationInfo {
    let kind = match reservation.kind {
        ReservationKind::Static => ReservationType::Static,
        ReservationKind::Dynamic => ReservationType::Dynamic,
    };
    v1::resource::ReservationInfo {
        r#type: Some(kind.into()),
        role: Some(reservation.role.to_string()),
        principal: reservation.principal.as_ref().map(ToString::to_string),
        labels: to_labels(&reservation.labels),
    }
}

fn to_disk(disk: &DiskInfo) -> v1::resource::DiskInfo {
    v1::resource::DiskInfo {
        persistence: disk.persistence.as_ref().map(|persistence| {
            v1::resource::disk_info::Persistence {
                id: persistence.id.to_string(),
                principal: persistence.principal.as_ref().map(ToString::to_string),
            }
        }),
        volume: disk.volume.as_ref().map(|volume| v1::Volume {
            container_path: volume.container_path.to_string(),
            host_path: volume.host_path.as_ref().map(ToString::to_string),
            mode: match volume.mode {
                VolumeMode::ReadWrite => v1::volume::Mode::Rw,
                VolumeMode::ReadOnly => v1::volume::Mode::Ro,
            }
            .into(),
            ..v1::Volume::default()
        }),
        source: disk.source.as_ref().map(to_source),
    }
}

fn to_source(source: &DiskSource) -> v1::resource::disk_info::Source {
    let root = |root: &Option<Arc<str>>| root.as_ref().map(ToString::to_string);
    let mut wire = v1::resource::disk_info::Source {
        vendor: source.vendor.as_ref().map(ToString::to_string),
        id: source.id.as_ref().map(ToString::to_string),
        metadata: to_labels(&source.metadata),
        profile: source.profile.as_ref().map(ToString::to_string),
        ..v1::resource::disk_info::Source::default()
    };
    match &source.kind {
        DiskKind::Unknown => wire.set_type(DiskType::Unknown),
        DiskKind::Path { root: path } => {
            wire.set_type(DiskType::Path);
            wire.path = Some(v1::resource::disk_info::source::Path { root: root(path) });
        }
        DiskKind::Mount { root: path } => {
            wire.set_type(DiskType::Mount);
            wire.mount = Some(v1::resource::disk_info::source::Mount { root: root(path) });
        }
        DiskKind::Block => wire.set_type(DiskType::Block),
        DiskKind::Raw => wire.set_type(DiskType::Raw),
    }
    wire
}

/// None for no labels: an empty list and an absent one are the same to Mesos.
fn to_labels(labels: &[Label]) -> Option<v1::Labels> {
    let labels: Vec<v1::Label> = labels
        .iter()
        .map(|label| v1::Label {
            key: label.key.to_string(),
            value: label.value.as_ref().map(ToString::to_string),
        })
        .collect();
    (!labels.is_empty()).then_some(v1::Labels { labels })
}
