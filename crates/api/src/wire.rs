//! The wire format of protobuf, read and written without a struct.
//!
//! The reader never panics and never reads past its slice; groups, which no message here has, are
//! skipped as unknown fields.

use crate::descriptor::{Enum, Field, Kind, Label, Message};

/// How deep messages may nest; protobuf's own bound in C++ and in prost.
pub(crate) const DEPTH_MAX: usize = 100;

/// The bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One value as the wire holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Raw<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Raw::Bytes(bytes) => bytes,
            Raw::Varint(_) | Raw::Fixed64(_) | Raw::Fixed32(_) => &[],
        }
    }

    pub(crate) fn bits(self) -> u64 {
        match self {
            Raw::Varint(bits) | Raw::Fixed64(bits) => bits,
            Raw::Fixed32(bits) => u64::from(bits),
            Raw::Bytes(_) => 0,
        }
    }
}

/// Reads the fields of one message.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field's number and value; `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Raw<'a>)>, Malformed> {
        loop {
            if self.0.is_empty() {
                return Ok(None);
            }
            let (number, wire_type) = self.key()?;
            match wire_type {
                3 => self.skip_group(number)?,
                _ => return Ok(Some((number, self.value(wire_type)?))),
            }
        }
    }

    /// The next value of a packed field, which holds values without keys.
    pub(crate) fn packed(&mut self, kind: Kind) -> Result<Option<Raw<'a>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.value(wire_type(kind)).map(Some)
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        Ok((number, (key & 7) as u8))
    }

    fn value(&mut self, wire_type: u8) -> Result<Raw<'a>, Malformed> {
        match wire_type {
            0 => Ok(Raw::Varint(self.varint()?)),
            1 => Ok(Raw::Fixed64(u64::from_le_bytes(self.array()?))),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Ok(Raw::Bytes(self.take(length)?))
            }
            5 => Ok(Raw::Fixed32(u32::from_le_bytes(self.array()?))),
            _ => Err(Malformed),
        }
    }

    /// Skips to the end of a group whose start was read.
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, wire_type) = self.key()?;
            match wire_type {
                3 if open.len() >= DEPTH_MAX => return Err(Malformed),
                3 => open.push(number),
                4 if number == innermost => {
                    open.pop();
                }
                _ => {
                    self.value(wire_type)?;
                }
            }
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }
}

/// A value of a known field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// The field's place in its message.
    pub(crate) place: usize,
    pub(crate) raw: Raw<'a>,
}

/// Hands every value of a known field to `each`, packed ones one by one; unknown fields are passed
/// over.
pub(crate) fn entries<'a>(
    message: &Message,
    bytes: &'a [u8],
    mut each: impl FnMut(Entry<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    while let Some((number, raw)) = reader.field()? {
        let Some(place) = message.field_by_number(number) else {
            continue;
        };
        let field = &message.fields[place];
        match (raw, wire_type(field.kind)) {
            (Raw::Varint(_), 0)
            | (Raw::Fixed64(_), 1)
            | (Raw::Bytes(_), 2)
            | (Raw::Fixed32(_), 5) => {
                each(Entry { place, raw })?;
            }
            (Raw::Bytes(packed), _) if field.label == Label::Repeated => {
                let mut packed = Reader::new(packed);
                while let Some(raw) = packed.packed(field.kind)? {
                    each(Entry { place, raw })?;
                }
            }
            _ => return Err(Malformed),
        }
    }
    Ok(())
}

/// Whether the value is a number that its enum does not have.
pub(crate) fn is_unknown_enum(field: &Field, raw: Raw<'_>) -> bool {
    match field.kind {
        Kind::Enum(place) => Enum::at(place).name_of(raw.bits()).is_none(),
        _ => false,
    }
}

const fn wire_type(kind: Kind) -> u8 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
        Kind::String | Kind::Bytes | Kind::Message(_) => 2,
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => 0,
    }
}

/// Appends a field's key.
pub(crate) fn put_key(out: &mut Vec<u8>, field: &Field) {
    put_varint(
        out,
        u64::from(field.number) << 3 | u64::from(wire_type(field.kind)),
    );
}

/// Appends a value without its key.
pub(crate) fn put_raw(out: &mut Vec<u8>, raw: Raw<'_>) {
    match raw {
        Raw::Varint(value) => put_varint(out, value),
        Raw::Fixed64(bits) => out.extend_from_slice(&bits.to_le_bytes()),
        Raw::Fixed32(bits) => out.extend_from_slice(&bits.to_le_bytes()),
        Raw::Bytes(bytes) => {
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Puts the length before everything that was appended since `start`.
pub(crate) fn put_length_before(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    let mut prefix = Vec::with_capacity(10);
    put_varint(&mut prefix, length as u64);
    out.splice(start..start, prefix);
}
