//! From a message to a resource.

use std::sync::Arc;

use model::resources::{
    DiskInfo, DiskKind, DiskSource, InvalidResource, Label, Persistence, Range, Ranges,
    Reservation, ReservationKind, Resource, ResourceFault, Role, Scalar, Value, Volume, VolumeMode,
};

use super::text;
use crate::v1;
use crate::v1::resource::disk_info::source::Type as DiskType;
use crate::v1::resource::reservation_info::Type as ReservationType;
use crate::v1::value::Type as ValueType;

/// Reads a resource in either format.
///
/// # Errors
/// The message does not describe a resource.
pub fn from_resource(wire: &v1::Resource) -> Result<Resource, InvalidResource> {
    read(wire).map_err(|fault| InvalidResource {
        resource: text::text(wire),
        fault,
    })
}

fn read(wire: &v1::Resource) -> Result<Resource, ResourceFault> {
    if wire.name.is_empty() {
        return Err(ResourceFault::EmptyName);
    }
    let value = value(wire)?;
    if wire.disk.is_some() && wire.name != "disk" {
        return Err(ResourceFault::Disk(format!(
            "DiskInfo should not be set for {} resource",
            wire.name
        )));
    }
    let disk = wire.disk.as_ref().map(disk).transpose()?.map(Box::new);
    let reservations = reservations(wire).map_err(ResourceFault::Reservation)?;
    let allocated = wire.allocation_info.as_ref();
    Ok(Resource {
        allocation_role: allocated
            .and_then(|info| info.role.as_deref())
            .map(Role::new)
            .transpose()
            .map_err(|error| ResourceFault::Reservation(error.to_string()))?,
        reservations,
        disk,
        revocable: wire.revocable.is_some(),
        shared: wire.shared.is_some(),
        provider_id: wire.provider_id.as_ref().map(|id| Arc::from(&*id.value)),
        ..Resource::new(&wire.name, value)
    })
}

