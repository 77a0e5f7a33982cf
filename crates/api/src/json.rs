//! Mesos' JSON: a transcoding between wire bytes and text, driven by the descriptor tables.
//!
//! Written: proto2 names in the order of the .proto file, unset fields with a default shown with it,
//! empty lists left out, 64-bit integers as numbers, enums as names (an unknown number as nothing),
//! bytes as base64, maps as objects. Read: unknown names are passed over, null is unset, numbers and
//! booleans may come as strings, a single value stands for a list of one, an unknown enum name is
//! unset unless the field is required (reference, section 0; `FACTS.md` 4 and 5).

mod list;
mod number;
mod quoted;
mod read;
mod write;

use crate::decode::{DecodeError, checked};
use crate::descriptor::{Described, Message};

pub use list::{JsonListError, from_json_list};
pub use write::double;

/// Why a text is not a message; the texts are those of Mesos' answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON.
    #[error("Failed to parse body into JSON: syntax error at line {line} near: {near}")]
    Syntax {
        /// Counted from one.
        line: usize,
        /// The rest of that line.
        near: String,
    },
    /// Something follows the JSON value.
    #[error(
        "Failed to parse body into JSON: Parsed JSON included non-whitespace trailing characters: {0}"
    )]
    Trailing(String),
    /// A value does not fit its field.
    #[error("Failed to convert JSON into {message} protobuf: {problem}")]
    Value {
        /// The outermost message's short name.
        message: &'static str,
        /// Mesos' words for it, with the field's own name.
        problem: String,
        /// The field's path, as in `subscribe.framework_info.user`; empty for the message itself.
        path: String,
    },
    /// Required fields are missing.
    #[error("Failed to convert JSON into {message} protobuf: Missing required fields: {}", fields.join(", "))]
    Missing {
        /// The outermost message's short name.
        message: &'static str,
        /// Their paths.
        fields: Vec<String>,
    },
}

impl JsonError {
    /// The path of the field at fault, where it is one field.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Value { path, .. } => Some(path),
            Self::Missing { fields, .. } => fields.first().map(String::as_str),
            Self::Syntax { .. } | Self::Trailing(_) => None,
        }
    }
}

/// A message as JSON, on one line.
#[must_use]
pub fn to_json<T: Described>(message: &T) -> String {
    let mut out = String::new();
    write_json(message, &mut out);
    out
}

/// Appends a message as JSON, on one line.
pub fn write_json<T: Described>(message: &T, out: &mut String) {
    let start = out.len();
    if write::message(T::descriptor(), &message.encode_to_vec(), out).is_err() {
        // Only nesting past the bound gets here: what prost encodes is well formed.
        out.truncate(start);
        out.push_str("{}");
    }
}

/// Reads a message from JSON and checks that its required fields are there.
///
/// # Errors
/// The text is not JSON, a value does not fit its field, or a required field is missing.
pub fn from_json<T: Described>(json: &[u8]) -> Result<T, JsonError> {
    let wire = json_to_wire(T::descriptor(), json)?;
    T::decode(wire.as_slice()).map_err(|_| JsonError::Value {
        message: T::descriptor().short_name(),
        problem: "The message is nested too deep".to_string(),
        path: String::new(),
    })
}

/// The encoded bytes of a message as JSON, without going through its struct.
///
/// # Errors
/// The bytes are not such a message, or a required field is missing.
pub fn wire_to_json(message: &'static Message, bytes: &[u8]) -> Result<String, DecodeError> {
    let bytes = checked(message, bytes)?;
    let mut out = String::with_capacity(bytes.len() * 2);
    write::message(message, &bytes, &mut out)
        .map_err(|_| DecodeError::Malformed(message.short_name()))?;
    Ok(out)
}

