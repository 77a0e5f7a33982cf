//! Patterns of offer constraints: regular expressions of bounded size, matched against whole texts.
//!
//! Frameworks write them for RE2 and Mesos bounds them by the size of RE2's programs. That size is
//! reckoned here from the pattern before anything is compiled, so that no framework can make the
//! master hold more than the bound.

use alloc::format;
use alloc::string::{String, ToString};

use regex::Regex;
use regex_syntax::ast::ErrorKind;
use regex_syntax::hir::{Class, Hir, HirKind};

/// How large patterns may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternLimits {
    /// `--offer_constraints_re2_max_mem`, bytes.
    pub bytes_max: u64,
    /// `--offer_constraints_re2_max_program_size`, instructions.
    pub instructions_max: u64,
}

impl Default for PatternLimits {
    fn default() -> Self {
        Self {
            bytes_max: 4096,
            instructions_max: 100,
        }
    }
}

impl PatternLimits {
    /// The instructions that fit into the memory: RE2 takes two thirds of it for a program, of that a
    /// quarter for instructions of eight bytes.
    const fn instructions_in_memory(self) -> u64 {
        (self.bytes_max / 3 * 2).saturating_sub(RE2_PROGRAM_BYTES) / 4 / 8
    }
}

/// About how many bytes RE2 uses for a program beside its instructions.
const RE2_PROGRAM_BYTES: u64 = 432;

/// How deep groups may stand in each other; more needs more instructions than there may be.
const NESTING_MAX: u32 = 64;

/// A pattern that matches whole texts; the error is for the framework.
pub(super) fn compile(pattern: &str, limits: PatternLimits) -> Result<Regex, String> {
    let fault =
        |fault: &str| format!("Failed to construct regex from pattern '{pattern}': {fault}");
    let mut parser = regex_syntax::ParserBuilder::new();
    let parsed = parser.nest_limit(NESTING_MAX).build().parse(pattern);
    let hir = parsed.map_err(|error| fault(&words(&error)))?;
    let size = size(&hir).saturating_add(OVERHEAD);
    if size > limits.instructions_in_memory() {
        return Err(fault("pattern too large - compile failed"));
    }
    if size > limits.instructions_max {
        return Err(format!(
            "Regex '{pattern}' is too complex: program size of {size} is larger than maximum of {} \
             allowed",
            limits.instructions_max
        ));
    }
    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| fault(&error.to_string()))
}

/// The instructions of a program beside those of its pattern: fail, and match.
const OVERHEAD: u64 = 2;

/// About how many instructions RE2 would need.
fn size(hir: &Hir) -> u64 {
    let sum = |parts: &[Hir]| parts.iter().map(size).fold(0, u64::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => u64::try_from(literal.0.len()).unwrap_or(u64::MAX),
        HirKind::Class(Class::Unicode(class)) => {
            // A range within one length of UTF-8 is at most so many sequences of ranges of bytes.
            let width = |c: char| u64::try_from(c.len_utf8()).unwrap_or(4);
            let ranges = class.iter();
            ranges.fold(0, |all, range| all + width(range.end()))
        }
        HirKind::Class(Class::Bytes(class)) => {
            u64::try_from(class.ranges().len()).unwrap_or(u64::MAX)
        }
        HirKind::Repetition(repetition) => {
            let once = size(&repetition.sub);
            let optional = once.saturating_add(1);
            let least = u64::from(repetition.min);
            match repetition.max {
                None => once
                    .saturating_mul(least.saturating_sub(1))
                    .saturating_add(optional),
                Some(most) => once
                    .saturating_mul(least)
                    .saturating_add(optional.saturating_mul(u64::from(most).saturating_sub(least))),
            }
        }
        HirKind::Capture(capture) => size(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) => sum(parts),
        HirKind::Alternation(parts) => {
            let choices = u64::try_from(parts.len()).unwrap_or(u64::MAX);
            sum(parts).saturating_add(choices.saturating_sub(1))
        }
    }
}

/// What is wrong with a pattern, in RE2's words where it has some.
fn words(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => {
            let pattern = error.pattern();
            let span = error.span();
            let at = pattern.get(span.start.offset..span.end.offset);
            let at = at.unwrap_or_default();
            match error.kind() {
                ErrorKind::GroupUnclosed => format!("missing ): {pattern}"),
                ErrorKind::GroupUnopened => format!("unexpected ): {pattern}"),
                ErrorKind::ClassUnclosed => {
                    let class = pattern.get(span.start.offset..).unwrap_or_default();
                    format!("missing ]: {class}")
                }
                ErrorKind::RepetitionMissing => {
                    format!("no argument for repetition operator: {at}")
                }
                ErrorKind::EscapeUnrecognized => format!("invalid escape sequence: {at}"),
                ErrorKind::EscapeUnexpectedEof => "trailing \\ at end of regexp".into(),
                ErrorKind::ClassRangeInvalid => format!("invalid character class range: {at}"),
                other => other.to_string(),
            }
        }
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_bounded_before_it_is_compiled() {
        for (pattern, is_taken) in [
            ("[a-z]+-[0-9]{1,3}", true),
            ("(rack|row)[0-9]*", true),
            ("a{1000}", false),
            ("((a{100}){100}){100}", false),
            (&"(".repeat(1000), false),
            ("", true),
        ] {
            let compiled = compile(pattern, PatternLimits::default());
            assert_eq!(compiled.is_ok(), is_taken, "{pattern}: {compiled:?}");
        }
        let limits = PatternLimits {
            bytes_max: 65_536,
            instructions_max: 100,
        };
        assert_eq!(
            compile("a{200}", limits).err().as_deref(),
            Some(
                "Regex 'a{200}' is too complex: program size of 202 is larger than maximum of 100 \
                 allowed"
            )
        );
    }

    #[test]
    fn a_pattern_matches_whole_texts() {
        for (pattern, text, matches) in [
            ("a|ab", "ab", true),
            ("a|b", "ab", false),
            ("(?i)RACK", "rack", true),
            (".", "ä", true),
            ("a$", "a\n", false),
        ] {
            let compiled = compile(pattern, PatternLimits::default());
            let found = compiled.map(|regex| regex.is_match(text));
            assert_eq!(found, Ok(matches), "{pattern} {text:?}");
        }
    }
}
