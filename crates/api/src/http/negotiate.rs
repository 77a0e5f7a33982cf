//! What a client sends and what it takes: media types and gzip.
//!
//! Content-Type is compared as a whole, as Mesos does: another case or a parameter is another type.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The two forms of every v1 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

impl Media {
    /// The name in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// The name as a header's value.
    pub const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }
}

/// Why a body cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentTypeError {
    /// There is no header.
    Missing,
    /// It names neither form.
    Unsupported,
}

/// The form of the request's body.
///
/// # Errors
/// The header is missing, or names another.
pub fn content_type(headers: &HeaderMap) -> Result<Media, ContentTypeError> {
    let value = headers
        .get(header::CONTENT_TYPE)
        .ok_or(ContentTypeError::Missing)?;
    media(value).ok_or(ContentTypeError::Unsupported)
}

/// The form that a header names as a whole.
pub fn media(value: &HeaderValue) -> Option<Media> {
    [Media::Json, Media::Protobuf]
        .into_iter()
        .find(|media| value == media.name())
}

/// The form for the answer: JSON where it is acceptable, else protobuf, else `None`.
pub fn accept(headers: &HeaderMap) -> Option<Media> {
    acceptable(headers, header::ACCEPT)
}

/// The same by another header than `Accept`.
pub fn acceptable(headers: &HeaderMap, by: HeaderName) -> Option<Media> {
    [Media::Json, Media::Protobuf]
        .into_iter()
        .find(|media| accepts(headers, by.clone(), media.name()))
}

/// Whether the answer may be gzip: only where the client names it.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(item)
        .any(|(name, refused)| name.eq_ignore_ascii_case("gzip") && !refused)
}

/// Whether the header allows a type; without the header all are.
pub fn accepts(headers: &HeaderMap, by: HeaderName, media: &str) -> bool {
    let mut present = headers.get_all(by).iter().peekable();
    if present.peek().is_none() {
        return true;
    }
    present
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(item)
        .any(|(range, refused)| !refused && covers(range, media))
}

/// An element of a list, and whether its weight is 0.
fn item(text: &str) -> (&str, bool) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let refused = parts.any(|part| {
        part.strip_prefix("q=")
            .and_then(|weight| weight.trim().parse::<f64>().ok())
            .is_some_and(|weight| weight <= 0.0)
    });
    (name, refused)
}

fn covers(range: &str, media: &str) -> bool {
    if range == "*/*" || range.eq_ignore_ascii_case(media) {
        return true;
    }
    match (range.strip_suffix("/*"), media.split_once('/')) {
        (Some(wanted), Some((kind, _))) => wanted.eq_ignore_ascii_case(kind),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn json_wins_where_both_are_acceptable() {
        for (values, media) in [
            (&[][..], Some(Media::Json)),
            (&["*/*"], Some(Media::Json)),
            (&["application/*"], Some(Media::Json)),
            (&["application/x-protobuf"], Some(Media::Protobuf)),
            (
                &["text/html;q=0.9, application/x-protobuf;q=0.9, application/json;q=0.1"],
                Some(Media::Json),
            ),
            (
                &["application/x-protobuf", "application/json"],
                Some(Media::Json),
            ),
            (
                &["application/json;q=0, application/x-protobuf"],
                Some(Media::Protobuf),
            ),
            (&["application/json;q=0"], None),
            (&["text/html"], None),
            (&["application/recordio"], None),
            (&["text/*"], None),
        ] {
            assert_eq!(
                accept(&headers(header::ACCEPT, values)),
                media,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_content_type_is_compared_as_a_whole() {
        for (values, expected) in [
            (&[][..], Err(ContentTypeError::Missing)),
            (&["application/json"], Ok(Media::Json)),
            (&["application/x-protobuf"], Ok(Media::Protobuf)),
            (
                &["application/json; charset=utf-8"],
                Err(ContentTypeError::Unsupported),
            ),
            (&["Application/JSON"], Err(ContentTypeError::Unsupported)),
        ] {
            let found = content_type(&headers(header::CONTENT_TYPE, values));
            assert_eq!(found, expected, "{values:?}");
        }
    }

    #[test]
    fn gzip_is_used_only_where_it_is_named() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0", true),
            ("gzip;q=0", false),
            ("deflate", false),
            ("*", false),
        ] {
            let found = accepts_gzip(&headers(header::ACCEPT_ENCODING, &[value]));
            assert_eq!(found, expected, "{value}");
        }
    }
}
