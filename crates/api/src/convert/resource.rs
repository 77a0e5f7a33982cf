//! Resources, in both reservation formats.
//!
//! The model knows one format, the stack of reservations ("post-refinement"). The older one, a role
//! and at most one reservation ("pre-refinement"), is read as a stack of one, and written for those
//! who know no other (reference, section 5.3).

mod read;
mod text;
mod write;

pub use read::from_resource;
pub(crate) use write::UNRESERVED;
pub use write::to_resource;

use model::resources::{InvalidResource, Resource, Resources};

use crate::v1;

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
    counted(resources).map(to_resource).collect()
}

/// Writes resources with a role and at most one reservation; those with more are left out, since
/// that format has no room for them.
#[must_use]
pub fn to_unrefined(resources: &Resources) -> Vec<v1::Resource> {
    counted(resources)
        .filter(|resource| !resource.is_refined())
        .map(|resource| write::unrefined(to_resource(resource)))
        .collect()
}

/// Writes resources in both formats at once, as Mesos' endpoints show them; those with more than one
/// reservation in the newer alone.
#[must_use]
pub fn to_both(resources: &Resources) -> Vec<v1::Resource> {
    counted(resources)
        .map(|resource| write::both(to_resource(resource)))
        .collect()
}

/// Each resource once: how many copies of a shared one there are is not told.
fn counted(resources: &Resources) -> impl Iterator<Item = &Resource> {
    resources
        .counted()
        .into_iter()
        .map(|(resource, _)| resource)
}

#[cfg(test)]
mod tests {
    use model::resources::{Range, Ranges, Value};

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
    fn an_endpoint_shows_both_formats_and_what_it_shows_is_read() {
        let one = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1.0},"role":"a","reservation":{"principal":"p"},"reservations":[{"type":"DYNAMIC","role":"a","principal":"p"}]}"#;
        let wire: v1::Resource = from_json(one.as_bytes()).unwrap();
        let resources: Resources = [from_resource(&wire).unwrap()].into_iter().collect();
        let shown: Vec<String> = to_both(&resources).iter().map(to_json).collect();
        assert_eq!(shown, [one]);
    }

    #[test]
    fn a_message_that_is_no_resource_is_shown_as_it_came() {
        let json = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1},"allocation_info":{"role":"w"},"reservations":[{"type":"DYNAMIC","role":"/x","principal":"p","labels":{"labels":[{"key":"k","value":"v"}]}}]}"#;
        let wire: v1::Resource = from_json(json.as_bytes()).unwrap();
        assert_eq!(
            from_resource(&wire).unwrap_err().to_string(),
            "Resource 'cpus(allocated: w)(reservations: [(DYNAMIC,/x,p,{k: v})]):1' is invalid: \
             Role '/x' cannot start with a slash"
        );
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
                r#""type":"RANGES","ranges":{"range":[{"begin":3,"end":5},{"begin":1,"end":3}]}"#,
                "Invalid ranges resource: overlapping ranges",
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
            (
                r#""type":"SCALAR","scalar":{"value":0.0001}"#,
                "Invalid scalar resource: value <= 0",
            ),
            (
                r#""type":"SET","set":{},"role":"b","reservations":[{"type":"STATIC","role":"a"}]"#,
                "Invalid resource format: 'Resource.role' field with 'b' does not match the role \
                 'a' in 'Resource.reservations'",
            ),
            (
                r#""type":"SET","set":{},"role":"a","reservations":[{"type":"DYNAMIC","role":"a"}]"#,
                "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either \
                 be both set or both not set if the single reservation in 'Resource.reservations' \
                 is DYNAMIC",
            ),
            (
                r#""type":"SET","set":{},"role":"a","reservations":[{"type":"STATIC","role":"a"},{"type":"DYNAMIC","role":"a/b"}]"#,
                "Invalid resource format: 'Resource.role' must not be set if there is more than \
                 one reservation in 'Resource.reservations'",
            ),
        ] {
            let json = format!(r#"{{"name":"disk",{json}}}"#);
            let wire: v1::Resource = from_json(json.as_bytes()).unwrap();
            assert_eq!(
                from_resource(&wire).unwrap_err().fault.to_string(),
                fault,
                "{json}"
            );
        }
    }
}
