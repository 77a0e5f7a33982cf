//! Numbers as the messages of Mesos hold them: as C++ streams print a double.

use alloc::format;
use alloc::string::{String, ToString};

/// Significant digits where nothing else is asked for.
const DIGITS_DEFAULT: usize = 6;
/// Significant digits that every double keeps.
const DIGITS_EXACT: usize = 15;

/// A double.
pub(crate) fn double(value: f64) -> String {
    general(value, DIGITS_DEFAULT)
}

/// A `Value.Scalar`, whose thousandths Mesos keeps in 64 bits: what has no place there comes out as
/// the least number that has.
pub(crate) fn scalar(value: f64) -> String {
    let scaled = value * 1000.0;
    let half = if scaled < 0.0 { -0.5 } else { 0.5 };
    // The bounds of an i64 as doubles; the conversion truncates, which the half makes rounding.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked here")]
    let thousandths =
        if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&scaled) {
            (scaled + half) as i64
        } else {
            i64::MIN
        };
    #[expect(
        clippy::cast_precision_loss,
        reason = "Mesos prints what is left of the number"
    )]
    let kept = (thousandths / 1000) as f64 + (thousandths % 1000) as f64 / 1000.0;
    general(kept, DIGITS_EXACT)
}

/// `%g` with so many significant digits.
fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan".into()
        } else if value > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let places = i32::try_from(digits).unwrap_or(i32::MAX).saturating_sub(1);
    if (-4..=places).contains(&exponent) {
        let decimals = usize::try_from(places.saturating_sub(exponent)).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
}

/// Without zeros at the end of the fraction.
fn trimmed(number: &str) -> String {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_by_streams() {
        for (value, text) in [
            (-1.0, "-1"),
            (0.5, "0.5"),
            (0.0, "0"),
            (-1_234_567.0, "-1.23457e+06"),
            (123_456.0, "123456"),
            (0.000_01, "1e-05"),
            (0.000_123_456_78, "0.000123457"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn scalars_keep_thousandths_and_overflow_as_in_mesos() {
        for (value, text) in [
            (2.0, "2"),
            (0.1, "0.1"),
            (1.000_4, "1"),
            (-1.000_5, "-1.001"),
            (1e12, "1000000000000"),
            (1e18, "-9.22337203685478e+15"),
            (f64::INFINITY, "-9.22337203685478e+15"),
            (f64::NAN, "-9.22337203685478e+15"),
        ] {
            assert_eq!(scalar(value), text);
        }
    }
}
