//! Decode: bytes from outside to a message, with the checks that prost leaves out.
//!
//! A required field that is missing is an error that names it, as in Mesos. An enum's unknown
//! number reads as if its field were unset, as in proto2 (MESOS-4997): `UNKNOWN` where the enum has
//! one.

use std::borrow::Cow;
use std::fmt;

use crate::descriptor::{Described, Kind, Label, Message};
use crate::wire::{self, DEPTH_MAX, Entry, Malformed};

/// At most so many missing fields are named.
const MISSING_MAX: usize = 16;

/// Why bytes are not a message; the texts begin as Mesos' answers do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are cut short, are not protobuf, hold text that is not UTF-8, or nest too deep.
    #[error("Failed to parse body into {0} protobuf")]
    Malformed(&'static str),
    /// Required fields, by their paths from the message.
    #[error("Failed to parse body into {message} protobuf: Missing required fields: {}", fields.join(", "))]
    Missing {
        /// The message's short name.
        message: &'static str,
        /// As in `subscribe.framework_info.user`.
        fields: Vec<String>,
    },
}

/// Decodes a message and checks that its required fields are there.
///
/// # Errors
/// The bytes are not such a message, or a required field is missing.
pub fn decode<T: Described>(bytes: &[u8]) -> Result<T, DecodeError> {
    let descriptor = T::descriptor();
    let bytes = checked(descriptor, bytes)?;
    T::decode(&*bytes).map_err(|_| DecodeError::Malformed(descriptor.short_name()))
}

/// The bytes of a message whose required fields are there, written anew where they were irregular:
/// in what comes back, every enum's number is known and no message stands in parts.
pub(crate) fn checked<'a>(
    message: &'static Message,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let malformed = |_: Malformed| DecodeError::Malformed(message.short_name());
    let mut bytes = Cow::Borrowed(bytes);
    let mut inspection = Inspection::of(message, &bytes).map_err(malformed)?;
    if inspection.irregular {
        bytes = Cow::Owned(regularize(message, &bytes, 0).map_err(malformed)?);
        inspection = Inspection::of(message, &bytes).map_err(malformed)?;
    }
    if inspection.missing.is_empty() {
        return Ok(bytes);
    }
    Err(DecodeError::Missing {
        message: message.short_name(),
        fields: inspection.missing,
    })
}

/// What the bytes of a message lack and hold.
#[derive(Default)]
struct Inspection {
    /// Paths of required fields that are not there.
    missing: Vec<String>,
    /// An enum has an unknown number, or a message that may stand once stands in parts.
    irregular: bool,
}

impl Inspection {
    fn of(message: &'static Message, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut inspection = Self::default();
        inspection.visit(message, bytes, None, 0)?;
        Ok(inspection)
    }

    fn visit(
        &mut self,
        message: &'static Message,
        bytes: &[u8],
        path: Option<&Path<'_>>,
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed);
        }
        let mut seen = 0u128;
        let mut last = (usize::MAX, 0);
        wire::entries(message, bytes, |Entry { place, raw }| {
            let field = &message.fields[place];
            if wire::is_unknown_enum(field, raw) {
                self.irregular = true;
                return Ok(());
            }
            let bit = 1u128 << place;
            let again = seen & bit != 0;
            seen |= bit;
            let Kind::Message(inner) = field.kind else {
                return Ok(());
            };
            let index = (field.label == Label::Repeated).then(|| {
                let index = if last.0 == place { last.1 + 1 } else { 0 };
                last = (place, index);
                index
            });
            self.irregular |= again && index.is_none();
            let path = Path {
                parent: path,
                field: field.name,
                index,
            };
            self.visit(Message::at(inner), raw.bytes(), Some(&path), depth + 1)
        })?;
        let mut missing = message.required & !seen;
        while missing != 0 && self.missing.len() < MISSING_MAX {
            let place = missing.trailing_zeros() as usize;
            missing &= missing - 1;
            let path = Path {
                parent: path,
                field: message.fields[place].name,
                index: None,
            };
            self.missing.push(path.to_string());
        }
        Ok(())
    }
}

/// Writes a message anew: unknown numbers of enums and unknown fields left out, the parts of a
/// message that may stand once joined, which is how protobuf merges them.
fn regularize(message: &'static Message, bytes: &[u8], depth: usize) -> Result<Vec<u8>, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    let mut entries = Vec::new();
    wire::entries(message, bytes, |entry| {
        if !wire::is_unknown_enum(&message.fields[entry.place], entry.raw) {
            entries.push(entry);
        }
        Ok(())
    })?;
    entries.sort_by_key(|entry| entry.place);
    let mut out = Vec::with_capacity(bytes.len());
    for same in entries.chunk_by(|a, b| a.place == b.place) {
        let field = &message.fields[same[0].place];
        match (field.kind, field.label) {
            (Kind::Message(inner), Label::Optional | Label::Required) => {
                let joined = same
                    .iter()
                    .map(|e| e.raw.bytes())
                    .collect::<Vec<_>>()
                    .concat();
                let inner = regularize(Message::at(inner), &joined, depth + 1)?;
                wire::put_key(&mut out, field);
                wire::put_raw(&mut out, wire::Raw::Bytes(&inner));
            }
            (Kind::Message(inner), Label::Repeated) => {
                for entry in same {
                    let inner = regularize(Message::at(inner), entry.raw.bytes(), depth + 1)?;
                    wire::put_key(&mut out, field);
                    wire::put_raw(&mut out, wire::Raw::Bytes(&inner));
                }
            }
            _ => {
                for entry in same {
                    wire::put_key(&mut out, field);
                    wire::put_raw(&mut out, entry.raw);
                }
            }
        }
    }
    Ok(out)
}

/// A field's path from the outermost message, kept on the stack and written only in errors.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    pub(crate) parent: Option<&'a Path<'a>>,
    pub(crate) field: &'a str,
    pub(crate) index: Option<usize>,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.field)?;
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}
