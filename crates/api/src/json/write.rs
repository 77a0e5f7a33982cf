//! From wire bytes to JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::descriptor::{Enum, Field, Kind, Label, Message};
use crate::wire::{self, DEPTH_MAX, Entry, Malformed, Raw};

/// Appends the JSON of a message whose encoding is regular (`decode::checked`).
pub(super) fn message(
    message: &'static Message,
    bytes: &[u8],
    out: &mut String,
) -> Result<(), Malformed> {
    let entries = &mut Vec::new();
    Writer { out, entries }.message(message, bytes, 0)
}

struct Writer<'a, 'o> {
    out: &'o mut String,
    /// A stack: the entries of the message in hand above those of the messages around it.
    entries: &'o mut Vec<Entry<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn message(
        &mut self,
        message: &'static Message,
        bytes: &'a [u8],
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed);
        }
        let bottom = self.entries.len();
        wire::entries(message, bytes, |entry| {
            if !wire::is_unknown_enum(&message.fields[entry.place], entry.raw) {
                self.entries.push(entry);
            }
            Ok(())
        })?;
        let mine = &mut self.entries[bottom..];
        if !mine.is_sorted_by_key(|entry| entry.place) {
            mine.sort_by_key(|entry| entry.place);
        }
        self.out.push('{');
        let mut first = true;
        let mut next = bottom;
        for (place, field) in message.fields.iter().enumerate() {
            let from = next;
            while self.entries.get(next).is_some_and(|e| e.place == place) {
                next += 1;
            }
            if from == next && field.unset_json.is_none() {
                continue;
            }
            if !first {
                self.out.push(',');
            }
            first = false;
            self.out.push('"');
            self.out.push_str(field.name);
            self.out.push_str("\":");
            match (from == next, field.label) {
                (true, _) => self.out.push_str(field.unset_json.unwrap_or("null")),
                (false, Label::Repeated) => self.list(field, from..next, depth)?,
                (false, Label::Optional | Label::Required) => {
                    self.value(field, self.entries[next - 1].raw, depth)?;
                }
            }
        }
        self.out.push('}');
        self.entries.truncate(bottom);
        Ok(())
    }

    fn list(
        &mut self,
        field: &Field,
        range: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<(), Malformed> {
        if let Kind::Message(place) = field.kind
            && Message::at(place).map_entry
        {
            return self.map(Message::at(place), range, depth);
        }
        self.out.push('[');
        for index in range.clone() {
            if index > range.start {
                self.out.push(',');
            }
            self.value(field, self.entries[index].raw, depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn map(
        &mut self,
        entry: &'static Message,
        range: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<(), Malformed> {
        let [key_field, value_field] = entry.fields else {
            return Err(Malformed);
        };
        let unset = |field: &Field| match field.kind {
            Kind::String | Kind::Bytes | Kind::Message(_) => Raw::Bytes(&[]),
            _ => Raw::Varint(0),
        };
        let mut sorted = BTreeMap::new();
        for index in range {
            let (mut key, mut value) = (unset(key_field), unset(value_field));
            wire::entries(
                entry,
                self.entries[index].raw.bytes(),
                |Entry { place, raw }| {
                    *(if place == 0 { &mut key } else { &mut value }) = raw;
                    Ok(())
                },
            )?;
            let key = match key {
                Raw::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
                _ => scalar(key_field.kind, key.bits()),
            };
            sorted.insert(key, value);
        }
        self.out.push('{');
        for (index, (key, value)) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            string(&key, self.out);
            self.out.push(':');
            self.value(value_field, value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn value(&mut self, field: &Field, raw: Raw<'a>, depth: usize) -> Result<(), Malformed> {
        match field.kind {
            Kind::Message(place) => self.message(Message::at(place), raw.bytes(), depth + 1)?,
            Kind::String => string(&String::from_utf8_lossy(raw.bytes()), self.out),
            Kind::Bytes => {
                self.out.push('"');
                STANDARD.encode_string(raw.bytes(), self.out);
                self.out.push('"');
            }
            Kind::Enum(place) => {
                let name = Enum::at(place).name_of(raw.bits()).ok_or(Malformed)?;
                string(name, self.out);
            }
            Kind::Double => double(f64::from_bits(raw.bits()), self.out),
            Kind::Float => double(f64::from(f32::from_bits(raw.bits() as u32)), self.out),
            kind => self.out.push_str(&scalar(kind, raw.bits())),
        }
        Ok(())
    }
}

/// An integer or a boolean as text. Like protobuf, takes of a varint as many low bits as the kind has.
fn scalar(kind: Kind, bits: u64) -> String {
    let unzigzag = |bits: u64| (bits >> 1) as i64 ^ -((bits & 1) as i64);
    match kind {
        Kind::Bool => (bits != 0).to_string(),
        Kind::Int32 | Kind::Sfixed32 => (bits as i32).to_string(),
        Kind::Int64 | Kind::Sfixed64 => (bits as i64).to_string(),
        Kind::Uint32 | Kind::Fixed32 => (bits as u32).to_string(),
        Kind::Sint32 => (unzigzag(u64::from(bits as u32)) as i32).to_string(),
        Kind::Sint64 => unzigzag(bits).to_string(),
        Kind::Uint64
        | Kind::Fixed64
        | Kind::Double
        | Kind::Float
        | Kind::String
        | Kind::Bytes
        | Kind::Enum(_)
        | Kind::Message(_) => bits.to_string(),
    }
}

/// Appends a text in quotes, escaped as Mesos does.
fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain_from..at]);
        plain_from = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04X}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// Appends a double as Mesos prints it: the shortest digits that read back the same, always with a
/// point or an exponent, as in `4.0`, `0.1`, `1e30`. What JSON has no number for is a string, which
/// the reading side takes.
pub fn double(value: f64, out: &mut String) {
    if !value.is_finite() {
        out.push_str(match value {
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => "\"NaN\"",
        });
        return;
    }
    // Outside of these RapidJSON, which Mesos writes with, turns to exponents.
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        let start = out.len();
        let _ = write!(out, "{value}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    } else {
        let _ = write!(out, "{value:e}");
    }
}
