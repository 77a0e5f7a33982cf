//! The forms of a call and of its answer where either may be a stream of records, as for agents.

use http::header::HeaderMap;
use http::{HeaderName, StatusCode};

use super::negotiate::{self, Media};
use super::respond::Refusal;

/// The type of a stream of records.
pub const RECORDIO: &str = "application/recordio";
/// Tells the form of the records of a request's body.
pub const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");
/// Tells the forms of records that the client takes.
pub const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One message.
    Whole(Media),
    /// Records of RecordIO, each a message.
    Records(Media),
}

impl Form {
    /// The form of each message.
    #[must_use]
    pub const fn media(self) -> Media {
        match self {
            Self::Whole(media) | Self::Records(media) => media,
        }
    }

    /// Whether there may be many.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Records(_))
    }
}

/// The form of a request's body, by its headers.
///
/// # Errors
/// In Mesos' words for what is missing or not known.
pub fn content(headers: &HeaderMap) -> Result<Form, Refusal> {
    let refused = |words: &str| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words);
    let kind = headers
        .get(http::header::CONTENT_TYPE)
        .ok_or_else(|| Refusal::bad_request("Expecting 'Content-Type' to be present"))?;
    let of_records = headers.get(MESSAGE_CONTENT_TYPE);
    if kind == RECORDIO {
        let of_records = of_records.ok_or_else(|| {
            Refusal::bad_request(
                "Expecting 'Message-Content-Type' to be set for streaming requests",
            )
        })?;
        return negotiate::media(of_records)
            .map(Form::Records)
            .ok_or_else(|| {
                refused(
                    "Expecting 'Message-Content-Type' of application/json or \
                     application/x-protobuf",
                )
            });
    }
    let media = negotiate::media(kind).ok_or_else(|| {
        refused(
            "Expecting 'Content-Type' of application/json or application/x-protobuf or \
             application/recordio",
        )
    })?;
    match of_records {
        None => Ok(Form::Whole(media)),
        Some(_) => Err(refused(
            "Expecting 'Message-Content-Type' to be not set for non-streaming requests",
        )),
    }
}

/// The form of the answer: JSON where it is acceptable, else protobuf, else records.
///
/// # Errors
/// In Mesos' words where the client takes none of them.
pub fn accept(headers: &HeaderMap) -> Result<Form, Refusal> {
    let refused = |words: &str| Refusal::new(StatusCode::NOT_ACCEPTABLE, words);
    if let Some(media) = negotiate::accept(headers) {
        return match headers.contains_key(MESSAGE_ACCEPT) {
            false => Ok(Form::Whole(media)),
            true => Err(refused(
                "Expecting 'Message-Accept' to be not set for non-streaming responses",
            )),
        };
    }
    if !negotiate::accepts(headers, http::header::ACCEPT, RECORDIO) {
        return Err(refused(
            "Expecting 'Accept' to allow application/json or application/x-protobuf or \
             application/recordio",
        ));
    }
    negotiate::acceptable(headers, MESSAGE_ACCEPT)
        .map(Form::Records)
        .ok_or_else(|| {
            refused(
                "Expecting 'Message-Accept' to allow application/json or application/x-protobuf",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_form_of_a_body_is_told_by_two_headers() {
        const JSON: &str = "application/json";
        const PROTOBUF: &str = "application/x-protobuf";
        for (pairs, expected) in [
            (&[("content-type", JSON)][..], Ok(Form::Whole(Media::Json))),
            (
                &[
                    ("content-type", RECORDIO),
                    ("message-content-type", PROTOBUF),
                ],
                Ok(Form::Records(Media::Protobuf)),
            ),
            (&[], Err(400)),
            (&[("content-type", RECORDIO)], Err(400)),
            (&[("content-type", "text/html")], Err(415)),
            (
                &[
                    ("content-type", RECORDIO),
                    ("message-content-type", RECORDIO),
                ],
                Err(415),
            ),
            (
                &[("content-type", JSON), ("message-content-type", JSON)],
                Err(415),
            ),
        ] {
            let found = content(&headers(pairs)).map_err(|refusal| refusal.status().as_u16());
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn an_answer_is_a_stream_of_records_only_where_nothing_else_is_taken() {
        for (pairs, expected) in [
            (&[][..], Ok(Form::Whole(Media::Json))),
            (&[("accept", RECORDIO)], Ok(Form::Records(Media::Json))),
            (
                &[
                    ("accept", RECORDIO),
                    ("message-accept", "application/x-protobuf"),
                ],
                Ok(Form::Records(Media::Protobuf)),
            ),
            (
                &[("accept", RECORDIO), ("message-accept", "text/html")],
                Err(406),
            ),
            (&[("accept", "text/html")], Err(406)),
            (
                &[("accept", "*/*"), ("message-accept", "application/json")],
                Err(406),
            ),
        ] {
            let found = accept(&headers(pairs)).map_err(|refusal| refusal.status().as_u16());
            assert_eq!(found, expected, "{pairs:?}");
        }
    }
}
