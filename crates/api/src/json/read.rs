//! From JSON to wire bytes.

use std::fmt;

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::JsonError;
use super::number::{Number, Unfit};
use super::quoted;
use crate::decode::Path;
use crate::descriptor::{Enum, Field, Kind, Label, Message};
use crate::wire::{self, Raw};

/// Transcodes a JSON object to the bytes of a message, required fields unchecked.
pub(super) fn message(message: &'static Message, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let text = text(json)?;
    let mut problem = None;
    let mut out = Vec::new();
    let mut parser = serde_json::Deserializer::from_str(text);
    let top = Value {
        target: Target::Top(message),
        out: &mut out,
        problem: &mut problem,
    };
    let done = top.deserialize(&mut parser);
    if let Some((path, problem)) = problem {
        return Err(JsonError::Value {
            message: message.short_name(),
            problem,
            path,
        });
    }
    done.map_err(|error| syntax(text, &error))?;
    parser.end().map_err(|error| trailing(text, &error))?;
    Ok(out)
}

/// JSON is UTF-8.
pub(super) fn text(json: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(json).map_err(|error| {
        let (good, bad) = json.split_at(error.valid_up_to());
        JsonError::Syntax {
            line: 1 + good.iter().filter(|&&byte| byte == b'\n').count(),
            near: rest_of_line(&String::from_utf8_lossy(bad)),
        }
    })
}

/// What is wrong with a text that was read as one JSON value.
pub(super) fn fault(text: &str, error: &serde_json::Error) -> JsonError {
    let mut parser = serde_json::Deserializer::from_str(text);
    match IgnoredAny::deserialize(&mut parser) {
        Ok(IgnoredAny) => trailing(text, error),
        Err(_) => syntax(text, error),
    }
}

fn trailing(text: &str, error: &serde_json::Error) -> JsonError {
    let before = text[..offset(text, error)].trim_end_matches([' ', '\t', '\n', '\r']);
    JsonError::Trailing(text[before.len()..].to_string())
}

fn syntax(text: &str, error: &serde_json::Error) -> JsonError {
    let rest = if error.is_eof() {
        ""
    } else {
        &text[offset(text, error)..]
    };
    JsonError::Syntax {
        line: error.line(),
        near: rest_of_line(rest),
    }
}

fn rest_of_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_string()
}

/// Where in the text the parser stopped: its column counts bytes, from one.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let mut offset = (line_start + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// What a JSON value is read into.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// The outermost message.
    Top(&'static Message),
    /// A field, with the path to it.
    Field(&'static Field, Path<'a>),
}

