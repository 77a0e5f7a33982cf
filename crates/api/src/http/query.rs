//! Pairs of names and values, as a URL's query and a form's body carry them.

use std::time::Duration;

/// A query or a form as it came.
pub struct Query<'a>(pub &'a str);

impl Query<'_> {
    /// The value of this name, decoded; the last one where there are more.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.rsplit(['&', ';']).find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(found) == name).then(|| percent_decode(value))
        })
    }

    /// Whether every `%` begins an escape.
    ///
    /// # Errors
    /// The first that does not, in Mesos' words.
    pub fn check(&self) -> Result<(), String> {
        let texts = self
            .0
            .split(['&', ';'])
            .flat_map(|pair| pair.splitn(2, '='));
        for text in texts {
            for (place, _) in text.match_indices('%') {
                let mut digits = text.bytes().skip(place + 1);
                let mut is_digit = || digits.next().is_some_and(|b| b.is_ascii_hexdigit());
                if !(is_digit() && is_digit()) {
                    let escape: String = text[place..].chars().take(3).collect();
                    return Err(format!("Malformed % escape in '{text}': '{escape}'"));
                }
            }
        }
        Ok(())
    }

    /// The value of a name that must be there and must not be empty.
    ///
    /// # Errors
    /// In the words that the endpoints beside the master's own have for it.
    pub fn expect(&self, name: &str) -> Result<String, String> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("Expecting '{name}=value' in query.\n"))
    }

    /// A number that may be left out, for which -1 is another way.
    ///
    /// # Errors
    /// In the words that the endpoints of files have for it.
    pub fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number: i64 = text.parse().map_err(|_| {
            format!("Failed to parse {name}: Failed to convert '{text}' to number.\n")
        })?;
        match (u64::try_from(number), number) {
            (Ok(number), _) => Ok(Some(number)),
            (Err(_), -1) => Ok(None),
            (Err(_), _) => Err(format!("Negative {name} provided: {number}.\n")),
        }
    }
}

/// A duration in Mesos' notation.
///
/// # Errors
/// What is wrong with it, in the words that Mesos has for it.
pub fn duration(text: &str) -> Result<Duration, String> {
    model::duration::parse(text).map_err(|_| {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let unit = text.trim_start_matches(is_number);
        let number = &text[..text.len() - unit.len()];
        if unit.is_empty() {
            format!("Invalid duration '{text}'")
        } else if number.parse::<f64>().is_err() {
            format!("Failed to convert '{number}' to number")
        } else {
            format!("Unknown duration unit '{unit}'")
        }
    })
}

/// The text with each `%xx` as the byte that it stands for, and `+` as a space; what is no such
/// escape stays as it is.
pub fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |digit: &u8| char::from(*digit).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let byte = hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0);
                bytes.push(u8::try_from(byte).unwrap_or(b'?'));
                rest = tail;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_duration_is_told_in_the_words_of_mesos() {
        assert_eq!(duration("1.5secs"), Ok(Duration::from_millis(1500)));
        for (text, fault) in [
            ("abc", "Failed to convert '' to number"),
            ("1.2.3secs", "Failed to convert '1.2.3' to number"),
            ("10", "Invalid duration '10'"),
            ("", "Invalid duration ''"),
            ("10parsecs", "Unknown duration unit 'parsecs'"),
            ("-5secs", "Failed to convert '' to number"),
        ] {
            assert_eq!(duration(text), Err(fault.to_owned()), "{text}");
        }
    }

    #[test]
    fn values_are_decoded_and_the_last_of_a_name_counts() {
        let query = Query("a=b%20c&d=e+f&g&h=%zz%4;i=1;i=2");
        assert_eq!(query.get("a").as_deref(), Some("b c"));
        assert_eq!(query.get("d").as_deref(), Some("e f"));
        assert_eq!(query.get("g").as_deref(), Some(""));
        assert_eq!(query.get("h").as_deref(), Some("%zz%4"));
        assert_eq!(query.get("i").as_deref(), Some("2"));
        assert_eq!(query.get("x"), None);
        assert_eq!(Query("a=%20&b%41").check(), Ok(()));
        let malformed = "Malformed % escape in 'b%4': '%4'".to_owned();
        assert_eq!(Query("a=%20&x=b%4&y").check(), Err(malformed));
        assert_eq!(
            query.expect("g"),
            Err("Expecting 'g=value' in query.\n".to_owned())
        );
    }
}
