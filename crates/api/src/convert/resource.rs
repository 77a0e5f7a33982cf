//! Resources, in both reservation formats.
//!
//! The model knows one format, the stack of reservations ("post-refinement"). The older one, a role
//! and at most one reservation ("pre-refinement"), is read as a stack of one, and written for those
//! who know no other (reference, section 5.3).

use std::sync::Arc;

use model::resources::{
    DiskInfo, DiskKind, DiskSource, InvalidResource, Label, Persistence, Range, Ranges,
    Reservation, ReservationKind, Resource, ResourceFault, Resources, Role, Scalar, Value, Volume,
    VolumeMode,
};

use crate::v1;
use crate::v1::resource::disk_info::source::Type as DiskType;
use crate::v1::resource::reservation_info::Type as ReservationType;
use crate::v1::value::Type as ValueType;

/// The role of what is not reserved, in the older format.
const UNRESERVED: &str = "*";

/// Reads resources in either format.
///
/// # Errors
/// The first resource that its message does not describe. What can be described and is yet not
/// allowed is for [`Resource::validate`] to find.
pub fn resources(wire: &[v1::Resource]) -> Result<Vec<Resource>, InvalidResource> {
    wire.iter().map(from_resource).collect()
}

/// Writes resources with their stacks of reservations.
#[must_use]
pub fn to_refined(resources: &Resources) -> Vec<v1::Resource> {
    resources.iter().map(to_resource).collect()
}

/// Writes resources with a role and at most one reservation; those with more are left out, since
/// that format has no room for them.
#[must_use]
pub fn to_unrefined(resources: &Resources) -> Vec<v1::Resource> {
    resources
        .iter()
        .filter(|resource| !resource.is_refined())
        .map(|resource| unrefined(to_resource(resource)))
        .collect()
}

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
        return Err(ResourceFault::Ranges);
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
        disk: resource.disk.as_ref().map(to_disk),
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
fn unrefined(mut wire: v1::Resource) -> v1::Resource {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{from_json, to_json};

    /// A resource as JSON, read, and written in both formats.
    fn check(json: &str, refined: &str, unrefined: Option<&str>) {
        let wire: v1::Resource = from_json(json.as_bytes()).unwrap();
        let resource = from_resource(&wire).unwrap();
        assert_eq!(to_json(&to_resource(&resource)), refined);
        let resources: Resources = [resource].into_iter().collect();
        let old = to_unrefined(&resources);
        assert_eq!(old.first().map(to_json).as_deref(), unrefined);
        for wire in old {
            assert_eq!(
                from_resource(&wire).as_ref(),
                Ok(resources.iter().next().unwrap())
            );
        }
    }

    #[test]
    fn both_reservation_formats_are_read_and_written() {
        let cpus = |rest: &str| {
            format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":1.5}}{rest}}}"#)
        };
        check(&cpus(""), &cpus(""), Some(&cpus(r#","role":"*""#)));
        check(
            &cpus(r#","role":"eng""#),
            &cpus(r#","reservations":[{"type":"STATIC","role":"eng"}]"#),
            Some(&cpus(r#","role":"eng""#)),
        );
        check(
            &cpus(r#","role":"eng","reservation":{"principal":"p"}"#),
            &cpus(r#","reservations":[{"type":"DYNAMIC","role":"eng","principal":"p"}]"#),
            Some(&cpus(r#","role":"eng","reservation":{"principal":"p"}"#)),
        );
        let stack = r#","reservations":[{"type":"STATIC","role":"eng"},{"type":"DYNAMIC","role":"eng/a","labels":{"labels":[{"key":"k"}]}}]"#;
        check(&cpus(stack), &cpus(stack), None);
    }

    #[test]
    fn values_and_disks_are_read_and_written() {
        let volume = r#"{"provider_id":{"value":"rp"},"name":"disk","type":"SCALAR","scalar":{"value":64.0},"allocation_info":{"role":"r"},"reservations":[{"type":"DYNAMIC","role":"r"}],"disk":{"persistence":{"id":"v"},"volume":{"mode":"RW","container_path":"data"},"source":{"type":"MOUNT","mount":{"root":"/mnt"}}},"shared":{}}"#;
        let wire: v1::Resource = from_json(volume.as_bytes()).unwrap();
        assert_eq!(
            to_json(&to_resource(&from_resource(&wire).unwrap())),
            volume
        );

        let ports = r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":5,"end":9},{"begin":1,"end":4}]}}"#;
        let wire: v1::Resource = from_json(ports.as_bytes()).unwrap();
        let resource = from_resource(&wire).unwrap();
        let merged = Ranges::new([Range { begin: 1, end: 9 }]);
        assert_eq!(resource.value, Value::Ranges(merged));
    }

    #[test]
    fn what_is_no_resource_is_refused_in_the_words_of_mesos() {
        for (json, fault) in [
            (r#""type":"SCALAR""#, "Invalid scalar resource"),
            (
                r#""type":"SCALAR","scalar":{"value":1},"set":{}"#,
                "Invalid scalar resource",
            ),
            (
                r#""type":"SCALAR","scalar":{"value":"Infinity"}"#,
                "Invalid scalar resource",
            ),
            (
                r#""type":"RANGES","ranges":{"range":{"begin":2,"end":1}}"#,
                "Invalid ranges resource: begin > end",
            ),
            (
                r#""type":"SET","set":{"item":["a","a"]}"#,
                "Invalid set resource: duplicated elements",
            ),
            (r#""type":"TEXT""#, "Unsupported resource type"),
            (
                r#""type":"SET","set":{},"reservation":{}"#,
                "Invalid reservation: role \"*\" cannot be dynamically reserved",
            ),
            (
                r#""type":"SET","set":{},"reservations":[{"role":"r"}]"#,
                "Invalid reservation: 'Resource.ReservationInfo.type' field must be set.",
            ),
            (
                r#""type":"SET","set":{},"disk":{"source":{"type":"RAW","mount":{}}}"#,
                "Mount should not be set for RAW disk source",
            ),
        ] {
            let json = format!(r#"{{"name":"x",{json}}}"#);
            let wire: v1::Resource = from_json(json.as_bytes()).unwrap();
            assert_eq!(
                from_resource(&wire).unwrap_err().fault.to_string(),
                fault,
                "{json}"
            );
        }
    }
}
