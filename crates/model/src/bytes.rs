//! Sizes in Mesos' notation: a whole number and a unit without a blank, as in `10MB`; 1 KB is 1024 B.

use alloc::format;
use alloc::string::{String, ToString};

/// The units, the largest first, each with the bits that a size in it is shifted by.
const UNITS: [(&str, u32); 5] = [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10), ("B", 0)];

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: a whole number and one of B, KB, MB, GB, TB, as in 10MB")]
pub struct BytesError(pub String);

/// Reads a size in Mesos' notation, as a number of bytes.
///
/// # Errors
/// The text has no whole number, no known unit, or a size past 16 EB.
pub fn parse(text: &str) -> Result<u64, BytesError> {
    let error = || BytesError(text.to_string());
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, shift) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(error)?;
    let number: u64 = number.parse().map_err(|_| error())?;
    number.checked_mul(1 << shift).ok_or_else(error)
}

/// Writes a size in the largest unit that gives a whole number.
#[must_use]
pub fn format(bytes: u64) -> String {
    let (name, shift) = UNITS
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift))
        .unwrap_or(("B", 0));
    format!("{}{name}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_mesos_notation_are_read_and_written() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("10MB", 10 << 20),
            ("3TB", 3 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(format(bytes), text);
        }
        assert_eq!(format(1536), "1536B");
        assert_eq!(format(1 << 40), "1TB");
        for text in [
            "",
            "10",
            "MB",
            "-1MB",
            "10 MB",
            "10mb",
            "1.5GB",
            "99999999999TB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