/// Reads one JSON value and appends it, with its key, to `out`.
struct Value<'a> {
    target: Target<'a>,
    out: &'a mut Vec<u8>,
    /// What is wrong, and where; set once, and reading ends.
    problem: &'a mut Option<(String, String)>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Value<'_> {
    /// Ends the reading. Outermost, anything that is no object has one error.
    fn fail<E: serde::de::Error>(self, problem: impl FnOnce(&Field) -> String) -> Result<(), E> {
        *self.problem = Some(match self.target {
            Target::Top(_) => (String::new(), "Expecting a JSON object".to_string()),
            Target::Field(field, path) => (path.to_string(), problem(field)),
        });
        Err(E::custom("value does not fit"))
    }

    fn unexpected<E: serde::de::Error>(self, what: &str) -> Result<(), E> {
        self.fail(|field| format!("Not expecting a JSON {what} for field '{}'", field.name))
    }

    fn put<E: serde::de::Error>(self, raw: Raw<'_>) -> Result<(), E> {
        if let Target::Field(field, _) = self.target {
            wire::put_key(self.out, field);
            wire::put_raw(self.out, raw);
        }
        Ok(())
    }

    fn number<E: serde::de::Error>(self, number: Number) -> Result<(), E> {
        let Target::Field(field, _) = self.target else {
            return self.unexpected("number");
        };
        match number.raw(field.kind) {
            Ok(raw) => self.put(raw),
            Err(Unfit::Kind) => self.unexpected("number"),
            Err(Unfit::Range) => {
                self.fail(|field| format!("JSON number out of range for field '{}'", field.name))
            }
        }
    }

    /// The members of an object, as fields of `message`.
    fn members<'de, A: MapAccess<'de>>(
        out: &mut Vec<u8>,
        problem: &mut Option<(String, String)>,
        message: &'static Message,
        path: Option<&Path<'_>>,
        mut members: A,
    ) -> Result<(), A::Error> {
        while let Some(found) = members.next_key_seed(FieldName(message))? {
            let Some(field) = found else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let path = Path {
                parent: path,
                field: field.name,
                index: None,
            };
            members.next_value_seed(Value {
                target: Target::Field(field, path),
                out,
                problem,
            })?;
        }
        Ok(())
    }

    /// The members of an object, as entries of a map.
    fn entries<'de, A: MapAccess<'de>>(
        self,
        field: &'static Field,
        path: Path<'_>,
        entry: &'static Message,
        mut members: A,
    ) -> Result<(), A::Error> {
        let [key_field, value_field] = entry.fields else {
            return Err(A::Error::custom("map entry without key and value"));
        };
        while let Some(key) = members.next_key::<String>()? {
            wire::put_key(self.out, field);
            let start = self.out.len();
            let path = Path {
                parent: Some(&path),
                field: &key,
                index: None,
            };
            Value {
                target: Target::Field(key_field, path),
                out: self.out,
                problem: self.problem,
            }
            .visit_str(&key)?;
            members.next_value_seed(Value {
                target: Target::Field(value_field, path),
                out: self.out,
                problem: self.problem,
            })?;
            wire::put_length_before(self.out, start);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.target {
            Target::Top(_) => self.unexpected("null"),
            Target::Field(..) => Ok(()),
        }
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        match self.target {
            Target::Field(field, _) if field.kind == Kind::Bool => {
                self.put(Raw::Varint(u64::from(value)))
            }
            _ => self.unexpected("boolean"),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.number(Number::Integer(i128::from(value)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.number(Number::Integer(i128::from(value)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::Fraction(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let Target::Field(field, _) = self.target else {
            return self.unexpected("string");
        };
        match field.kind {
            Kind::String => self.put(Raw::Bytes(text.as_bytes())),
            Kind::Bytes => match quoted::bytes(text) {
                Ok(bytes) => self.put(Raw::Bytes(&bytes)),
                Err(character) => self.fail(|field| {
                    format!(
                        "Failed to base64 decode bytes field '{}': Invalid character '{character}'",
                        field.name
                    )
                }),
            },
            Kind::Enum(place) => match Enum::at(place).number_of(text) {
                Some(number) => self.put(Raw::Varint(i64::from(number) as u64)),
                None if field.label == Label::Required => {
                    self.fail(|_| format!("Failed to find enum for '{text}'"))
                }
                None => Ok(()),
            },
            Kind::Bool => match text {
                "true" => self.put(Raw::Varint(1)),
                "false" => self.put(Raw::Varint(0)),
                _ => self.fail(|field| {
                    format!(
                        "Failed to parse '{text}' as a JSON boolean for field '{}': {}",
                        field.name,
                        quoted::misfit(text)
                    )
                }),
            },
            Kind::Message(_) => self.unexpected("string"),
            kind => match Number::parse(text, kind) {
                Some(number) => self.number(number),
                None => self.fail(|field| {
                    format!(
                        "Failed to parse '{text}' as a JSON number for field '{}': {}",
                        field.name,
                        quoted::misfit(text)
                    )
                }),
            },
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Target::Field(field, mut path) = self.target else {
            return self.unexpected("array");
        };
        if field.label != Label::Repeated {
            return self.unexpected("array");
        }
        for index in 0.. {
            path.index = Some(index);
            let element = Value {
                target: Target::Field(field, path),
                out: self.out,
                problem: self.problem,
            };
            if elements.next_element_seed(element)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        let (field, path, place) = match self.target {
            Target::Top(message) => {
                return Self::members(self.out, self.problem, message, None, members);
            }
            Target::Field(field, path) => match field.kind {
                Kind::Message(place) => (field, path, place),
                _ => return self.unexpected("object"),
            },
        };
        let message = Message::at(place);
        if message.map_entry {
            return self.entries(field, path, message, members);
        }
        wire::put_key(self.out, field);
        let start = self.out.len();
        Self::members(self.out, self.problem, message, Some(&path), members)?;
        wire::put_length_before(self.out, start);
        Ok(())
    }
}

/// Reads a member's name as a field of the message; `None` for a name it does not have.
struct FieldName(&'static Message);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field_by_name(name))
    }
}
