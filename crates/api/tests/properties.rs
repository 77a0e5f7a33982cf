//! What holds of any bytes and any JSON.

use api::descriptor::Message;
use api::json::{from_json, json_to_wire, to_json, wire_to_json};
use api::{Described, decode, v1};
use proptest::prelude::*;

/// Arbitrary JSON whose names are often those of the messages.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let names = [
        "type",
        "subscribe",
        "framework_info",
        "user",
        "name",
        "id",
        "value",
        "accept",
        "operations",
        "launch",
        "task_infos",
        "resources",
        "scalar",
        "ranges",
        "range",
        "begin",
        "uuid",
        "acknowledge",
        "failover_timeout",
        "offer_constraints",
        "role_constraints",
        "checkpoint",
        "labels",
        "offer_filters",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "SUBSCRIBE|ACCEPT|SCALAR|true|1|1\\.5|AAAA|[a-z\u{e9}\"\\\\\n]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..6).prop_map(
                |members| {
                    let members = members
                        .into_iter()
                        .map(|(name, value)| (name.to_string(), value));
                    serde_json::Value::Object(members.collect())
                }
            ),
        ]
    })
}

/// Bytes that are a message more often than chance would have it.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        (0u8..20).prop_map(|number| vec![number << 3, 1]),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        prop::collection::vec((0u8..16, inner), 0..4).prop_map(|fields| {
            let mut out = Vec::new();
            for (number, bytes) in fields {
                out.push(number << 3 | 2);
                out.push(bytes.len() as u8 & 0x7f);
                out.extend(bytes);
            }
            out
        })
    })
}

/// Once read, a message is written and read again without a change.
fn stable<T: Described + PartialEq>(message: &T) -> Result<(), TestCaseError> {
    let json = to_json(message);
    let wire = json_to_wire(T::descriptor(), json.as_bytes());
    let wire = wire.map_err(|error| TestCaseError::fail(format!("{json}: {error}")))?;
    prop_assert_eq!(wire_to_json(T::descriptor(), &wire).unwrap(), json.clone());
    let again: T = decode(&wire).unwrap();
    prop_assert_eq!(to_json(&again), json);
    Ok(())
}

fn take<T: Described + PartialEq>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(message) = decode::<T>(bytes) {
        stable(&message)?;
    }
    if let Ok(message) = from_json::<T>(bytes) {
        stable(&message)?;
    }
    let _ = wire_to_json(T::descriptor(), bytes);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        take::<v1::scheduler::Call>(&bytes)?;
        take::<v1::master::Response>(&bytes)?;
        take::<v1::ContainerId>(&bytes)?;
    }

    #[test]
    fn bytes_much_like_a_message_are_read_or_refused(bytes in wire()) {
        take::<v1::scheduler::Call>(&bytes)?;
        take::<v1::scheduler::OfferConstraints>(&bytes)?;
        take::<v1::agent::Response>(&bytes)?;
        take::<v1::ResourceStatistics>(&bytes)?;
        take::<v1::Labels>(&bytes)?;
    }

    #[test]
    fn any_json_is_read_or_refused_and_then_stays_the_same(value in json()) {
        let text = value.to_string();
        take::<v1::scheduler::Call>(text.as_bytes())?;
        take::<v1::scheduler::OfferConstraints>(text.as_bytes())?;
        take::<v1::FrameworkInfo>(text.as_bytes())?;
        take::<v1::Resource>(text.as_bytes())?;
    }

    #[test]
    fn doubles_keep_their_value(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        let json = to_json(&v1::value::Scalar { value });
        prop_assert_eq!(from_json::<v1::value::Scalar>(json.as_bytes()).unwrap().value, value);
    }
}

#[test]
fn every_message_has_a_table_under_its_name() {
    for name in [
        "mesos.v1.TaskInfo",
        "mesos.v1.scheduler.Call",
        "google.protobuf.Duration",
    ] {
        assert_eq!(Message::named(name).map(|m| m.name), Some(name));
    }
    assert!(Message::named("mesos.v1.Nothing").is_none());
    assert_eq!(v1::CommandInfo::descriptor().name, "mesos.v1.CommandInfo");
    assert_eq!(
        v1::command_info::Uri::descriptor().name,
        "mesos.v1.CommandInfo.URI"
    );
}
