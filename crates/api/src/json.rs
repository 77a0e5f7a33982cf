//! Mesos' JSON: a transcoding between wire bytes and text, driven by the descriptor tables.
//!
//! Written: proto2 names in the order of the .proto file, unset fields with a default shown with it,
//! empty lists left out, 64-bit integers as numbers, enums as names (an unknown number as nothing),
//! bytes as base64, maps as objects. Read: unknown names are passed over, null is unset, numbers and
//! booleans may come as strings, a single value stands for a list of one, an unknown enum name is
//! unset unless the field is required (reference, section 0; `FACTS.md` 4 and 5).

mod read;
mod write;

use crate::decode::{DecodeError, checked};
use crate::descriptor::{Described, Message};

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
