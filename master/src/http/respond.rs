//! Answers with the headers and texts that Mesos gives.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::Response;
use super::body::Body;
use super::negotiate::Media;
use crate::files::FilesError;

/// The type of texts for people.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    reason: String,
    /// The methods there are, where another was used.
    allowed: Option<&'static str>,
}

impl Refusal {
    /// A refusal with this status.
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            allowed: None,
        }
    }

    /// 400.
    pub(crate) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// 403, where the rules do not let this principal.
    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "403 Forbidden.")
    }

    /// 405, naming the methods there are, with commas.
    pub(crate) fn method(allowed: &'static str, got: &Method) -> Self {
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
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// Its status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }
}

/// In the statuses and words of Mesos.
impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::NotFound => Self::new(StatusCode::NOT_FOUND, ""),
            FilesError::IsFolder => Self::bad_request("Cannot read a directory.\n"),
            FilesError::Read { path, source } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Failed to open file at '{}': {source}.\n", path.display()),
            ),
        }
    }
}

impl From<Refusal> for Response {
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
fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = page(TEXT, text);
    *response.status_mut() = status;
    response
}

/// 200 with a body of a type of its own.
pub(crate) fn page(kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::whole(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// 200 with a body of one of the two forms of messages.
pub(crate) fn ok(media: Media, body: impl Into<Bytes>) -> Response {
    page(media.name(), body)
}

/// Says of which type the body is.
pub(crate) fn set_type(response: &mut Response, media: Media) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.header());
}

/// 404 for a path that is nowhere.
pub(crate) fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 Not Found.")
}

/// 401, asking for the credentials of a realm.
pub(crate) fn unauthorized(realm: &str) -> Response {
    let mut response = text(StatusCode::UNAUTHORIZED, "401 Unauthorized.");
    if let Ok(asked) = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, asked);
    }
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
