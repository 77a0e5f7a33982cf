//! Queries and paths: percent-encoding undone, the first value of a name taken.

/// The query of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; a pair that is not well encoded is left out.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((
                decode(&name.replace('+', " "))?,
                decode(&value.replace('+', " "))?,
            ))
        });
        Self(decoded.collect())
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding; `None` where it is malformed or not text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_undone_and_nonsense_is_none() {
        for (text, decoded) in [
            ("/slave%281%29/state", Some("/slave(1)/state")),
            ("a+b", Some("a+b")),
            ("%c3%A4", Some("ä")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
            ("%+1", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
        let query = Query::parse("path=/a%2Fb+c&offset=-1&offset=2&flag&bad=%");
        assert_eq!(query.get("path"), Some("/a/b c"));
        assert_eq!(query.get("offset"), Some("-1"));
        assert_eq!((query.get("flag"), query.get("bad")), (Some(""), None));
    }
}
