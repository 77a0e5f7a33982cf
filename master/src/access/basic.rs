//! HTTP Basic (RFC 7617): a principal and a secret in the header of every request.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Mesos takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) principal: String,
    pub(super) secret: String,
}

/// What the header says; `None` where there is none, or none of this form.
pub(super) fn given(headers: &HeaderMap) -> Option<Given> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let encoded = header.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    // A secret may hold colons, a principal may not.
    let (principal, secret) = decoded.split_once(':')?;
    Some(Given {
        principal: principal.to_owned(),
        secret: secret.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_the_form_of_mesos_is_read() {
        let alice = |secret: &str| Some(("alice".to_owned(), secret.to_owned()));
        for (header, expected) in [
            ("Basic YWxpY2U6c2VjcmV0MQ==", alice("secret1")),
            ("Basic YWxpY2U6c2VjcmV0MQ", alice("secret1")),
            ("Basic YWxpY2U6YTpi", alice("a:b")),
            ("Basic YWxpY2U6", alice("")),
            ("Basic YWxpY2U=", None),
            ("Basic !!!", None),
            ("Basic", None),
            ("Basic  YWxpY2U6c2VjcmV0MQ==", None),
            ("Basic YWxpY2U6c2VjcmV0MQ== x", None),
            ("basic YWxpY2U6c2VjcmV0MQ==", None),
            ("Bearer YWxpY2U6c2VjcmV0MQ==", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(header));
            let found = given(&headers).map(|given| (given.principal, given.secret));
            assert_eq!(found, expected, "{header}");
        }
        assert_eq!(given(&HeaderMap::new()), None);
    }
}
