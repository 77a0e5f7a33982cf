//! Resources as JSON, for the few messages in which Mesos prints them so: keys in the order of the
//! alphabet, no blanks.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::Resources;
use model::resources::{
    DiskInfo, DiskKind, DiskSource, Label, Reservation, ReservationKind, Resource, Value,
    VolumeMode,
};

use crate::maintenance::quote;

/// A list of resources.
pub(crate) fn list(resources: &Resources) -> String {
    array(resources.iter().map(resource))
}

/// Writes an object; its fields come in order, and those that are none are left out.
fn object<const N: usize>(fields: [(&str, Option<String>); N]) -> String {
    let shown = fields.into_iter().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("\"{name}\":{value}"))
    });
    let shown: Vec<String> = shown.collect();
    format!("{{{}}}", shown.join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("[{}]", items.join(","))
}

fn text(text: &str) -> String {
    let mut json = String::new();
    quote(&mut json, text);
    json
}

fn optional(value: Option<&str>) -> Option<String> {
    value.map(text)
}

fn resource(resource: &Resource) -> String {
    let (scalar, ranges, set, kind) = match &resource.value {
        Value::Scalar(amount) => {
            let number = amount.to_string();
            let point = if number.contains('.') { "" } else { ".0" };
            let value = object([("value", Some(format!("{number}{point}")))]);
            (Some(value), None, None, "SCALAR")
        }
        Value::Ranges(ranges) => {
            let bounds = ranges.as_slice().iter().map(|range| {
                let (begin, end) = (range.begin.to_string(), range.end.to_string());
                object([("begin", Some(begin)), ("end", Some(end))])
            });
            let value = object([("range", Some(array(bounds)))]);
            (None, Some(value), None, "RANGES")
        }
        Value::Set(set) => {
            let value = object([("item", Some(array(set.iter().map(|item| text(item)))))]);
            (None, None, Some(value), "SET")
        }
    };
    let allocated = resource.allocation_role.as_ref();
    let reservations = resource.reservations.iter().map(reservation);
    let provider = resource.provider_id.as_deref();
    object([
        (
            "allocation_info",
            allocated.map(|role| object([("role", optional(Some(role.as_str())))])),
        ),
        ("disk", resource.disk.as_deref().map(disk)),
        ("name", optional(Some(&resource.name))),
        (
            "provider_id",
            provider.map(|id| object([("value", optional(Some(id)))])),
        ),
        ("ranges", ranges),
        (
            "reservations",
            (!resource.reservations.is_empty()).then(|| array(reservations)),
        ),
        ("revocable", resource.revocable.then(|| "{}".into())),
        ("scalar", scalar),
        ("set", set),
        ("shared", resource.shared.then(|| "{}".into())),
        ("type", optional(Some(kind))),
    ])
}

fn reservation(reservation: &Reservation) -> String {
    let kind = match reservation.kind {
        ReservationKind::Static => "STATIC",
        ReservationKind::Dynamic => "DYNAMIC",
    };
    object([
        ("labels", labels(&reservation.labels)),
        ("principal", optional(reservation.principal.as_deref())),
        ("role", optional(Some(reservation.role.as_str()))),
        ("type", optional(Some(kind))),
    ])
}

fn labels(labels: &[Label]) -> Option<String> {
    let label = |label: &Label| {
        object([
            ("key", optional(Some(&label.key))),
            ("value", optional(label.value.as_deref())),
        ])
    };
    let list = array(labels.iter().map(label));
    (!labels.is_empty()).then(|| object([("labels", Some(list))]))
}

fn disk(disk: &DiskInfo) -> String {
    let persistence = disk.persistence.as_ref().map(|persistence| {
        object([
            ("id", optional(Some(&persistence.id))),
            ("principal", optional(persistence.principal.as_deref())),
        ])
    });
    let volume = disk.volume.as_ref().map(|volume| {
        let mode = match volume.mode {
            VolumeMode::ReadWrite => "RW",
            VolumeMode::ReadOnly => "RO",
        };
        object([
            ("container_path", optional(Some(&volume.container_path))),
            ("host_path", optional(volume.host_path.as_deref())),
            ("mode", optional(Some(mode))),
        ])
    });
    object([
        ("persistence", persistence),
        ("source", disk.source.as_ref().map(source)),
        ("volume", volume),
    ])
}

fn source(source: &DiskSource) -> String {
    let at = |root: &Option<_>| object([("root", root.as_deref().map(text))]);
    let (mount, path, kind) = match &source.kind {
        DiskKind::Unknown => (None, None, "UNKNOWN"),
        DiskKind::Path { root } => (None, Some(at(root)), "PATH"),
        DiskKind::Mount { root } => (Some(at(root)), None, "MOUNT"),
        DiskKind::Block => (None, None, "BLOCK"),
        DiskKind::Raw => (None, None, "RAW"),
    };
    object([
        ("id", optional(source.id.as_deref())),
        ("metadata", labels(&source.metadata)),
        ("mount", mount),
        ("path", path),
        ("profile", optional(source.profile.as_deref())),
        ("type", optional(Some(kind))),
        ("vendor", optional(source.vendor.as_deref())),
    ])
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use model::resources::{Persistence, Role, Scalar, Volume, parse};

    use super::*;

    #[test]
    fn resources_are_written_as_json() {
        let resources = parse("cpus:0.5;ports:[1-2, 4-4];zones:{a}").expect("resources");
        assert_eq!(
            list(&resources),
            r#"[{"name":"cpus","scalar":{"value":0.5},"type":"SCALAR"},{"name":"ports","ranges":{"range":[{"begin":1,"end":2},{"begin":4,"end":4}]},"type":"RANGES"},{"name":"zones","set":{"item":["a"]},"type":"SET"}]"#
        );
        let volume = Resource {
            allocation_role: Some(Role::star()),
            reservations: vec![Reservation {
                kind: ReservationKind::Dynamic,
                role: Role::new("web").expect("role"),
                principal: Some("p\"q".into()),
                labels: vec![Label {
                    key: "k".into(),
                    value: None,
                }],
            }],
            disk: Some(Box::new(DiskInfo {
                source: Some(DiskSource {
                    kind: DiskKind::Path {
                        root: Some("/d".into()),
                    },
                    vendor: None,
                    id: None,
                    profile: None,
                    metadata: Vec::new(),
                }),
                persistence: Some(Persistence {
                    id: "v".into(),
                    principal: None,
                }),
                volume: Some(Volume {
                    container_path: "data".into(),
                    host_path: None,
                    mode: VolumeMode::ReadWrite,
                }),
            })),
            shared: true,
            ..Resource::scalar("disk", Scalar::whole(64))
        };
        assert_eq!(
            resource(&volume),
            r#"{"allocation_info":{"role":"*"},"disk":{"persistence":{"id":"v"},"source":{"path":{"root":"/d"},"type":"PATH"},"volume":{"container_path":"data","mode":"RW"}},"name":"disk","reservations":[{"labels":{"labels":[{"key":"k"}]},"principal":"p\"q","role":"web","type":"DYNAMIC"}],"scalar":{"value":64.0},"shared":{},"type":"SCALAR"}"#
        );
    }
}
