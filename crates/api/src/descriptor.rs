//! Descriptors: what the .proto files say about messages and enums, as static tables.
//!
//! The tables are generated and sorted by full name; a message or an enum is named by its place in
//! them. Fields stand in the order of the .proto file, since that is the order Mesos prints them in.

use crate::generated::tables::{ENUMS, MESSAGES};

/// How often a field may stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// At most once.
    Optional,
    /// Exactly once.
    Required,
    /// Any number of times; a map is a repeated entry message.
    Repeated,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the protobuf language")]
pub enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// The place of the enum in the tables.
    Enum(u16),
    /// The place of the message in the tables.
    Message(u16),
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// The number on the wire.
    pub number: u32,
    /// The name in JSON.
    pub name: &'static str,
    /// How often it may stand.
    pub label: Label,
    /// What it holds.
    pub kind: Kind,
    /// What JSON shows where the field is unset, written as JSON.
    pub unset_json: Option<&'static str>,
}

impl Field {
    pub(crate) const fn optional(number: u32, name: &'static str, kind: Kind) -> Self {
        Self::new(number, name, Label::Optional, kind)
    }

    pub(crate) const fn required(number: u32, name: &'static str, kind: Kind) -> Self {
        Self::new(number, name, Label::Required, kind)
    }

    pub(crate) const fn repeated(number: u32, name: &'static str, kind: Kind) -> Self {
        Self::new(number, name, Label::Repeated, kind)
    }

    const fn new(number: u32, name: &'static str, label: Label, kind: Kind) -> Self {
        Self {
            number,
            name,
            label,
            kind,
            unset_json: None,
        }
    }

    pub(crate) const fn or(mut self, json: &'static str) -> Self {
        self.unset_json = Some(json);
        self
    }
}

/// One message.
#[derive(Debug)]
pub struct Message {
    /// The full name, as in `mesos.v1.TaskInfo`.
    pub name: &'static str,
    /// Whether it is the entry of a map: a key numbered 1 and a value numbered 2.
    pub map_entry: bool,
    /// A bit for each required field, by its place in `fields`.
    pub required: u128,
    /// The fields in the order of the .proto file.
    pub fields: &'static [Field],
}

impl Message {
    /// The message with this full name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let place = MESSAGES.binary_search_by(|m| m.name.cmp(name)).ok()?;
        MESSAGES.get(place)
    }

    /// The name without its package and the messages around it, as in `Call`.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    pub(crate) fn at(place: u16) -> &'static Self {
        &MESSAGES[usize::from(place)]
    }

    /// The place in `fields` of the field with this number.
    pub(crate) fn field_by_number(&self, number: u32) -> Option<usize> {
        // Most files number their fields in order, from one.
        let guess = (number as usize).wrapping_sub(1);
        if self.fields.get(guess).is_some_and(|f| f.number == number) {
            return Some(guess);
        }
        self.fields.iter().position(|f| f.number == number)
    }

    pub(crate) fn field_by_name(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// One enum.
#[derive(Debug)]
pub struct Enum {
    /// The full name, as in `mesos.v1.TaskState`.
    pub name: &'static str,
    /// Numbers and names in the order of the .proto file.
    pub values: &'static [(i32, &'static str)],
}

impl Enum {
    pub(crate) fn at(place: u16) -> &'static Self {
        &ENUMS[usize::from(place)]
    }

    /// The name of the value with this number. The wire carries an enum as a varint of which
    /// protobuf keeps the low 32 bits.
    pub(crate) fn name_of(&self, wire: u64) -> Option<&'static str> {
        let number = wire as i32;
        let found = self.values.iter().find(|(n, _)| *n == number)?;
        Some(found.1)
    }

    pub(crate) fn number_of(&self, name: &str) -> Option<i32> {
        let found = self.values.iter().find(|(_, n)| *n == name)?;
        Some(found.0)
    }
}

/// A message that has a table; every message of [`crate::v1`] does.
pub trait Described: prost::Message + Default {
    /// The place of the message in the tables.
    const PLACE: usize;

    /// The table of this message.
    #[must_use]
    fn descriptor() -> &'static Message {
        &MESSAGES[Self::PLACE]
    }
}

/// Ties structs to their places in the tables.
macro_rules! described {
    ($($place:literal $($segment:ident)::+,)*) => {
        $(impl crate::Described for crate::generated::$($segment)::+ {
            const PLACE: usize = $place;
        })*
    };
}
pub(crate) use described;
