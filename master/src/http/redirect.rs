//! Redirects to the leading master: protocol-relative, so that http and https are kept.

use http::{StatusCode, Uri};

use super::Response;
use super::respond::{self, Refusal};
use crate::facts::Facts;

/// Sends a client on to the leader, to ask there what it asked here.
pub(crate) fn to_leader(facts: &Facts, uri: &Uri) -> Response {
    let Some(base) = base(facts) else {
        return no_leader();
    };
    // Every path of the master is one of the process `master`, and is told by its full name.
    let prefix = match is_prefixed(uri.path()) {
        true => "",
        false => "/master",
    };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    respond::redirect(&format!("{base}{prefix}{target}"))
}

/// The answer of `/redirect`: where the leader is.
pub(crate) fn answer(facts: &Facts, uri: &Uri) -> Response {
    let path = uri.path().trim_end_matches('/');
    match base(facts) {
        None => no_leader(),
        // What came here by a redirect must not be sent on for ever.
        Some(_) if !path.ends_with("/redirect") => respond::not_found(),
        Some(base) => respond::redirect(&base),
    }
}

fn base(facts: &Facts) -> Option<String> {
    let (hostname, port) = facts.leading()?;
    Some(format!("//{hostname}:{port}"))
}

fn no_leader() -> Response {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "No leader elected").into()
}

fn is_prefixed(path: &str) -> bool {
    path.strip_prefix("/master")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