/// JSON as the encoded bytes of a message, checked but without going through its struct.
///
/// # Errors
/// As [`from_json`].
pub fn json_to_wire(message: &'static Message, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let wire = read::message(message, json)?;
    match checked(message, &wire) {
        Ok(checked) => Ok(checked.into_owned()),
        Err(DecodeError::Missing { message, fields }) => {
            Err(JsonError::Missing { message, fields })
        }
        Err(DecodeError::Malformed(message)) => Err(JsonError::Value {
            message,
            problem: "The message is nested too deep".to_string(),
            path: String::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    fn check<T: Described>(json: &str, want: &str) {
        let got = match from_json::<T>(json.as_bytes()) {
            Ok(message) => to_json(&message),
            Err(error) => format!("{error} @{}", error.path().unwrap_or("-")),
        };
        assert_eq!(got, want, "{json}");
    }

    #[test]
    fn json_is_read_as_generously_as_mesos_does() {
        use v1::CommandInfo;
        use v1::scheduler::Call;
        check::<CommandInfo>("{}", r#"{"shell":true}"#);
        check::<CommandInfo>(
            r#"{"nothing":[{}],"shell":"false","arguments":"one","user":null}"#,
            r#"{"shell":false,"arguments":["one"]}"#,
        );
        check::<v1::Filters>(r#"{"refuse_seconds":"2"}"#, r#"{"refuse_seconds":2.0}"#);
        check::<v1::DurationInfo>(r#"{"nanoseconds":"7"}"#, r#"{"nanoseconds":7}"#);
        check::<v1::DurationInfo>(r#"{"nanoseconds":7.9}"#, r#"{"nanoseconds":7}"#);
        check::<v1::value::Range>(
            r#"{"begin":18446744073709551615,"end":0}"#,
            r#"{"begin":18446744073709551615,"end":0}"#,
        );
        check::<Call>(r#"{"type":"NO_SUCH_CALL"}"#, "{}");
        check::<v1::Secret>(
            r#"{"value":{"data":"AP8"}}"#,
            r#"{"value":{"data":"AP8="}}"#,
        );
        check::<v1::quota::QuotaConfig>(
            r#"{"role":"r","limits":{"mem":{"value":64},"cpus":{"value":0.1}}}"#,
            r#"{"role":"r","limits":{"cpus":{"value":0.1},"mem":{"value":64.0}}}"#,
        );
    }

    #[test]
    fn json_that_does_not_fit_is_refused_with_the_place() {
        use v1::scheduler::Call;
        let convert = "Failed to convert JSON into Call protobuf:";
        for (json, problem, path) in [
            (r#"[]"#, "Expecting a JSON object", ""),
            (r#"null"#, "Expecting a JSON object", ""),
            (
                r#"{"type":1}"#,
                "Not expecting a JSON number for field 'type'",
                "type",
            ),
            (
                r#"{"subscribe":{"framework_info":{"user":{}}}}"#,
                "Not expecting a JSON object for field 'user'",
                "subscribe.framework_info.user",
            ),
            (
                r#"{"accept":{"operations":[{},{"type":[]}]}}"#,
                "Not expecting a JSON array for field 'type'",
                "accept.operations[1].type",
            ),
            (
                r#"{"accept":{"filters":{"refuse_seconds":"soon"}}}"#,
                "Failed to parse 'soon' as a JSON number for field 'refuse_seconds': syntax error at line 1 near: soon",
                "accept.filters.refuse_seconds",
            ),
            (
                r#"{"accept":{"filters":{"refuse_seconds":"1s"}}}"#,
                "Failed to parse '1s' as a JSON number for field 'refuse_seconds': Parsed JSON included non-whitespace trailing characters: s",
                "accept.filters.refuse_seconds",
            ),
            (
                r#"{"update_framework":{"framework_info":{"checkpoint":"1"}}}"#,
                "Failed to parse '1' as a JSON boolean for field 'checkpoint': Unexpected JSON type parsed",
                "update_framework.framework_info.checkpoint",
            ),
            (
                r#"{"acknowledge":{"uuid":"!!!"}}"#,
                "Failed to base64 decode bytes field 'uuid': Invalid character '!'",
                "acknowledge.uuid",
            ),
            (
                r#"{"subscribe":{"framework_info":{"name":"x"}}}"#,
                "Missing required fields: subscribe.framework_info.user",
                "subscribe.framework_info.user",
            ),
        ] {
            check::<Call>(json, &format!("{convert} {problem} @{path}"));
        }
        let parse = "Failed to parse body into JSON:";
        check::<Call>(
            "{\n\"type\": x}",
            &format!("{parse} syntax error at line 2 near: x}} @-"),
        );
        check::<Call>("{", &format!("{parse} syntax error at line 1 near:  @-"));
        check::<Call>(
            "{}  {}",
            &format!("{parse} Parsed JSON included non-whitespace trailing characters:   {{}} @-"),
        );
        let deep = format!("{}{}", "{\"parent\":".repeat(5000), "{}");
        assert!(from_json::<v1::ContainerId>(deep.as_bytes()).is_err());
    }

    #[test]
    fn text_and_doubles_are_written_as_mesos_writes_them() {
        let label = v1::Label {
            key: "a\"\\/\n\u{1}\u{7f}\u{e9}".to_string(),
            value: None,
        };
        assert_eq!(
            to_json(&label),
            "{\"key\":\"a\\\"\\\\/\\n\\u0001\u{7f}\u{e9}\"}"
        );
        for (value, want) in [
            (4.0, "4.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e21"),
            (1.5e-7, "1.5e-7"),
            (0.000_001, "0.000001"),
            (f64::INFINITY, "\"Infinity\""),
        ] {
            let mut out = String::new();
            double(value, &mut out);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn a_capability_that_has_no_name_in_v1_is_an_empty_object() {
        let mut master = v1::MasterInfo::default();
        master
            .capabilities
            .push(v1::master_info::Capability { r#type: Some(3) });
        assert!(to_json(&master).ends_with(r#","capabilities":[{}]}"#));
    }
}
