//! From a message to a resource.

use std::sync::Arc;

use model::resources::{
    DiskInfo, DiskKind, DiskSource, InvalidResource, Label, Persistence, Range, Ranges,
    Reservation, ReservationKind, Resource, ResourceFault, Role, Scalar, Value, Volume, VolumeMode,
};

use crate::v1;
use crate::v1::resource::disk_info::source::Type as DiskType;
use crate::v1::resource::reservation_info::Type as ReservationType;
use crate::v1::value::Type as ValueType;

/// Reads a resource in either format.
///
/// # Errors
/// The message does not describe a resource.
pub fn from_resource(wire: &v1::Resource) -> Result<Resource, InvalidResource> {
    let mut resource = Resource::new(&wire.name, Value::Scalar(Scalar::ZERO));
    resource.revocable = wire.revocable.is_some();
    resource.shared = wire.shared.is_some();
    resource.provider_id = wire.provider_id.as_ref().map(|id| Arc::from(&*id.value));
    match fill(&mut resource, wire) {
        Ok(()) => Ok(resource),
        Err(fault) => Err(InvalidResource {
            resource: Box::new(resource),
            fault,
        }),
    }
}

fn fill(resource: &mut Resource, wire: &v1::Resource) -> Result<(), ResourceFault> {
    resource.value = value(wire)?;
    resource.disk = wire.disk.as_ref().map(disk).transpose()?;
    resource.reservations = reservations(wire).map_err(ResourceFault::Reservation)?;
    resource.allocation_role = wire
        .allocation_info
        .as_ref()
        .and_then(|info| info.role.as_deref())
        .map(Role::new)
        .transpose()
        .map_err(|error| ResourceFault::Reservation(error.to_string()))?;
    Ok(())
}

fn value(wire: &v1::Resource) -> Result<Value, ResourceFault> {
    let given = (&wire.scalar, &wire.ranges, &wire.set);
    match ValueType::try_from(wire.r#type) {
        Ok(ValueType::Scalar) => match given {
            (Some(scalar), None, None) => Scalar::from_f64(scalar.value)
                .map(Value::Scalar)
                .ok_or(ResourceFault::Scalar),
            _ => Err(ResourceFault::Scalar),
        },
        Ok(ValueType::Ranges) => match given {
            (None, Some(wire), None) => ranges(wire).map(Value::Ranges),
            _ => Err(ResourceFault::Ranges),
        },
        Ok(ValueType::Set) => match given {
            (None, None, Some(wire)) => {
                let set: model::resources::Set =
                    wire.item.iter().map(|item| Arc::from(&**item)).collect();
                if set.len() == wire.item.len() {
                    Ok(Value::Set(set))
                } else {
                    Err(ResourceFault::SetDuplicate)
                }
            }
            _ => Err(ResourceFault::Set),
        },
        Ok(ValueType::Text) | Err(_) => Err(ResourceFault::Type),
    }
}

fn ranges(wire: &v1::value::Ranges) -> Result<Ranges, ResourceFault> {
    let mut sorted: Vec<Range> = wire
        .range
        .iter()
        .map(|&v1::value::Range { begin, end }| Range { begin, end })
        .collect();
    if sorted.iter().any(|range| range.begin > range.end) {
        return Err(ResourceFault::RangeBackwards);
    }
    sorted.sort_unstable();
    // Mesos takes ranges that touch, and refuses ranges that overlap.
    if sorted.windows(2).any(|pair| pair[1].begin <= pair[0].end) {
        return Err(ResourceFault::RangesOverlap);
    }
    Ok(Ranges::new(sorted))
}

/// The stack of reservations, bottom first. Where it is there, the older fields do not count: Mesos'
/// own endpoints send both.
fn reservations(wire: &v1::Resource) -> Result<Vec<Reservation>, String> {
    if !wire.reservations.is_empty() {
        return wire.reservations.iter().map(stacked).collect();
    }
    let role = Role::new(wire.role()).map_err(|error| error.to_string())?;
    match &wire.reservation {
        None if role.is_star() => Ok(Vec::new()),
        None => Ok(vec![Reservation {
            kind: ReservationKind::Static,
            role,
            principal: None,
            labels: Vec::new(),
        }]),
        Some(info) if info.r#type.is_some() => Err(
            "'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field"
                .to_string(),
        ),
        Some(info) if info.role.is_some() => Err(
            "'Resource.ReservationInfo.role' must not be set for the 'Resource.reservation' field"
                .to_string(),
        ),
        Some(_) if role.is_star() => {
            Err("Invalid reservation: role \"*\" cannot be dynamically reserved".to_string())
        }
        Some(info) => Ok(vec![reservation(ReservationKind::Dynamic, role, info)]),
    }
}

