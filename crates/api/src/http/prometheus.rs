//! `/metrics`: the numbers of `/metrics/snapshot` in the text form of Prometheus.
//!
//! A name's slashes become underscores. What stands in a Mesos name for a framework, a role, a
//! resource or a state becomes a label, so that one family has one name: see [`sample`].

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use http::Response;

use super::respond;

/// The form's name, as Prometheus asks for it.
const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of numbers by their names.
pub fn page<B: From<Bytes>>(numbers: &BTreeMap<String, f64>) -> Response<B> {
    respond::page(TYPE, text(numbers))
}

/// One line a number; lines of one family stand together.
fn text(numbers: &BTreeMap<String, f64>) -> String {
    let mut families: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for (name, value) in numbers {
        let (family, labels) = sample(name);
        families.entry(family).or_default().push((labels, *value));
    }
    let mut text = String::new();
    for (family, samples) in families {
        // Writing into memory does not go wrong.
        let _ = writeln!(text, "# TYPE {family} untyped");
        for (labels, value) in samples {
            let _ = writeln!(text, "{family}{labels} {value}");
        }
    }
    text
}

/// The family and the labels of a Mesos name.
fn sample(name: &str) -> (String, String) {
    let parts: Vec<&str> = name.split('/').collect();
    let mut family = vec!["mesos"];
    let mut labels = Vec::new();
    match parts.as_slice() {
        ["master", "frameworks", framework, id, rest @ ..] => {
            family.extend(["master", "framework"]);
            labels.push(("framework", *framework));
            labels.push(("framework_id", *id));
            match rest {
                ["roles", role @ .., "suppressed"] => {
                    family.push("role_suppressed");
                    return finish(&family, &labels, Some(("role", role.join("/"))));
                }
                [kind @ ("calls" | "events" | "operations" | "offers"), one] => {
                    family.extend([kind, "by_type"]);
                    labels.push(("type", *one));
                }
                ["tasks", phase, state] => {
                    family.extend(["tasks", phase]);
                    labels.push(("state", *state));
                }
                rest => family.extend(rest),
            }
        }
        [
            "allocator",
            "mesos",
            "roles",
            role @ ..,
            "shares",
            "dominant",
        ] => {
            family.extend(["allocator", "role_dominant_share"]);
            return finish(&family, &labels, Some(("role", role.join("/"))));
        }
        [
            "allocator",
            "mesos",
            "offer_filters",
            "roles",
            role @ ..,
            "active",
        ] => {
            family.extend(["allocator", "role_offer_filters_active"]);
            return finish(&family, &labels, Some(("role", role.join("/"))));
        }
        [
            "allocator",
            "mesos",
            "quota",
            "roles",
            role @ ..,
            "resources",
            resource,
            what,
        ] => {
            family.extend(["allocator", "role_quota", what]);
            labels.push(("resource", *resource));
            return finish(&family, &labels, Some(("role", role.join("/"))));
        }
        ["allocator", "mesos", "resources", resource, what] => {
            family.extend(["allocator", "resources", what]);
            labels.push(("resource", *resource));
        }
        [part, state, source, reason] if source.starts_with("source_") => {
            family.extend([part, "task_ends_by_reason"]);
            labels.extend([("state", *state), ("source", *source), ("reason", *reason)]);
        }
        parts => family.extend(parts),
    }
    finish(&family, &labels, None)
}

fn finish(
    family: &[&str],
    labels: &[(&str, &str)],
    last: Option<(&str, String)>,
) -> (String, String) {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let family = family.join("_").chars().map(allowed).collect();
    let labels = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let pairs: Vec<String> = labels
        .chain(last)
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    match pairs.is_empty() {
        true => (family, String::new()),
        false => (family, format!("{{{}}}", pairs.join(","))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_mesos_become_families_with_labels() {
        let numbers = [
            ("master/cpus_total", 8.0),
            ("master/frameworks/a%20b/f-1/calls/accept", 2.0),
            ("master/frameworks/a%20b/f-1/calls", 3.0),
            ("master/frameworks/a%20b/f-1/roles/eng/web/suppressed", 1.0),
            ("master/task_lost/source_master/reason_slave_removed", 1.0),
            ("allocator/mesos/roles/eng/\"web\"/shares/dominant", 0.5),
            ("allocator/mesos/quota/roles/*/resources/cpus/limit", 4.0),
            ("registrar/state_store_ms/p99", 1.25),
        ];
        let numbers = numbers.map(|(name, value)| (name.to_owned(), value));
        expect_test::expect![[r#"
            # TYPE mesos_allocator_role_dominant_share untyped
            mesos_allocator_role_dominant_share{role="eng/\"web\""} 0.5
            # TYPE mesos_allocator_role_quota_limit untyped
            mesos_allocator_role_quota_limit{resource="cpus",role="*"} 4
            # TYPE mesos_master_cpus_total untyped
            mesos_master_cpus_total 8
            # TYPE mesos_master_framework_calls untyped
            mesos_master_framework_calls{framework="a%20b",framework_id="f-1"} 3
            # TYPE mesos_master_framework_calls_by_type untyped
            mesos_master_framework_calls_by_type{framework="a%20b",framework_id="f-1",type="accept"} 2
            # TYPE mesos_master_framework_role_suppressed untyped
            mesos_master_framework_role_suppressed{framework="a%20b",framework_id="f-1",role="eng/web"} 1
            # TYPE mesos_master_task_ends_by_reason untyped
            mesos_master_task_ends_by_reason{state="task_lost",source="source_master",reason="reason_slave_removed"} 1
            # TYPE mesos_registrar_state_store_ms_p99 untyped
            mesos_registrar_state_store_ms_p99 1.25
        "#]]
        .assert_eq(&text(&numbers.into()));
    }
}
