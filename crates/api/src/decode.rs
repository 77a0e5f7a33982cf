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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::v1;
    use crate::wire::{Raw, put_key, put_raw};

    /// A message of these fields, by name.
    fn wire(message: &str, fields: &[(&str, Raw<'_>)]) -> Vec<u8> {
        let message = Message::named(message).unwrap();
        let mut out = Vec::new();
        for (name, raw) in fields {
            put_key(&mut out, message.field_by_name(name).unwrap());
            put_raw(&mut out, *raw);
        }
        out
    }

    fn missing(bytes: &[u8]) -> Vec<String> {
        match decode::<v1::scheduler::Call>(bytes) {
            Err(DecodeError::Missing { message, fields }) => {
                assert_eq!(message, "Call");
                fields
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn missing_required_fields_are_named_by_their_paths() {
        let task = "mesos.v1.TaskInfo";
        let id = wire("mesos.v1.TaskID", &[("value", Raw::Bytes(b"t"))]);
        let whole = wire(
            task,
            &[
                ("name", Raw::Bytes(b"t")),
                ("task_id", Raw::Bytes(&id)),
                ("agent_id", Raw::Bytes(&id)),
            ],
        );
        let nameless = wire(
            task,
            &[("task_id", Raw::Bytes(&id)), ("agent_id", Raw::Bytes(b""))],
        );
        let launch = wire(
            "mesos.v1.Offer.Operation.Launch",
            &[
                ("task_infos", Raw::Bytes(&whole)),
                ("task_infos", Raw::Bytes(&nameless)),
            ],
        );
        let operation = wire(
            "mesos.v1.Offer.Operation",
            &[("launch", Raw::Bytes(&launch))],
        );
        let accept = wire(
            "mesos.v1.scheduler.Call.Accept",
            &[("operations", Raw::Bytes(&operation))],
        );
        let call = wire(
            "mesos.v1.scheduler.Call",
            &[("accept", Raw::Bytes(&accept))],
        );
        let task = "accept.operations[0].launch.task_infos[1]";
        assert_eq!(
            missing(&call),
            [format!("{task}.agent_id.value"), format!("{task}.name")]
        );
    }

    #[test]
    fn an_unknown_number_of_an_enum_reads_as_unset() {
        let call = wire("mesos.v1.scheduler.Call", &[("type", Raw::Varint(9999))]);
        let call: v1::scheduler::Call = decode(&call).unwrap();
        assert_eq!(call.r#type, None);
        assert_eq!(call.r#type(), v1::scheduler::call::Type::Unknown);

        let status = wire("mesos.v1.TaskStatus", &[("state", Raw::Varint(99))]);
        let error = decode::<v1::TaskStatus>(&status).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Failed to parse body into TaskStatus protobuf: Missing required fields: task_id, state"
        );
    }

    #[test]
    fn a_message_in_parts_is_joined_before_it_is_checked() {
        let user = wire("mesos.v1.FrameworkInfo", &[("user", Raw::Bytes(b"root"))]);
        let name = wire("mesos.v1.FrameworkInfo", &[("name", Raw::Bytes(b"f"))]);
        let subscribe = wire(
            "mesos.v1.scheduler.Call.Subscribe",
            &[
                ("framework_info", Raw::Bytes(&user)),
                ("framework_info", Raw::Bytes(&name)),
            ],
        );
        let subscribe: v1::scheduler::call::Subscribe = decode(&subscribe).unwrap();
        assert_eq!(subscribe.framework_info.user, "root");
        assert_eq!(subscribe.framework_info.name, "f");
    }

    #[test]
    fn messages_nested_too_deep_are_refused() {
        let nested = |depth: usize| {
            let mut id = v1::ContainerId::default();
            for _ in 0..depth {
                let parent = Some(Box::new(id));
                id = v1::ContainerId {
                    value: "c".to_string(),
                    parent,
                };
            }
            id.encode_to_vec()
        };
        assert!(decode::<v1::ContainerId>(&nested(90)).is_ok());
        let error = DecodeError::Malformed("ContainerID");
        assert_eq!(decode::<v1::ContainerId>(&nested(110)), Err(error.clone()));
        assert_eq!(decode::<v1::ContainerId>(&nested(5000)), Err(error));
    }
}
