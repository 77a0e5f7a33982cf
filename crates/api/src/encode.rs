//! Encode: messages written field by field, where making a struct first would cost more than the
//! bytes.
//!
//! What is written so is what prost would write of the struct, but for the order of the fields, which
//! means nothing to a reader.

use model::Resources;
use model::resources::{Resource, Value};
use prost::Message;

use crate::convert;
use crate::v1::value::Type;
use crate::wire::put_varint;

/// Wire types, the low three bits of a key.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

/// A message in the making.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// An empty message, with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// The message.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number, or the number of an enum's value, which is not negative.
    pub fn number(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        put_varint(&mut self.0, value);
    }

    /// A double.
    pub fn double(&mut self, field: u32, value: f64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A text, bytes, or a message that is encoded already.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, BYTES);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A message that has one text, its field 1, as all ids have.
    pub fn id(&mut self, field: u32, id: &str) {
        self.message(field, |message| message.bytes(1, id.as_bytes()));
    }

    /// A message that is written by `write`.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, BYTES);
        // Most are short: their length is one byte, which waits for them.
        let start = self.0.len() + 1;
        self.0.push(0);
        write(self);
        let length = self.0.len() - start;
        match u8::try_from(length) {
            Ok(short @ 0..0x80) => self.0[start - 1] = short,
            _ => {
                let mut prefix = Vec::with_capacity(10);
                put_varint(&mut prefix, length as u64);
                self.0.splice(start - 1..start, prefix);
            }
        }
    }

    /// A message that is at hand as a struct.
    pub fn whole<M: Message>(&mut self, field: u32, message: &M) {
        self.key(field, BYTES);
        put_varint(&mut self.0, message.encoded_len() as u64);
        self.fields(message);
    }

    /// Fields of the message itself that are at hand as a struct.
    pub fn fields<M: Message>(&mut self, message: &M) {
        message.encode_raw(&mut self.0);
    }

    /// Fields of the message itself that are encoded already.
    pub fn encoded(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// Resources, each a value of a repeated field.
    pub fn resources(&mut self, field: u32, resources: &Resources, form: Form) {
        let is_plain = |resource: &Resource| {
            resource.reservations.is_empty()
                && resource.disk.is_none()
                && resource.provider_id.is_none()
                && !resource.revocable
                && !resource.shared
        };
        if resources.iter().all(is_plain) {
            for resource in resources {
                self.message(field, |message| message.plain(resource, form));
            }
            return;
        }
        let mut wire = match form.reservations {
            Reservations::Refined => convert::to_refined(resources),
            Reservations::Unrefined => convert::to_unrefined(resources),
        };
        for resource in &mut wire {
            if form.allocation == Allocation::Left {
                resource.allocation_info = None;
            }
            self.whole(field, resource);
        }
    }

    /// A resource with a name, a value and a role at the most.
    fn plain(&mut self, resource: &Resource, form: Form) {
        self.bytes(1, resource.name.as_bytes());
        match &resource.value {
            Value::Scalar(scalar) => {
                self.kind(Type::Scalar);
                self.message(3, |message| message.double(1, scalar.to_f64()));
            }
            Value::Ranges(ranges) => {
                self.kind(Type::Ranges);
                self.message(4, |message| {
                    for range in ranges.as_slice() {
                        message.message(1, |message| {
                            message.number(1, range.begin);
                            message.number(2, range.end);
                        });
                    }
                });
            }
            Value::Set(set) => {
                self.kind(Type::Set);
                self.message(5, |message| {
                    for item in set.iter() {
                        message.bytes(1, item.as_bytes());
                    }
                });
            }
        }
        if form.reservations == Reservations::Unrefined {
            self.bytes(6, convert::UNRESERVED.as_bytes());
        }
        let role = resource.allocation_role.as_ref();
        if let Some(role) = role.filter(|_| form.allocation == Allocation::Told) {
            self.id(11, role.as_str());
        }
    }

    fn kind(&mut self, kind: Type) {
        self.number(2, u64::try_from(i32::from(kind)).unwrap_or(0));
    }

    fn key(&mut self, field: u32, wire_type: u64) {
        put_varint(&mut self.0, u64::from(field) << 3 | wire_type);
    }
}

/// How resources are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How their reservations are.
    pub reservations: Reservations,
    /// Whether they tell the role that they are allocated to.
    pub allocation: Allocation,
}

/// One of the two formats of reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservations {
    /// The stack; see [`convert::to_refined`].
    Refined,
    /// A role and at most one reservation; see [`convert::to_unrefined`].
    Unrefined,
}

/// Whether resources tell the role that they are allocated to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// They do.
    Told,
    /// They do not.
    Left,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use model::resources::Role;

    const FORMS: [Form; 4] = [
        form(Reservations::Refined, Allocation::Told),
        form(Reservations::Refined, Allocation::Left),
        form(Reservations::Unrefined, Allocation::Told),
        form(Reservations::Unrefined, Allocation::Left),
    ];

    const fn form(reservations: Reservations, allocation: Allocation) -> Form {
        Form {
            reservations,
            allocation,
        }
    }

    #[test]
    fn resources_are_what_the_structs_would_be() {
        for text in [
            "cpus:4;mem:4096;disk:1048576;ports:[31000-32000,33000-33001]",
            "cpus:0.001;names:{a,b}",
            "cpus:1;cpus(eng):2;mem(eng):1024",
            "",
        ] {
            let resources = model::resources::parse(text).unwrap();
            for resources in [resources.allocate(&Role::star()), resources] {
                for form in FORMS {
                    let mut encoder = Encoder::default();
                    encoder.resources(5, &resources, form);
                    let offer = LooseOffer::decode(encoder.into_bytes().as_slice()).unwrap();
                    let mut expected = match form.reservations {
                        Reservations::Refined => convert::to_refined(&resources),
                        Reservations::Unrefined => convert::to_unrefined(&resources),
                    };
                    if form.allocation == Allocation::Left {
                        expected.iter_mut().for_each(|r| r.allocation_info = None);
                    }
                    assert_eq!(offer.resources, expected, "{text} {form:?}");
                }
            }
        }
    }

    /// As an Offer has them.
    #[derive(Clone, PartialEq, Message)]
    struct LooseOffer {
        #[prost(message, repeated, tag = "5")]
        resources: Vec<v1::Resource>,
    }

    #[test]
    fn a_message_of_any_length_has_its_length_before_it() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 100_000] {
            let text = "x".repeat(length);
            let mut encoder = Encoder::default();
            encoder.id(1, &text);
            encoder.number(2, u64::MAX);
            let mut expected = Encoder::default();
            expected.whole(1, &v1::TaskId { value: text });
            expected.number(2, u64::MAX);
            assert_eq!(encoder.into_bytes(), expected.into_bytes(), "{length}");
        }
    }
}
