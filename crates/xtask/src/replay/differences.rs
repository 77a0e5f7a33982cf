//! Differences: recorded answers that this master gives otherwise on purpose.
//!
//! They stand in a Markdown file, one list item each: the case's name in backquotes, with `*` for any
//! text, then what differs and why nobody can trip over it.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// The names of the cases that are listed.
#[derive(Debug, Default)]
pub(super) struct Differences {
    patterns: Vec<String>,
}

impl Differences {
    /// Reads the file.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("parse {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut patterns = Vec::new();
        for item in text.lines().filter(|line| line.starts_with("- ")) {
            let mut parts = item.splitn(3, '`');
            let (Some(_), Some(name), Some(reason)) = (parts.next(), parts.next(), parts.next())
            else {
                bail!("no case is named in {item:?}");
            };
            if reason.trim_start_matches([':', ' ']).is_empty() {
                bail!("no reason is given in {item:?}");
            }
            patterns.push(name.to_owned());
        }
        Ok(Self { patterns })
    }

    /// Whether a case is listed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a name has the parts of a pattern between its stars, in their order.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(place) => left = &left[place + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_cases_have_a_name_and_a_reason() {
        let text = "# Title\n\nWords.\n- `a/b*`: since it is better\n- `c`: so\n";
        let listed = Differences::parse(text).unwrap();
        for (name, expected) in [
            ("a/b", true),
            ("a/bc", true),
            ("a", false),
            ("c", true),
            ("cc", false),
        ] {
            assert_eq!(listed.has(name), expected, "{name}");
        }
        assert!(Differences::parse("- no name\n").is_err());
        assert!(Differences::parse("- `x`\n").is_err());
    }

    #[test]
    fn stars_stand_for_any_text() {
        assert!(matches("*/unknown-*", "g/unknown-type"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*b*c", "a-c"));
    }
}