fn value(wire: &v1::Resource) -> Result<Value, ResourceFault> {
    let given = (&wire.scalar, &wire.ranges, &wire.set);
    match ValueType::try_from(wire.r#type) {
        Ok(ValueType::Scalar) => match given {
            (Some(scalar), None, None) => match Scalar::from_f64(scalar.value) {
                // An amount that rounds to nothing is not nothing.
                Some(amount) if scalar.value != 0.0 && amount <= Scalar::ZERO => {
                    Err(ResourceFault::NotPositive)
                }
                amount => amount.map(Value::Scalar).ok_or(ResourceFault::Scalar),
            },
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

/// The stack of reservations, bottom first. The older fields may stand beside a single one, as
/// Mesos' own endpoints show it, where they say the same.
fn reservations(wire: &v1::Resource) -> Result<Vec<Reservation>, String> {
    if !wire.reservations.is_empty() {
        let stack = wire
            .reservations
            .iter()
            .map(stacked)
            .collect::<Result<Vec<_>, _>>()?;
        for (under, over) in stack.iter().zip(stack.iter().skip(1)) {
            if over.kind == ReservationKind::Static {
                return Err(
                    "Invalid refined reservation: A refined reservation cannot be STATIC".into(),
                );
            }
            if !under.role.is_ancestor_of(&over.role) {
                return Err(format!(
                    "Invalid refined reservation: role '{}' is not a refinement of '{}'",
                    over.role, under.role
                ));
            }
        }
        return match (stack.as_slice(), &wire.role, &wire.reservation) {
            (_, None, None) => Ok(stack),
            ([one], role, info) => {
                contradiction(one, role.as_deref(), info.as_ref()).map_or(Ok(stack), Err)
            }
            (_, Some(_), _) => Err(more_than_one("Resource.role")),
            (_, None, Some(_)) => Err(more_than_one("Resource.reservation")),
        };
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

fn more_than_one(field: &str) -> String {
    format!(
        "Invalid resource format: '{field}' must not be set if there is more than one reservation \
         in 'Resource.reservations'"
    )
}

/// What the older fields say other than the only reservation.
fn contradiction(
    one: &Reservation,
    role: Option<&str>,
    info: Option<&v1::resource::ReservationInfo>,
) -> Option<String> {
    if let Some(role) = role.filter(|role| *role != one.role.as_str()) {
        return Some(format!(
            "Invalid resource format: 'Resource.role' field with '{role}' does not match the role \
             '{}' in 'Resource.reservations'",
            one.role
        ));
    }
    match (one.kind, info) {
        (ReservationKind::Static, Some(_)) => Some(
            "Invalid resource format: 'Resource.reservation' must not be set if the single \
             reservation in 'Resource.reservations' is STATIC"
                .into(),
        ),
        (ReservationKind::Static, None) => None,
        (ReservationKind::Dynamic, info) if role.is_some() != info.is_some() => Some(
            "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be \
             both set or both not set if the single reservation in 'Resource.reservations' is \
             DYNAMIC"
                .into(),
        ),
        (ReservationKind::Dynamic, info) => info.and_then(|info| {
            let principal = one.principal.as_deref().unwrap_or_default();
            if info.principal() != principal {
                return Some(format!(
                    "Invalid resource format: 'Resource.reservation.principal' field with '{}' \
                     does not match the principal '{principal}' in 'Resource.reservations'",
                    info.principal()
                ));
            }
            let older = labels(info.labels.as_ref());
            (older != one.labels).then(|| {
                let shown = |labels: &[Label]| {
                    let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
                    format!("{{{}}}", labels.join(", "))
                };
                format!(
                    "Invalid resource format: 'Resource.reservation.labels' field with '{}' does \
                     not match the labels '{}' in 'Resource.reservations'",
                    shown(&older),
                    shown(&one.labels)
                )
            })
        }),
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
    if role.is_star() {
        return Err("Invalid reservation: role \"*\" cannot be reserved".to_string());
    }
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
        principal: shared_text(info.principal.as_deref()),
        labels: labels(info.labels.as_ref()),
    }
}

pub(super) fn disk(wire: &v1::resource::DiskInfo) -> Result<DiskInfo, ResourceFault> {
    Ok(DiskInfo {
        source: wire.source.as_ref().map(source).transpose()?,
        persistence: wire.persistence.as_ref().map(|p| Persistence {
            id: Arc::from(&*p.id),
            principal: shared_text(p.principal.as_deref()),
        }),
        volume: wire.volume.as_ref().map(|volume| Volume {
            container_path: Arc::from(&*volume.container_path),
            host_path: shared_text(volume.host_path.as_deref()),
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
                "Unsupported 'DiskInfo.Source.Type' in 'UNKNOWN'".to_string(),
            ));
        }
        DiskKind::Block | DiskKind::Raw if wire.mount.is_some() => return Err(fault("Mount")),
        DiskKind::Block | DiskKind::Raw if wire.path.is_some() => return Err(fault("Path")),
        DiskKind::Block | DiskKind::Raw | DiskKind::Path { .. } | DiskKind::Mount { .. } => {}
    }
    Ok(DiskSource {
        kind,
        vendor: shared_text(wire.vendor.as_deref()),
        id: shared_text(wire.id.as_deref()),
        profile: shared_text(wire.profile.as_deref()),
        metadata: labels(wire.metadata.as_ref()),
    })
}

fn shared_text(wire: Option<&str>) -> Option<Arc<str>> {
    wire.map(Arc::from)
}

pub(super) fn labels(wire: Option<&v1::Labels>) -> Vec<Label> {
    wire.map_or(&[][..], |labels| &labels.labels)
        .iter()
        .map(|label| Label {
            key: Arc::from(&*label.key),
            value: shared_text(label.value.as_deref()),
        })
        .collect()
}
