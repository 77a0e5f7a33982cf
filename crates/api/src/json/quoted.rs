//! What stands in JSON strings: bytes as base64, and numbers and booleans that are none.

use serde::de::IgnoredAny;

use super::list::JsonListError;
use super::read;

/// Decodes base64 as Mesos does: whitespace is passed over, the first `=` ends it whether or not it
/// is due, and bits that do not make up a byte are dropped. The error is what is not base64.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, char> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for character in text.chars().take_while(|&character| character != '=') {
        if matches!(character, ' ' | '\t'..='\r') {
            continue;
        }
        bits = (bits << 6) | digit(character).ok_or(character)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            let [.., byte] = (bits >> held).to_be_bytes();
            bytes.push(byte);
        }
    }
    Ok(bytes)
}

fn digit(character: char) -> Option<u32> {
    let from = |first: char| u32::from(character) - u32::from(first);
    match character {
        'A'..='Z' => Some(from('A')),
        'a'..='z' => Some(from('a') + 26),
        '0'..='9' => Some(from('0') + 52),
        '+' => Some(62),
        '/' => Some(63),
        _ => None,
    }
}

/// Why a string is not the number or the boolean that it is to be.
pub(super) fn misfit(text: &str) -> JsonListError {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => JsonListError::Type,
        Err(error) => read::fault(text, &error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_taken_as_it_comes() {
        for (text, want) in [
            ("", Ok(vec![])),
            ("AP8=", Ok(vec![0, 255])),
            ("AP8", Ok(vec![0, 255])),
            (" A\nP 8 ", Ok(vec![0, 255])),
            ("AP9", Ok(vec![0, 255])),
            ("AP8+/w==", Ok(vec![0, 255, 62, 255])),
            ("A", Ok(vec![])),
            ("AP8=AP8=", Ok(vec![0, 255])),
            ("!!!", Err('!')),
            ("AP-_", Err('-')),
            ("AP8\u{e9}", Err('\u{e9}')),
        ] {
            assert_eq!(bytes(text), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_told_in_the_words_of_mesos() {
        for (text, want) in [
            ("soon", "syntax error at line 1 near: soon"),
            ("", "syntax error at line 1 near: "),
            ("[]", "Unexpected JSON type parsed"),
            (
                "2 secs",
                "Parsed JSON included non-whitespace trailing characters:  secs",
            ),
        ] {
            assert_eq!(misfit(text).to_string(), want, "{text:?}");
        }
    }
}