fn stacked(info: &v1::resource::ReservationInfo) -> Result<Reservation, String> {
    let kind = match info.r#type() {
        ReservationType::Static => ReservationKind::Static,
        ReservationType::Dynamic => ReservationKind::Dynamic,
        ReservationType::Unknown => {
            return Err(
                "Invalid reservation: 'Resource.ReservationInfo.type' field must be set."
                    .to_string(),
            );
        }
    };
    let Some(role) = &info.role else {
        return Err(
            "Invalid reservation: 'Resource.ReservationInfo.role' field must be set.".to_string(),
        );
    };
    let role = Role::new(role).map_err(|error| error.to_string())?;
    Ok(reservation(kind, role, info))
}

fn reservation(
    kind: ReservationKind,
    role: Role,
    info: &v1::resource::ReservationInfo,
) -> Reservation {
    Reservation {
        kind,
        role,
        principal: text(info.principal.as_deref()),
        labels: labels(info.labels.as_ref()),
    }
}

fn disk(wire: &v1::resource::DiskInfo) -> Result<DiskInfo, ResourceFault> {
    Ok(DiskInfo {
        source: wire.source.as_ref().map(source).transpose()?,
        persistence: wire.persistence.as_ref().map(|p| Persistence {
            id: Arc::from(&*p.id),
            principal: text(p.principal.as_deref()),
        }),
        volume: wire.volume.as_ref().map(|volume| Volume {
            container_path: Arc::from(&*volume.container_path),
            host_path: text(volume.host_path.as_deref()),
            mode: match volume.mode() {
                v1::volume::Mode::Rw => VolumeMode::ReadWrite,
                v1::volume::Mode::Ro => VolumeMode::ReadOnly,
            },
        }),
    })
}

fn source(wire: &v1::resource::disk_info::Source) -> Result<DiskSource, ResourceFault> {
    let root = |path: Option<&String>| path.map(|root| Arc::from(&**root));
    let kind = match wire.r#type() {
        DiskType::Unknown => DiskKind::Unknown,
        DiskType::Path => DiskKind::Path {
            root: root(wire.path.as_ref().and_then(|p| p.root.as_ref())),
        },
        DiskType::Mount => DiskKind::Mount {
            root: root(wire.mount.as_ref().and_then(|m| m.root.as_ref())),
        },
        DiskType::Block => DiskKind::Block,
        DiskType::Raw => DiskKind::Raw,
    };
    let name = wire.r#type().as_str_name();
    let fault = |what: &str| {
        ResourceFault::Disk(format!("{what} should not be set for {name} disk source"))
    };
    match kind {
        DiskKind::Unknown => {
            return Err(ResourceFault::Disk(
                "Unsupported 'DiskInfo.Source.Type'".to_string(),
            ));
        }
        DiskKind::Block | DiskKind::Raw if wire.mount.is_some() => return Err(fault("Mount")),
        DiskKind::Block | DiskKind::Raw if wire.path.is_some() => return Err(fault("Path")),
        DiskKind::Block | DiskKind::Raw | DiskKind::Path { .. } | DiskKind::Mount { .. } => {}
    }
    Ok(DiskSource {
        kind,
        vendor: text(wire.vendor.as_deref()),
        id: text(wire.id.as_deref()),
        profile: text(wire.profile.as_deref()),
        metadata: labels(wire.metadata.as_ref()),
    })
}

fn text(wire: Option<&str>) -> Option<Arc<str>> {
    wire.map(Arc::from)
}

fn labels(wire: Option<&v1::Labels>) -> Vec<Label> {
    wire.map_or(&[][..], |labels| &labels.labels)
        .iter()
        .map(|label| Label {
            key: Arc::from(&*label.key),
            value: text(label.value.as_deref()),
        })
        .collect()
}
