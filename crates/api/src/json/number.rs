//! JSON numbers, as the fields of a message hold them.

use crate::descriptor::Kind;
use crate::wire::Raw;

/// A JSON number.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Fraction(f64),
}

/// Why a number does not fit a field.
pub(super) enum Unfit {
    /// The field holds no numbers.
    Kind,
    Range,
}

impl Number {
    /// A number in a string; infinities are spelled out, and only where doubles may stand.
    pub(super) fn parse(text: &str, kind: Kind) -> Option<Self> {
        match (text, kind) {
            ("Infinity", Kind::Double | Kind::Float) => Some(Self::Fraction(f64::INFINITY)),
            ("-Infinity", Kind::Double | Kind::Float) => Some(Self::Fraction(f64::NEG_INFINITY)),
            ("NaN", Kind::Double | Kind::Float) => Some(Self::Fraction(f64::NAN)),
            _ => {
                let number: serde_json::Number = serde_json::from_str(text).ok()?;
                number
                    .as_i128()
                    .map(Self::Integer)
                    .or_else(|| number.as_f64().map(Self::Fraction))
            }
        }
    }

    pub(super) fn raw(self, kind: Kind) -> Result<Raw<'static>, Unfit> {
        let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
        Ok(match kind {
            Kind::Double => Raw::Fixed64(self.double().to_bits()),
            Kind::Float => Raw::Fixed32((self.double() as f32).to_bits()),
            Kind::Int32 => Raw::Varint(i64::from(self.integer::<i32>()?) as u64),
            Kind::Int64 => Raw::Varint(self.integer::<i64>()? as u64),
            Kind::Uint32 => Raw::Varint(u64::from(self.integer::<u32>()?)),
            Kind::Uint64 => Raw::Varint(self.integer()?),
            Kind::Sint32 => Raw::Varint(zigzag(i64::from(self.integer::<i32>()?))),
            Kind::Sint64 => Raw::Varint(zigzag(self.integer()?)),
            Kind::Fixed32 => Raw::Fixed32(self.integer()?),
            Kind::Fixed64 => Raw::Fixed64(self.integer()?),
            Kind::Sfixed32 => Raw::Fixed32(self.integer::<i32>()? as u32),
            Kind::Sfixed64 => Raw::Fixed64(self.integer::<i64>()? as u64),
            Kind::Bool | Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => {
                return Err(Unfit::Kind);
            }
        })
    }

    fn double(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Fraction(value) => value,
        }
    }

    /// The whole part, as C++ converts.
    fn integer<T: TryFrom<i128>>(self) -> Result<T, Unfit> {
        let whole = match self {
            Self::Integer(value) => value,
            Self::Fraction(value) if value.is_nan() => return Err(Unfit::Range),
            // Saturates far outside of any field's range.
            Self::Fraction(value) => value as i128,
        };
        T::try_from(whole).map_err(|_| Unfit::Range)
    }
}
