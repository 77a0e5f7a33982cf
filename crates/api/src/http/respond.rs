//! Answers with the headers and texts that Mesos gives.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use super::negotiate::Media;
use super::query::Query;

/// The type of JSON that a function is called with.
pub const JAVASCRIPT: &str = "text/javascript";

/// The type of texts for people.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
    /// The methods there are, where another was used.
    allowed: Option<&'static str>,
}

impl Refusal {
    /// A refusal with this status.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            allowed: None,
        }
    }

    /// 400.
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// 403, where the rules do not let this principal.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "403 Forbidden.")
    }

    /// 405, naming the methods there are, with commas.
    pub fn method(allowed: &'static str, got: &Method) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            reason: format!(
                "405 Method Not Allowed. Expecting one of {{ '{}' }}, but received '{got}'.",
                allowed.replace(", ", "', '")
            ),
            allowed: Some(allowed),
        }
    }

    /// Why, in words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl<B: From<Bytes>> From<Refusal> for Response<B> {
    fn from(refusal: Refusal) -> Self {
        let mut response = text(refusal.status, refusal.reason);
        if let Some(allowed) = refusal.allowed {
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

/// An answer with a text for people.
pub fn text<B: From<Bytes>>(status: StatusCode, text: impl Into<Bytes>) -> Response<B> {
    let mut response = page(TEXT, text);
    *response.status_mut() = status;
    response
}

/// 200 with a body of a type of its own.
pub fn page<B: From<Bytes>>(kind: &'static str, body: impl Into<Bytes>) -> Response<B> {
    let mut response = Response::new(B::from(body.into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An answer without a body.
pub fn empty<B: From<Bytes>>(status: StatusCode) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// 200 with a body of one of the two forms of messages.
pub fn ok<B: From<Bytes>>(media: Media, body: impl Into<Bytes>) -> Response<B> {
    page(media.name(), body)
}

/// 200 with JSON, or with the call of a function on it where the query names one.
pub fn json<B: From<Bytes>>(text: impl Into<Bytes>, query: &Query<'_>) -> Response<B> {
    let text = text.into();
    let Some(function) = query.get("jsonp") else {
        return ok(Media::Json, text);
    };
    let wrapped = [function.as_bytes(), b"(", &text, b")"].concat();
    page(JAVASCRIPT, wrapped)
}

/// Says of which type the body is.
pub fn set_type<B>(response: &mut Response<B>, media: Media) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.header());
}

/// 404 for a path that is nowhere.
pub fn not_found<B: From<Bytes>>() -> Response<B> {
    text(StatusCode::NOT_FOUND, "404 Not Found.")
}

/// 401, asking for the credentials of a realm.
pub fn unauthorized<B: From<Bytes>>(realm: &str) -> Response<B> {
    let mut response = text(StatusCode::UNAUTHORIZED, "401 Unauthorized.");
    if let Ok(asked) = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, asked);
    }
    response
}

/// 307 to this place.
pub fn redirect<B: From<Bytes>>(location: &str) -> Response<B> {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
