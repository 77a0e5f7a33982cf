//! Answers with the headers and texts that Mesos gives.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::Response;
use super::body::Body;
use super::negotiate::Media;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An answer with a text for people.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

/// 400 with the reason.
pub(crate) fn bad_request(reason: impl Into<Bytes>) -> Response {
    text(StatusCode::BAD_REQUEST, reason)
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// 200 with a body of this type.
pub(crate) fn ok(media: Media, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::whole(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media.header());
    response
}

/// 404 for a path that is nowhere.
pub(crate) fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 Not Found.")
}

/// 405, naming the methods there are.
pub(crate) fn method_not_allowed(allowed: &'static str, got: &Method) -> Response {
    let reason = format!(
        "405 Method Not Allowed. Expecting one of {{ '{allowed}' }}, but received '{got}'."
    );
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, reason);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// 307 to this place.
pub(crate) fn redirect(location: &str) -> Response {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
