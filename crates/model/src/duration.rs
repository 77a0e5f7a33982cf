//! Durations in Mesos' notation: a number and a unit without a blank, as in `15secs` or `2.5mins`.
//!
//! Flags, environment variables of executors and flag listings are written so (reference,
//! section 0).

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

/// The units, the largest first, each with its nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("weeks", 7 * 24 * 3600 * 1_000_000_000),
    ("days", 24 * 3600 * 1_000_000_000),
    ("hrs", 3600 * 1_000_000_000),
    ("mins", 60 * 1_000_000_000),
    ("secs", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a duration: a number and one of ns, us, ms, secs, mins, hrs, days, weeks, as in 15secs"
)]
pub struct DurationError(pub String);

/// Reads a duration in Mesos' notation.
///
/// # Errors
/// The text has no number, a negative one, no known unit, or a value past five centuries.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_string());
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let nanos = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(error)?
        .1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(nanos)
            .map(Duration::from_nanos)
            .ok_or_else(error);
    }
    let value: f64 = number.parse().map_err(|_| error())?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a fraction of a unit needs no more than 52 bits"
    )]
    let scaled = value * nanos as f64;
    if !(0.0..1.8e19).contains(&scaled) {
        return Err(error());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked on the line above"
    )]
    Ok(Duration::from_nanos(scaled as u64))
}

/// Writes a duration in the largest unit that gives a whole number.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (name, unit) = UNITS
        .into_iter()
        .find(|(_, unit)| nanos >= *unit && nanos.is_multiple_of(*unit))
        .unwrap_or(("ns", 1));
    format!("{}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mesos_notation_is_read_and_written() {
        for (text, millis) in [
            ("15secs", 15_000),
            ("10mins", 600_000),
            ("1weeks", 604_800_000),
            ("1.5secs", 1500),
            ("75ms", 75),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "15",
            "secs",
            "-1secs",
            "15 secs",
            "15sec",
            "NaNsecs",
            "99999999999weeks",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["15secs", "10mins", "1weeks", "75ms", "0ns", "1500ms"] {
            assert_eq!(format(parse(text).unwrap_or_default()), text);
        }
    }
}
