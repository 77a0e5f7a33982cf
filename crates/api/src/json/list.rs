//! Lists of messages that stand alone, as the forms of unversioned endpoints bring them.

use crate::descriptor::Described;

use super::{JsonError, from_json, read};

/// Why a text is no list of messages; the texts are those of Mesos' answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonListError {
    /// The text is not JSON.
    #[error("syntax error at line {line} near: {near}")]
    Syntax {
        /// Counted from one.
        line: usize,
        /// The rest of that line.
        near: String,
    },
    /// Something follows the JSON value.
    #[error("Parsed JSON included non-whitespace trailing characters: {0}")]
    Trailing(String),
    /// The text is JSON, and no list.
    #[error("Unexpected JSON type parsed")]
    Type,
    /// An element is not such a message.
    #[error("{0}")]
    Item(String),
}

/// Reads a list of messages from JSON.
///
/// # Errors
/// The text is no list, or an element of it is no such message.
pub fn from_json_list<T: Described>(json: &[u8]) -> Result<Vec<T>, JsonListError> {
    let text = read::text(json)?;
    let value: serde_json::Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return Err(read::fault(text, &error).into()),
    };
    let serde_json::Value::Array(items) = value else {
        return Err(JsonListError::Type);
    };
    items
        .iter()
        .map(|item| Ok(from_json(item.to_string().as_bytes())?))
        .collect()
}

impl From<JsonError> for JsonListError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax { line, near } => Self::Syntax { line, near },
            JsonError::Trailing(rest) => Self::Trailing(rest),
            JsonError::Value { problem, .. } => Self::Item(problem),
            JsonError::Missing { fields, .. } => {
                Self::Item(format!("Missing required fields: {}", fields.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Resource;

    #[test]
    fn a_list_is_read_or_refused_in_the_words_of_mesos() {
        let read = |json: &str| {
            from_json_list::<Resource>(json.as_bytes())
                .map(|list| list.len())
                .map_err(|error| error.to_string())
        };
        let cpus = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1}}"#;
        assert_eq!(read(&format!("[{cpus},{cpus}]")), Ok(2));
        assert_eq!(read("[]"), Ok(0));
        for (json, fault) in [
            ("abc", "syntax error at line 1 near: abc"),
            (cpus, "Unexpected JSON type parsed"),
            (
                "[] x",
                "Parsed JSON included non-whitespace trailing characters:  x",
            ),
            ("[1]", "Expecting a JSON object"),
            (r#"[{"name":"cpus"}]"#, "Missing required fields: type"),
        ] {
            assert_eq!(read(json), Err(fault.to_string()), "{json}");
        }
    }
}
