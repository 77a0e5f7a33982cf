//! `/quota` and `/weights`: what operators set for roles.

use api::json::{JsonError, JsonListError};
use api::v1::WeightInfo;
use api::v1::quota::QuotaRequest;
use http::Method;
use http::request::Parts;
use master_core::event::{OperatorCall, Text};

use crate::convert::quota;
use crate::http::query::percent_decode;
use crate::http::respond::Refusal;

/// POST with a QuotaRequest, or DELETE with the role in the path.
pub(super) fn quota(head: &Parts, body: &[u8]) -> Result<OperatorCall, Refusal> {
    let call = match head.method {
        Method::DELETE => remove(head.uri.path()),
        _ => set(body),
    };
    call.map_err(Refusal::bad_request)
}

/// PUT with a list of WeightInfos.
pub(super) fn weights(body: &[u8]) -> Result<OperatorCall, Refusal> {
    update(body).map_err(Refusal::bad_request)
}

fn set(body: &[u8]) -> Result<OperatorCall, String> {
    let text = String::from_utf8_lossy(body);
    let failed = |act: &str, fault: &str| {
        format!("Failed to {act} set quota request JSON '{text}': {fault}")
    };
    api::json::from_json::<QuotaRequest>(body)
        .map(quota::set)
        .map_err(|fault| match fault {
            JsonError::Syntax { line, near } => failed(
                "parse",
                &format!("syntax error at line {line} near: {near}"),
            ),
            JsonError::Trailing(rest) => failed(
                "parse",
                &format!("Parsed JSON included non-whitespace trailing characters: {rest}"),
            ),
            JsonError::Value { path, .. } if path.is_empty() => {
                failed("parse", "Unexpected JSON type parsed")
            }
            JsonError::Value { problem, .. } => failed("validate", &problem),
            JsonError::Missing { fields, .. } => {
                let fields = fields.join(", ");
                failed("validate", &format!("Missing required fields: {fields}"))
            }
        })
}

fn update(body: &[u8]) -> Result<OperatorCall, String> {
    let text = String::from_utf8_lossy(body);
    match api::json::from_json_list::<WeightInfo>(body) {
        Ok(weights) => Ok(quota::weights(weights)),
        Err(JsonListError::Item(fault)) => Err(format!(
            "Failed to convert weights JSON array to protobuf '{text}': {fault}"
        )),
        Err(fault) => Err(format!(
            "Failed to parse update weights request JSON '{text}': {fault}"
        )),
    }
}

/// The role behind the second slash; it may hold slashes itself.
fn remove(path: &str) -> Result<OperatorCall, String> {
    let path = percent_decode(path);
    let inner = path.trim_start_matches('/');
    let inner = inner.strip_prefix("master").unwrap_or(inner);
    let mut parts = inner.trim_matches('/').splitn(2, '/');
    let place = parts.next().unwrap_or_default();
    let role = parts.next().map(|role| role.trim_matches('/'));
    let Some(role) = role.filter(|role| !role.is_empty()) else {
        return Err(format!(
            "Failed to parse remove quota request for path '/master/{place}': expected 3 tokens, \
             found 2 tokens"
        ));
    };
    Ok(OperatorCall::RemoveQuota {
        role: Text::from(role),
        path: Some(Text::from(format!("/master/{place}/{role}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_to_remove_is_the_rest_of_the_path() {
        let removed = |path| match remove(path) {
            Ok(OperatorCall::RemoveQuota { role, path }) => {
                Ok((role.to_string(), path.unwrap().to_string()))
            }
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault),
        };
        let both = |role: &str, path: &str| Ok((role.to_owned(), path.to_owned()));
        assert_eq!(removed("/master/quota/a"), both("a", "/master/quota/a"));
        assert_eq!(removed("/quota/a/b"), both("a/b", "/master/quota/a/b"));
        assert_eq!(removed("/quota/%2A"), both("*", "/master/quota/*"));
        let nothing = "Failed to parse remove quota request for path '/master/quota': expected 3 \
                       tokens, found 2 tokens";
        assert_eq!(removed("/master/quota/"), Err(nothing.to_owned()));
    }

    #[test]
    fn bodies_that_cannot_be_read_are_told_so_in_the_words_of_mesos() {
        for (outcome, fault) in [
            (
                update(b"["),
                "Failed to parse update weights request JSON '[': syntax error at line 1 near: ",
            ),
            (
                update(b"{}"),
                "Failed to parse update weights request JSON '{}': Unexpected JSON type parsed",
            ),
            (
                update(b"[{}]"),
                "Failed to convert weights JSON array to protobuf '[{}]': Missing required fields: \
                 weight",
            ),
            (
                set(b"[]"),
                "Failed to parse set quota request JSON '[]': Unexpected JSON type parsed",
            ),
            (
                set(b"{"),
                "Failed to parse set quota request JSON '{': syntax error at line 1 near: ",
            ),
        ] {
            assert_eq!(outcome.err().as_deref(), Some(fault));
        }
    }
}
