//! A call that comes as the body of a POST: what is checked before anybody looks at what it asks for.
//!
//! The order is Mesos' (reference, section 1.1), and the same for schedulers and operators.

use crate::Described;
use bytes::Bytes;
use http::header::HeaderMap;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body;

use super::negotiate::{self, ContentTypeError, Media};
use super::read;
use super::respond::Refusal;

/// The call, and the head of the request that brought it.
///
/// # Errors
/// The first of Mesos' checks that it does not pass.
pub async fn read<T, B>(request: Request<B>) -> Result<(Parts, T), Refusal>
where
    T: Described,
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    if request.method() != Method::POST {
        return Err(Refusal::method("POST", request.method()));
    }
    let media = content_type(request.headers())?;
    let (head, body) = request.into_parts();
    let body = read::body(&head.headers, body).await?;
    let call = decode(media, &body).map_err(Refusal::bad_request)?;
    Ok((head, call))
}

/// The form of the answer, or why there is none.
///
/// # Errors
/// The client takes neither.
pub fn accept(headers: &HeaderMap) -> Result<Media, Refusal> {
    negotiate::accept(headers).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
        )
    })
}

/// A message in one of the two forms.
///
/// # Errors
/// What is wrong with it, in words for the client.
pub fn decode<T: Described>(media: Media, body: &[u8]) -> Result<T, String> {
    match media {
        Media::Json => crate::json::from_json(body).map_err(|error| error.to_string()),
        Media::Protobuf => crate::decode(body).map_err(|error| error.to_string()),
    }
}

/// The form of the body, or why it is refused.
fn content_type(headers: &HeaderMap) -> Result<Media, Refusal> {
    negotiate::content_type(headers).map_err(|error| match error {
        ContentTypeError::Missing => Refusal::bad_request("Expecting 'Content-Type' to be present"),
        ContentTypeError::Unsupported => Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        ),
    })
}
