//! The targets.

use agent::probe::Url;
use agent_core::checks::Scheme;
use agent_core::rotation;
use api::http::negotiate::Media;
use api::json::{from_json, to_json};
use api::recordio::Decoder;
use api::v1::scheduler::OfferConstraints;
use api::v1::{executor, master as operator, scheduler};
use master::fuzz::Form;
use prost::Message;

/// The largest record that the target takes.
const RECORD_BYTES_MAX: usize = 1 << 16;

/// A body of `application/json`.
pub(crate) fn json_body(bytes: &[u8]) {
    let taken = [
        master::fuzz::scheduler_call(Form::Json, bytes),
        master::fuzz::operator_call(Form::Json, bytes),
    ];
    if let Ok(call) = from_json::<scheduler::Call>(bytes) {
        same_in_both_forms(&call);
    } else {
        assert!(!taken[0], "a call that does not decode is taken");
    }
    if let Ok(call) = from_json::<operator::Call>(bytes) {
        same_in_both_forms(&call);
    }
}

/// A body of `application/x-protobuf`.
pub(crate) fn protobuf_body(bytes: &[u8]) {
    // The seeds are JSON; most bytes after them are no JSON any more.
    let wire = from_json::<scheduler::Call>(bytes).map(|call| call.encode_to_vec());
    for bytes in wire.as_deref().into_iter().chain([bytes]) {
        let _ = master::fuzz::scheduler_call(Form::Protobuf, bytes);
        let _ = master::fuzz::operator_call(Form::Protobuf, bytes);
        if let Ok(call) = api::decode::<scheduler::Call>(bytes) {
            let again = api::decode::<scheduler::Call>(&call.encode_to_vec());
            // Not by `==`: a number in it may be no number.
            assert_eq!(format!("{call:?}"), format!("{:?}", again.unwrap()));
        }
    }
}

/// The body of a call of an agent's API, or of an executor, in either form.
pub(crate) fn agent_body(bytes: &[u8]) {
    let of_operator = from_json::<api::v1::agent::Call>(bytes).map(|call| call.encode_to_vec());
    let of_executor = from_json::<executor::Call>(bytes).map(|call| call.encode_to_vec());
    let wires = [of_operator, of_executor].into_iter().flatten();
    for bytes in wires.chain([bytes.to_vec()]) {
        for media in [Media::Json, Media::Protobuf] {
            let _ = agent::fuzz::operator_call(media, &bytes);
            let _ = agent::fuzz::executor_call(media, &bytes);
        }
        if let Ok(call) = api::decode::<api::v1::agent::Call>(&bytes) {
            let again = api::decode::<api::v1::agent::Call>(&call.encode_to_vec());
            assert_eq!(format!("{call:?}"), format!("{:?}", again.unwrap()));
        }
    }
}

/// A seccomp profile of the operator.
pub(crate) fn seccomp_profile(bytes: &[u8]) {
    let _ = agent::fuzz::seccomp_profile(bytes);
}

/// A stream of records, in pieces of several sizes.
pub(crate) fn recordio(bytes: &[u8]) {
    let whole = records(bytes, bytes.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(records(bytes, size), whole, "in pieces of {size}");
    }
}

fn records(bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::new(RECORD_BYTES_MAX);
    let mut found = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.push(piece);
        loop {
            match decoder.record() {
                Ok(Some(record)) => found.push(record),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

/// The text of `--resources`.
pub(crate) fn resources_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(resources) = model::resources::parse(&text) {
        // Sums of what was read stay what they are, and printing does not panic.
        let doubled = resources.plus(&resources);
        assert!(doubled.contains(&resources), "{resources}");
        assert!(!doubled.to_string().is_empty() || resources.is_empty());
    }
}

/// What a task may say of the rotation of its output.
pub(crate) fn rotation(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(size) = model::bytes::parse(&text) {
        assert_eq!(model::bytes::parse(&model::bytes::format(size)), Ok(size));
    }
    if let Ok(size) = rotation::size(&text) {
        let keep = rotation::keep(&text).unwrap_or(1);
        let rule = rotation::Rule { size, keep };
        let cut = rule.cut(u64::MAX);
        assert!(cut.is_none_or(|cut| cut.until - cut.from <= rule.kept_max()));
    }
    if let Ok(keep) = rotation::keep(&text) {
        assert!(keep <= rotation::KEEP_MAX);
    }
}

/// What a master sends to whoever forwards its tasks' ports.
pub(crate) fn chunked_records(bytes: &[u8]) {
    let mut records = qemu::records::Records::new(bytes);
    while let Ok(Some(record)) = records.next_record() {
        assert!(record.len() <= bytes.len());
    }
}

/// The offer constraints of a subscription.
pub(crate) fn offer_constraints(bytes: &[u8]) {
    let constraints = from_json::<OfferConstraints>(bytes)
        .ok()
        .or_else(|| api::decode::<OfferConstraints>(bytes).ok());
    let call = |constraints| scheduler::Call {
        r#type: Some(scheduler::call::Type::Subscribe.into()),
        subscribe: Some(scheduler::call::Subscribe {
            offer_constraints: constraints,
            ..Default::default()
        }),
        ..Default::default()
    };
    let wire = call(constraints).encode_to_vec();
    let _ = master::fuzz::scheduler_call(Form::Protobuf, &wire);
    let _ = master::fuzz::scheduler_call(Form::Json, bytes);
}

/// The `Location` of an answer to a health check.
pub(crate) fn location(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut url = Url {
        scheme: Scheme::Http,
        host: "127.0.0.1".to_owned(),
        port: 80,
        path: "/a/b?c".to_owned(),
    };
    // One redirect begins where the last one led.
    for location in text.lines() {
        if let Some(next) = url.join(location) {
            assert!(
                next.path.starts_with('/') && !next.host.is_empty(),
                "{next:?}"
            );
            url = next;
        }
    }
}

/// What is read is the same after it was written, as JSON and as protobuf.
fn same_in_both_forms<T>(call: &T)
where
    T: api::Described + Message + Default + std::fmt::Debug,
{
    let json = to_json(call);
    let wire = call.encode_to_vec();
    let of_wire = api::decode::<T>(&wire).map(|call| to_json(&call));
    assert_eq!(of_wire.ok().as_deref(), Some(json.as_str()));
}
