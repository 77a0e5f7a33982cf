//! HTTP's refusals as the codes of gRPC, with the same texts.

use http::StatusCode;
use http::header::LOCATION;
use tonic::{Code, Status};

use crate::facts::Facts;
use crate::http::Response;
use crate::http::body::Body;

/// The status that stands for one of HTTP.
pub(super) fn of(status: StatusCode, text: &str) -> Status {
    let code = match status {
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT => Code::Aborted,
        StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TEMPORARY_REDIRECT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, text)
}

/// The answer, where the call was taken.
pub(super) fn check(response: Response) -> Result<Response, Status> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = match response.into_body() {
        Body::Whole(Some(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => status.to_string(),
    };
    Err(of(status, &text))
}

/// Where to go instead; the address stands in `location` too.
pub(crate) fn not_leading(facts: &Facts) -> Status {
    let Some((hostname, port)) = facts.leading() else {
        return of(StatusCode::SERVICE_UNAVAILABLE, "No leader elected");
    };
    let text = format!("The leading master is {hostname}:{port}");
    let mut status = of(StatusCode::TEMPORARY_REDIRECT, &text);
    if let Ok(location) = format!("//{hostname}:{port}").parse() {
        status.metadata_mut().insert(LOCATION.as_str(), location);
    }
    status
}
