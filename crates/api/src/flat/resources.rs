//! Resources as the unversioned endpoints show them: an object of amounts by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::v1;
use model::Resources;
use model::resources::{Ranges, Resource, Scalar, Set, Value};
use serde_json::{Map, Value as Json, json};

/// Amounts by name; the four that everything has come first, also where there is nothing of them.
#[must_use]
pub fn object(resources: &Resources) -> Json {
    let mut scalars: BTreeMap<String, Scalar> = BTreeMap::new();
    let mut ranges: BTreeMap<String, Ranges> = BTreeMap::new();
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    for resource in resources {
        let name = name(resource);
        match &resource.value {
            Value::Scalar(amount) => {
                let sum = scalars.entry(name).or_default();
                *sum = sum.plus(*amount);
            }
            Value::Ranges(more) => {
                let all = ranges.entry(name).or_default();
                *all = all.union(more);
            }
            Value::Set(more) => sets.entry(name).or_default().extend(more.iter().cloned()),
        }
    }
    let mut object = Map::new();
    for name in ["disk", "mem", "gpus", "cpus"] {
        let amount = scalars.remove(name).unwrap_or_default();
        object.insert(name.into(), json!(amount.to_f64()));
    }
    for (name, amount) in scalars {
        object.insert(name, json!(amount.to_f64()));
    }
    for (name, ranges) in ranges {
        object.insert(name, json!(ranges_text(&ranges)));
    }
    for (name, set) in sets {
        let items: Vec<&str> = set.iter().map(|item| &**item).collect();
        object.insert(name, json!(format!("{{{}}}", items.join(", "))));
    }
    Json::Object(object)
}

/// Amounts by name.
pub fn amounts<'a>(amounts: impl IntoIterator<Item = (&'a Arc<str>, &'a Scalar)>) -> Json {
    let amounts = amounts.into_iter();
    Json::Object(
        amounts
            .map(|(name, amount)| (name.to_string(), json!(amount.to_f64())))
            .collect(),
    )
}

/// For each role, what is reserved for it.
#[must_use]
pub fn reserved(resources: &Resources) -> Json {
    let by_role = resources.reservations();
    Json::Object(
        by_role
            .iter()
            .map(|(role, resources)| (role.to_string(), object(resources)))
            .collect(),
    )
}

/// Whole resources, in the format of before the refinement of reservations.
#[must_use]
pub fn full(resources: &Resources) -> Json {
    super::list(crate::convert::to_unrefined(resources), |resource| {
        super::message(&resource)
    })
}

/// For each role, whole resources reserved for it.
#[must_use]
pub fn reserved_full(resources: &Resources) -> Json {
    let by_role = resources.reservations();
    Json::Object(
        by_role
            .iter()
            .map(|(role, resources)| (role.to_string(), full(resources)))
            .collect(),
    )
}

/// Attributes of an agent, by name.
#[must_use]
pub fn attributes(attributes: &[v1::Attribute]) -> Json {
    let value = |attribute: &v1::Attribute| {
        if let Some(text) = &attribute.text {
            json!(text.value)
        } else if let Some(scalar) = &attribute.scalar {
            json!(scalar.value)
        } else if let Some(ranges) = &attribute.ranges {
            let parts: Vec<String> = ranges
                .range
                .iter()
                .map(|range| format!("{}-{}", range.begin, range.end))
                .collect();
            json!(format!("[{}]", parts.join(", ")))
        } else {
            let items = attribute.set.as_ref().map(|set| set.item.join(", "));
            json!(format!("{{{}}}", items.unwrap_or_default()))
        }
    };
    Json::Object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.clone(), value(attribute)))
            .collect(),
    )
}

/// The role that resources are allocated to.
#[must_use]
pub fn role(resources: &Resources) -> String {
    resources
        .iter()
        .find_map(|resource| resource.allocation_role.as_ref())
        .map_or_else(|| "*".to_owned(), ToString::to_string)
}

fn name(resource: &Resource) -> String {
    if resource.revocable {
        format!("{}_revocable", resource.name)
    } else {
        resource.name.to_string()
    }
}

fn ranges_text(ranges: &Ranges) -> String {
    let parts: Vec<String> = ranges
        .as_slice()
        .iter()
        .map(|range| format!("{}-{}", range.begin, range.end))
        .collect();
    format!("[{}]", parts.join(", "))
}
